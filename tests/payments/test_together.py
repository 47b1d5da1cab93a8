"""Many payments at once share transactions of the database; each ends as it would have alone, and the books are right."""

from __future__ import annotations

import asyncio
from collections import Counter

from shanraq import audit, payments
from shanraq.core.actor import SYSTEM
from shanraq.core.errors import ShanraqError
from shanraq.core.money import Money
from shanraq.payments.adapter import Approved, Authorize, Capture, Outcome
from tests.payments.conftest import Shop
from tests.payments.gateway import DOWN, INSUFFICIENT, LOST_AFTER, Gateway

DECLINED, UNREACHABLE, LOST, PART = 1001, 1002, 1003, 1004


class Scripted(Gateway):
    """Answers by the amount, after a turn of the event loop, so that outcomes arrive together."""

    async def authorize(self, command: Authorize) -> Outcome:
        await asyncio.sleep(0)
        match command.amount.minor:
            case amount if amount == DECLINED:
                self.script.append(INSUFFICIENT)
            case amount if amount == UNREACHABLE:
                self.script.append(DOWN)
            case amount if amount == LOST:
                self.script.append(LOST_AFTER)
        outcome = await super().authorize(command)
        if command.amount.minor == PART and isinstance(outcome, Approved):
            return Approved(outcome.gateway_id, outcome.amount - Money.positive(4, "KZT"))
        return outcome

    async def capture(self, command: Capture) -> Outcome:
        await asyncio.sleep(0)
        return await super().capture(command)


async def transactions_of(shop: Shop, table: str, ids: list[str]) -> int:
    """Return in how many database transactions rows were written last."""
    async with shop.bank.db.begin(SYSTEM) as tx:
        count: int = await tx.value(f"SELECT count(DISTINCT xmin::text) FROM {table} WHERE id = ANY($1)", ids)
    return count


async def what_is_wrong(shop: Shop) -> list[str]:
    async with shop.bank.db.begin(SYSTEM) as tx:
        return await audit.verify(tx)


async def test_every_kind_of_outcome_at_once(shop: Shop) -> None:
    shop = shop.at(Scripted())
    amounts = [500] * 10 + [DECLINED, UNREACHABLE, LOST, PART] * 2

    made = await asyncio.gather(
        *(shop.authorize(amount, key=f"a{number}", capture=number < 5) for number, amount in enumerate(amounts))
    )  # fmt: skip
    ids = [one.value.id for one in made]

    assert Counter(one.value.status for one in made) == {"captured": 5, "authorized": 7, "failed": 4, "authorizing": 2}
    assert len(set(ids)) == len(amounts)
    assert len(shop.gateway.commands(Authorize)) == len(amounts)
    assert await shop.balance() == (2500, 0, 5 * 500 + 2 * LOST + 2 * (PART - 4))
    assert (
        await transactions_of(
            shop, "payment_operation", [one.value.operation.id for one in made if one.value.operation]
        )
        < 6
    )
    assert await shop.bank.verified()
    assert await what_is_wrong(shop) == []


async def test_a_refused_request_leaves_nothing_and_does_not_disturb(shop: Shop) -> None:
    shop = shop.at(Scripted())

    async def ask(number: int) -> str:
        wrong = payments.NewPayment(
            payment_method_id=shop.card.id, account_id="acc_00000000000000000000000000", amount=5, currency="KZT"
        )
        if number % 3:
            return (await shop.authorize(500, key=f"a{number}")).value.status
        try:
            await payments.authorize(shop.acquiring, shop.bank.actor, f"a{number}", wrong)
        except ShanraqError as error:
            return error.code
        return ""

    answers = await asyncio.gather(*(ask(number) for number in range(9)))
    async with shop.bank.db.begin(SYSTEM) as tx:
        rows = await tx.rows("SELECT state, count(*) AS n FROM idempotency WHERE key ~ '^a' GROUP BY state")

    assert answers == ["account_not_found", "authorized", "authorized"] * 3
    assert {row["state"]: row["n"] for row in rows} == {1: 6, 2: 3}
    assert await shop.balance() == (0, 0, 3000)
    assert await shop.bank.verified()


async def test_captures_refunds_and_voids_at_once(shop: Shop) -> None:
    shop = shop.at(Scripted())
    made = await asyncio.gather(*(shop.authorize(1000, key=f"a{number}") for number in range(12)))
    ids = [one.value.id for one in made]
    actor = shop.bank.actor

    captured = await asyncio.gather(*(payments.capture(shop.acquiring, actor, f"c{one}", one) for one in ids[:8]))
    shared = await transactions_of(shop, "payment", ids[:8])
    await asyncio.gather(
        *(shop.refund(one, 400, key=f"r{one}") for one in ids[:3]),
        *(shop.void(one, key=f"v{one}") for one in ids[8:]),
        *(payments.capture(shop.acquiring, actor, f"c{one}", one) for one in ids[3:5]),
    )

    assert {one.value.status for one in captured} == {"captured"}
    assert shared < 4
    assert Counter([(await shop.find(one)).status for one in ids]) == {
        "partially_refunded": 3, "voided": 4, "captured": 5,
    }  # fmt: skip
    assert len(shop.gateway.commands(Capture)) == 8
    assert await shop.balance() == (8 * 1000 - 3 * 400, 0, 0)
    assert await shop.bank.verified()
    assert await what_is_wrong(shop) == []


async def test_two_captures_of_each_of_many_take_the_money_once(shop: Shop) -> None:
    shop = shop.at(Scripted())
    made = await asyncio.gather(*(shop.authorize(1000, key=f"a{number}") for number in range(6)))

    async def take(payment_id: str, key: str) -> str:
        try:
            done = await payments.capture(shop.acquiring, shop.bank.actor, key, payment_id)
        except ShanraqError as error:
            return error.code
        return done.value.status

    answers = await asyncio.gather(
        *(take(one.value.id, f"{which}{one.value.id}") for one in made for which in ("first", "second"))
    )

    assert answers[::2] == ["captured"] * 6
    assert set(answers[1::2]) <= {"payment_busy", "illegal_move"}
    assert len(shop.gateway.commands(Capture)) == 6
    assert await shop.balance() == (6000, 0, 0)


async def test_what_was_sent_in_company_is_recovered_alone(shop: Shop) -> None:
    shop = shop.at(Scripted())
    made = await asyncio.gather(*(shop.authorize(LOST, key=f"a{number}") for number in range(5)))

    assert {one.value.status for one in made} == {"authorizing"}
    assert await shop.recover() == 5
    assert {(await shop.find(one.value.id)).status for one in made} == {"authorized"}
    assert len(shop.gateway.commands(Authorize)) == 5
