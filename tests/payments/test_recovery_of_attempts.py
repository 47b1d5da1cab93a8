"""Recovery with several payment systems: each operation is looked after where it was sent, and waits while that one is down."""

from __future__ import annotations

from shanraq import payments
from shanraq.payments.adapter import Reverse
from tests.payments.conftest import Shop
from tests.payments.gateway import DOWN, LOST_AFTER, LOST_BEFORE, Gateway


async def test_each_lost_operation_is_looked_for_where_it_was_sent(shop: Shop) -> None:
    a, b = Gateway("a"), Gateway("b")
    at_a, at_b = shop.at(a, b, order=("a",)), shop.at(a, b, order=("b",))
    a.script.append(LOST_BEFORE)
    b.script.append(LOST_AFTER)
    first = (await at_a.authorize(key="first")).value
    second = (await at_b.authorize(key="second")).value
    await at_a.recover()

    assert (await shop.find(first.id)).status == "failed"
    assert (await shop.find(second.id)).status == "authorized"
    assert (len(a.undone), b.undone) == (1, [])


async def test_what_is_at_a_system_that_is_down_waits_and_the_others_go_on(shop: Shop) -> None:
    a, b = Gateway("a"), Gateway("b")
    at_a, at_b = shop.at(a, b, order=("a",)), shop.at(a, b, order=("b",))
    a.script.append(LOST_AFTER)
    b.script.append(LOST_AFTER)
    first = (await at_a.authorize(key="first")).value
    second = (await at_b.authorize(key="second")).value
    a.reachable = a.available = False
    await at_a.recover()
    waiting = (await shop.find(first.id)).status
    a.reachable = a.available = True
    await at_a.recover(400)

    assert (waiting, (await shop.find(second.id)).status) == ("authorizing", "authorized")
    assert (await shop.find(first.id)).status == "authorized"
    assert a.undone == b.undone == []
    assert await payments.oldest_unknown_seconds(shop.bank.db) == 0


async def test_a_reversal_that_was_not_sent_is_sent_again_and_never_given_up(shop: Shop) -> None:
    payment = await shop.authorized()
    shop.gateway.script.append(LOST_BEFORE)
    await shop.void(payment.id)
    shop.gateway.script.extend([DOWN, DOWN])
    statuses = []
    for _ in range(3):
        await shop.recover(400)
        statuses.append((await shop.find(payment.id)).status)

    assert statuses == ["authorized", "authorized", "voided"]
    assert len(shop.gateway.commands(Reverse)) == 4
    assert await shop.balance() == (0, 0, 0)
