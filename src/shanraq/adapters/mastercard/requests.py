"""Requests of the Mastercard Gateway (REST-JSON, version 100): commands to bodies.

Amounts are texts in major units with exactly the currency's decimals. What is not known is left out: the gateway refuses a
field it does not know, and an empty one.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any, Final, assert_never

from shanraq.adapters.mastercard.countries import ALPHA_3
from shanraq.core.money import Money
from shanraq.core.secret import SecurityCode
from shanraq.payments.adapter import (
    Authenticate,
    Authenticated,
    Authorize,
    Billing,
    Capture,
    Card,
    Credit,
    Device,
    ExtendedCommand,
    Increment,
    Initiator,
    MerchantReason,
    Refund,
    Reverse,
    StartAuthentication,
    StoredCredential,
    Verify,
    Void,
)

ID_LIMIT: Final = 40
LINKED: Final = "mpgs:"
"""Marks the id of an authentication made at this gateway, which is referred to; another's is sent with its values."""

_UNDO_LIMIT: Final = ID_LIMIT - 3
_LIMITS: Final = {"street": 100, "city": 100, "stateProvince": 20, "postcodeZip": 10}

Body = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Token:
    """A card that the gateway keeps, by its token."""

    token: str
    security_code: SecurityCode | None = None


@dataclass(frozen=True, slots=True)
class Session:
    """A payment session that holds the card; with `version`, only as long as nobody changed it since."""

    session_id: str
    version: str = ""


Funds = Card | Token | Session


@dataclass(frozen=True, slots=True)
class Charge:
    """An authorisation or sale from a token or session instead of a card; the rest as in `Authorize`."""

    operation_id: str
    reference: str
    amount: Money
    funds: Token | Session
    capture: bool = False
    billing: Billing = field(default_factory=Billing)
    partial: bool = False
    estimated: bool = False
    stored: StoredCredential | None = None
    authentication: Authenticated | None = None
    device: Device = field(default_factory=Device)


Sent = ExtendedCommand | Charge


def undo_id(operation_id: str, attempt: int) -> str:
    """Return the transaction id of the n-th void that takes an operation back: derived, so that asking again repeats it."""
    if len(operation_id) > _UNDO_LIMIT:
        operation_id = hashlib.sha256(operation_id.encode()).hexdigest()[:_UNDO_LIMIT]
    return f"{operation_id}.u{attempt}"


def request_of(command: Sent, notification_url: str = "") -> Body:
    """Return the body of a command."""
    match command:
        case Authorize():
            return _initial("PAY" if command.capture else "AUTHORIZE", command, command.card, notification_url)
        case Charge():
            return _initial("PAY" if command.capture else "AUTHORIZE", command, command.funds, notification_url)
        case Capture():
            return _following("CAPTURE", command, command.amount)
        case Refund():
            return _following("REFUND", command, command.amount)
        case Increment():
            return _following("UPDATE_AUTHORIZATION", command, command.total)
        case Void():
            return void_of(command.operation_id, command.target_id)
        case Reverse():
            return void_of(command.operation_id, command.authorization_id)
        case Credit():
            return _present(
                {
                    **_head("STANDALONE_REFUND", command.operation_id),
                    "order": _order(command.reference, command.amount, notification_url),
                    "transaction": {"reference": command.operation_id, "source": "INTERNET"},
                    **_funds(command.card, None),
                    **_payer(command.billing),
                }
            )
        case Verify():
            stored = command.stored
            return _present(
                {
                    **_head("VERIFY", command.operation_id),
                    "order": {"currency": command.nothing.currency.code, "reference": command.reference},
                    "transaction": {"reference": command.operation_id, "source": _source(stored)},
                    "agreement": _agreement(stored),
                    **_funds(command.card, stored),
                    **_payer(command.billing),
                }
            )
        case _:
            assert_never(command)


def void_of(operation_id: str, target_id: str) -> Body:
    """Return the body that voids the transaction `target_id`."""
    return {
        **_head("VOID", operation_id),
        "transaction": {"targetTransactionId": target_id, "reference": operation_id},
    }


def initiation_of(command: StartAuthentication) -> Body:
    """Return the body that asks which authentication a card can have."""
    return {
        **_head("INITIATE_AUTHENTICATION", command.authentication_id),
        "authentication": {"acceptVersions": "3DS2", "channel": "PAYER_BROWSER", "purpose": "PAYMENT_TRANSACTION"},
        "order": {"currency": command.amount.currency.code, "reference": command.reference},
        **_funds(command.card, None),
    }


def authentication_of(command: Authenticate) -> Body:
    """Return the body that asks for the authentication itself."""
    return _present(
        {
            **_head("AUTHENTICATE_PAYER", command.authentication_id),
            "authentication": {"redirectResponseUrl": command.return_url},
            "order": {**_amount(command.amount), "reference": command.reference},
            "device": _device(command.device, challenge=True),
            **_funds(command.card, None),
            **_payer(command.billing),
        }
    )


