from shanraq.core.actor import SYSTEM
from shanraq.core.db import Database
import pytest


@pytest.mark.parametrize("n", range(10))
async def test_x(database: Database, n) -> None:
    async with database.begin(SYSTEM) as tx:
        assert await tx.value("select 1") == 1
