"""The queue of messages to a clearing system, and the outcome of those that came in."""

from __future__ import annotations

from datetime import timedelta

from shanraq.core.actor import Environment
from shanraq.core.db import Tx
from shanraq.messages import store
from shanraq.messages.model import MessageStatus, Queued


async def take_queued(
    tx: Tx, environment: Environment, status: MessageStatus, *, limit: int, lease: timedelta
) -> list[Queued]:
    """Take messages of a status that are due, oldest first, for the time of the lease: nobody else gets them until it ends."""
    return await store.take(tx, environment, status, limit, lease)


async def mark_sent(tx: Tx, id_: str) -> None:
    """Note that the clearing system has the message."""
    await store.move(tx, id_, MessageStatus.QUEUED, MessageStatus.SENT)


async def refuse(tx: Tx, id_: str, failure: str) -> None:
    """Note that the clearing system will not take the message, and did nothing."""
    await store.move(tx, id_, MessageStatus.QUEUED, MessageStatus.REFUSED, failure)


async def give_up(tx: Tx, id_: str, failure: str) -> None:
    """Stop sending a message; a person has to look at it."""
    await store.move(tx, id_, MessageStatus.QUEUED, MessageStatus.GIVEN_UP, failure)


async def postpone(tx: Tx, id_: str, delay: timedelta, failure: str = "") -> None:
    """Take a message up again after a while."""
    await store.postpone(tx, id_, delay, failure)


async def mark_applied(tx: Tx, id_: str) -> None:
    """Note that a message was acted on."""
    await store.move(tx, id_, MessageStatus.RECEIVED, MessageStatus.APPLIED)


async def mark_failed(tx: Tx, id_: str, failure: str) -> None:
    """Note that a message cannot be acted on; a person has to look at it."""
    await store.move(tx, id_, MessageStatus.RECEIVED, MessageStatus.FAILED, failure)


async def is_settled(tx: Tx, id_: str) -> bool:
    """Tell whether a message that came in was acted on, or found to be of no use."""
    return await store.is_settled(tx, id_)
