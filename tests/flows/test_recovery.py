"""Real payments against the Visa simulator while it loses, delays and repeats: never charged twice, equal to the tiyn."""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from datetime import timedelta

import pytest

from shanraq import payments
from shanraq.adapters.visa import VisaAdapter, VisaConfiguration
from shanraq.core.actor import Environment
from shanraq.core.crypto import Keyring
from shanraq.core.db import Database
from shanraq.core.errors import ShanraqError
from shanraq.core.http import HttpClient
from shanraq.core.secret import Pan, Secret
from shanraq.simulators.visa import FaultKind, VisaCredentials, VisaSimulator
from tests.money_world import Bank

FULL = os.environ.get("SHANRAQ_DRILL") == "full"
PAYMENTS = 3000 if FULL else 60
SIDE_BY_SIDE = 6
LAG_SECONDS = 0.1
FAULTS = (
    FaultKind.DROP_BEFORE, FaultKind.DROP_AFTER, FaultKind.HTTP_502, FaultKind.GARBAGE, FaultKind.SLOW,
)  # fmt: skip


async def one_payment(
    acquiring: payments.Acquiring, bank: Bank, account: str, card: str, number: int, dice: random.Random
) -> None:
    """Authorise, and then perhaps capture, refund or void; a refusal of ours ends it."""
    new = payments.NewPayment(
        payment_method_id=card, account_id=account, amount=dice.randint(100, 90_000), currency="KZT",
        capture=dice.random() < 0.3, reference=str(number),
    )  # fmt: skip
    payment = (await payments.authorize(acquiring, bank.actor, f"{number}-a", new)).value
    try:
        if payment.status == "authorized" and dice.random() < 0.2:
            await payments.void(acquiring, bank.actor, f"{number}-v", payment.id)
            return
        if payment.status == "authorized":
            half = payment.amount // 2
            if dice.random() < 0.4:
                await payments.capture(acquiring, bank.actor, f"{number}-c1", payment.id, half, final=False)
            payment = (await payments.capture(acquiring, bank.actor, f"{number}-c2", payment.id)).value
        if payment.status == "captured" and dice.random() < 0.5:
            await payments.refund(acquiring, bank.actor, f"{number}-r", payment.id, 1 + payment.amount_captured // 3)
    except ShanraqError as error:
        # An earlier step has no outcome yet, or left less than this one wants: a partner sees this too.
        if error.code not in ("payment_busy", "illegal_status", "refund_spans_captures", "amount_above_captured"):
            raise


def sums(simulator: VisaSimulator) -> dict[str, Counter[str]]:
    """Return, for each payment, what stands at the gateway."""
    found: dict[str, Counter[str]] = {}
    for line in simulator.journal():
        one = found.setdefault(line["code"], Counter())
        stands = line["state"] not in ("VOIDED", "REVERSED")
        if line["kind"] == "authorization" and line["status"] == "AUTHORIZED":
            one["ever authorized"] += 1
            one["authorized"] += stands
        if (line["kind"] == "capture" or line["sale"]) and line["state"] != "VOIDED":
            one["captured"] += line["amount_minor"]
        if line["kind"] == "refund" and line["state"] != "VOIDED":
            one["refunded"] += line["amount_minor"]
    return found


@pytest.mark.drill
@pytest.mark.timeout(3600)
async def test_a_troubled_gateway_and_our_ledger_agree_in_the_end(database: Database) -> None:
    dice = random.Random(20261125)
    bank, keyring = Bank(database), Keyring.generate()
    async with VisaSimulator(VisaCredentials.generate(), index_lag_seconds=LAG_SECONDS) as simulator:
        credentials = simulator.credentials
        adapter = VisaAdapter(
            VisaConfiguration(
                simulator.base_url, credentials.merchant_id, credentials.key_id, Secret(credentials.secret),
                timeout_seconds=0.4, index_lag_seconds=LAG_SECONDS,
            ),
            HttpClient(),
        )  # fmt: skip
        acquiring = payments.Acquiring(
            database, keyring, payments.Gateways({Environment.SANDBOX: {"visa": adapter}}), timedelta(seconds=1)
        )
        account = await bank.account()
        card = await payments.tokenize(
            database, keyring, bank.actor, Pan("4111111111111111"), payments.NewCard(expiry_month=12, expiry_year=2031)
        )
        numbers = iter(range(PAYMENTS))

        async def pay() -> None:
            for number in numbers:
                if dice.random() < 0.5:
                    simulator.fail_next(dice.choice(FAULTS), seconds=0.8, processed=dice.random() < 0.5)
                await one_payment(acquiring, bank, account.id, card.value.id, number, random.Random(number))

        async def recover() -> None:
            while True:
                await payments.recover(acquiring)
                await asyncio.sleep(0.2)

        recovering = asyncio.create_task(recover())
        await asyncio.gather(*(pay() for _ in range(SIDE_BY_SIDE)))
        simulator.clear_faults()
        for _ in range(300):
            if await payments.oldest_unknown_seconds(database) == 0:
                break
            await asyncio.sleep(0.2)
        recovering.cancel()
        unknown = await payments.oldest_unknown_seconds(database)
        gateway = sums(simulator)
        await adapter.close()
    async with database.begin(bank.actor) as tx:
        rows = await tx.rows("SELECT * FROM payment")

    assert unknown == 0
    assert len(rows) == PAYMENTS
    statuses = Counter(row["status"] for row in rows)
    assert statuses["authorizing"] == 0
    for row in rows:
        seen = gateway.get(row["id"], Counter())
        assert seen["ever authorized"] <= 1, "the card was charged twice"
        assert (seen["captured"], seen["refunded"]) == (
            (row["amount_captured"], row["amount_refunded"]) if row["status"] not in ("voided", "failed") else (0, 0)
        ), dict(row)
        if row["status"] in ("voided", "failed"):
            assert seen["authorized"] == 0, f"a hold stays on the card of a payment that is {row['status']}"
    posted, held, incoming = await bank.balance(account.id)
    assert posted == sum(seen["captured"] - seen["refunded"] for seen in gateway.values())
    assert held == 0
    assert incoming == sum(
        row["amount_authorized"] - row["amount_captured"]
        for row in rows
        if row["status"] in ("authorized", "partially_captured")
    )
    assert await bank.verified()
