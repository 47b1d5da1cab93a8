"""Notifications of gateways: authentic ones are kept, and make the operations they name be looked up now.

What a notification says of money is never believed: it may be late, repeated, or of another version. The operation is asked for
again, as recovery would do a little later.
"""

from __future__ import annotations

from typing import Final

from shanraq import audit
from shanraq.core.actor import SYSTEM, Environment
from shanraq.core.db import Tx
from shanraq.payments import store
from shanraq.payments.adapter import Notice, Notifies
from shanraq.payments.errors import NoticeNotAuthenticError, UnknownNotifierError
from shanraq.payments.send import Acquiring

_ID_LIMIT: Final = 200
_TEXT_LIMIT: Final = 100
_NAMES_LIMIT: Final = 100


async def take_notice(
    acquiring: Acquiring, adapter_name: str, environment: str, headers: dict[str, str], body: bytes
) -> bool:
    """Keep a notification and have what it names looked up; False for one that was kept before.

    When this returns it is in the database, so that the gateway may be told not to send it again. Raises UnknownNotifierError,
    NoticeNotAuthenticError.
    """
    try:
        where = Environment(environment)
        adapter = acquiring.gateways.adapters[where][adapter_name]
    except (ValueError, KeyError):
        raise UnknownNotifierError from None
    if not isinstance(adapter, Notifies):
        raise UnknownNotifierError
    now_ms = int(acquiring.db.clock().timestamp() * 1000)
    notice = adapter.read_notice(headers, body, now_ms=now_ms)
    if notice is None or not notice.notice_id or len(notice.notice_id) > _ID_LIMIT:
        raise NoticeNotAuthenticError
    return await acquiring.db.run(SYSTEM, lambda tx: _keep(tx, adapter_name, where, notice))


async def _keep(tx: Tx, adapter_name: str, environment: Environment, notice: Notice) -> bool:
    references = [text[:_TEXT_LIMIT] for text in notice.references[:_NAMES_LIMIT]]
    gateway_ids = [text[:_TEXT_LIMIT] for text in notice.gateway_ids[:_NAMES_LIMIT]]
    new = await store.insert_notice(
        tx, adapter_name, environment, notice.notice_id, notice.kind[:_TEXT_LIMIT], references, gateway_ids
    )
    if not new:
        return False
    woken = await store.wake(tx, adapter_name, environment, references, gateway_ids)
    await store.count_woken(tx, adapter_name, environment, notice.notice_id, woken)
    audit.record(
        tx,
        "gateway_notice.received",
        notice.notice_id,
        {"adapter": adapter_name, "environment": environment.value, "kind": notice.kind[:_TEXT_LIMIT], "woken": woken},
    )
    return True
