from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from shanraq import settlement
from shanraq.accounts import SystemAccount, suspend_account
from shanraq.core.crypto import Keyring
from shanraq.core.money import Money
from shanraq.core.page import PageRequest
from shanraq.payments import CardDataInTextError, Payment
from shanraq.settlement import DisputeNotice, DisputeStage, LineKind
from tests.money_world import partner
from tests.settlement.conftest import MORNING, Desk

OPENED = datetime(2026, 11, 25, 10, tzinfo=UTC)
KEYRING = Keyring.generate()
EVIDENCE = settlement.Representment(
    evidence=[settlement.EvidenceItem(kind="proof_of_delivery", text="Signed by the customer on 20 November.")]
)


def notice(
    payment: Payment,
    stage: DisputeStage = DisputeStage.CHARGEBACK,
    amount: int = 1_000,
    *,
    opened: datetime = OPENED,
    dispute_id: str = "cb-1",
) -> DisputeNotice:
    return DisputeNotice(
        dispute_id=dispute_id,
        stage=stage,
        reference=payment.id,
        gateway_id="",
        amount=Money.of(amount, "KZT"),
        reason_code="10.4",
        reason="Other fraud, card absent",
        opened_at=opened,
        respond_by=datetime(2026, 12, 20, tzinfo=UTC),
    )


async def tell(desk: Desk, *notices: DisputeNotice) -> None:
    desk.acquirer.notices.extend(notices)
    clock = desk.db.clock()
    desk.at(max(MORNING, clock) + timedelta(minutes=20))
    await desk.settle()


async def disputes(desk: Desk) -> list[settlement.Dispute]:
    page = await settlement.list_disputes(desk.db, desk.shop.bank.actor, PageRequest())
    return list(page.items)


async def test_a_chargeback_takes_the_money_and_winning_it_gives_it_back(desk: Desk) -> None:
    payment, capture = await desk.captured(1_000)
    desk.line(payment, capture)
    desk.line(payment, None, LineKind.CHARGEBACK, 1_000, reference=payment.id)
    await tell(desk, notice(payment))

    (dispute,) = await disputes(desk)
    assert (dispute.stage, dispute.amount_taken, dispute.meaning) == ("chargeback", 1_000, "fraud")
    assert (await desk.shop.balance())[0] == 0
    assert await desk.held(SystemAccount.CHARGEBACKS) == 0
    assert await desk.held(SystemAccount.SETTLEMENT) == 0
    won = OPENED + timedelta(days=1)
    desk.line(payment, None, LineKind.REPRESENTMENT, 1_000, reference=payment.id)
    await tell(desk, notice(payment, DisputeStage.WON, opened=won))
    await desk.fetch()

    (dispute,) = await disputes(desk)
    assert (dispute.stage, dispute.amount_taken) == ("won", 0)
    assert (await desk.shop.balance())[0] == 1_000
    assert await desk.held(SystemAccount.CHARGEBACKS) == 0
    assert await desk.held(SystemAccount.SETTLEMENT) == 1_000
    assert (await desk.events("chargeback.received"), await desk.events("chargeback.updated")) == (1, 2)
    assert await desk.proved()


async def test_the_same_notice_again_changes_nothing_and_an_earlier_stage_does_not_go_back(desk: Desk) -> None:
    payment, _ = await desk.captured(1_000)
    await tell(desk, notice(payment), notice(payment, DisputeStage.PRE_ARBITRATION, opened=OPENED + timedelta(hours=1)))
    await tell(desk, notice(payment, DisputeStage.ALERT))
    for _ in range(3):
        await tell(desk)

    (dispute,) = await disputes(desk)

    assert (dispute.stage, dispute.amount_taken) == ("pre_arbitration", 1_000)
    assert await desk.events("chargeback.received") == 1
    assert await desk.events("chargeback.updated") == 2


async def test_a_dispute_may_be_won_go_on_and_be_won_again(desk: Desk) -> None:
    payment, _ = await desk.captured(1_000)
    for days, stage, taken in (
        (0, DisputeStage.ALERT, 0),
        (0, DisputeStage.CHARGEBACK, 1_000),
        (1, DisputeStage.WON, 0),
        (2, DisputeStage.PRE_ARBITRATION, 1_000),
        (3, DisputeStage.WON, 0),
        (4, DisputeStage.ARBITRATION, 1_000),
        (5, DisputeStage.LOST, 1_000),
    ):
        opened = OPENED + timedelta(days=days)
        desk.at(max(desk.db.clock(), opened))
        await tell(desk, notice(payment, stage, opened=opened))
        (dispute,) = await disputes(desk)
        assert (dispute.stage, dispute.amount_taken) == (stage, taken)
    assert (await desk.shop.balance())[0] == 0
    assert await desk.shop.bank.verified()


