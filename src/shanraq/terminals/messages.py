"""What terminals asked: noted once, answered once, and reversals that are carried out later."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from shanraq import audit
from shanraq.core.actor import SYSTEM, Actor, Environment
from shanraq.core.db import Database, Tx
from shanraq.terminals import store
from shanraq.terminals.model import Asked, AskedKind, MessageStatus, Noted, Terminal

LEASE: Final = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Refusals:
    """Codes for what is answered as soon as it is noted.

    `overtaken`: its reversal came before it. `unknown`: a reversal of what never came. `unsupported`: a reversal of a refund.
    """

    overtaken: str
    unknown: str
    unsupported: str


async def note(db: Database, actor: Actor, terminal: Terminal, asked: Asked, refusals: Refusals) -> Noted:
    """Write a message down before anything is done about it; a repeat gives what was written down of the first.

    Messages of one terminal are noted one after the other. What `refusals` names is answered at once and moves nothing, now or
    later; a reversal of what came is accepted.
    """

    async def work(tx: Tx) -> Noted:
        await store.load_terminal(tx, terminal.id, lock=True)
        noted = await store.note(tx, terminal, asked)
        if not noted.fresh:
            return noted
        if asked.kind is AskedKind.REVERSAL:
            return await _note_reversal(tx, noted, refusals)
        if await store.reversal_of(tx, terminal.id, asked.name) is not None:
            return await _answered(tx, noted, refusals.overtaken)
        payment_id = await _payment_meant(tx, noted)
        if payment_id is not None:
            await store.made(tx, terminal.id, noted.key, payment_id)
        return replace(noted, payment_id=payment_id)

    return await db.run(actor, work)


async def _note_reversal(tx: Tx, noted: Noted, refusals: Refusals) -> Noted:
    original = await _original_of(tx, noted)
    if original is None:
        return await _answered(tx, noted, refusals.unknown)
    if original.kind is AskedKind.REFUND:
        return await _answered(tx, noted, refusals.unsupported)
    await store.accept(tx, noted.terminal_id, noted.key, original.payment_id, original.name)
    audit.record(tx, "terminal.reversal_accepted", noted.terminal_id, {"payment": original.payment_id or ""})
    return replace(noted, status=MessageStatus.ACCEPTED, payment_id=original.payment_id, original=original.name)


async def _payment_meant(tx: Tx, noted: Noted) -> str | None:
    """Return the payment that a completion or refund is about."""
    if noted.kind not in (AskedKind.CAPTURE, AskedKind.REFUND):
        return None
    original = await _original_of(tx, noted)
    return original.payment_id if original is not None else None


async def _original_of(tx: Tx, noted: Noted) -> Noted | None:
    """Return what a message is about: by its original data elements, else by its reference number."""
    found = None
    if noted.original is not None:
        found = await store.find_by_name(tx, noted.terminal_id, noted.original)
    if found is None and noted.rrn:
        found = await store.find_by_reference(tx, noted.terminal_id, noted.rrn)
    return found


async def _answered(tx: Tx, noted: Noted, code: str) -> Noted:
    await store.answer(tx, noted.terminal_id, noted.key, code, approval_code="", approved_minor=None, payment_id=None)
    return replace(noted, status=MessageStatus.ANSWERED, response_code=code)


async def answer(
    db: Database,
    actor: Actor,
    noted: Noted,
    code: str,
    *,
    payment_id: str | None = None,
    approval_code: str = "",
    approved_minor: int | None = None,
) -> Noted:
    """Write down what a message is answered with, once: who comes second gets the first answer."""
    async with db.begin(actor) as tx:
        first = await store.answer(
            tx, noted.terminal_id, noted.key, code, approval_code=approval_code, approved_minor=approved_minor,
            payment_id=payment_id,
        )  # fmt: skip
        if not first:
            found = await store.find_message(tx, noted.terminal_id, noted.key)
            assert found is not None
            return found
    return replace(
        noted, status=MessageStatus.ANSWERED, response_code=code, approval_code=approval_code, approved_minor=approved_minor,
        payment_id=payment_id or noted.payment_id,
    )  # fmt: skip


async def made_payment(db: Database, actor: Actor, noted: Noted, payment_id: str) -> None:
    """Remember which payment a message made, while its outcome is not known."""
    async with db.begin(actor) as tx:
        await store.made(tx, noted.terminal_id, noted.key, payment_id)


async def accepted(db: Database, limit: int = 20) -> list[tuple[Noted, str, Environment]]:
    """Lease reversals that are to be carried out, with their partner and environment."""
    async with db.begin(SYSTEM) as tx:
        return await store.take_accepted(tx, limit, LEASE)


async def original_of(db: Database, actor: Actor, noted: Noted) -> Noted | None:
    """Return what a reversal reverses."""
    async with db.begin(actor) as tx:
        return await _original_of(tx, noted)


async def give_back_later(db: Database, actor: Actor, noted: Noted, after: timedelta) -> None:
    """Look at a reversal again after a while."""
    async with db.begin(actor) as tx:
        await store.later(tx, noted.terminal_id, noted.key, after)


async def carried_out(db: Database, actor: Actor, noted: Noted, what: str) -> None:
    """End a reversal; `what` says for the audit log what became of it."""
    async with db.begin(actor) as tx:
        await store.carried_out(tx, noted.terminal_id, noted.key)
        audit.record(
            tx, "terminal.reversal_ended", noted.terminal_id, {"payment": noted.payment_id or "", "outcome": what}
        )
