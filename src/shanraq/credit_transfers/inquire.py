"""Ask the clearing system for transfers it has not decided on: pacs.028, again and again, never less than an answer."""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta
from typing import Final

from shanraq import messages
from shanraq.core.actor import Actor, Environment
from shanraq.core.db import Database, Tx
from shanraq.core.ids import new_id
from shanraq.credit_transfers import store
from shanraq.credit_transfers.clearing import Interbank
from shanraq.credit_transfers.execute import queue_message
from shanraq.credit_transfers.model import CreditTransfer, TransferStatus
from shanraq.credit_transfers.pacs import status_request
from shanraq.credit_transfers.store import Owned

_LONGEST_PAUSE: Final = timedelta(hours=1)


async def ask(bank: Interbank, environment: Environment, *, limit: int = 1000) -> int:
    """Queue a status request for submitted transfers without an answer; returns how many were asked for.

    Nothing is asked of messages that the clearing system does not have yet: those are still being sent.
    """
    terms = bank.terms(environment)
    assert terms is not None, "asked only where there is a clearing system"
    async with bank.db.begin(messages.system(environment)) as tx:
        due = await store.take_unanswered(tx, environment, limit, _LONGEST_PAUSE)
    owners: dict[Actor, list[Owned]] = defaultdict(list)
    for one in due:
        owners[one.actor].append(one)
    asked = 0
    for owner, ones in owners.items():

        async def work(tx: Tx, ones: list[Owned] = ones) -> int:
            locked = await store.lock(tx, [one.id for one in ones])
            by_message: dict[str, list[CreditTransfer]] = defaultdict(list)
            for transfer in locked.values():
                if transfer.status is TransferStatus.SUBMITTED and transfer.message_id is not None:
                    by_message[transfer.message_id].append(transfer)
            for message_id in list(by_message):
                message = await messages.find(tx, message_id)
                if message.status is not messages.MessageStatus.SENT:
                    del by_message[message_id]
            if not by_message:
                return 0
            row_id = new_id(messages.PREFIX)
            written = status_request(terms, row_id, by_message, now=tx.now)
            await queue_message(tx, bank, terms, row_id, written, related_id=next(iter(by_message)))
            transfers = [transfer for some in by_message.values() for transfer in some]
            store.add_steps(tx, row_id, written.definition, [(one.id, "asked", "") for one in transfers])
            return len(transfers)

        asked += await bank.db.run(owner, work)
    return asked


async def oldest_unanswered_seconds(db: Database) -> float:
    """Return for how long the oldest transfer that a clearing system has not decided on is there, in seconds."""
    async with db.begin(messages.system(None)) as tx:
        oldest = await store.oldest_unanswered(tx)
        return 0.0 if oldest is None else (tx.now - oldest).total_seconds()
