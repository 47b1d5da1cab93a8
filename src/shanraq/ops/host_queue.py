"""What must still reach card hosts, as an operator sees it."""

from __future__ import annotations

from shanraq import audit
from shanraq.adapters.cardhost import QueueEntry, list_queue, queue_again
from shanraq.core.actor import SYSTEM
from shanraq.core.db import Database
from shanraq.core.settings import Settings
from shanraq.ops.app import Announce, open_database


async def read_queue(settings: Settings, limit: int, announce: Announce) -> list[QueueEntry]:
    """Return what waits to be delivered to card hosts and what was given up, the oldest first."""
    async with open_database(settings, announce) as (_, app_dsn, _):
        db = await Database.connect(app_dsn, role=None if settings.database_owner_url else "shanraq_app")
        try:
            async with db.begin(SYSTEM) as tx:
                return await list_queue(tx, limit)
        finally:
            await db.close()


async def retry_queued(settings: Settings, queued_id: int, announce: Announce) -> bool:
    """Put what was given up back into the queue; tell whether there was such a thing."""
    async with open_database(settings, announce) as (_, app_dsn, _):
        db = await Database.connect(app_dsn, role=None if settings.database_owner_url else "shanraq_app")
        try:
            async with db.begin(SYSTEM) as tx:
                done = await queue_again(tx, queued_id)
                if done:
                    audit.record(tx, "card_host.queued_again", str(queued_id), {})
                return done
        finally:
            await db.close()
