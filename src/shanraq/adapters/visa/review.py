"""Payments under review at Decision Manager: what was decided, and deciding."""

from __future__ import annotations

from typing import Final

import msgspec

from shanraq.adapters.visa.codes import reason_of
from shanraq.core.money import InvalidAmountError, Money
from shanraq.payments.adapter import Approved, Declined, Finding, InReview, NotFound, Reviewed, Unknown

_STANDS: Final = frozenset({"AUTHORIZED", "PARTIAL_AUTHORIZED", "ACCEPTED", "SUCCEEDED", "PENDING", "TRANSMITTED"})
_WAITS: Final = frozenset({"AUTHORIZED_PENDING_REVIEW", "PENDING_REVIEW"})
_REJECTED: Final = frozenset({"REJECTED", "AUTHORIZED_RISK_DECLINED"})
_GONE: Final = frozenset({"REVERSED", "VOIDED", "CANCELLED"})


class _Amount(msgspec.Struct, frozen=True, rename="camel"):
    currency: str | None = None
    authorized_amount: str | None = None
    total_amount: str | None = None


class _Order(msgspec.Struct, frozen=True, rename="camel"):
    amount_details: _Amount = _Amount()


class _Client(msgspec.Struct, frozen=True):
    code: str | None = None


class _Application(msgspec.Struct, frozen=True):
    status: str | None = None


class _Processor(msgspec.Struct, frozen=True, rename="camel"):
    approval_code: str | None = None
    network_transaction_id: str | None = None
    transaction_id: str | None = None


class _Transaction(msgspec.Struct, frozen=True, rename="camel"):
    id: str = ""
    reconciliation_id: str | None = None
    application_information: _Application = _Application()
    client_reference_information: _Client = _Client()
    order_information: _Order = _Order()
    processor_information: _Processor = _Processor()


class _Decided(msgspec.Struct, frozen=True):
    id: str = ""
    status: str = ""


_decode = msgspec.json.Decoder(_Transaction).decode
_decode_decided = msgspec.json.Decoder(_Decided).decode
_encode = msgspec.json.Encoder().encode
_UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def path_of(reviewed: Reviewed) -> str:
    """Return the path that decides a case."""
    return f"/risk/v1/decisions/{reviewed.gateway_id}/actions"


def decision_body(*, accept: bool, note: str) -> bytes:
    """Return the body that decides a case; the hold of a rejected one is reversed by an operation of its own."""
    decision = {"decision": "ACCEPT" if accept else "REJECT"}
    if note:
        decision["comments"] = note
    return _encode({"decisionInformation": decision})


def is_decided(reviewed: Reviewed, status: int, content: bytes, *, accept: bool) -> bool | None:
    """Tell whether a decision was taken as asked; None where only a look at the payment can tell."""
    if status not in (200, 201):
        return None
    try:
        reply = _decode_decided(content)
    except _UNREADABLE:
        return None
    if reply.id != reviewed.gateway_id:
        return None
    return True if reply.status == ("ACCEPTED" if accept else "REJECTED") else None


def rejected(reviewed: Reviewed) -> Declined:
    """Return what a rejected payment is: declined after the issuer approved."""
    return Declined(reason_of("DECISION_PROFILE_REJECT", release=not reviewed.lost.sale), reviewed.gateway_id)


def finding_of(reviewed: Reviewed, status: int, content: bytes) -> Finding:
    """Read the details of a payment that was under review."""
    if status != 200:
        # Reviewed payments are in the books of the gateway: that it does not find one decides nothing.
        return Unknown(f"review: HTTP {status}")
    try:
        found = _decode(content)
    except _UNREADABLE:
        return Unknown("review: a body that cannot be read")
    if found.id != reviewed.gateway_id or found.client_reference_information.code != reviewed.lost.reference:
        return Unknown("review: the details contradict the payment")
    amount = _amount(reviewed, found.order_information.amount_details)
    if isinstance(amount, Unknown):
        return amount
    word = found.application_information.status or ""
    if word in _WAITS:
        return InReview(found.id, amount, reason_of("DECISION_PROFILE_REVIEW"))
    if word in _REJECTED:
        return rejected(reviewed)
    if word == "DECLINED":
        return Declined(reason_of("GENERAL_DECLINE"), found.id)
    if word in _GONE:
        return NotFound()
    if word in _STANDS:
        processor = found.processor_information
        return Approved(
            gateway_id=found.id,
            amount=amount,
            approval_code=processor.approval_code or "",
            network_transaction_id=processor.network_transaction_id or processor.transaction_id or "",
            reconciliation_id=found.reconciliation_id or "",
        )
    return Unknown(f"review: status {word[:40] or 'missing'} is not known")


def _amount(reviewed: Reviewed, details: _Amount) -> Money | Unknown:
    asked = reviewed.lost.amount
    text = details.authorized_amount or details.total_amount or ""
    if details.currency != asked.currency.code:
        return Unknown("review: currency contradicts the request")
    try:
        amount = Money.parse(text, asked.currency)
    except InvalidAmountError:
        return Unknown("review: the amount cannot be read")
    if not amount or amount > asked:
        return Unknown("review: the amount contradicts the request")
    return amount
