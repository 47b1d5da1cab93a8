"""The demo: a partner's whole way through the platform over HTTP, on this machine, with nothing left behind.

Every step checks what it did: amounts, statuses, the gateway's own journal, the ledger. A step that finds something else fails
the demo with a sentence and exit code 1. Ctrl-C and SIGTERM end it as cleanly as its last step.
"""

from __future__ import annotations

import asyncio
import base64
import os
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Self

import msgspec
import structlog
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from shanraq import events, partners
from shanraq.core.actor import SYSTEM
from shanraq.core.errors import ShanraqError
from shanraq.core.http import HttpClient, HttpError, Request
from shanraq.core.money import Money
from shanraq.core.settings import Settings, VisaSettings
from shanraq.ops.app import Platform
from shanraq.ops.demo_receiver import Receiver
from shanraq.ops.role import USUAL_ROLES
from shanraq.ops.serve import running
from shanraq.ops.verify import verify_database
from shanraq.standards.iso20022 import Severity, parse, validate

log = structlog.get_logger(__name__)

_CARD: Final = "4111111111111111"
_POOR_CARD: Final = "4000000204000006"  # the simulator answers INSUFFICIENT_FUND
_LOST_AMOUNT: Final = 819_900  # 8199.00: the simulator takes the money and drops the connection
_PATIENCE_SECONDS: Final = 30.0
_PAYMENTS: Final = {"captured": 1, "failed": 1, "partially_refunded": 1, "voided": 1}


class StepError(Exception):
    """A step found something else than it should."""


@dataclass(frozen=True, slots=True)
class Step:
    """A step that was taken."""

    name: str
    ok: bool
    ms: float
    detail: str


def _expect(fact: object, sentence: str) -> None:
    if not fact:
        raise StepError(sentence)


def _tenge(minor: int) -> str:
    whole, point, rest = str(Money.of(minor, "KZT")).partition(".")
    return f"{int(whole):,}".replace(",", " ") + point + rest


@dataclass
class Caller:
    """Speaks HTTP with one set of credentials."""

    url: str
    http: HttpClient
    authorization: str = ""

    @classmethod
    def with_key(cls, url: str, http: HttpClient, key_id: str, secret: str) -> Self:
        """Return a caller with an API key."""
        return cls(url, http, "Basic " + base64.b64encode(f"{key_id}:{secret}".encode()).decode())

    async def send(self, method: str, path: str, body: object = None, key: str | None = None) -> tuple[int, Any, bool]:
        """Return status, body and whether the answer was given before."""
        headers = [("Authorization", self.authorization)] if self.authorization else []
        if body is not None:
            headers.append(("Content-Type", "application/json"))
        if key is not None:
            headers.append(("Idempotency-Key", key))
        content = b"" if body is None else msgspec.json.encode(body)
        response = await self.http.send(Request(method, self.url + path, tuple(headers), content), 15.0)
        answer = msgspec.json.decode(response.body) if response.body else None
        return response.status, answer, response.headers.get("Idempotent-Replayed") == "true"

    async def upload(self, path: str, xml: str, key: str) -> Any:
        """Hand in a message and return the answer, which must be a success."""
        headers = (("Authorization", self.authorization), ("Content-Type", "application/xml"), ("Idempotency-Key", key))
        response = await self.http.send(Request("POST", self.url + path, headers, xml.encode()), 15.0)
        if response.status >= 300:
            raise StepError(f"POST {path} answered {response.status}: {response.body[:300]!r}")
        return msgspec.json.decode(response.body)

    async def download(self, path: str) -> bytes:
        """Return a message, which must be there."""
        response = await self.http.send(Request("GET", self.url + path, (("Authorization", self.authorization),)), 15.0)
        if response.status != 200:
            raise StepError(f"GET {path} answered {response.status}: {response.body[:300]!r}")
        return response.body

    async def call(self, method: str, path: str, body: object = None, key: str | None = None) -> Any:
        """Return the body of an answer that must be a success."""
        status, answer, _ = await self.send(method, path, body, key)
        if status >= 300:
            raise StepError(f"{method} {path} answered {status}: {answer}")
        return answer


