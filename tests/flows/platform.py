"""A platform for journeys: a server process that can be killed, a partner with a key, and a client that retries."""

from __future__ import annotations

import asyncio
import base64
import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from shanraq import partners
from shanraq.core.actor import SYSTEM
from shanraq.core.crypto import Keyring
from shanraq.core.db import Database
from shanraq.core.http import HttpClient, HttpError, Request, Response
from shanraq.simulators.visa import VisaSimulator
from tests.cards.scan import complain, findings

APPLICATION = partners.Application(
    legal_name="TOO Drill",
    country="KZ",
    registration_number="990340005977",
    contact_email="drill@example.com",
    website="https://example.com",
)


# Below the ports that systems give to connections: a client that calls a killed server over and over would sooner or later get
# the server's own port for its end of the connection, reach itself, and keep the server from starting again.
PORTS = range(18_000, 32_000)


def free_port() -> int:
    """Return a port nobody listens on and no connection is given."""
    for port in random.sample(PORTS, 200):
        with socket.socket() as listener, suppress(OSError):
            listener.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port is free")


async def onboard(db: Database, keyring: Keyring) -> partners.IssuedKey:
    """Return the first key of a partner that applied and was approved."""
    async with db.begin(SYSTEM) as tx:
        _, token = await partners.create_operator(tx, keyring, "Operator", partners.OPERATOR_SCOPES)
    operator = await partners.authenticate_operator(db, keyring, token)
    partner, claim = await partners.apply(db, keyring, APPLICATION)
    await partners.approve(db, operator, partner.id)
    return await partners.claim_key(db, keyring, claim)


@dataclass
class Server:
    """`shanraq serve` in a process of its own, on an external database and gateway."""

    environment: dict[str, str]
    port: int = field(default_factory=free_port)
    roles: tuple[str, ...] = ("api", "worker")
    log: Path | None = None
    process: subprocess.Popen[bytes] | None = None

    @classmethod
    def on(
        cls, dsn: str, folder: Path, simulator: VisaSimulator | None = None, extra: Mapping[str, str] | None = None
    ) -> Server:
        """Return a server for this database, with its files in `folder`."""
        environment = {
            "SHANRAQ_DATABASE_URL": dsn,
            "SHANRAQ_DATA_DIR": str(folder),
            "SHANRAQ_RATE_LIMIT_PER_SECOND": "100000",
            "SHANRAQ_RATE_LIMIT_BURST": "100000",
            "SHANRAQ_RECOVER_AFTER_SECONDS": "3",
            "SHANRAQ_RECOVER_INTERVAL_SECONDS": "0.2",
            "SHANRAQ_LOG_LEVEL": "error",
            "SHANRAQ_UNSAFE": "true",
        }
        if simulator is not None:
            secret = folder / "visa.secret"
            secret.write_text(simulator.credentials.secret)
            environment |= {
                "SHANRAQ_VISA_SANDBOX_URL": simulator.base_url,
                "SHANRAQ_VISA_SANDBOX_MERCHANT_ID": simulator.credentials.merchant_id,
                "SHANRAQ_VISA_SANDBOX_KEY_ID": simulator.credentials.key_id,
                "SHANRAQ_VISA_SANDBOX_SECRET_FILE": str(secret),
                "SHANRAQ_VISA_SANDBOX_TIMEOUT_SECONDS": "2",
                "SHANRAQ_VISA_SANDBOX_INDEX_LAG_SECONDS": str(simulator.index_lag_seconds),
            }
        return cls(environment | dict(extra or {}), log=folder / "server.log")

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Start the process and wait until it accepts connections."""
        assert self.log is not None
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(  # noqa: ASYNC220
                [sys.executable, "-m", "shanraq", "serve", *self.roles, "--port", str(self.port)],
                env={**os.environ, **self.environment},
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        for _ in range(600):
            if self.process.poll() is not None:
                raise AssertionError(f"the server ended: {self.log.read_text()[-2000:]}")
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
            except OSError:
                await asyncio.sleep(0.05)
                continue
            writer.close()
            return
        raise AssertionError("the server did not start within 30 s")

    def kill(self) -> None:
        """Kill it with signal 9, as a power cut would."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Ask it to stop, and wait."""
        self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> None:
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, number)
            self.process.wait(30)
            assert self.log is not None
            complain(findings(self.log.read_text("utf-8", "backslashreplace")), "the server's log")
        self.process = None


@dataclass
class Client:
    """A partner's client: repeats a keyed request, with its key, until it gets an answer that decides."""

    url: str
    key_id: str
    secret: str
    http: HttpClient = field(default_factory=lambda: HttpClient(connections_per_origin=64))
    retries: int = 0

    @classmethod
    def of(cls, url: str, issued: partners.IssuedKey) -> Client:
        """Return a client with this key."""
        return cls(url, issued.id, issued.secret.reveal())

    async def call(
        self, method: str, path: str, body: object = None, key: str | None = None, *, patience_seconds: float = 180.0
    ) -> tuple[int, Any]:
        """Return (status, JSON) of the first answer below 500 that is not "in progress".

        A recovery that is killed keeps its operation leased for two minutes.
        """
        deadline = asyncio.get_running_loop().time() + patience_seconds
        while True:
            response = await self.once(method, path, body, key)
            if response is not None and not (response.status >= 500 or self._in_progress(response)):
                return response.status, msgspec.json.decode(response.body) if response.body else None
            self.retries += 1
            if asyncio.get_running_loop().time() > deadline:
                raise AssertionError(f"{method} {path}: no answer; last {response and response.body!r}")
            await asyncio.sleep(0.05)

    async def once(self, method: str, path: str, body: object = None, key: str | None = None) -> Response | None:
        """Send a request once; None if there was no answer."""
        basic = base64.b64encode(f"{self.key_id}:{self.secret}".encode()).decode()
        headers = [("Authorization", f"Basic {basic}")]
        if key is not None:
            headers.append(("Idempotency-Key", key))
        if body is not None:
            headers.append(("Content-Type", "application/json"))
        payload = b"" if body is None else msgspec.json.encode(body)
        try:
            response = await self.http.send(Request(method, self.url + path, tuple(headers), payload), 10.0)
        except HttpError:
            return None
        # Killed in the middle of its answer: that is none.
        return None if response.truncated else response

    @staticmethod
    def _in_progress(response: Response) -> bool:
        if response.status not in (409, 429):
            return False
        return response.status == 429 or msgspec.json.decode(response.body)["code"] in (
            "idempotency_key_in_use",
            "payment_busy",
            "contended",
        )
