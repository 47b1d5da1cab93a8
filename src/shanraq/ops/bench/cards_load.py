"""Load for the benchmark of cards, from a process of its own: `main`, with a plan on standard input.

Only loopback addresses are loaded. A plan is one of: calls of the adapter, one after another; requests signed beforehand and
sent as fast as they are answered; payments authorised and captured over the platform's REST interface.
"""

from __future__ import annotations

import asyncio
import base64
import secrets
import sys
import time
from collections import Counter
from itertools import count
from random import Random
from typing import Final, Literal
from urllib.parse import urlsplit

import msgspec
import uvloop

from shanraq.adapters.visa import VisaAdapter, VisaConfiguration
from shanraq.adapters.visa.sign import Signer
from shanraq.adapters.visa.wire import request_of
from shanraq.core import log
from shanraq.core.http import HttpClient, HttpError, Request
from shanraq.core.money import Currency, Money
from shanraq.core.secret import Pan, Secret, SecurityCode
from shanraq.ops.bench.load import Seen, percentile
from shanraq.payments.adapter import Approved, Authorize, Billing, Card

_LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")
_MOST_SIGNED: Final = 60_000
_SIGNED_A_SECOND: Final = 6_000


class Gateway(msgspec.Struct, frozen=True):
    """A merchant at the simulator."""

    url: str
    merchant_id: str
    key_id: str
    secret: str


class Calls(msgspec.Struct, frozen=True, tag=True):
    """Authorise `number` times through the adapter."""

    gateway: Gateway
    number: int


class Hammer(msgspec.Struct, frozen=True, tag=True):
    """Send authorisations, made beforehand, for `seconds`; those for Visa are signed (JWT with HS256)."""

    gateway: Gateway
    connections: int
    seconds: float
    simulator: Literal["visa", "mastercard"] = "visa"


class Pairs(msgspec.Struct, frozen=True, tag=True):
    """Authorise and capture for `seconds`."""

    url: str
    key_id: str
    secret: str
    accounts: list[str]
    cards: list[str]
    connections: int
    seconds: float

    @staticmethod
    def signed_request(url: str, key_id: str, secret: str, body: bytes, key: str) -> Request:
        """Return a keyed POST with the partner's credentials."""
        basic = base64.b64encode(f"{key_id}:{secret}".encode()).decode()
        return Request(
            "POST",
            url,
            (
                ("Authorization", f"Basic {basic}"),
                ("Content-Type", "application/json"),
                ("Idempotency-Key", key),
            ),
            body,
        )


class Spent(msgspec.Struct, frozen=True):
    """CPU milliseconds a call; of the SDK also with one client object for all calls."""

    cpu_milliseconds: float
    cpu_milliseconds_kept: float = 0.0


class Throughput(msgspec.Struct, frozen=True):
    """Answers by status, and how long it took."""

    statuses: dict[str, int]
    seconds: float


async def call(plan: Calls) -> Spent:
    """Authorise one after another, and count the CPU of this process."""
    gateway = plan.gateway
    client = HttpClient()
    adapter = VisaAdapter(
        VisaConfiguration(gateway.url, gateway.merchant_id, gateway.key_id, Secret(gateway.secret)), client
    )
    for number in range(-20, plan.number):
        if number == 0:
            began = time.process_time()
        outcome = await adapter.authorize(_authorize(number))
        if not isinstance(outcome, Approved):
            raise TypeError(f"not approved: {outcome}")
    spent = time.process_time() - began
    await client.close()
    return Spent(spent / plan.number * 1000)


async def hammer(plan: Hammer) -> Throughput:
    """Sign beforehand, then send over some connections as fast as answers come."""
    gateway = plan.gateway
    parts = urlsplit(gateway.url)
    number = min(_MOST_SIGNED, int(_SIGNED_A_SECOND * plan.seconds))
    if plan.simulator == "visa":
        signer = Signer(gateway.merchant_id, gateway.key_id, Secret(gateway.secret))
        waiting = [_signed(signer, parts.netloc, one) for one in range(number)]
    else:
        run = secrets.token_hex(8)
        waiting = [_with_password(gateway, parts.netloc, f"{run}-{one}") for one in range(number)]
    statuses: Counter[str] = Counter()
    deadline = time.perf_counter() + plan.seconds

    async def one_connection() -> None:
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        while waiting and time.perf_counter() < deadline:
            writer.write(waiting.pop())
            head = await reader.readuntil(b"\r\n\r\n")
            statuses[head[9:12].decode()] += 1
            await reader.readexactly(int(head.partition(b"Content-Length: ")[2].partition(b"\r\n")[0]))
        writer.close()

    began = time.perf_counter()
    await asyncio.gather(*(one_connection() for _ in range(plan.connections)))
    return Throughput(dict(statuses), time.perf_counter() - began)