@dataclass
class Demo:
    """What the steps know of each other."""

    platform: Platform
    url: str
    http: HttpClient
    receiver: Receiver
    operators: dict[str, Caller] = field(default_factory=dict)
    partner: Caller = field(init=False)
    claim_token: str = ""
    partner_id: str = ""
    accounts: list[str] = field(default_factory=list)
    cards: dict[str, str] = field(default_factory=dict)
    payments: dict[str, str] = field(default_factory=dict)
    totals: dict[str, Any] = field(default_factory=dict)

    # Onboarding.

    async def apply(self) -> str:
        """Step 1: an operator writes the company's application down."""
        for name in ("Aigerim", "Daniyar"):
            async with self.platform.db.begin(SYSTEM) as tx:
                _, token = await partners.create_operator(
                    tx, self.platform.keyring, name, (partners.ONBOARD, partners.APPROVE, partners.READ)
                )
            self.operators[name] = Caller(self.url, self.http, f"Bearer {token.reveal()}")
        application = {
            "legal_name": "TOO Demo Market",
            "country": "KZ",
            "registration_number": "990340005977",
            "contact_email": "pay@example.com",
            "website": "https://example.com",
        }
        answer = await self.operators["Aigerim"].call("POST", "/v1/partners", application)
        self.partner_id, self.claim_token = answer["partner"]["id"], answer["claim_token"]
        _expect(answer["partner"]["status"] == "applied", f"the partner is {answer['partner']['status']}")
        return "a company's application is written down"

    async def approve(self) -> str:
        """Step 2: another operator approves it; the same one may not."""
        path = f"/v1/partners/{self.partner_id}/approve"
        status, problem, _ = await self.operators["Aigerim"].send("POST", path)
        refused = (status, problem.get("code")) == (403, "four_eyes_required")
        _expect(refused, f"the operator who applied must be refused, and got {status}: {problem}")
        approved = await self.operators["Daniyar"].call("POST", path)
        _expect(approved["status"] == "approved", f"the partner is {approved['status']}")
        return "same operator refused, another approved"

    async def claim(self) -> str:
        """Step 3: the applicant takes the first API key, shown once."""
        body = {"claim_token": self.claim_token}
        anybody = Caller(self.url, self.http)
        issued = await anybody.call("POST", "/v1/partner-applications/claim", body)
        again, problem, _ = await anybody.send("POST", "/v1/partner-applications/claim", body)
        _expect(again == 409, f"the claim worked twice: {problem}")
        self.partner = Caller.with_key(self.url, self.http, issued["key"]["id"], issued["secret"])
        return f"{len(issued['key']['scopes'])} scopes; a second claim is refused"

    async def configure(self) -> str:
        """Step 4: preferences and a webhook endpoint."""
        await self.partner.call("PUT", "/v1/partner/preferences", {"statement_descriptor": "DEMO MARKET"})
        endpoint = await self.partner.call(
            "POST", "/v1/webhook-endpoints", {"url": self.receiver.url, "event_types": ["*"]}
        )
        self.receiver.expect(endpoint["secret"]["secret"])
        return f"webhooks to {self.receiver.url.removeprefix('http://')}"

    async def certify(self) -> str:
        """Step 5 begins: the certification run observes what follows."""
        run = await self.partner.call("POST", "/v1/partner/certification")
        return f"{len(run['checks'])} checks wait for being seen"

    # Money.

    async def open_accounts(self) -> str:
        """Two customers, two accounts in tenge."""
        for given_name, reference in (("Aisulu", "customer-1"), ("Timur", "customer-2")):
            person = {"kind": "person", "given_name": given_name, "family_name": "Testov"}
            customer = await self.partner.call("POST", "/v1/customers", {"details": person, "reference": reference})
            account = await self.partner.call(
                "POST", "/v1/accounts", {"currency": "KZT", "customer_id": customer["id"]}
            )
            self.accounts.append(account["id"])
        return "two customers, an account in tenge each"

    async def tokenize(self) -> str:
        """Cards become tokens; the numbers stay in the vault."""
        year = datetime.now(UTC).year + 3
        for name, number in (("visa", _CARD), ("poor", _POOR_CARD)):
            card = {"number": number, "expiry_month": 12, "expiry_year": year}
            method = await self.partner.call("POST", "/v1/payment-methods", card, f"card-{name}")
            _expect(number not in str(method), "the answer shows the card number")
            self.cards[name] = method["id"]
        return f"{_CARD[:6]}xxxxxx{_CARD[-4:]} is sealed in the vault"

    async def authorize(self) -> str:
        """Authorise 15 000.00 KZT."""
        payment = await self._pay("first", 1_500_000)
        _expect(payment["status"] == "authorized", f"the payment is {payment['status']}")
        self.payments["first"] = payment["id"]
        await self._balance(0, posted=0, incoming=1_500_000)
        self._charged_once(payment["id"], 1_500_000)
        return f"{_tenge(payment['amount_authorized'])} held"

    async def capture(self) -> str:
        """Capture it."""
        payment = await self.partner.call("POST", f"/v1/payments/{self.payments['first']}/capture", {}, "capture-first")
        captured = (payment["status"], payment["amount_captured"])
        _expect(captured == ("captured", 1_500_000), f"the payment is {captured[0]}, {captured[1]} captured")
        await self._balance(0, posted=1_500_000)
        return f"{_tenge(payment['amount_captured'])} on the account"

    async def refund(self) -> str:
        """Refund 5 000.00 KZT of it."""
        path = f"/v1/payments/{self.payments['first']}/refund"
        payment = await self.partner.call("POST", path, {"amount": 500_000}, "refund-first")
        _expect(
            (payment["status"], payment["amount_refunded"]) == ("partially_refunded", 500_000),
            f"the payment is {payment['status']}, {payment['amount_refunded']} refunded",
        )
        await self._balance(0, posted=1_000_000)
        return f"{_tenge(500_000)} back to the card"

    async def decline(self) -> str:
        """A card without money: the decline is the payment's outcome."""
        payment = await self._pay("declined", 200_000, card="poor")
        failure = payment["failure"] or {}
        _expect(
            (payment["status"], failure.get("code")) == ("failed", "insufficient_funds"),
            f"the payment is {payment['status']}: {failure}",
        )
        self._charged_once(payment["id"], 0)
        await self._balance(0, posted=1_000_000)
        return f"{failure['code']}; nothing was taken"

    async def lose_answer(self) -> str:
        """The gateway takes the money and the answer is lost: found again, charged once."""
        payment = await self._pay("lost", _LOST_AMOUNT)
        _expect(payment["status"] == "authorizing", f"a lost answer made the payment {payment['status']}")
        began = time.monotonic()
        while payment["status"] == "authorizing":
            _expect(time.monotonic() - began < _PATIENCE_SECONDS, "the lost payment was not recovered in time")
            await asyncio.sleep(0.1)
            payment = await self.partner.call("GET", f"/v1/payments/{payment['id']}")
        took = time.monotonic() - began
        _expect(payment["status"] == "authorized", f"recovery made the payment {payment['status']}")
        self._charged_once(payment["id"], _LOST_AMOUNT)
        captured = await self.partner.call("POST", f"/v1/payments/{payment['id']}/capture", {}, "capture-lost")
        _expect(captured["status"] == "captured", f"the capture left it {captured['status']}")
        await self._balance(0, posted=1_000_000 + _LOST_AMOUNT)
        return f"unknown for {took:.1f} s; found, charged once"

    async def repeat(self) -> str:
        """The same request twice with one key."""
        body = self._payment(300_000)
        first, payment, before = await self.partner.send("POST", "/v1/payments", body, "twice")
        second, again, replayed = await self.partner.send("POST", "/v1/payments", body, "twice")
        _expect((first, second) == (201, 201), f"the answers were {first} and {second}")
        _expect(not before and replayed, "the second answer is not marked as a replay")
        _expect(payment["id"] == again["id"], "two payments were made")
        self._charged_once(payment["id"], 300_000)
        changed, problem, _ = await self.partner.send("POST", "/v1/payments", {**body, "amount": 300_001}, "twice")
        _expect(problem.get("code") == "idempotency_key_reused", f"another body under the key got {changed}")
        voided = await self.partner.call("POST", f"/v1/payments/{payment['id']}/void", None, "void-twice")
        _expect(voided["status"] == "voided", f"the void left it {voided['status']}")
        await self._balance(0, posted=1_000_000 + _LOST_AMOUNT)
        return "one payment, answer replayed; voided"

    async def transfer(self) -> str:
        """P2P: one customer pays the other."""
        body = {
            "sender_account": self.accounts[0],
            "recipient_account": self.accounts[1],
            "amount": 250_000,
            "currency": "KZT",
        }
        moved = await self.partner.call("POST", "/v1/p2p-transfers", body, "p2p")
        _expect(moved["status"] == "completed", f"the transfer is {moved['status']}")
        await self._balance(0, posted=1_000_000 + _LOST_AMOUNT - 250_000)
        await self._balance(1, posted=250_000)
        too_much = await self.partner.call("POST", "/v1/p2p-transfers", {**body, "amount": 10**12}, "p2p-too-much")
        _expect(too_much["failure"] == "insufficient_funds", f"too much money: {too_much}")
        await self._balance(0, posted=1_000_000 + _LOST_AMOUNT - 250_000)
        return f"{_tenge(250_000)} moved; too much is refused"

    async def pay_a_file(self) -> str:
        """ISO 20022: a pain.001 pays a customer here and two at another bank, and a pain.002 tells what became of it."""
        file = await self.partner.upload("/v1/payment-files?name=demo", _order(self.accounts), "file")
        async with asyncio.timeout(_PATIENCE_SECONDS):
            while file["status"] not in ("completed", "rejected"):
                await asyncio.sleep(0.05)
                file = await self.partner.call("GET", f"/v1/payment-files/{file['id']}")
        counts = file["progress"]["by_status"]
        _expect(
            counts == {"settled": 2, "rejected": 1}, f"the file came to {file['status']} {counts} {file['findings']}"
        )
        report = await self.partner.download(f"/v1/payment-files/{file['id']}/status-report")
        flaws = [found.message for found in validate(report).findings if found.severity is Severity.ERROR]
        _expect(not flaws, f"the status report is not valid: {flaws}")
        statuses = [str(found.text) for found in parse(report).iter("{*}TxSts")]
        _expect(statuses == ["ACCC", "ACSC", "RJCT"], f"the status report says {statuses}")
        await self._balance(1, posted=250_000 + 100_000)
        return "pain.001: paid here, paid through clearing, one rejected (AC04); pain.002 tells"

    # Proof.

    async def go_live(self) -> str:
        """Certification passed: the partner goes live and takes a live key."""
        began = time.monotonic()
        while True:
            self._signatures_right()
            run = await self.partner.call("GET", "/v1/partner/certification")
            if run["status"] == "passed":
                break
            missing = [check["check"] for check in run["checks"] if check["observation"] is None]
            _expect(time.monotonic() - began < _PATIENCE_SECONDS, f"not observed: {', '.join(missing)}")
            await asyncio.sleep(0.1)
        partner = await self.partner.call("POST", "/v1/partner/go-live")
        _expect(partner["status"] == "live", f"the partner is {partner['status']}")
        new = {"environment": "live", "scopes": ["accounts:read", "payments:read"], "name": "first live key"}
        issued = await self.partner.call("POST", "/v1/api-keys", new)
        live = Caller.with_key(self.url, self.http, issued["key"]["id"], issued["secret"])
        seen = await live.call("GET", "/v1/accounts")
        _expect(seen["items"] == [], "the live key sees the sandbox")
        return f"{len(run['checks'])} checks passed, live key issued"

    async def webhooks(self) -> str:
        """Every event arrived, signed and as the feed tells it, and none is missing."""
        began = time.monotonic()
        while True:
            async with self.platform.db.begin(SYSTEM) as tx:
                unnumbered = await events.unstamped(tx)
            feed = (await self.partner.call("GET", "/v1/events?limit=500"))["items"]
            first = next(index for index, event in enumerate(feed) if event["type"] == "webhook_endpoint.created")
            missing = [event["sequence"] for event in feed[first:] if event["id"] not in self.receiver.events]
            if not missing and not unnumbered:
                break
            _expect(time.monotonic() - began < _PATIENCE_SECONDS, f"webhooks did not arrive: {missing or unnumbered}")
            await asyncio.sleep(0.1)
        self._signatures_right()
        numbers = [int(event["sequence"]) for event in feed]
        _expect(numbers == list(range(1, len(feed) + 1)), "the feed of events has a gap")
        # What happened just before the endpoint was added, and was numbered after, arrives as well.
        told = {event["id"]: event for event in feed}
        other = [name for name, event in self.receiver.events.items() if told.get(name) != event]
        _expect(not other, f"what arrived is not what the feed tells: {other}")
        self.totals |= {"events": len(feed), "webhooks": len(self.receiver.events)}
        return f"{len(self.receiver.events)} signed and verified, none missing"

    async def compare(self) -> str:
        """The gateway's own journal, the clearing system's books, our payments and our ledger agree to the tiyn."""
        lines = self._journal()
        taken = sum(line["amount_minor"] for line in lines if line["kind"] == "capture" and line["state"] != "VOIDED")
        returned = sum(line["amount_minor"] for line in lines if line["kind"] == "refund" and line["state"] != "VOIDED")
        held = [await self.partner.call("GET", f"/v1/accounts/{account}/balance") for account in self.accounts]
        ours = sum(balance["posted"] for balance in held)
        away = self._cleared()
        _expect(
            taken - returned == ours + away,
            f"the gateway says {taken - returned}, the ledger {ours}, the clearing system {away}",
        )
        paid = (await self.partner.call("GET", "/v1/payments"))["items"]
        told = sum(payment["amount_captured"] - payment["amount_refunded"] for payment in paid)
        _expect(told == ours + away, f"the payments say {told}, the ledger {ours}, the clearing system {away}")
        self.totals |= {"accounts": len(held), "balances": [balance["posted"] for balance in held]}
        return f"{_tenge(ours)} here and {_tenge(away)} at other banks, in all books"

    async def verify(self) -> str:
        """Ledger and audit log prove right."""
        findings = await verify_database(self.platform.db)
        _expect(not findings, "; ".join(findings[:3]))
        async with self.platform.db.begin(SYSTEM) as tx:
            entries = await tx.value("SELECT count(*) FROM audit_entry")
            transfers = await tx.value("SELECT count(*) FROM ledger_transfer")
            payments = await tx.rows("SELECT status, count(*) AS n FROM payment GROUP BY status ORDER BY status")
        by_status = {row["status"]: row["n"] for row in payments}
        _expect(by_status == _PAYMENTS, f"the payments are {by_status}, not {_PAYMENTS}")
        self.totals |= {"audit_entries": entries, "ledger_transfers": transfers, "payments": by_status}
        return f"{transfers} transfers, {entries} audit entries hold"

    # What the steps share.

    def _payment(self, amount: int, card: str = "visa") -> dict[str, Any]:
        return {
            "payment_method_id": self.cards[card],
            "account_id": self.accounts[0],
            "amount": amount,
            "currency": "KZT",
            "security_code": "123",
        }

    async def _pay(self, key: str, amount: int, card: str = "visa") -> Any:
        return await self.partner.call("POST", "/v1/payments", self._payment(amount, card), f"pay-{key}")

    async def _balance(self, account: int, *, posted: int, incoming: int = 0) -> None:
        found = await self.partner.call("GET", f"/v1/accounts/{self.accounts[account]}/balance")
        _expect(
            (found["posted"], found["incoming"]) == (posted, incoming),
            f"the balance is {found['posted']} (+{found['incoming']}), not {posted} (+{incoming})",
        )

    def _signatures_right(self) -> None:
        _expect(not self.receiver.rejected, f"webhooks were not genuine: {dict(Counter(self.receiver.rejected))}")

    def _journal(self) -> list[dict[str, Any]]:
        assert self.platform.visa_simulator is not None
        return self.platform.visa_simulator.journal()

    def _cleared(self) -> int:
        """Return what the clearing system's own books say that we paid to other banks, in minor units."""
        simulator = self.platform.clearing_simulator
        assert simulator is not None
        bic = next(iter(simulator.credentials.participants))
        return simulator.configuration.opening_balance - simulator.books.balance(bic, "KZT")

    def _charged_once(self, payment_id: str, amount: int) -> None:
        lines = [line for line in self._journal() if line["code"] == payment_id and line["kind"] == "authorization"]
        amounts = [line["amount_minor"] for line in lines]
        _expect(amounts == [amount], f"the gateway holds {amounts} for {payment_id}, not {amount} once")


