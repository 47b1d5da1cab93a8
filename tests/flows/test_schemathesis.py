"""Fuzz the running server from its own document: no 5xx, no undocumented answer, bodies as described."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from shanraq import partners
from shanraq.core.actor import SYSTEM
from shanraq.core.crypto import Keyring
from shanraq.core.db import Database
from shanraq.simulators.visa import VisaCredentials, VisaSimulator
from tests.flows.platform import Client, Server, onboard
from tests.flows.test_kill_drill import lay_ground

EXAMPLES = 300 if os.environ.get("SHANRAQ_DRILL") == "full" else 4
PHASES = "examples,coverage,fuzzing,stateful" if EXAMPLES > 100 else "examples,coverage,fuzzing"
CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,"
    "response_schema_conformance"
)


@dataclass
class Target:
    """A running server with a partner's key and an operator's token."""

    url: str
    key: str
    token: str


@pytest.fixture
async def target(database: Database, owner_dsn: str, tmp_path: Path) -> AsyncIterator[Target]:
    (tmp_path / "keys").mkdir()
    keyring = Keyring.load_or_create(tmp_path / "keys" / "master.keys")
    async with VisaSimulator(VisaCredentials.generate(), index_lag_seconds=0.2) as simulator:
        limits = {"SHANRAQ_PUBLIC_RATE_LIMIT_PER_SECOND": "100000", "SHANRAQ_PUBLIC_RATE_LIMIT_BURST": "100000"}
        server = Server.on(owner_dsn, tmp_path, simulator, limits)
        issued = await onboard(database, keyring)
        async with database.begin(SYSTEM) as tx:
            _, token = await partners.create_operator(tx, keyring, "Fuzzer", partners.OPERATOR_SCOPES)
        await server.start()
        try:
            await lay_ground(Client.of(server.url, issued))
            yield Target(server.url, f"{issued.id}:{issued.secret.reveal()}", token.reveal())
        finally:
            server.stop()
            log = (tmp_path / "server.log").read_text()
            assert "Traceback" not in log, log[-3000:]


async def fuzz(target: Target, folder: Path, *arguments: str) -> str:
    """Run schemathesis and return what it said, once it found nothing."""
    running = await asyncio.create_subprocess_exec(
        Path(sys.executable).parent / "schemathesis", "run", f"{target.url}/openapi-3.1.json",
        "--phases", PHASES, "--max-examples", str(EXAMPLES), "--checks", CHECKS, "--seed", "20261125", "--no-color",
        "--generation-deterministic", *arguments,
        cwd=folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await running.communicate()
    assert running.returncode == 0, output.decode()[-8000:]
    return output.decode()


@pytest.mark.drill
@pytest.mark.timeout(3600)
async def test_a_partner_finds_no_crash_and_no_undocumented_answer(target: Target, tmp_path: Path) -> None:
    # Suspending, closing and revoking would end the credentials it works with.
    said = await fuzz(
        target, tmp_path, "--auth", target.key, "--exclude-path-regex", "api-keys/|/v1/partners|/metrics",
        "--exclude-method", "DELETE",
    )  # fmt: skip

    assert "Operations" in said


@pytest.mark.drill
@pytest.mark.timeout(3600)
async def test_an_operator_finds_no_crash_and_no_undocumented_answer(target: Target, tmp_path: Path) -> None:
    said = await fuzz(
        target, tmp_path, "-H", f"Authorization: Bearer {target.token}", "--include-path-regex", "^/v1/partners|^/v1/auth",
    )  # fmt: skip

    assert "Operations" in said
