"""Rotate the master keys from the command line: add one, hang everything on it while the platform runs, retire the old one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from shanraq import audit, credit_transfers, kyc, messages, partners, payment_files, payments, webhooks
from shanraq.adapters import cardhost
from shanraq.core.actor import SYSTEM
from shanraq.core.crypto import Keyring, add_key, remove_key
from shanraq.core.errors import ConflictError
from shanraq.core.reseal import Sealed, reseal, usage
from shanraq.core.settings import Settings
from shanraq.ops.app import Announce, open_platform

SEALED: Final[tuple[Sealed, ...]] = (
    *partners.SEALED,
    *kyc.SEALED,
    *webhooks.SEALED,
    *payments.SEALED,
    *cardhost.SEALED,
    *messages.SEALED,
    *credit_transfers.SEALED,
    *payment_files.SEALED,
)
_CONSOLE: Final = replace(SYSTEM, id="console")


class KeyInUseError(ConflictError, code="key_in_use", status=409):
    """Sealed values still hang on this master key: reseal them first."""


@dataclass(frozen=True, slots=True)
class Holding:
    """How many sealed values of a column hang on a master key. A key that is not in the keyring opens nothing."""

    key_id: str
    table: str
    column: str
    values: int


async def holdings(settings: Settings, announce: Announce) -> tuple[tuple[str, ...], list[Holding]]:
    """Return the ids of the master keys, newest first, and what hangs on each."""
    async with open_platform(settings, simulators=False, announce=announce) as platform:
        found = [
            Holding(key_id, sealed.table, sealed.column, values)
            for sealed in SEALED
            for key_id, values in (await usage(platform.db, _CONSOLE, sealed)).items()
        ]
        return platform.keyring.key_ids, found


async def rotate(settings: Settings, announce: Announce) -> str:
    """Put a new master key first in the keyring file and return its id; processes that run take it within seconds."""
    async with open_platform(settings, simulators=False, announce=announce) as platform:
        name = add_key(settings.keyring_path)
        async with platform.db.begin(_CONSOLE) as tx:
            audit.record(tx, "master_key.added", name)
        return name


async def reseal_all(
    settings: Settings, announce: Announce, progress: Callable[[str, int], None] = lambda table, rows: None
) -> dict[str, int]:
    """Hang every sealed value on the newest master key while the platform runs; returns how many changed, by column."""
    changed: dict[str, int] = {}
    async with open_platform(settings, simulators=False, announce=announce) as platform:
        keyring = Keyring.load(settings.keyring_path)
        for sealed in SEALED:
            name = f"{sealed.table}.{sealed.column}"

            def told(rows: int, name: str = name) -> None:
                progress(name, rows)

            changed[name] = await reseal(platform.db, keyring, _CONSOLE, sealed, told=told)
        async with platform.db.begin(_CONSOLE) as tx:
            audit.record(tx, "master_key.resealed", keyring.key_ids[0], {"values": sum(changed.values())})
    return changed


async def retire(settings: Settings, key_id: str, announce: Announce) -> None:
    """Take a master key out of the keyring file. Raises KeyInUseError, InvalidKeyringError.

    What hangs on it is counted again after it is out, and the key is put back if a value came in between.
    """
    async with open_platform(settings, simulators=False, announce=announce) as platform:

        async def held() -> int:
            return sum([(await usage(platform.db, _CONSOLE, sealed)).get(key_id, 0) for sealed in SEALED])

        before = settings.keyring_path.read_bytes()
        if count := await held():
            raise KeyInUseError(f"{count} values hang on {key_id}: run `shanraq keys reseal`")
        remove_key(settings.keyring_path, key_id)
        if count := await held():
            settings.keyring_path.write_bytes(before)
            raise KeyInUseError(f"{count} values came to hang on {key_id} meanwhile: run `shanraq keys reseal` again")
        async with platform.db.begin(_CONSOLE) as tx:
            audit.record(tx, "master_key.retired", key_id)
