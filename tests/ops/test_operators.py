from __future__ import annotations

from pathlib import Path

import pytest

from shanraq import partners
from shanraq.core.actor import SYSTEM
from shanraq.core.crypto import Keyring
from shanraq.core.db import Database
from shanraq.core.secret import Secret
from shanraq.core.settings import Settings
from shanraq.ops.operators import create_operator, disable_operator, list_operators


def quiet(_: str) -> None:
    pass


async def test_an_operator_is_created_listed_and_disabled_and_the_log_tells(
    database: Database, owner_dsn: str, tmp_path: Path
) -> None:
    settings = Settings(database_url=owner_dsn, data_dir=str(tmp_path), unsafe=True, log_level="error")
    first, token = await create_operator(settings, "Aigerim", (), quiet)
    second, _ = await create_operator(settings, "Dana", ("partners:read",), quiet)
    keyring = Keyring.load(settings.keyring_path)

    listed = await list_operators(settings, quiet)
    actor = await partners.authenticate_operator(database, keyring, Secret(token))
    disabled = await disable_operator(settings, first, quiet)

    assert [(operator.id, operator.name) for operator in listed] == [(second, "Dana"), (first, "Aigerim")]
    assert listed[0].scopes == ("partners:read",)
    assert actor.id == first
    assert disabled.disabled_at is not None
    with pytest.raises(partners.OperatorDisabledError):
        await partners.authenticate_operator(database, keyring, Secret(token))
    with pytest.raises(partners.OperatorNotFoundError):
        await disable_operator(settings, f"opr_{'0' * 26}", quiet)
    async with database.begin(SYSTEM) as tx:
        entries = await tx.rows("SELECT actor, action, subject FROM audit_entry ORDER BY at, lane, seq")
    assert ("system:console", "operator.disabled", first) in [tuple(entry) for entry in entries]
