"""What this process remembers of API keys, so that a request with a known key costs no round trip to the database.

An entry lives for a second: a revocation or suspension written by another process is seen that soon, and one of this process
at once (`forget`). Ids of no key are remembered too, apart from the keys, so that guesses push no key out.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from weakref import WeakKeyDictionary

from shanraq.core.actor import SYSTEM
from shanraq.core.db import Database
from shanraq.partners import store
from shanraq.partners.store import Credential

LIFETIME: Final = timedelta(seconds=1)
ENTRY_LIMIT: Final = 10_000


@dataclass(frozen=True, slots=True)
class _Entry:
    credential: Credential | None
    loaded_at: datetime


class KeyCache:
    """The API keys of one database, by id."""

    def __init__(self) -> None:
        self._keys: dict[str, _Entry] = {}
        self._strangers: dict[str, _Entry] = {}
        self._loading: dict[str, asyncio.Task[Credential | None]] = {}
        self._generation = 0

    async def get(self, db: Database, key_id: str) -> Credential | None:
        """Return what is known of a key, or None if there is none with this id."""
        entry = self._keys.get(key_id) or self._strangers.get(key_id)
        # A clock that was set back must not make an entry live longer.
        if entry is not None and timedelta(0) <= db.clock() - entry.loaded_at < LIFETIME:
            return entry.credential
        loading = self._loading.get(key_id)
        if loading is None:
            # One load serves all requests that wait for it; it goes on when the one that began it is cancelled.
            loading = asyncio.create_task(self._load(db, key_id), name=f"load {key_id}")
            self._loading[key_id] = loading
            loading.add_done_callback(lambda done: self._loaded(key_id, done))
        return await asyncio.shield(loading)

    def amend(self, before: Credential, after: Credential) -> None:
        """Replace what is known of a key, for the rest of the entry's life, unless it was read again meanwhile."""
        entry = self._keys.get(before.actor.id)
        if entry is not None and entry.credential is before:
            self._keys[before.actor.id] = _Entry(after, entry.loaded_at)

    def forget(self) -> None:
        """Forget everything, also what is being loaded: it was changed."""
        self._generation += 1
        self._keys.clear()
        self._strangers.clear()
        self._loading.clear()

    async def _load(self, db: Database, key_id: str) -> Credential | None:
        generation, loaded_at = self._generation, db.clock()
        async with db.begin(SYSTEM) as tx:
            credential = await store.find_credential(tx, key_id)
        if generation == self._generation:
            self._remember(key_id, _Entry(credential, loaded_at))
        return credential

    def _remember(self, key_id: str, entry: _Entry) -> None:
        kept, other = (self._strangers, self._keys) if entry.credential is None else (self._keys, self._strangers)
        other.pop(key_id, None)
        kept.pop(key_id, None)
        if len(kept) >= ENTRY_LIMIT:
            del kept[next(iter(kept))]
        kept[key_id] = entry

    def _loaded(self, key_id: str, done: asyncio.Task[Credential | None]) -> None:
        if self._loading.get(key_id) is done:
            del self._loading[key_id]
        if not done.cancelled():
            done.exception()  # also when everybody who waited is gone


_caches: WeakKeyDictionary[Database, KeyCache] = WeakKeyDictionary()


def cache_of(db: Database) -> KeyCache:
    """Return what this process remembers of a database's keys."""
    cache = _caches.get(db)
    if cache is None:
        cache = _caches[db] = KeyCache()
    return cache


def forget(db: Database) -> None:
    """Have every key read again, in this process at once; called after a change of keys or partners is committed."""
    cache_of(db).forget()