async def pair(plan: Pairs) -> Seen:
    """Authorise and capture until the time is over."""
    client = HttpClient(connections_per_origin=plan.connections)
    statuses: Counter[str] = Counter()
    latencies: list[float] = []
    numbers, run = count(), secrets.token_hex(4)
    dice = Random(1)  # noqa: S311 (spreads the load, the same in every run)
    deadline = time.perf_counter() + plan.seconds

    async def post(path: str, body: bytes, key: str) -> tuple[str, bytes]:
        request = Pairs.signed_request(plan.url + path, plan.key_id, plan.secret, body, key)
        try:
            response = await client.send(request, 30.0)
        except HttpError as error:
            return error.error_code, b""
        return str(response.status), response.body

    async def one_client() -> None:
        while (began := time.perf_counter()) < deadline:
            number = f"{run}-{next(numbers)}"
            new = {
                "payment_method_id": dice.choice(plan.cards), "account_id": dice.choice(plan.accounts),
                "amount": dice.randint(100, 100_000), "currency": "KZT", "security_code": "123",
            }  # fmt: skip
            status, answer = await post("/v1/payments", msgspec.json.encode(new), number)
            payment = msgspec.json.decode(answer) if status == "201" else {}
            if payment.get("status") != "authorized":
                statuses[f"authorise {status} {payment.get('status', '')}".strip()] += 1
                continue
            status, answer = await post(f"/v1/payments/{payment['id']}/capture", b"{}", f"{number}-c")
            captured = msgspec.json.decode(answer) if status.startswith("2") else {}
            statuses[f"capture {status} {captured.get('status', '')}".strip()] += 1
            if captured.get("status") == "captured":
                latencies.append(time.perf_counter() - began)

    began = time.perf_counter()
    await asyncio.gather(*(one_client() for _ in range(plan.connections)))
    took = time.perf_counter() - began
    await client.close()
    latencies.sort()
    return Seen(
        round(len(latencies) / took, 1),
        round(percentile(latencies, 0.50) * 1000, 2),
        round(percentile(latencies, 0.99) * 1000, 2),
        dict(statuses),
    )


def _authorize(number: int) -> Authorize:
    return Authorize(
        operation_id=f"op{secrets.token_hex(12)}",
        reference=f"bench-{number}",
        amount=Money(10_221, Currency.of("KZT")),
        card=Card(Pan("4111111111111111"), 12, 2031, SecurityCode("123")),
        billing=Billing(
            first_name="Aigerim", last_name="Testova", email="test@example.com", address="Abay 1", city="Almaty",
            postal_code="050000", country="KZ",
        ),
    )  # fmt: skip


def _signed(signer: Signer, host: str, number: int) -> bytes:
    _, path, body = request_of(_authorize(number))
    token = signer.token("POST", host, path, body, issued_at=int(time.time()))
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _with_password(gateway: Gateway, host: str, order: str) -> bytes:
    """Return AUTHORIZE of the Mastercard Gateway (MPGS, version 100)."""
    card = {"number": "5123450000000008", "expiry": {"month": "1", "year": "39"}, "securityCode": "100"}
    body = msgspec.json.encode(
        {
            "apiOperation": "AUTHORIZE",
            "billing": {"address": {"street": "Abay 1", "city": "Almaty", "country": "KAZ"}},
            "order": {"amount": "102.21", "currency": "KZT", "reference": order},
            "sourceOfFunds": {"type": "CARD", "provided": {"card": card}},
        }
    )
    basic = base64.b64encode(f"merchant.{gateway.merchant_id}:{gateway.secret}".encode()).decode()
    path = f"/api/rest/version/100/merchant/{gateway.merchant_id}/order/{order}/transaction/1"
    head = (
        f"PUT {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Basic {basic}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def main() -> None:
    """Read a plan, carry it out, print what was seen."""
    log.configure("error")
    plan = msgspec.json.decode(sys.stdin.buffer.read(), type=Calls | Hammer | Pairs)
    url = plan.url if isinstance(plan, Pairs) else plan.gateway.url
    if urlsplit(url).hostname not in _LOOPBACK:
        raise ValueError("only a loopback address is loaded")
    match plan:
        case Calls():
            seen: Spent | Throughput | Seen = uvloop.run(call(plan))
        case Hammer():
            seen = uvloop.run(hammer(plan))
        case Pairs():
            seen = uvloop.run(pair(plan))
    sys.stdout.buffer.write(msgspec.json.encode(seen))


if __name__ == "__main__":
    main()