def _order(accounts: Sequence[str]) -> str:
    """Write a pain.001 of three payments of 1 000.00 KZT: to the second account, and twice to another bank."""
    now = datetime.now(UTC)
    other = "<CdtrAgt><FinInstnId><BICFI>HSBKKZKX</BICFI></FinInstnId></CdtrAgt>"
    elsewhere = "<IBAN>KZ306010000000000077</IBAN>"
    payments = "".join(
        f"<CdtTrfTxInf><PmtId><EndToEndId>{name}</EndToEndId></PmtId>"
        f'<Amt><InstdAmt Ccy="KZT">1000.00</InstdAmt></Amt>{bank}<Cdtr><Nm>Timur Testov</Nm></Cdtr>'
        f"<CdtrAcct><Id>{account}</Id></CdtrAcct></CdtTrfTxInf>"
        for name, bank, account in (
            ("demo-1", "", f"<Othr><Id>{accounts[1]}</Id></Othr>"),
            ("demo-2", other, elsewhere),
            ("SIM-RJCT-AC04-demo", other, elsewhere),
        )
    )
    return (
        '<Document xmlns="urn:iso:std:iso:20022:tech:xsd:pain.001.001.09"><CstmrCdtTrfInitn>'
        f"<GrpHdr><MsgId>DEMO-1</MsgId><CreDtTm>{now:%Y-%m-%dT%H:%M:%SZ}</CreDtTm><NbOfTxs>3</NbOfTxs>"
        "<CtrlSum>3000.00</CtrlSum><InitgPty><Nm>Demo</Nm></InitgPty></GrpHdr>"
        f"<PmtInf><PmtInfId>P1</PmtInfId><PmtMtd>TRF</PmtMtd><ReqdExctnDt><Dt>{now:%Y-%m-%d}</Dt></ReqdExctnDt>"
        f"<Dbtr><Nm>Aisulu Testova</Nm></Dbtr><DbtrAcct><Id><Othr><Id>{accounts[0]}</Id></Othr></Id></DbtrAcct>"
        f"<DbtrAgt><FinInstnId><BICFI>SHRQKZKX</BICFI></FinInstnId></DbtrAgt>{payments}</PmtInf>"
        "</CstmrCdtTrfInitn></Document>"
    )


