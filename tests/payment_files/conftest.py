"""A database with a partner that uploads files."""

from __future__ import annotations

from dataclasses import replace

import pytest

from shanraq.core.crypto import Keyring
from shanraq.core.db import Database
from tests.money_world import partner
from tests.payment_files.files import Office


@pytest.fixture
def office(database: Database) -> Office:
    """What uploads files and works at them."""
    actor = partner()
    scopes = actor.scopes | {"payment_files:read", "payment_files:write"}
    return Office(database, Keyring.generate(), replace(actor, scopes=scopes))
