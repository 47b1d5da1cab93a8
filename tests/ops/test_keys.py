"""Master keys are rotated from the command line while the platform runs; nothing becomes unreadable."""

from __future__ import annotations

import asyncio
from pathlib import Path

import asyncpg
import pytest

from shanraq import kyc, payments
from shanraq.core.actor import SYSTEM
from shanraq.core.crypto import InvalidKeyringError, Keyring
from shanraq.core.db import Database
from shanraq.core.reseal import reseal
from shanraq.core.secret import Pan
from shanraq.core.settings import Settings
from shanraq.ops.keys import SEALED, KeyInUseError, holdings, reseal_all, retire, rotate
from tests.customers import register
from tests.money_world import Bank

PLAIN = {
    "api_key.secret_hash", "audit_entry.details", "audit_entry.hash", "audit_lane.hash", "event_outbox.data",
    "idempotency.answer", "idempotency.fingerprint", "iso_message.digest", "operator.token_hash", "partner.claim_hash",
    "payment_file.digest", "payment_method.fingerprint", "webhook_attempt.request_headers",
    "webhook_attempt.response_body", "webhook_attempt.response_headers",
}  # fmt: skip


def quiet(_: str) -> None:
    pass


@pytest.fixture
def settings(owner_dsn: str, tmp_path: Path) -> Settings:
    return Settings(database_url=owner_dsn, data_dir=str(tmp_path), unsafe=True, log_level="error")


async def test_every_sealed_column_of_the_database_is_known(owner_dsn: str) -> None:
    connection = await asyncpg.connect(owner_dsn)
    columns = await connection.fetch(
        "SELECT table_name || '.' || column_name AS name FROM information_schema.columns"
        " WHERE table_schema = 'public' AND data_type = 'bytea' ORDER BY 1"
    )
    await connection.close()
    known = {f"{sealed.table}.{sealed.column}" for sealed in SEALED}
    assert known <= {row["name"] for row in columns}
    # A new column of bytes is either sealed, and then in the list, or known here to be something else.
    assert {row["name"] for row in columns} - known == PLAIN


async def test_rotation_from_the_first_key_to_the_second_while_cards_are_added(
    database: Database, settings: Settings
) -> None:
    settings.keyring_path.parent.mkdir(parents=True)
    running = Keyring.load_or_create(settings.keyring_path)
    bank = Bank(database)
    new_card = payments.NewCard(expiry_month=12, expiry_year=2040)

    async def add_cards() -> list[str]:
        return [
            (await payments.tokenize(database, running, bank.actor, Pan("4111111111111111"), new_card)).value.id
            for _ in range(30)
        ]

    customer = await register(database, running, bank.actor, "one")
    before = await add_cards()
    (old,) = running.key_ids

    new = await rotate(settings, quiet)
    with pytest.raises(KeyInUseError, match="reseal"):
        await retire(settings, old, quiet)
    meanwhile, changed = await asyncio.gather(add_cards(), reseal_all(settings, quiet))
    again = await reseal_all(settings, quiet)
    await retire(settings, old, quiet)

    assert changed["payment_method.pan_sealed"] + again["payment_method.pan_sealed"] >= 30
    key_ids, held = await holdings(settings, quiet)
    assert key_ids == (new,)
    assert {one.key_id for one in held} == {new}
    assert sum(one.values for one in held if one.table == "payment_method") == 60
    reader = Keyring.load(settings.keyring_path)
    for method_id in (*before, *meanwhile):
        async with database.begin(bank.actor) as tx:
            _, card = await payments.vault.open_card(tx, reader, method_id, None)
        assert card.pan == Pan("4111111111111111")
    assert (await kyc.find_customer(database, reader, bank.actor, customer.id)).id == customer.id
    async with database.begin(SYSTEM) as tx:
        told = [
            row["action"] for row in await tx.rows("SELECT action FROM audit_entry WHERE action LIKE 'master_key%'")
        ]
    assert sorted(told) == ["master_key.added", "master_key.resealed", "master_key.resealed", "master_key.retired"]


async def test_the_newest_key_is_not_retired(database: Database, settings: Settings) -> None:
    newest = await rotate_from_nothing(settings)

    with pytest.raises(InvalidKeyringError, match="newest"):
        await retire(settings, newest, quiet)


async def rotate_from_nothing(settings: Settings) -> str:
    await holdings(settings, quiet)
    return await rotate(settings, quiet)


async def test_a_value_changed_meanwhile_is_left_alone(database: Database) -> None:
    """Exchanging is conditional: what somebody wrote after it was read stays."""
    bank, keyring = Bank(database), Keyring.generate()
    new_card = payments.NewCard(expiry_month=12, expiry_year=2040)
    card = (await payments.tokenize(database, keyring, bank.actor, Pan("4111111111111111"), new_card)).value
    (sealed,) = payments.SEALED

    await payments.delete_payment_method(database, bank.actor, card.id)

    assert await reseal(database, Keyring.generate(), SYSTEM, sealed) == 0
