"""Replies to INITIATE_AUTHENTICATION and AUTHENTICATE_PAYER (EMV 3-D Secure 2). Nothing here moves money."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Final

import msgspec

from shanraq.adapters.mastercard.codes import CREDENTIALS, TOO_MANY
from shanraq.adapters.mastercard.replies import UNREADABLE, refused
from shanraq.adapters.mastercard.requests import LINKED
from shanraq.payments.adapter import (
    Advice,
    Authenticate,
    Authenticated,
    Authentication,
    Challenge,
    DeclineClass,
    DeviceCollection,
    NotAuthenticated,
    NotProcessed,
    Reason,
    StartAuthentication,
    Unknown,
)

_METHOD_FIELD: Final = "threeDSMethodData"
_CHALLENGE_FIELD: Final = "creq"
_HTML_LIMIT: Final = 65_536
# Visa 05 and 06, Mastercard 02 and 01: the issuer answers for fraud.
_LIABILITY: Final = frozenset({"05", "06", "02", "01"})

_FAILED: Final = Reason(
    "authentication_failed", DeclineClass.AUTHENTICATION_REQUIRED, Advice.ASK_CUSTOMER, "AUTHENTICATION_FAILED"
)
_REJECTED: Final = Reason(
    "authentication_failed", DeclineClass.AUTHENTICATION_REQUIRED, Advice.DO_NOT_RETRY, "AUTHENTICATION_REJECTED"
)
_UNAVAILABLE: Final = Reason(
    "authentication_failed", DeclineClass.TECHNICAL, Advice.RETRY_LATER, "AUTHENTICATION_UNAVAILABLE"
)
_NOT_SUPPORTED: Final = Reason(
    "authentication_failed", DeclineClass.CONFIGURATION, Advice.DO_NOT_RETRY, "AUTHENTICATION_NOT_SUPPORTED"
)

# Without authentication the payment may be tried, without the issuer's liability.
_WITHOUT: Final = frozenset(
    {
        "AUTHENTICATION_NOT_SUPPORTED",
        "AUTHENTICATION_NOT_IN_EFFECT",
        "AUTHENTICATION_EXEMPT",
        "AUTHENTICATION_UNAVAILABLE",
    }
)


class _Scheme(msgspec.Struct, frozen=True, rename="camel"):
    acs_eci: str = ""
    authentication_token: str = ""
    transaction_id: str = ""


class _Details(msgspec.Struct, frozen=True, rename="camel"):
    ds_transaction_id: str = ""
    protocol_version: str = ""
    transaction_status: str = ""


class _Custom(msgspec.Struct, frozen=True, rename="camel"):
    method_url: str = ""
    method_post_data: str = ""
    acs_url: str = ""
    c_req: str = ""


class _Html(msgspec.Struct, frozen=True):
    three: _Custom = msgspec.field(default=_Custom(), name="3ds2")


class _Redirect(msgspec.Struct, frozen=True, rename="camel"):
    html: str = ""
    customized_html: _Html = _Html()


class _Block(msgspec.Struct, frozen=True, rename="camel"):
    version: str = ""
    payer_interaction: str = ""
    redirect: _Redirect = _Redirect()
    scheme: _Scheme = msgspec.field(default=_Scheme(), name="3ds")
    details: _Details = msgspec.field(default=_Details(), name="3ds2")


class _Order(msgspec.Struct, frozen=True, rename="camel"):
    id: str = ""
    authentication_status: str = ""


class _Transaction(msgspec.Struct, frozen=True, rename="camel"):
    id: str = ""
    type: str = ""
    authentication_status: str = ""


class _Response(msgspec.Struct, frozen=True, rename="camel"):
    gateway_code: str = ""
    gateway_recommendation: str = ""


class _Error(msgspec.Struct, frozen=True, rename="camel"):
    cause: str = ""
    field: str = ""
    validation_type: str = ""


class _Reply(msgspec.Struct, frozen=True, rename="camel"):
    result: str = ""
    merchant: str = ""
    error: _Error = _Error()
    order: _Order = _Order()
    transaction: _Transaction = _Transaction()
    response: _Response = _Response()
    authentication: _Block = _Block()

    @property
    def status(self) -> str:
        return self.transaction.authentication_status or self.order.authentication_status


_decode = msgspec.json.Decoder(_Reply).decode


def started(
    merchant_id: str, command: StartAuthentication, status: int, content: bytes
) -> DeviceCollection | NotAuthenticated | Unknown:
    """Read the reply to INITIATE_AUTHENTICATION."""
    reply = _read(merchant_id, command.reference, command.authentication_id, status, content)
    if not isinstance(reply, _Reply):
        return reply
    block = reply.authentication
    recommended = reply.response.gateway_recommendation
    if recommended not in ("", "NO_ACTION", "PROCEED"):
        return NotAuthenticated(_REJECTED)
    if reply.status in _WITHOUT or block.version == "NONE":
        return NotAuthenticated(_NOT_SUPPORTED, proceed=True)
    if reply.status != "AUTHENTICATION_AVAILABLE" or reply.result != "SUCCESS":
        return Unknown(f"authenticationStatus {reply.status[:40] or 'is missing'}")
    method = block.redirect.customized_html.three
    if method.method_url:
        data = (_METHOD_FIELD, method.method_post_data)
        return DeviceCollection(command.authentication_id, method.method_url, (data,))
    return DeviceCollection(command.authentication_id, *_form_of(block.redirect.html))


def authenticated(merchant_id: str, command: Authenticate, status: int, content: bytes) -> Authentication:
    """Read the reply to AUTHENTICATE_PAYER, or what RETRIEVE_TRANSACTION says of it later."""
    reply = _read(merchant_id, command.reference, command.authentication_id, status, content)
    if not isinstance(reply, _Reply):
        return reply
    match reply.status:
        case "AUTHENTICATION_SUCCESSFUL" | "AUTHENTICATION_ATTEMPTED":
            return _authenticated(command, reply)
        case "AUTHENTICATION_PENDING":
            return _challenge(command, reply)
        case "AUTHENTICATION_FAILED":
            return NotAuthenticated(_FAILED, reply.authentication.details.transaction_status or "N")
        case "AUTHENTICATION_REJECTED":
            return NotAuthenticated(_REJECTED, reply.authentication.details.transaction_status or "R")
        case "AUTHENTICATION_UNAVAILABLE":
            return NotAuthenticated(_UNAVAILABLE, "U", proceed=_may_proceed(reply))
        case word if word in _WITHOUT:
            return NotAuthenticated(_NOT_SUPPORTED, proceed=_may_proceed(reply))
        case word:
            return Unknown(f"authenticationStatus {word[:40] or 'is missing'}")


def _may_proceed(reply: _Reply) -> bool:
    return reply.response.gateway_recommendation in ("", "NO_ACTION", "PROCEED")


def _authenticated(command: Authenticate, reply: _Reply) -> Authentication:
    scheme, details = reply.authentication.scheme, reply.authentication.details
    if not _may_proceed(reply):
        return NotAuthenticated(_REJECTED, details.transaction_status)
    eci = scheme.acs_eci.rjust(2, "0") if scheme.acs_eci else ""
    wanted = "Y" if reply.status == "AUTHENTICATION_SUCCESSFUL" else "A"
    if details.transaction_status not in ("", wanted):
        return Unknown("transactionStatus contradicts authenticationStatus")
    return Authenticated(
        transaction_id=LINKED + command.authentication_id,
        status=wanted,
        eci=eci,
        value=scheme.authentication_token,
        directory_server_id=details.ds_transaction_id or scheme.transaction_id,
        version=details.protocol_version,
        liability_shift=eci in _LIABILITY,
    )


def _challenge(command: Authenticate, reply: _Reply) -> Authentication:
    redirect = reply.authentication.redirect
    custom = redirect.customized_html.three
    if custom.acs_url:
        return Challenge(command.authentication_id, custom.acs_url, ((_CHALLENGE_FIELD, custom.c_req),))
    url, fields = _form_of(redirect.html)
    # A retrieve later does not repeat the form: then the payer is simply not back yet.
    return Challenge(command.authentication_id, url, fields)


def _read(
    merchant_id: str, reference: str, authentication_id: str, status: int, content: bytes
) -> _Reply | NotAuthenticated | Unknown:
    if status in (401, 403):
        return NotAuthenticated(CREDENTIALS)
    if status == 429:
        return NotAuthenticated(TOO_MANY)
    try:
        reply = _decode(content)
    except UNREADABLE:
        return Unknown(f"HTTP {status} with a body that cannot be read")
    if reply.result == "ERROR" or reply.error.cause:
        refusal = refused(status, reply.error.cause, reply.error.field, reply.error.validation_type)
        return NotAuthenticated(refusal.reason) if isinstance(refusal, NotProcessed) else refusal
    if status not in (200, 201):
        return Unknown(f"HTTP {status}")
    if (
        reply.merchant not in ("", merchant_id)
        or reply.order.id != reference
        or reply.transaction.id != authentication_id
    ):
        return Unknown("the reply is about another authentication")
    if reply.transaction.type not in ("", "AUTHENTICATION"):
        return Unknown("transaction.type contradicts the request")
    return reply


class _Form(HTMLParser):
    """The first form of a page: its address and hidden fields."""

    def __init__(self) -> None:
        super().__init__()
        self.url = ""
        self.fields: list[tuple[str, str]] = []
        self._forms = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a form or one of its fields."""
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._forms += 1
            if self._forms == 1:
                self.url = given.get("action", "")
        elif tag == "input" and self._forms == 1 and given.get("name"):
            self.fields.append((given["name"], given.get("value", "")))


def _form_of(page: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    """Return address and fields of a page's form, nothing where it has none that leads to a secure or local address."""
    form = _Form()
    form.feed(page[:_HTML_LIMIT])
    if not form.url.lower().startswith(("https://", "http://")):
        return "", ()
    return form.url, tuple(form.fields)
