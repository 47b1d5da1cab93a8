"""EMV 3-D Secure 2: which card is authenticated how, and the page on which the payer answers a challenge."""

from __future__ import annotations

import base64
import html
import uuid
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qs

from shanraq.simulators.mastercard.fields import brand_of
from shanraq.simulators.serve import Reply, Request

PREFIX: Final = "/__3ds/"

_TOKENS: Final = {"Y": "mHyn+7YFi1EUAREAAAAvNUe6Hv8=", "A": "nHyn+7YFi1EUAREAAAAvNUe6Hv8="}
_ECI: Final = {
    "Y": {"VISA": "05", "": "02"}, "A": {"VISA": "06", "": "01"}, "N": {"VISA": "07", "": "00"},
}  # fmt: skip
STATUS: Final = {
    "Y": "AUTHENTICATION_SUCCESSFUL",
    "A": "AUTHENTICATION_ATTEMPTED",
    "N": "AUTHENTICATION_FAILED",
    "U": "AUTHENTICATION_UNAVAILABLE",
    "R": "AUTHENTICATION_REJECTED",
    "C": "AUTHENTICATION_PENDING",
}
CHOICES: Final = {"success": "Y", "failed": "N", "cancelled": "N", "unable": "U", "rejected": "R"}

# How the directory server answers for the test cards, by their first six and last four digits; E is an error.
_CARDS: Final = {
    ("512345", "0008"): "C", ("222300", "0007"): "C", ("512345", "2346"): "Y", ("555555", "0018"): "Y",
    ("550000", "5559"): "A", ("550690", "0503"): "R", ("521076", "0004"): "E1", ("545503", "0496"): "E2",
    ("512345", "8221"): "U", ("444000", "0010"): "C", ("444000", "0014"): "Y", ("444000", "0022"): "A",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Step:
    """What an authentication operation answers."""

    result: str
    gateway_code: str
    recommendation: str
    status: str
    block: dict[str, Any]


def initiate(number: str, place: str, base_url: str, versions: frozenset[str]) -> Step:
    """Answer INITIATE_AUTHENTICATION for a card; `place` tells one authentication from another."""
    answer = _CARDS.get((number[:6], number[-4:]), "")
    if answer == "E1":
        return Step(
            "FAILURE", "UNSPECIFIED_FAILURE", "DO_NOT_PROCEED", "AUTHENTICATION_UNAVAILABLE", {"version": "3DS2"}
        )
    if not answer or "3DS2" not in versions:
        absent: dict[str, Any] = {"payerInteraction": "NOT_REQUIRED", "version": "NONE"}
        return Step("SUCCESS", "NOT_ENROLLED_3D_SECURE", "PROCEED", "AUTHENTICATION_NOT_SUPPORTED", absent)
    data = base64.urlsafe_b64encode(b'{"threeDSServerTransID":"%s"}' % _id(place, "server").encode()).decode()
    url = f"{base_url}{PREFIX}method"
    block: dict[str, Any] = {
        "3ds2": {
            "directoryServerId": "A000000004" if brand_of(number) == "MASTERCARD" else "A000000003",
            "methodCompleted": False,
            "methodSupported": "SUPPORTED",
            "protocolVersion": "2.2.0",
            "requestorId": "SIMULATOR",
            "requestorName": "Simulator",
        },
        "payerInteraction": "NOT_REQUIRED",
        "redirect": {
            "customizedHtml": {"3ds2": {"methodPostData": data, "methodUrl": url}},
            "html": _form(url, {"threeDSMethodData": data}),
        },
        "version": "3DS2",
    }
    return Step("SUCCESS", "AUTHENTICATION_IN_PROGRESS", "PROCEED", "AUTHENTICATION_AVAILABLE", block)


def authenticate(number: str, place: str, challenge_url: str) -> Step:
    """Answer AUTHENTICATE_PAYER for a card; `challenge_url` is where the payer would be asked."""
    answer = _CARDS.get((number[:6], number[-4:]), "")
    if answer == "E2":
        return Step(
            "FAILURE", "UNSPECIFIED_FAILURE", "DO_NOT_PROCEED", "AUTHENTICATION_UNAVAILABLE", {"version": "3DS2"}
        )
    if answer != "C":
        return _outcome(number, place, answer or "U")
    request = base64.urlsafe_b64encode(b'{"messageType":"CReq"}').decode()
    block = _block(number, place, "C") | {
        "payerInteraction": "REQUIRED",
        "redirect": {
            "customizedHtml": {"3ds2": {"acsUrl": challenge_url, "cReq": request}},
            "domainName": "localhost",
            "html": _form(challenge_url, {"creq": request}),
        },
    }
    return Step("PENDING", "AUTHENTICATION_IN_PROGRESS", "PROCEED", STATUS["C"], block)


def outcome(number: str, place: str, choice: str) -> Step:
    """Return how a challenge ended by the payer's choice. `number` may be masked."""
    step = _outcome(number, place, CHOICES[choice])
    if choice == "cancelled":
        step.block["3ds2"]["challengeCancel"] = "01"
    step.block["payerInteraction"] = "REQUIRED"
    return step


def _outcome(number: str, place: str, letter: str) -> Step:
    good = letter in ("Y", "A")
    block = _block(number, place, letter) | {"payerInteraction": "NOT_REQUIRED"}
    result = "SUCCESS" if good else "FAILURE"
    code = "APPROVED" if good else "AUTHENTICATION_FAILED"
    recommendation = "PROCEED" if good or letter == "U" else "DO_NOT_PROCEED"
    return Step(result, code, recommendation, STATUS[letter], block)


def page(query: str, base_url: str) -> Reply:
    """Return the page that asks the payer how the challenge shall end."""
    key = parse_qs(query).get("id", [""])[0]
    buttons = "".join(f'<button name="choice" value="{name}">{name}</button> ' for name in CHOICES)
    form = f'<form method="post" action="{base_url}{PREFIX}answer"><input type="hidden" name="id" value="{html.escape(key)}">'
    return _page(f"<h1>Challenge</h1><p>How shall the authentication end?</p>{form}{buttons}</form>")


def answered(request: Request) -> tuple[str, str]:
    """Return the challenge and the choice that a payer's form holds; no choice where it is none of the menu."""
    fields = parse_qs(request.body[:10_000].decode("latin-1"))
    choice = fields.get("choice", [""])[0]
    return fields.get("id", [""])[0], choice if choice in CHOICES else ""


def back(return_url: str, order_id: str, transaction_id: str, result: str) -> Reply:
    """Return the page that sends the payer back to the merchant."""
    fields = {"order.id": order_id, "transaction.id": transaction_id, "result": result}
    return _page(_form(return_url, fields) if return_url else "<p>Done.</p>")


def gone(text: str, status: int = 404) -> Reply:
    """Return a page that says no."""
    return _page(f"<p>{html.escape(text)}</p>", status)


def _block(number: str, place: str, letter: str) -> dict[str, Any]:
    brand = brand_of(number)
    scheme: dict[str, Any] = {"transactionId": _id(place, "ds")}
    eci = _ECI.get(letter)
    if eci is not None:
        scheme["acsEci"] = eci.get(brand, eci[""])
    if letter in _TOKENS:
        scheme["authenticationToken"] = _TOKENS[letter]
    return {
        "3ds": scheme,
        "3ds2": {
            "3dsServerTransactionId": _id(place, "server"),
            "acsReference": "SIMULATOR-ACS-1",
            "acsTransactionId": _id(place, "acs"),
            "directoryServerId": "A000000004" if brand == "MASTERCARD" else "A000000003",
            "dsTransactionId": _id(place, "ds"),
            "methodCompleted": True,
            "methodSupported": "SUPPORTED",
            "protocolVersion": "2.2.0",
            "requestorId": "SIMULATOR",
            "requestorName": "Simulator",
            "transactionStatus": letter,
        },
        "version": "3DS2",
    }


def _id(place: str, what: str) -> str:
    # The same at each step of an authentication, and after a restart.
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{what} {place}"))


def _form(url: str, fields: dict[str, str]) -> str:
    inputs = "".join(
        f'<input type="hidden" name="{html.escape(name)}" value="{html.escape(value)}">'
        for name, value in fields.items()
    )
    return f'<form method="post" action="{html.escape(url)}">{inputs}<button>Continue</button></form>'


def _page(content: str, status: int = 200) -> Reply:
    return Reply(status, f"<!doctype html><title>Simulator</title>{content}".encode(), "text/html;charset=utf-8")