async def test_what_an_account_cannot_pay_is_owed_and_collected_later(desk: Desk) -> None:
    payment, _ = await desk.captured(1_000)
    other = await desk.shop.bank.account(5_000)
    await desk.shop.bank.move(desk.shop.account.id, other.id, 400)
    await tell(desk, notice(payment))
    (dispute,) = await disputes(desk)
    assert dispute.amount_taken == 0
    (owed,) = [one for one in await desk.exceptions() if one.kind == "dispute_unpaid"]
    assert owed.details["problem"] == "insufficient_funds"
    await desk.shop.bank.move(other.id, desk.shop.account.id, 400)

    desk.at(desk.db.clock() + timedelta(hours=2))
    await desk.settle()

    (dispute,) = await disputes(desk)
    assert dispute.amount_taken == 1_000
    assert [one for one in await desk.exceptions() if one.kind == "dispute_unpaid"] == []


async def test_a_suspended_account_is_not_touched(desk: Desk) -> None:
    payment, _ = await desk.captured(1_000)
    await suspend_account(desk.db, desk.shop.bank.actor, desk.shop.account.id)
    await tell(desk, notice(payment))

    (owed,) = [one for one in await desk.exceptions() if one.kind == "dispute_unpaid"]

    assert owed.details["problem"] == "the account is suspended"
    assert (await desk.shop.balance())[0] == 1_000


async def test_a_chargeback_that_only_a_report_tells_of_gets_its_name_from_the_notice(desk: Desk) -> None:
    payment, _ = await desk.captured(1_000)
    desk.line(payment, None, LineKind.CHARGEBACK, 800, reference=payment.id)
    desk.at(MORNING)
    await desk.fetch()
    (dispute,) = await disputes(desk)
    assert (dispute.dispute_id[:5], dispute.amount_taken) == ("line/", 800)

    await tell(desk, notice(payment, amount=900))

    (named,) = await disputes(desk)
    assert (named.id, named.dispute_id, named.amount_taken) == (dispute.id, "cb-1", 900)
    assert named.reason_code == "10.4"
    assert (await desk.shop.balance())[0] == 100


async def test_a_dispute_of_no_payment_of_ours_waits_for_a_person(desk: Desk) -> None:
    payment, _ = await desk.captured(1_000)
    strange = notice(payment)

    await tell(desk, replace(strange, reference="pay_elsewhere", gateway_id="gw-elsewhere"))
    await tell(desk)

    (unknown,) = [one for one in await desk.exceptions() if one.kind == "dispute_unknown"]
    assert unknown.details["dispute_id"] == "cb-1"
    assert await disputes(desk) == []


async def test_a_partner_accepts_or_fights_and_nobody_else(desk: Desk) -> None:
    first, second = (await desk.captured(1_000))[0], (await desk.captured(1_000))[0]
    await tell(desk, notice(first), notice(second, dispute_id="cb-2"))
    later, earlier = await disputes(desk)
    owner, db = desk.shop.bank.actor, desk.db

    accepted = await settlement.accept_dispute(db, owner, earlier.id)
    assert accepted.response == "accepted"
    assert (await settlement.accept_dispute(db, owner, earlier.id)).version == accepted.version
    with pytest.raises(settlement.DisputeClosedError):
        await settlement.represent_dispute(db, KEYRING, owner, earlier.id, EVIDENCE)
    with pytest.raises(settlement.EvidenceNotFoundError):
        await settlement.export_evidence(db, KEYRING, owner, later.id)
    number = settlement.Representment(
        evidence=[settlement.EvidenceItem(kind="receipt", text="Paid by 4111 1111 1111 1111.")]
    )
    with pytest.raises(CardDataInTextError, match=r"evidence\.0\.text"):
        await settlement.represent_dispute(db, KEYRING, owner, later.id, number)
    fought = await settlement.represent_dispute(db, KEYRING, owner, later.id, EVIDENCE)
    assert fought.response == "represented"
    exported = await settlement.export_evidence(db, KEYRING, owner, later.id)
    assert exported.evidence == EVIDENCE.evidence
    with pytest.raises(settlement.DisputeClosedError):
        await settlement.accept_dispute(db, owner, later.id)
    with pytest.raises(settlement.DisputeNotFoundError):
        await settlement.find_dispute(db, partner(2), later.id)
    desk.at(datetime(2026, 12, 21, tzinfo=UTC))
    with pytest.raises(settlement.DisputeOverdueError):
        await settlement.represent_dispute(db, KEYRING, owner, later.id, EVIDENCE)


async def test_disputes_are_asked_for_again_after_a_failure(desk: Desk) -> None:
    payment, capture = await desk.captured(1_000)
    desk.line(payment, capture)
    desk.at(MORNING)
    await desk.fetch()
    desk.acquirer.failing = 1
    await tell(desk, notice(payment))
    assert await disputes(desk) == []

    await tell(desk)

    assert len(await disputes(desk)) == 1
