"""Ask a payment system something that moves no money, once for a keyed request.

Nothing has to be recovered: the answer is written down with the key when it has come. A request that died before that, or two
at once, may ask twice, and the first answer that is written counts.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec

from shanraq.core import once
from shanraq.core.actor import Actor
from shanraq.core.db import Database, Tx
from shanraq.core.errors import ShanraqError
from shanraq.core.once import Given
from shanraq.payments.texts import KEY_FIELD, refuse_card_numbers

Prepared = TypeVar("Prepared")
Told = TypeVar("Told")
Value = TypeVar("Value")


async def ask_once(
    db: Database,
    actor: Actor,
    request: once.Request,
    kind: type[Value],
    prepare: Callable[[Tx], Awaitable[Prepared]],
    ask: Callable[[Prepared], Awaitable[Told]],
    write: Callable[[Tx, Prepared, Told], Awaitable[Value]],
) -> Given[Value]:
    """Check and read what is needed (`prepare`), ask outside any transaction, and `write` what was told, with the answer.

    Raises what they raise, CardDataInTextError, and the errors of core.once.
    """

    refuse_card_numbers(**{KEY_FIELD: request.key})

    async def first(tx: Tx) -> Prepared | Given[Value]:
        (stored,) = await once.lookup(tx, [request])
        if stored is not None:
            answer = once.answer_of(stored, request)
            return Given(msgspec.json.decode(answer, type=kind), replayed=True)
        return await prepare(tx)

    try:
        prepared = await db.run(actor, first)
    except ShanraqError as error:
        before = await once.refuse(db, actor, request, error)
        if before is None:
            raise
        return Given(msgspec.json.decode(before, type=kind), replayed=True)
    if isinstance(prepared, Given):
        return prepared
    told = await ask(prepared)
    return await once.perform(db, actor, request, kind, lambda tx: write(tx, prepared, told))
