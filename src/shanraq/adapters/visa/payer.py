"""Payer authentication (EMV 3-D Secure 2): requests and replies of setup, enrolment and validation. No money moves here."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import msgspec

from shanraq.adapters.visa.body import amount_of, card_of, device_of, order_of
from shanraq.adapters.visa.codes import REASONS, reason_of
from shanraq.payments.adapter import (
    Authenticate,
    Authenticated,
    Authentication,
    Card,
    Challenge,
    DeviceCollection,
    NotAuthenticated,
    StartAuthentication,
    Unknown,
)

SETUP: Final = "/risk/v1/authentication-setups"
ENROLMENT: Final = "/risk/v1/authentications"
VALIDATION: Final = "/risk/v1/authentication-results"

_SHIFTS_LIABILITY: Final = frozenset({"05", "06", "02", "01"})


class _Consumer(msgspec.Struct, frozen=True, rename="camel"):
    access_token: str = ""
    reference_id: str = ""
    device_data_collection_url: str = ""
    authentication_transaction_id: str = ""
    step_up_url: str = ""
    pares_status: str = ""
    veres_enrolled: str = ""
    eci: str = ""
    eci_raw: str = ""
    cavv: str = ""
    ucaf_authentication_data: str = ""
    directory_server_transaction_id: str = ""
    specification_version: str = ""


class _Error(msgspec.Struct, frozen=True):
    reason: str = ""


class _Client(msgspec.Struct, frozen=True):
    code: str = ""


class _Reply(msgspec.Struct, frozen=True, rename="camel"):
    status: str = ""
    reason: str = ""
    client_reference_information: _Client = _Client()
    consumer_authentication_information: _Consumer = _Consumer()
    error_information: _Error = _Error()


_decode = msgspec.json.Decoder(_Reply).decode
_encode = msgspec.json.Encoder().encode


def _card(card: Card) -> dict[str, str]:
    # Authentication needs no security code: it does not travel where nobody asks for it.
    return card_of(replace(card, security_code=None))


def setup_body(command: StartAuthentication) -> bytes:
    """Return the body of a setup."""
    return _encode(
        {
            "clientReferenceInformation": {"code": command.reference},
            "paymentInformation": {"card": _card(command.card)},
        }
    )


def enrolment_body(command: Authenticate) -> bytes:
    """Return the body of an enrolment, from a browser."""
    body: dict[str, Any] = {
        "clientReferenceInformation": {"code": command.reference},
        "paymentInformation": {"card": _card(command.card)},
        "orderInformation": order_of(command.amount, command.billing),
        "consumerAuthenticationInformation": {
            "referenceId": command.session,
            "returnUrl": command.return_url,
            "deviceChannel": "Browser",
            "transactionMode": "S",
        },
    }
    if device := device_of(command.device):
        body["deviceInformation"] = device
    return _encode(body)


def validation_body(command: Authenticate, transaction_id: str) -> bytes:
    """Return the body of a validation after a challenge."""
    return _encode(
        {
            "clientReferenceInformation": {"code": command.reference},
            "paymentInformation": {"card": _card(command.card)},
            "orderInformation": {"amountDetails": amount_of(command.amount)},
            "consumerAuthenticationInformation": {"authenticationTransactionId": transaction_id},
        }
    )


def read_setup(
    command: StartAuthentication, status: int, content: bytes
) -> DeviceCollection | NotAuthenticated | Unknown:
    """Read the reply to a setup."""
    reply = _read(command.reference, status, content)
    if isinstance(reply, Unknown | NotAuthenticated):
        return reply
    details = reply.consumer_authentication_information
    if reply.status == "FAILED":
        return NotAuthenticated(reason_of(reply.error_information.reason or "GENERAL_DECLINE"))
    if reply.status != "COMPLETED" or not details.reference_id:
        return Unknown(f"authentication: status {reply.status[:40] or 'missing'}")
    if not details.device_data_collection_url:
        return DeviceCollection(details.reference_id)
    return DeviceCollection(details.reference_id, details.device_data_collection_url, (("JWT", details.access_token),))


def read_authentication(command: Authenticate, status: int, content: bytes) -> Authentication:
    """Read the reply to an enrolment or validation."""
    reply = _read(command.reference, status, content)
    if isinstance(reply, Unknown | NotAuthenticated):
        return reply
    details = reply.consumer_authentication_information
    match reply.status:
        case "AUTHENTICATION_SUCCESSFUL":
            return _successful(details)
        case "PENDING_AUTHENTICATION" if details.authentication_transaction_id:
            fields = (("JWT", details.access_token),) if details.access_token else ()
            return Challenge(details.authentication_transaction_id, details.step_up_url, fields)
        case "AUTHENTICATION_FAILED":
            word = reply.error_information.reason or "CONSUMER_AUTHENTICATION_FAILED"
            return NotAuthenticated(reason_of(word), details.pares_status)
        case _:
            return Unknown(f"authentication: status {reply.status[:40] or 'missing'}")


def _successful(details: _Consumer) -> Authentication:
    eci = details.eci_raw or details.eci
    if details.pares_status in ("Y", "A"):
        if not details.authentication_transaction_id or not eci:
            return Unknown("authentication: the transaction id or ECI is missing")
        return Authenticated(
            transaction_id=details.authentication_transaction_id,
            status=details.pares_status,
            eci=eci,
            value=details.cavv or details.ucaf_authentication_data,
            directory_server_id=details.directory_server_transaction_id,
            version=details.specification_version,
            liability_shift=eci in _SHIFTS_LIABILITY,
        )
    if details.pares_status in ("", "U"):
        # The issuer or the directory server cannot tell, or the card does not take part: payable without liability shift.
        return NotAuthenticated(reason_of("CONSUMER_AUTHENTICATION_FAILED"), details.pares_status, proceed=True)
    return NotAuthenticated(reason_of("CONSUMER_AUTHENTICATION_FAILED"), details.pares_status)


def _read(code: str, status: int, content: bytes) -> _Reply | NotAuthenticated | Unknown:
    if status not in (201, 400):
        return Unknown(f"authentication: HTTP {status}")
    try:
        reply = _decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Unknown("authentication: a body that cannot be read")
    if status == 400:
        if reply.status == "INVALID_REQUEST" and reply.reason in REASONS:
            return NotAuthenticated(reason_of(reply.reason))
        return Unknown(f"authentication: HTTP 400 with reason {reply.reason[:40] or 'missing'}")
    if reply.client_reference_information.code != code:
        return Unknown("authentication: clientReferenceInformation.code contradicts the request")
    return reply
