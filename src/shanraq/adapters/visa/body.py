"""Parts of request bodies: card, billing address, stored credentials, cardholder authentication, device.

The live API refuses empty texts, so what is not known is left out.
"""

from __future__ import annotations

from typing import Any, Final

from shanraq.adapters.visa.codes import card_type_of
from shanraq.core.money import Money
from shanraq.payments.adapter import (
    Authenticated,
    Authorize,
    Billing,
    Card,
    Device,
    Initiator,
    MerchantReason,
    StoredCredential,
)
from shanraq.payments.brands import brand_of

# Codes of merchantInitiatedTransaction.reason.
MERCHANT_REASONS: Final = {
    MerchantReason.RESUBMISSION: "1",
    MerchantReason.DELAYED_CHARGE: "2",
    MerchantReason.REAUTHORIZATION: "3",
    MerchantReason.NO_SHOW: "4",
    MerchantReason.RECURRING: "7",
    MerchantReason.INSTALLMENT: "9",
    MerchantReason.UNSCHEDULED: "10",
}

# commerceIndicator after a cardholder authentication: in full, and an attempt.
_AUTHENTICATED: Final = {
    "visa": ("vbv", "vbv_attempted"),
    "mastercard": ("spa", "spa"),
    "maestro": ("spa", "spa"),
    "amex": ("aesk", "aesk_attempted"),
    "jcb": ("js", "js_attempted"),
    "discover": ("dipb", "dipb_attempted"),
    "diners": ("pb", "pb_attempted"),
}
_MASTERCARD: Final = frozenset({"mastercard", "maestro"})


def reference(code: str, transaction_id: str) -> dict[str, str]:
    """Return clientReferenceInformation: the payment, and the operation that a timeout reversal can name."""
    return {"code": code, "transactionId": transaction_id}


def amount_of(amount: Money) -> dict[str, str]:
    """Return amountDetails: exactly the digits that the currency has, more would be cut off."""
    return {"totalAmount": amount.decimal_text(), "currency": amount.currency.code}


def card_of(card: Card) -> dict[str, str]:
    """Return paymentInformation.card."""
    body = {
        "number": card.pan.reveal(),
        "expirationMonth": f"{card.expiry_month:02d}",
        "expirationYear": f"{card.expiry_year:04d}",
    }
    if (kind := card_type_of(card.pan)) is not None:
        body["type"] = kind
    if card.security_code is not None:
        body["securityCode"] = card.security_code.reveal()
    return body


def order_of(amount: Money, billing: Billing) -> dict[str, Any]:
    """Return orderInformation."""
    order: dict[str, Any] = {"amountDetails": amount_of(amount)}
    if to := _bill_to(billing):
        order["billTo"] = to
    return order


def _bill_to(billing: Billing) -> dict[str, str]:
    return _told(
        {
            "firstName": billing.first_name,
            "lastName": billing.last_name,
            "address1": billing.address,
            "locality": billing.city,
            "administrativeArea": billing.region,
            "postalCode": billing.postal_code,
            "country": billing.country,
            "email": billing.email,
            "phoneNumber": billing.phone,
        }
    )


def processing_of(command: Authorize) -> dict[str, Any]:
    """Return processingInformation of a payment."""
    processing: dict[str, Any] = {"capture": command.capture, "commerceIndicator": _commerce_indicator(command)}
    options: dict[str, Any] = {}
    if command.partial:
        options["partialAuthIndicator"] = True
    if command.estimated:
        options["authIndicator"] = "0"
    if command.stored is not None:
        options["initiator"] = initiator_of(command.stored)
    if options:
        processing["authorizationOptions"] = options
    return processing


def _commerce_indicator(command: Authorize) -> str:
    authentication, stored = command.authentication, command.stored
    if authentication is not None:
        full, attempted = _AUTHENTICATED.get(brand_of(command.card.pan), ("internet", "internet"))
        return {"Y": full, "A": attempted}.get(authentication.status, "internet")
    if stored is not None and stored.initiator is Initiator.MERCHANT:
        return {MerchantReason.RECURRING: "recurring", MerchantReason.INSTALLMENT: "install"}.get(
            stored.reason or MerchantReason.UNSCHEDULED, "internet"
        )
    return "internet"


def initiator_of(stored: StoredCredential) -> dict[str, Any]:
    """Return the initiator block: who begins, whether the card is stored now or was before, and why."""
    body: dict[str, Any] = {"type": stored.initiator.value}
    body["credentialStoredOnFile" if stored.first else "storedCredentialUsed"] = True
    merchant: dict[str, str] = {}
    if stored.reason is not None:
        merchant["reason"] = MERCHANT_REASONS[stored.reason]
    if stored.initiator is Initiator.MERCHANT:
        merchant |= _told({"previousTransactionId": stored.network_transaction_id})
    merchant |= _told({"agreementId": stored.agreement_id})
    if merchant:
        body["merchantInitiatedTransaction"] = merchant
    return body


def authentication_of(authentication: Authenticated, card: Card) -> dict[str, str]:
    """Return consumerAuthenticationInformation of a payment that carries an authentication."""
    body = _told(
        {
            "authenticationTransactionId": authentication.transaction_id,
            "directoryServerTransactionId": authentication.directory_server_id,
            "paSpecificationVersion": authentication.version,
            "eciRaw": authentication.eci,
            "paresStatus": authentication.status,
        }
    )
    if brand_of(card.pan) in _MASTERCARD:
        body |= _told({"ucafAuthenticationData": authentication.value})
        body["ucafCollectionIndicator"] = {"Y": "2", "A": "1"}.get(authentication.status, "0")
    elif authentication.value:
        body |= {"cavv": authentication.value, "xid": authentication.value}
    return body


def device_of(device: Device) -> dict[str, str | bool]:
    """Return deviceInformation of a payment or an authentication."""
    body: dict[str, str | bool] = {
        **_told(
            {
                "ipAddress": device.ip_address,
                "userAgentBrowserValue": device.user_agent,
                "httpAcceptBrowserValue": device.accept,
                "httpBrowserLanguage": device.language,
            }
        )
    }
    numbers = {
        "httpBrowserColorDepth": device.color_depth,
        "httpBrowserScreenHeight": device.screen_height,
        "httpBrowserScreenWidth": device.screen_width,
        "httpBrowserTimeDifference": device.time_zone_minutes,
    }
    body |= {name: str(value) for name, value in numbers.items() if value is not None}
    if body:
        body["httpBrowserJavaEnabled"] = device.java_enabled
    return body


def _told(fields: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in fields.items() if value}
