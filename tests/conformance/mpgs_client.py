"""A tester of the Mastercard simulator who knows the manual and the address, not the code: the program, a foreign client.

Every reply is read strictly: a server error, a card number, or a security code in a reply fails the test at once; fields of
another type or with another value than the tables say are kept in `Gateway.oddities`.
"""

from __future__ import annotations

import csv
import html.parser
import itertools
import json
import re
import ssl
from copy import deepcopy
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import httpx

from tests.conformance.data import conformance_data


def load(path: str) -> Any:
    """Return one JSON file of the Mastercard Gateway's data."""
    return json.loads(conformance_data(f"cards/mpgs/{path}").read_bytes())


def rows(path: str) -> list[dict[str, str]]:
    """Return the rows of one CSV file of the Mastercard Gateway's data."""
    with conformance_data(f"cards/mpgs/{path}").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


TRIGGERS: Final = load("triggers.json")
CARDS: Final = load("test-cards.json")
ENUMS: Final = load("enums.json")
GATEWAY_CODES: Final = {row["gatewayCode"]: row for row in rows("gateway-codes.csv")}
RESPONSE_TYPES: Final = {row["field"]: row["json_type"] for row in rows("response-fields.csv")}
NUMBERS: Final = frozenset(card["number"] for card in [*CARDS, *TRIGGERS["threeDS"]])

GOOD_CARD: Final = "5123450000000008"
CARD: Final = "sourceOfFunds.provided.card"
_CODE: Final = re.compile(r'"(?:securityCode|cvv2?|cvc2?|csc)"\s*:\s*"?[0-9]', re.IGNORECASE)
_RUN: Final = re.compile(r"[0-9](?:[ -]?[0-9]){12,18}")
_JSON: Final = {"string": (str,), "number": (int, Decimal), "boolean": (bool,)}
_AUTHENTICATION: Final = frozenset(ENUMS["authenticationStatus"])
_CHOICES: Final[dict[str, frozenset[str]]] = {
    "result": frozenset(ENUMS["result"]),
    "response.gatewayCode": frozenset(GATEWAY_CODES),
    "response.gatewayRecommendation": frozenset(ENUMS["gatewayRecommendation"]),
    "order.status": frozenset(ENUMS["orderStatus"]),
    "order.certainty": frozenset(ENUMS["certainty"]),
    "order.authenticationStatus": _AUTHENTICATION,
    "transaction.type": frozenset(ENUMS["transactionType"]),
    "transaction.source": frozenset(ENUMS["transactionSource"]),
    "transaction.authenticationStatus": _AUTHENTICATION,
    "error.cause": frozenset(ENUMS["errorCause"]),
    "error.validationType": frozenset(ENUMS["errorValidationType"]),
    "session.updateStatus": frozenset(ENUMS["sessionUpdateStatus"]),
    "status": frozenset(ENUMS["tokenStatus"]),
    "risk.response.gatewayCode": frozenset(ENUMS["riskGatewayCode"]),
    "risk.response.review.decision": frozenset(ENUMS["riskReviewDecision"]),
    "risk.response.rule[].name": frozenset(ENUMS["riskRuleName"]),
    "risk.response.rule[].recommendation": frozenset(ENUMS["riskRuleRecommendation"]),
    "risk.response.rule[].type": frozenset(ENUMS["riskRuleType"]),
    "authentication.payerInteraction": frozenset(ENUMS["payerInteraction"]),
    "authentication.channel": frozenset(ENUMS["authenticationChannel"]),
    "authentication.3ds2.transactionStatus": frozenset(ENUMS["transactionStatus3ds2"]),
    "sourceOfFunds.type": frozenset(ENUMS["sourceOfFundsType"]),
}
_ids = itertools.count(1)


def fresh(name: str = "o") -> str:
    """Return an id that nobody had."""
    return f"{name}{next(_ids)}"


