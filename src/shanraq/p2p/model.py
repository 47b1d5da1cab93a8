"""P2P transfers: from one customer to another."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import msgspec

from shanraq.core.fields import AccountId, Amount, CurrencyCode, LongText, Metadata, ShortText
from shanraq.core.lifecycle import Lifecycle

PREFIX: Final = "p2p"


class P2PStatus(Lifecycle):
    """A transfer within the ledger is decided at once; `rolled_back` was reversed afterwards."""

    INITIATED = "initiated", ("completed", "failed")
    COMPLETED = "completed", ("rolled_back",)
    FAILED = "failed"
    ROLLED_BACK = "rolled_back"


class P2PTransfer(msgspec.Struct, frozen=True, kw_only=True):
    """A transfer as the partner sees it; `amount` is in minor units."""

    id: str
    sender_account: str
    recipient_account: str
    amount: int
    currency: str
    status: P2PStatus
    failure: str | None
    transaction_id: str
    note: str
    reference: str
    metadata: dict[str, str]
    version: int
    created_at: datetime
    updated_at: datetime


class NewP2PTransfer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a partner asks for: move `amount` minor units from one customer's account to another's."""

    sender_account: AccountId
    recipient_account: AccountId
    amount: Amount
    currency: CurrencyCode
    note: LongText = ""
    reference: ShortText = ""
    metadata: Metadata = {}