def _steps(demo: Demo) -> list[tuple[str, Callable[[], Awaitable[str]]]]:
    return [
        ("onboarding 1/5: apply", demo.apply),
        ("onboarding 2/5: approve", demo.approve),
        ("onboarding 3/5: API key", demo.claim),
        ("onboarding 4/5: configure", demo.configure),
        ("onboarding 5/5: certify", demo.certify),
        ("customers and accounts", demo.open_accounts),
        ("card becomes a token", demo.tokenize),
        ("authorise", demo.authorize),
        ("capture", demo.capture),
        ("refund a part", demo.refund),
        ("a decline", demo.decline),
        ("a lost answer", demo.lose_answer),
        ("the same request twice", demo.repeat),
        ("P2P transfer", demo.transfer),
        ("a payment file", demo.pay_a_file),
        ("certified, live", demo.go_live),
        ("webhooks", demo.webhooks),
        ("all books agree", demo.compare),
        ("ledger and audit verified", demo.verify),
    ]


async def run_demo(*, as_json: bool) -> int:
    """Run the demo and return the exit code; everything it started is stopped and its directory deleted, however it ends."""
    console = Console(stderr=as_json, quiet=as_json, highlight=False)
    console.print("[dim]A partner's whole way through Shanraq, over HTTP, on this machine.[/]\n")
    # SIGTERM ends a process on the spot, and would leave the directory; as Ctrl-C does, it now cancels the steps.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, signal.raise_signal, signal.SIGINT)
    began = time.perf_counter()
    steps: list[Step] = []
    totals: dict[str, Any] = {}
    async with AsyncExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="shanraq-demo-"))
        stack.callback(shutil.rmtree, folder)
        try:
            demo = await _taken(steps, console, "start", lambda: _start(stack, folder))
            for name, action in _steps(demo) if demo is not None else ():
                if await _taken(steps, console, name, action) is None:
                    break
            if demo is not None:
                totals = demo.totals
        finally:
            await _taken(steps, console, "stop", lambda: _stop(stack))
    totals["ms"] = round((time.perf_counter() - began) * 1000)
    ok = all(step.ok for step in steps)
    if as_json:
        report = {"ok": ok, "steps": [msgspec.to_builtins(step) for step in steps], "totals": totals}
        sys.stdout.write(msgspec.json.encode(report).decode() + "\n")
    else:
        _show(console, totals, ok=ok)
    return 0 if ok else 1


