"""Bank transaction codes: what a booking is, in the words of ISO 20022 and in ours.

A reversal keeps the family of what it reverses: its sign is the opposite, and RvslInd says so.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from shanraq import credit_transfers, transactions
from shanraq.standards.iso20022.identifiers import iban_fault
from shanraq.statements.bookings import Booking

ISSUER: Final = "SHANRAQ"

_ISSUED: Final = "ICDT"
_RECEIVED: Final = "RCDT"
_MERCHANT_CARDS: Final = "MCRD"
_CARD_KINDS: Final = (
    transactions.TransactionKind.PAYMENT,
    transactions.TransactionKind.REFUND,
    transactions.TransactionKind.CHARGEBACK,
    transactions.TransactionKind.SETTLEMENT_ADJUSTMENT,
)


def domain_of(booking: Booking) -> tuple[str, str, str] | None:
    """Return domain, family and sub-family of a booking; None where the ledger alone knows of it."""
    if booking.transaction is None:
        return None
    if booking.transaction.kind in _CARD_KINDS:
        return "PMNT", _MERCHANT_CARDS, "OTHR"
    paid_out = booking.credit == booking.reversal
    return "PMNT", _ISSUED if paid_out else _RECEIVED, _sub_family(booking)


def own_code_of(booking: Booking) -> str:
    """Return what we call a booking: the kind of its transaction."""
    if booking.transfer is not None:
        return "credit_transfer_return" if booking.returned else "credit_transfer"
    return booking.transaction.kind.value if booking.transaction is not None else "ledger"


def _sub_family(booking: Booking) -> str:
    if booking.returned:
        return "RRTN"
    transfer, details = booking.transfer, booking.details
    if transfer is None or details is None or transfer.route is credit_transfers.Route.BOOK:
        return "BOOK"
    ends = _country_of(details.debtor_account), _country_of(details.creditor_account)
    if not all(ends):
        return "OTHR"
    return "DMCT" if ends[0] == ends[1] else "XBCT"


@lru_cache(maxsize=4096)
def _country_of(number: str) -> str:
    """Return the country of an IBAN, "" of any other number."""
    return number[:2] if iban_fault(number) is None else ""
