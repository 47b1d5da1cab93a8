"""An operation without an outcome for too long is told once, and still looked after."""

from __future__ import annotations

from shanraq import payments
from shanraq.core.actor import SYSTEM
from tests.payments.conftest import AbleShop
from tests.payments.gateway import LOST_AFTER


async def test_the_partner_and_the_auditor_are_told_once(able: AbleShop) -> None:
    able.gateway.script.append(LOST_AFTER)
    payment = await able.pay()
    able.gateway.reachable = False
    await able.recover(600)
    in_time = (await able.bank.events()).count("payment.outcome_overdue")
    for _ in range(3):
        await able.recover(600)
    overdue = await payments.overdue_operations(able.bank.db)
    able.gateway.reachable = True
    await able.recover(600)

    (told,) = await able.events_of("payment.outcome_overdue")
    async with able.bank.db.begin(SYSTEM) as tx:
        audited = await tx.value("SELECT count(*) FROM audit_entry WHERE action = 'payment.outcome_overdue'")
    assert (in_time, audited, overdue) == (0, 1, 1)
    assert (told["id"], told["status"], told["operation"]["status"]) == (payment.id, "authorizing", "unknown")
    assert (await able.find(payment.id)).status == "authorized"
    assert await payments.overdue_operations(able.bank.db) == 0
