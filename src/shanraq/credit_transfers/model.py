"""Credit transfers: single instructions of payment files, carried out in the ledger or through a clearing system."""

from __future__ import annotations

from datetime import date, datetime
from enum import StrEnum
from typing import Final

import msgspec

from shanraq.core.lifecycle import Lifecycle
from shanraq.core.money import Currency, Money

PREFIX: Final = "ctr"
RECALL_PREFIX: Final = "rcl"


class TransferStatus(Lifecycle):
    """`submitted`: the money is held and a clearing system is asked, its answer is open; `settled` has moved."""

    RECEIVED = "received", ("submitted", "settled", "rejected")
    SUBMITTED = "submitted", ("settled", "rejected")
    SETTLED = "settled", ("returned",)
    REJECTED = "rejected"
    RETURNED = "returned"

    @property
    def open(self) -> bool:
        """Tell whether the outcome is still to come."""
        return self in (TransferStatus.RECEIVED, TransferStatus.SUBMITTED)


class Route(StrEnum):
    """How the money goes: within this ledger, or through a clearing system."""

    UNDECIDED = ""
    BOOK = "book"
    CLEARING = "clearing"


class Rejection(msgspec.Struct, frozen=True):
    """Why a transfer is refused: a code of ExternalStatusReason1Code, and words."""

    reason: str
    text: str = ""


class Details(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a transfer says about the parties; kept sealed. Accounts are IBANs or other identifiers as written.

    `carried` holds elements that go on to the next bank unread, as XML without namespace in the forms of pain.001.001.09, by
    name: Dbtr, UltmtDbtr, Cdtr, CdtrAgt, CdtrAcct, Purp, RgltryRptg, RmtInf and others.
    """

    debtor_name: str = ""
    debtor_account: str = ""
    creditor_name: str = ""
    creditor_account: str = ""
    creditor_agent: str = ""
    """The BIC, or the member id in the clearing system, of the creditor's bank; empty where none was given."""
    remittance: str = ""
    purpose: str = ""
    carried: dict[str, str] = {}


class NewTransfer(msgspec.Struct, frozen=True, kw_only=True):
    """An instruction of a payment file; `amount` in minor units, `position` and `block` count from 1."""

    position: int
    block: int
    block_id: str
    instruction_id: str
    end_to_end_id: str
    uetr: str
    amount: int
    currency: str
    execution_date: date
    details: Details
    rejection: Rejection | None = None


class CreditTransfer(msgspec.Struct, frozen=True, kw_only=True):
    """A credit transfer as the partner sees it; `amount` is in minor units. Who pays whom is in the file and the reports."""

    id: str
    payment_file_id: str
    position: int
    block: int
    block_id: str
    instruction_id: str
    end_to_end_id: str
    uetr: str
    amount: int
    currency: str
    debtor_account: str | None
    creditor_account: str | None
    execution_date: date
    route: Route
    status: TransferStatus
    clearing_status: str
    reason: str
    reason_text: str
    message_id: str | None
    transaction_id: str | None
    amount_returned: int
    return_transaction_id: str | None
    version: int
    created_at: datetime
    updated_at: datetime
    settled_at: datetime | None

    @property
    def money(self) -> Money:
        """Return the amount as Money."""
        return Money(self.amount, Currency.historic(self.currency))

    @property
    def iso_status(self) -> str:
        """Return the status in the words of ExternalPaymentTransactionStatus1Code."""
        match self.status:
            case TransferStatus.RECEIVED:
                return "ACTC"
            case TransferStatus.SUBMITTED:
                return self.clearing_status or "ACSP"
            case TransferStatus.SETTLED | TransferStatus.RETURNED:
                return "ACCC" if self.route is Route.BOOK else "ACSC"
            case TransferStatus.REJECTED:
                return "RJCT"


class RecallStatus(Lifecycle):
    """A recall is answered at once, or first `pending`."""

    REQUESTED = "requested", ("pending", "accepted", "rejected")
    PENDING = "pending", ("accepted", "rejected")
    ACCEPTED = "accepted"
    REJECTED = "rejected"


class Recall(msgspec.Struct, frozen=True, kw_only=True):
    """A request to get a transfer back, and what was answered."""

    id: str
    credit_transfer_id: str
    reason: str
    reason_text: str
    status: RecallStatus
    answer_reason: str
    version: int
    created_at: datetime
    updated_at: datetime


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One message about a transfer: what it said, when."""

    message_id: str
    definition: str
    status: str
    reason: str
    at: datetime
