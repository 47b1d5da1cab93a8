"""Whatever is asked of a payment in whatever order, with answers lost and refused: sums hold, and ledger and gateway agree."""

from __future__ import annotations

import contextlib
import itertools

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shanraq import payments
from shanraq.core.errors import ConflictError, RefusedError
from shanraq.payments.adapter import Authorize, Capture, ExtendedCommand, Increment, Refund, Void
from tests.payments.conftest import AbleShop
from tests.payments.gateway import DOWN, INSUFFICIENT, LOST_AFTER, LOST_BEFORE

ANSWERS = (None, None, None, DOWN, INSUFFICIENT, LOST_AFTER, LOST_BEFORE)
STEPS = st.tuples(
    st.sampled_from(["increment", "increment", "capture", "capture", "final", "void", "refund", "recover"]),
    st.integers(1, 900),
    st.sampled_from(ANSWERS),
)
_numbers = itertools.count()


async def take(shop: AbleShop, payment_id: str, step: str, amount: int) -> None:
    key, actor, acquiring = f"step-{next(_numbers)}", shop.bank.actor, shop.acquiring
    match step:
        case "increment":
            await payments.increment(acquiring, actor, key, payment_id, amount)
        case "capture":
            await payments.capture(acquiring, actor, key, payment_id, amount, final=False)
        case "final":
            await payments.capture(acquiring, actor, key, payment_id, amount)
        case "void":
            await payments.void(acquiring, actor, key, payment_id)
        case "refund":
            await payments.refund(acquiring, actor, key, payment_id, amount)
        case _:
            await shop.recover(120)


def at_gateway(shop: AbleShop, reference: str, *kinds: type[ExtendedCommand]) -> int:
    """Return the sum of what the gateway did of some kinds for a payment, and did not take back."""
    done = {
        command.operation_id
        for kind in kinds
        for command in shop.gateway.commands(kind)
        if command.reference == reference and command.operation_id in shop.gateway.done
    }
    return sum(shop.gateway.done[operation_id][1].minor for operation_id in done)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(STEPS, max_size=9))
async def test_sums_hold_and_the_ledger_agrees_with_the_gateway(
    able: AbleShop, steps: list[tuple[str, int, object]]
) -> None:
    account = await able.bank.account()
    new = payments.NewPayment(
        payment_method_id=able.card.id, account_id=account.id, amount=1000, currency="KZT", estimated=True
    )
    key = f"pay-{next(_numbers)}"
    payment = (await payments.authorize(able.acquiring, able.bank.actor, key, new)).value
    for step, amount, told in steps:
        able.gateway.script.clear()
        if told is not None and step != "recover":
            able.gateway.script.append(told)  # type: ignore[arg-type]
        with contextlib.suppress(ConflictError, RefusedError):
            await take(able, payment.id, step, amount)
    able.gateway.script.clear()
    for _ in range(10):
        await able.recover(600)

    after = await able.find(payment.id)
    operations = await payments.list_operations(able.bank.db, able.bank.actor, payment.id)
    assert not any(operation.status.open for operation in operations)
    assert 0 <= after.amount_refunded <= after.amount_captured <= after.amount_authorized
    assert after.amount_authorized == 1000 + after.amount_incremented
    assert after.amount_authorized == at_gateway(able, payment.id, Authorize, Increment)
    assert after.amount_captured == at_gateway(able, payment.id, Capture)
    assert after.amount_refunded == at_gateway(able, payment.id, Refund, Void)
    held = after.amount_authorized - after.amount_captured if after.status.holds else 0
    assert await able.bank.balance(account.id) == (after.amount_captured - after.amount_refunded, 0, held)
    assert await able.bank.verified()