async def _start(stack: AsyncExitStack, folder: Path) -> Demo:
    os.chmod(folder, 0o711)  # noqa: S103 (the account the server runs under may enter, not list)
    receiver = Receiver()
    await receiver.start()
    stack.push_async_callback(receiver.stop)
    settings = Settings(
        data_dir=str(folder),
        port=0,
        webhook_allow_cidrs=("127.0.0.1/32",),
        webhook_allow_ports=(receiver.port,),
        recover_after_seconds=2.0,
        recover_interval_seconds=0.1,
        public_rate_limit_burst=1000,
        visa_sandbox=VisaSettings(timeout_seconds=1.5, index_lag_seconds=0.5),
    )
    now = await stack.enter_async_context(running(settings, USUAL_ROLES))
    http = HttpClient()
    stack.push_async_callback(http.close)
    return Demo(now.platform, now.url, http, receiver)


async def _stop(stack: AsyncExitStack) -> str:
    await stack.aclose()
    return "everything is stopped and deleted"


async def _taken(steps: list[Step], console: Console, name: str, action: Callable[[], Awaitable[Any]]) -> Any:
    """Take a step and note it; None if it failed."""
    began = time.perf_counter()
    result: Any = None
    with console.status(f"[bold]{escape(name)}[/]"):
        try:
            result = await action()
            ok, detail = True, result if isinstance(result, str) else result.url
        except (StepError, ShanraqError, HttpError, OSError) as error:
            ok, detail = False, str(error)
        except Exception as error:
            # An answer of another shape than the contract's fails the step like any other deviation.
            log.exception("demo.step_broke", step=name)
            ok, detail = False, f"something else than was agreed: {type(error).__name__}: {error}"
    step = Step(name, ok, round((time.perf_counter() - began) * 1000, 1), detail)
    steps.append(step)
    if ok:
        line = f"[bold green]ok[/]   [bold]{escape(name):<25}[/] [dim]{step.ms:>5.0f} ms[/]  {escape(detail)}"
    else:
        line = f"[bold red]FAIL[/] [bold]{escape(name):<25}[/] [dim]{step.ms:>5.0f} ms[/]\n     {escape(detail)}"
    console.print(line, soft_wrap=True)
    return result if ok else None


def _show(console: Console, totals: dict[str, Any], *, ok: bool) -> None:
    table = Table(show_header=False, box=None, padding=(0, 2), pad_edge=False)
    table.add_column()
    table.add_column(justify="right")
    for index, balance in enumerate(totals.get("balances", ()), 1):
        table.add_row(f"account of customer {index}", _tenge(balance))
    for status, count in totals.get("payments", {}).items():
        table.add_row(f"payments {status.replace('_', ' ')}", str(count))
    for name in ("ledger_transfers", "events", "webhooks", "audit_entries"):
        if name in totals:
            table.add_row(name.replace("_", " "), str(totals[name]))
    table.add_row("time", f"{totals['ms'] / 1000:.1f} s")
    console.print()
    console.print(table)
    if ok:
        console.print("\n[bold green]It works.[/] Next: [bold]make run[/], then http://127.0.0.1:8080/explorer")
    else:
        console.print("\n[bold red]The demo failed.[/] The step marked FAIL says why.")
