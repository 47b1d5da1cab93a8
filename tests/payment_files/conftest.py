"""A database with a partner that uploads files."""

from __future__ import annotations

import pytest

from shanraq.core.crypto import Keyring
from shanraq.core.db import Database
from tests.payment_files.files import Office, uploader


@pytest.fixture
def office(database: Database) -> Office:
    """What uploads files and works at them."""
    return Office(database, Keyring.generate(), uploader())
