"""Hand queued messages to the clearing system; what it will not take is settled as not done."""

from __future__ import annotations

from datetime import timedelta
from typing import Final, assert_never

import structlog

from shanraq import messages
from shanraq.core.actor import Environment
from shanraq.core.db import Tx
from shanraq.credit_transfers import store
from shanraq.credit_transfers.apply import answer_recall, reject_all
from shanraq.credit_transfers.clearing import Interbank, Refused, Sent, Taken, Unconfirmed
from shanraq.credit_transfers.model import RecallStatus, Rejection, TransferStatus
from shanraq.credit_transfers.pacs import CANCELLATION_REQUEST, CREDIT_TRANSFER

log = structlog.get_logger(__name__)

LEASE: Final = timedelta(minutes=2)
_LONGEST_PAUSE: Final = timedelta(minutes=5)
_NOT_TAKEN: Final = "FF01"


async def send_queued(bank: Interbank, environment: Environment, *, limit: int = 10) -> int:
    """Send messages that are due, oldest first; returns how many the clearing system has decided on.

    The same message is sent until there is an answer: a clearing system takes a business message identifier once.
    """
    clearing = bank.clearings[environment]
    async with bank.db.begin(messages.system(environment)) as tx:
        queued = await messages.take_queued(tx, environment, messages.MessageStatus.QUEUED, limit=limit, lease=LEASE)
    decided = 0
    for item in queued:
        outcome = await clearing.send(item.content(bank.keyring))
        decided += await _settle(bank, item, outcome)
        if isinstance(outcome, Unconfirmed):
            # Those behind it would meet the same: their turn comes when their lease is over.
            break
    return decided


async def _settle(bank: Interbank, item: messages.Queued, outcome: Sent) -> int:
    id_ = item.message.id

    async def work(tx: Tx) -> int:
        match outcome:
            case Taken():
                await messages.mark_sent(tx, id_)
                return 1
            case Refused(code, text):
                await messages.refuse(tx, id_, f"{code}: {text}")
                await _undo(tx, item, code, text)
                return 1
            case Unconfirmed(why):
                await messages.postpone(tx, id_, _pause(item.attempts), why)
                return 0
            case _:
                assert_never(outcome)

    if not isinstance(outcome, Taken):
        log.warning("clearing.not_taken", message=id_, outcome=type(outcome).__name__, attempts=item.attempts)
    return await bank.db.run(item.actor, work)


async def _undo(tx: Tx, item: messages.Queued, code: str, text: str) -> None:
    if item.message.definition == CREDIT_TRANSFER:
        found = await store.of_message(tx, item.message.id)
        open_ = [one for one in found if one.status is TransferStatus.SUBMITTED]
        words = f"the clearing system refused the message: {code}"
        await reject_all(tx, [(one, Rejection(_NOT_TAKEN, words)) for one in open_])
    elif item.message.definition == CANCELLATION_REQUEST:
        for recall in await store.recalls_of_message(tx, item.message.id):
            await answer_recall(tx, recall, RecallStatus.REJECTED, text[:35])


def _pause(attempts: int) -> timedelta:
    return min(timedelta(seconds=2 ** min(attempts, 12)), _LONGEST_PAUSE)
