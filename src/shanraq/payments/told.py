"""Keep what the answer to an authorisation tells: the scheme's id, the approval code, checks, risk, how long it holds."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Final

import msgspec

from shanraq import events
from shanraq.core.db import Tx
from shanraq.core.money import Money
from shanraq.payments.adapter import (
    Approved,
    Checks,
    Declined,
    InReview,
    NotProcessed,
    OperationKind,
    Outcome,
    Risk,
    RiskDecision,
    Unknown,
)
from shanraq.payments.model import CardChecks, FraudReport, RiskAssessment, RiskRuleResult
from shanraq.payments.store import StoredOperation, StoredPayment

_ID_LIMIT: Final = 64
_TEXT_LIMIT: Final = 200
_RULES_LIMIT: Final = 50


def as_asked(operation: StoredOperation, outcome: Outcome) -> Outcome:
    """Return an outcome that can be believed: an approval of another currency, or of more than was asked, tells nothing."""
    if isinstance(outcome, Approved | InReview) and operation.operation.kind in _AMOUNT_COUNTS:
        asked, told = operation.amount, outcome.amount
        if told.currency != asked.currency or not Money(0, asked.currency) < told <= asked:
            return Unknown("the amount of the answer is not what was asked")
    return outcome


_AMOUNT_COUNTS: Final = (OperationKind.AUTHORIZE, OperationKind.INCREMENT)


def keep_told(tx: Tx, payment: StoredPayment, operation: StoredOperation, outcome: Outcome) -> StoredPayment:
    """Return the payment with what the outcome of its authorisation tells, to be written when it moves; tell of fraud."""
    match outcome:
        case Approved():
            seen = msgspec.structs.replace(
                payment.payment,
                network_transaction_id=outcome.network_transaction_id[:_ID_LIMIT],
                approval_code=outcome.approval_code[:_ID_LIMIT],
                checks=checks_of(outcome.checks),
                risk=_assessment(outcome.risk) or payment.payment.risk,
            )
        case Declined():
            seen = msgspec.structs.replace(
                payment.payment,
                checks=checks_of(outcome.checks),
                risk=_assessment(outcome.risk) or payment.payment.risk,
            )
        case InReview():
            seen = msgspec.structs.replace(payment.payment, risk=_assessment(outcome.risk))
        case NotProcessed() | Unknown():
            return payment
    _tell_of_fraud(tx, payment, outcome)
    release_at = payment.release_at
    if (
        payment.validity_seconds
        and not isinstance(outcome, Declined)
        and not (operation.sale and isinstance(outcome, Approved))
    ):
        # From the first answer that holds money on: a decision after a review does not make an authorisation younger.
        release_at = release_at or tx.now + timedelta(seconds=payment.validity_seconds)
        seen = msgspec.structs.replace(seen, expires_at=seen.expires_at or release_at)
    return replace(payment, payment=seen, release_at=release_at)


def _tell_of_fraud(tx: Tx, payment: StoredPayment, outcome: Approved | Declined | InReview) -> None:
    risk = _assessment(outcome.risk)
    if isinstance(outcome, InReview):
        decision = RiskDecision.REVIEW
    elif risk is not None and risk.decision in (RiskDecision.REJECTED, RiskDecision.REVIEW):
        decision = risk.decision
    elif isinstance(outcome, Declined) and outcome.reason.code == "risk_rejected":
        decision = RiskDecision.REJECTED
    else:
        return
    report = FraudReport(
        payment_id=payment.payment.id,
        decision=decision,
        reason=outcome.reason.code if not isinstance(outcome, Approved) else "",
        score=risk.score if risk else None,
        provider=risk.provider if risk else "",
        rules=risk.rules if risk else [],
    )
    events.emit(tx, events.Event("fraud.detected", f"payment/{payment.payment.id}", report))


def checks_of(checks: Checks) -> CardChecks | None:
    """Write what the issuer found as the partner sees it; None where nothing was told."""
    if not (checks.address or checks.security_code):
        return None
    return CardChecks(address=checks.address[:_ID_LIMIT], security_code=checks.security_code[:_ID_LIMIT])


def _assessment(risk: Risk | None) -> RiskAssessment | None:
    if risk is None:
        return None
    return RiskAssessment(
        decision=risk.decision,
        score=risk.score,
        provider=risk.provider[:_TEXT_LIMIT],
        rules=[
            RiskRuleResult(
                name=rule.name[:_TEXT_LIMIT],
                recommendation=rule.recommendation[:_TEXT_LIMIT],
                detail=rule.detail[:_TEXT_LIMIT],
            )
            for rule in risk.rules[:_RULES_LIMIT]
        ],
    )