def walk(value: Any, path: str = "") -> list[tuple[str, Any]]:
    """Return every value of a body with its dotted name; `[]` marks the elements of a list."""
    if isinstance(value, dict):
        return [found for name, part in value.items() for found in walk(part, f"{path}.{name}" if path else name)]
    if isinstance(value, list):
        return [found for part in value for found in walk(part, f"{path}[]")]
    return [(path, value)]


def at(body: Any, path: str) -> Any:
    """Return the value at a dotted name, or None."""
    for name in path.split("."):
        body = body.get(name) if isinstance(body, dict) else None
    return body


def changed(body: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """Return a copy of a body with another value at a dotted name."""
    result = deepcopy(body)
    inner = result
    *parents, last = path.split(".")
    for name in parents:
        inner = inner.setdefault(name, {})
    inner[last] = value
    return result


def without(body: dict[str, Any], path: str) -> dict[str, Any]:
    """Return a copy of a body without the value at a dotted name."""
    result = deepcopy(body)
    *parents, last = path.split(".")
    (at(result, ".".join(parents)) if parents else result).pop(last, None)
    return result


def odd(body: Any) -> set[str]:
    """Return what of a reply has another type or value than the tables say."""
    if not isinstance(body, dict):
        return {"a reply is no object"}
    if isinstance(body.get("transaction"), list):
        # RETRIEVE_ORDER: the order's fields at the top, and the replies of its transactions.
        inner = [odd(reply) for reply in body["transaction"]]
        top = {name: value for name, value in body.items() if name != "transaction"}
        alone = {name: top.pop(name) for name in list(top) if name in _TOP}
        return set().union(*inner, odd(alone | {"order": top}))
    found = set()
    for path, value in walk(body):
        wanted = RESPONSE_TYPES.get(path)
        if wanted is not None and (not isinstance(value, _JSON[wanted]) or (wanted != "boolean" and value is True)):
            found.add(f"{path}: {type(value).__name__} instead of {wanted}")
        choices = _CHOICES.get(path)
        if choices is not None and value not in choices:
            found.add(f"{path}: {value}")
    return found


_TOP: Final = frozenset(path.partition(".")[0] for path in RESPONSE_TYPES) - {"order", "transaction", "status"}


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    assert len(names) == len(set(names)), f"a field twice: {names}"
    return dict(pairs)


@dataclass(frozen=True)
class Reply:
    """What came back."""

    status: int
    text: str
    body: Any = None

    def __getitem__(self, path: str) -> Any:
        return at(self.body, path)

    @property
    def told(self) -> tuple[Any, ...]:
        """What tests compare first: the status, then result and gateway code, or field and kind of the mistake."""
        if self["result"] == "ERROR":
            return (self.status, "ERROR", self["error.field"], self["error.validationType"])
        return (self.status, self["result"], self["response.gatewayCode"])


def read(reply: httpx.Response) -> Reply:
    """Read a reply; fails for a server error and for card data."""
    text, asked = reply.text, reply.request
    assert reply.status_code < 500, (reply.status_code, text[:300], asked.method, asked.url.path, asked.content[:3000])
    shown = {re.sub("[ -]", "", run[0]) for run in _RUN.finditer(text)}
    assert not [number for number in NUMBERS if any(number in run for run in shown)], "a card number in a reply"
    assert not _CODE.search(text), "a security code in a reply"
    assert "Traceback" not in text
    body = None
    if "json" in reply.headers.get("content-type", ""):
        body = json.loads(text, parse_float=Decimal, object_pairs_hook=_once)
    return Reply(reply.status_code, text, body)


@dataclass
class Gateway:
    """The simulator, as somebody sees it who knows its addresses and has the credentials file."""

    plain: str
    secured: str
    authority: Path
    credentials: dict[str, str]
    token: str
    journal: Path
    http: httpx.AsyncClient = field(default_factory=lambda: client())  # noqa: PLW0108 - it is defined below
    oddities: set[str] = field(default_factory=set)

    def merchant(self, version: int | str = 100) -> Merchant:
        """Return the first merchant."""
        known = self.credentials
        return Merchant(
            self, known["mpgs_merchant_id"], known["mpgs_password"], known["mpgs_reporting_password"], version
        )

    def other(self) -> Merchant:
        """Return the second merchant."""
        known = self.credentials
        return Merchant(
            self, known["mpgs_other_merchant_id"], known["mpgs_other_password"], known["mpgs_other_password"]
        )

    async def control(self, method: str, path: str, body: Any = None) -> Any:
        """Use the control API."""
        headers = {"Authorization": f"Bearer {self.token}"}
        reply = await self.http.request(method, f"{self.plain}/__sim/{path}", json=body, headers=headers)
        assert reply.status_code == 200, reply.text
        return reply.json()


def client(authority: Path | None = None, **options: Any) -> httpx.AsyncClient:
    """Return a client that keeps its connections."""
    verify = ssl.create_default_context(cafile=str(authority)) if authority else True
    limits = httpx.Limits(max_connections=32, max_keepalive_connections=32)
    return httpx.AsyncClient(
        verify=options.pop("verify", verify), timeout=20, trust_env=False, limits=limits, **options
    )


@dataclass
class Merchant:
    """One merchant with the passwords it has."""

    gateway: Gateway
    id: str
    password: str
    reporting_password: str
    version: int | str = 100

    @property
    def root(self) -> str:
        """The path under which everything of this merchant is."""
        return f"/api/rest/version/{self.version}/merchant/{self.id}"

    @property
    def basic(self) -> httpx.Auth:
        """How the merchant says who it is."""
        return httpx.BasicAuth(f"merchant.{self.id}", self.password)

    @property
    def reporting(self) -> httpx.Auth:
        """The same for reports."""
        return httpx.BasicAuth(f"merchant.{self.id}", self.reporting_password)

    async def call(self, method: str, target: str, body: Any = None, **options: Any) -> Reply:
        """Send one request to a whole path, and read the reply strictly."""
        options.setdefault("auth", self.basic)
        if body is not None:
            options["content"] = json.dumps(body)
            options.setdefault("headers", {"Content-Type": "application/json"})
        reply = read(await self.gateway.http.request(method, self.gateway.plain + target, **options))
        if reply.body is not None:
            self.gateway.oddities |= {
                f"{one} ({method} {at(body, 'apiOperation') or target[-40:]})" for one in odd(reply.body)
            }
        if reply.status >= 400:
            assert reply["result"] == "ERROR", (reply.status, reply.text[:300])
        return reply

    async def send(self, method: str, path: str, body: Any = None, **options: Any) -> Reply:
        """Send one request to a path of this merchant."""
        return await self.call(method, self.root + path, body, **options)

    async def put(self, order: str, body: Any, transaction: str | None = None, **options: Any) -> Reply:
        """Send one operation."""
        path = f"/order/{quote(order, safe='')}/transaction/{quote(transaction or fresh('t'), safe='')}"
        return await self.send("PUT", path, body, **options)

    async def done(self, order: str, body: Any, transaction: str | None = None) -> Reply:
        """Send one operation that must succeed."""
        reply = await self.put(order, body, transaction)
        assert (reply.status, reply["result"]) == (201, "SUCCESS"), reply.text[:500]
        return reply

    async def order(self, order: str) -> Reply:
        """Read an order."""
        return await self.send("GET", f"/order/{quote(order, safe='')}")

    async def totals(self, order: str) -> tuple[Any, ...]:
        """Return status and totals of an order: authorised, captured, refunded."""
        reply = await self.order(order)
        assert reply.status == 200, reply.text
        names = ("totalAuthorizedAmount", "totalCapturedAmount", "totalRefundedAmount")
        return (reply["status"], *(reply[name] for name in names))

    async def is_absent(self, order: str) -> bool:
        """Tell whether there is no such order."""
        return (await self.order(order)).status in (400, 404)


def source(
    number: str = GOOD_CARD, expiry: str = "01/39", code: str | None = None, kind: str = "CARD"
) -> dict[str, Any]:
    """Return a card as the source of funds."""
    month, year = expiry.split("/")
    card: dict[str, Any] = {"number": number, "expiry": {"month": month, "year": year}}
    if code is not None:
        card["securityCode"] = code
    return {"type": kind, "provided": {"card": card}}


def paying(operation: str = "AUTHORIZE", amount: Any = "100.00", currency: str = "KZT", **card: Any) -> dict[str, Any]:
    """Return an operation that begins an order."""
    order = {"currency": currency} if operation == "VERIFY" else {"amount": amount, "currency": currency}
    return {"apiOperation": operation, "order": order, "sourceOfFunds": source(**card)}


def moving(operation: str, amount: Any, currency: str = "KZT") -> dict[str, Any]:
    """Return an operation that goes on with an order."""
    return {"apiOperation": operation, "transaction": {"amount": amount, "currency": currency}}


def void(target: str | None = None) -> dict[str, Any]:
    """Return a void, of the last operation or of a named one."""
    return {"apiOperation": "VOID"} | ({"transaction": {"targetTransactionId": target}} if target else {})


def initiate(number: str, currency: str = "KZT") -> dict[str, Any]:
    """Return the first step of an authentication."""
    asked = {"acceptVersions": "3DS1,3DS2", "channel": "PAYER_BROWSER", "purpose": "PAYMENT_TRANSACTION"}
    return {
        "apiOperation": "INITIATE_AUTHENTICATION",
        "authentication": asked,
        "order": {"currency": currency},
        "sourceOfFunds": source(number),
    }


def authenticate(number: str, amount: str = "100.00") -> dict[str, Any]:
    """Return the second step of an authentication, with everything a browser tells."""
    details = {
        "3DSecureChallengeWindowSize": "FULL_SCREEN",
        "acceptHeaders": "application/json",
        "colorDepth": 24,
        "javaEnabled": True,
        "language": "en-US",
        "screenHeight": 640,
        "screenWidth": 480,
        "timeZone": 300,
    }
    return {
        "apiOperation": "AUTHENTICATE_PAYER",
        "authentication": {"redirectResponseUrl": "https://shop.example/back"},
        "order": {"amount": amount, "currency": "KZT"},
        "sourceOfFunds": source(number),
        "device": {"browser": "MOZILLA", "browserDetails": details, "ipAddress": "127.0.0.1"},
    }


@dataclass
class Form:
    """A form of a page: where it goes, what it sends, and the buttons it has, each with what it says."""

    action: str = ""
    method: str = "get"
    fields: dict[str, str] = field(default_factory=dict)
    buttons: list[tuple[str, str, str]] = field(default_factory=list)


class Page(html.parser.HTMLParser):
    """The forms of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self._option: tuple[str, str] | None = None
        self._select = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep forms, their fields, and what can be chosen."""
        given = {name: value or "" for name, value in attrs}
        kind = given.get("type", "")
        if tag == "form":
            self.forms.append(Form(given.get("action", ""), given.get("method", "get").lower()))
        elif not self.forms:
            return
        elif tag == "select":
            self._select = given.get("name", "")
        elif tag == "button" or (tag == "input" and kind in ("submit", "radio")):
            self._choose(given.get("name", ""), given.get("value", ""))
        elif tag == "option":
            self._choose(self._select, given.get("value", ""))
        elif tag in ("input", "textarea") and "name" in given:
            self.forms[-1].fields[given["name"]] = given.get("value", "")

    def _choose(self, name: str, value: str) -> None:
        self.forms[-1].buttons.append((name, value, value))
        self._option = (name, value)

    def handle_data(self, data: str) -> None:
        """Keep what a button says."""
        if self._option is not None and data.strip():
            name, value = self._option
            self.forms[-1].buttons[-1] = (name, value, f"{value} {data.strip()}".lower())
            self._option = None


async def submit(browser: httpx.AsyncClient, form: Form, choice: str = "") -> httpx.Response:
    """Send a form as a browser does, with the button pressed whose value or text is the choice."""
    fields = dict(form.fields)
    if choice:
        name, value = next((name, value) for name, value, text in form.buttons if choice in text.lower())
        fields[name] = value
    if form.method == "get":
        return await browser.get(form.action, params=fields)
    return await browser.post(form.action, data=fields)
