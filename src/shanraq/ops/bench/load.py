"""Load the REST interface from a process of its own: `python -m shanraq.ops.bench.load`, settings as JSON on stdin.

Keeps a number of requests under way for a time, to a loopback address only, and prints what it saw as JSON.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import secrets
import sys
import time
from collections import Counter
from itertools import count
from random import Random
from typing import Final
from urllib.parse import urlsplit

import msgspec
import uvloop

from shanraq import partners
from shanraq.core.http import HttpClient, HttpError, Request

_LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")
_MOST_SECONDS: Final = 120.0
_MOST_CONNECTIONS: Final = 256


class Partner(msgspec.Struct, frozen=True):
    """Whose money is moved: a key, its secret or signing secret, accounts."""

    key_id: str
    secret: str
    accounts: list[str]


class Plan(msgspec.Struct, frozen=True):
    """What to send: transfers between accounts of each partner, to the servers in turn, by secret or signed."""

    urls: list[str]
    partners: list[Partner]
    connections: int
    seconds: float
    signed: bool = False


class Seen(msgspec.Struct, frozen=True):
    """What came of it: answers by status, requests a second that moved money, latency in milliseconds."""

    requests_per_second: float
    p50_milliseconds: float
    p99_milliseconds: float
    statuses: dict[str, int]


async def load(plan: Plan) -> Seen:
    """Send until the time is over."""
    if any(urlsplit(url).hostname not in _LOOPBACK for url in plan.urls):
        raise ValueError("only a loopback address is loaded")
    client = HttpClient(connections_per_origin=plan.connections)
    statuses: Counter[str] = Counter()
    latencies: list[float] = []
    numbers = count()
    run = secrets.token_hex(4)
    dice = Random(1)  # noqa: S311 (spreads the load, the same in every run)
    deadline = time.perf_counter() + min(plan.seconds, _MOST_SECONDS)

    async def one_client(number: int) -> None:
        url, partner = plan.urls[number % len(plan.urls)], plan.partners[number % len(plan.partners)]
        while (began := time.perf_counter()) < deadline:
            debit, credit = dice.sample(partner.accounts, 2)
            body = msgspec.json.encode(
                {"debit_account": debit, "credit_account": credit, "amount": dice.randint(1, 1000), "currency": "KZT"}
            )
            request = _request(url, partner, body, f"{run}-{next(numbers)}", signed=plan.signed)
            try:
                response = await client.send(request, 30.0)
            except HttpError as error:
                statuses[error.error_code] += 1
                continue
            statuses[str(response.status)] += 1
            if response.status == 201:
                latencies.append(time.perf_counter() - began)

    began = time.perf_counter()
    await asyncio.gather(*(one_client(number) for number in range(min(plan.connections, _MOST_CONNECTIONS))))
    took = time.perf_counter() - began
    await client.close()
    latencies.sort()
    return Seen(
        round(len(latencies) / took, 1),
        round(percentile(latencies, 0.50) * 1000, 2),
        round(percentile(latencies, 0.99) * 1000, 2),
        dict(statuses),
    )


def _request(url: str, partner: Partner, body: bytes, key: str, *, signed: bool) -> Request:
    target = "/v1/transactions"
    headers = [("Content-Type", "application/json"), ("Idempotency-Key", key)]
    if signed:
        timestamp, nonce = int(time.time()), secrets.token_hex(16)
        text = partners.signed_text(timestamp, nonce, "POST", target, hashlib.sha256(body).hexdigest())
        signature = hmac.digest(partner.secret.encode(), text, "sha256").hex()
        headers += [
            ("Shanraq-Key", partner.key_id),
            ("Shanraq-Timestamp", str(timestamp)),
            ("Shanraq-Nonce", nonce),
            ("Shanraq-Signature", f"v1={signature}"),
        ]
    else:
        basic = base64.b64encode(f"{partner.key_id}:{partner.secret}".encode()).decode()
        headers.append(("Authorization", f"Basic {basic}"))
    return Request("POST", url + target, tuple(headers), body)


def percentile(ordered: list[float], share: float) -> float:
    """Return the value below which a share of ordered values lies; 0 for none."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


def main() -> None:
    """Read a plan, carry it out, print what was seen."""
    plan = msgspec.json.decode(sys.stdin.buffer.read(), type=Plan)
    sys.stdout.buffer.write(msgspec.json.encode(uvloop.run(load(plan))))


if __name__ == "__main__":
    main()
