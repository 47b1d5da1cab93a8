"""The terms of an authorisation: how a stored card is used, and which earlier payment it follows."""

from __future__ import annotations

from shanraq.core.db import Tx
from shanraq.payments import store
from shanraq.payments.adapter import Initiator, StoredCredential
from shanraq.payments.errors import (
    InvalidStoredCredentialError,
    PaymentNotFoundError,
    PreviousPaymentUnusableError,
)
from shanraq.payments.model import CredentialUse, PaymentMethod

_FIELD = "stored_credential"


def check_use(use: CredentialUse) -> None:
    """Refuse what contradicts itself. Raises InvalidStoredCredentialError naming the field."""
    if use.previous_payment_id is not None and use.network_transaction_id is not None:
        raise InvalidStoredCredentialError(
            "name the earlier payment or its id of the scheme, not both", field=f"{_FIELD}.network_transaction_id"
        )
    if use.initiator is Initiator.CUSTOMER:
        if use.reason is not None:
            raise InvalidStoredCredentialError("is for merchant-initiated payments", field=f"{_FIELD}.reason")
        return
    if use.first:
        raise InvalidStoredCredentialError("the first payment is the customer's", field=f"{_FIELD}.first")
    if use.reason is None:
        raise InvalidStoredCredentialError("a merchant-initiated payment has a reason", field=f"{_FIELD}.reason")
    if use.previous_payment_id is None and use.network_transaction_id is None:
        raise InvalidStoredCredentialError(
            "a merchant-initiated payment refers to an earlier one", field=f"{_FIELD}.previous_payment_id"
        )


async def stored_of(tx: Tx, use: CredentialUse, method: PaymentMethod) -> StoredCredential:
    """Return how a card on file is used, as the gateway is told. Raises PreviousPaymentUnusableError."""
    network_id = use.network_transaction_id or ""
    if use.previous_payment_id is not None:
        network_id = await _network_id(tx, use.previous_payment_id, method)
    return StoredCredential(
        initiator=use.initiator,
        first=use.first,
        reason=use.reason,
        network_transaction_id=network_id,
        agreement_id=use.agreement_id,
    )


async def _network_id(tx: Tx, payment_id: str, method: PaymentMethod) -> str:
    field = f"{_FIELD}.previous_payment_id"
    try:
        previous = (await store.load_payment(tx, payment_id)).payment
    except PaymentNotFoundError:
        raise PreviousPaymentUnusableError("there is no such payment", field=field) from None
    paid_with, _ = await store.load_method(tx, previous.payment_method_id)
    if paid_with.fingerprint != method.fingerprint:
        raise PreviousPaymentUnusableError("it was made with another card", field=field)
    if not previous.network_transaction_id:
        raise PreviousPaymentUnusableError("the scheme gave it no id", field=field)
    return previous.network_transaction_id