def card_of(card: Card) -> Body:
    """Return the fields of a card."""
    body: Body = {
        "number": card.pan.reveal(),
        "expiry": {"month": f"{card.expiry_month:02d}", "year": f"{card.expiry_year % 100:02d}"},
    }
    if card.security_code is not None:
        body["securityCode"] = card.security_code.reveal()
    return body


def _initial(operation: str, command: Authorize | Charge, funds: Funds, notification_url: str) -> Body:
    order = _order(command.reference, command.amount, notification_url)
    if command.estimated:
        # FINAL is the gateway's own default; to say it needs a privilege that not every merchant has.
        order["certainty"] = "ESTIMATED"
    if command.partial:
        order["acceptPartialAmount"] = True
    return _present(
        {
            **_head(operation, command.operation_id),
            "order": order,
            "transaction": {"reference": command.operation_id, "source": _source(command.stored)},
            "agreement": _agreement(command.stored),
            "authentication": _authentication(command.authentication),
            "device": _device(command.device, challenge=False),
            **_funds(funds, command.stored),
            **_payer(command.billing),
        }
    )


def _following(operation: str, command: Capture | Refund | Increment, amount: Money) -> Body:
    return {
        **_head(operation, command.operation_id),
        "transaction": {**_amount(amount), "reference": command.operation_id},
    }


def _head(operation: str, operation_id: str) -> Body:
    return {"apiOperation": operation, "correlationId": operation_id}


def _order(reference: str, amount: Money, notification_url: str) -> Body:
    order = {**_amount(amount), "reference": reference}
    if notification_url:
        order["notificationUrl"] = notification_url
    return order


def _amount(amount: Money) -> Body:
    return {"amount": amount.decimal_text(), "currency": amount.currency.code}


def _funds(funds: Funds, stored: StoredCredential | None) -> Body:
    on_file = "NOT_STORED" if stored is None else "TO_BE_STORED" if stored.first else "STORED"
    match funds:
        case Card():
            card = card_of(funds)
            if stored is not None:
                card["storedOnFile"] = on_file
            return {"sourceOfFunds": {"type": "CARD", "provided": {"card": card}}}
        case Token(token, security_code):
            source: Body = {"type": "CARD", "token": token}
            given: Body = {} if stored is None else {"storedOnFile": on_file}
            if security_code is not None:
                given["securityCode"] = security_code.reveal()
            if given:
                source["provided"] = {"card": given}
            return {"sourceOfFunds": source}
        case Session(session_id, version):
            return {"session": _present({"id": session_id, "version": version}), "sourceOfFunds": {"type": "CARD"}}
        case _:
            assert_never(funds)


def _source(stored: StoredCredential | None) -> str:
    return "MERCHANT" if stored is not None and stored.initiator is Initiator.MERCHANT else "INTERNET"


_AGREEMENTS: Final = {
    MerchantReason.RECURRING: "RECURRING",
    MerchantReason.INSTALLMENT: "INSTALLMENT",
    MerchantReason.UNSCHEDULED: "UNSCHEDULED",
}


def _agreement(stored: StoredCredential | None) -> Body:
    # Industry practices (no show, resubmission, ...) rest on no agreement of their own: they go as OTHER.
    if stored is None or not stored.agreement_id:
        return {}
    kind = _AGREEMENTS.get(stored.reason, "OTHER") if stored.reason is not None else ""
    return _present({"id": stored.agreement_id, "type": kind})


def _authentication(authenticated: Authenticated | None) -> Body:
    if authenticated is None:
        return {}
    if authenticated.transaction_id.startswith(LINKED):
        return {"transactionId": authenticated.transaction_id.removeprefix(LINKED)}
    return _present(
        {
            "3ds": _present(
                {
                    "acsEci": authenticated.eci,
                    "authenticationToken": authenticated.value,
                    "transactionId": authenticated.directory_server_id,
                }
            ),
            "3ds2": _present({"transactionStatus": authenticated.status, "protocolVersion": authenticated.version}),
        }
    )


def _device(device: Device, *, challenge: bool) -> Body:
    details = _present(
        {
            "acceptHeaders": device.accept,
            "colorDepth": device.color_depth,
            "language": device.language,
            "screenHeight": device.screen_height,
            "screenWidth": device.screen_width,
            "timeZone": device.time_zone_minutes,
        }
    )
    if details or challenge:
        details["javaEnabled"] = device.java_enabled
    if challenge:
        details["3DSecureChallengeWindowSize"] = "FULL_SCREEN"
    return _present({"ipAddress": device.ip_address, "browser": device.user_agent, "browserDetails": details})


def _payer(billing: Billing) -> Body:
    address = {
        "street": billing.address,
        "city": billing.city,
        "stateProvince": billing.region,
        "postcodeZip": billing.postal_code,
        "country": ALPHA_3.get(billing.country, ""),
    }
    customer = {
        "firstName": billing.first_name,
        "lastName": billing.last_name,
        "email": billing.email,
        "phone": billing.phone,
    }
    cut = {name: value[: _LIMITS.get(name)] for name, value in address.items()}
    billed = {"address": _present(cut)} if any(cut.values()) else {}
    return _present({"billing": billed, "customer": _present(customer)})


def _present(body: Body) -> Body:
    return {name: value for name, value in body.items() if value not in ("", None, {})}
