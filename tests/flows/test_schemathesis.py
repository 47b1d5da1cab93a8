"""Fuzz the running server from its own document: no 5xx, no undocumented answer, bodies as described."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from shanraq import partners
from shanraq.core.actor import SYSTEM
from shanraq.core.crypto import Keyring
from shanraq.core.db import Database
from shanraq.simulators.visa import VisaCredentials, VisaSimulator
from tests.flows.platform import Client, Server, onboard
from tests.flows.test_kill_drill import lay_ground

ROOT = Path(__file__).resolve().parents[2]
FULL = os.environ.get("SHANRAQ_DRILL") == "full"
EXAMPLES = 300 if FULL else 10
OWN_KEYS = "^/v1/api-keys/"
OPERATORS = "^/v1/(partners|routing)"
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


async def fuzz(target: Target, folder: Path, *arguments: str, following_links: bool = True) -> None:
    """Run schemathesis on the operations that `arguments` choose; fail with what it says if it finds anything.

    `following_links` has it use the ids of one answer in the next request, in the full drill.
    """
    phases = "examples,coverage,fuzzing" + (",stateful" if FULL and following_links else "")
    running = await asyncio.create_subprocess_exec(
        Path(sys.executable).parent / "schemathesis", "run", f"{target.url}/openapi-3.1.json",
        "--phases", phases, "--max-examples", str(EXAMPLES), "--checks", CHECKS, "--no-color",
        "--generation-deterministic", *arguments,
        cwd=folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        output, _ = await running.communicate()
    finally:
        if running.returncode is None:
            running.kill()
    assert running.returncode == 0, output.decode()[-8000:]


@pytest.mark.drill
@pytest.mark.timeout(3600)
async def test_a_partner_finds_no_crash_and_no_undocumented_answer(target: Target, tmp_path: Path) -> None:
    await fuzz(target, tmp_path, "--auth", target.key, "--exclude-path-regex", f"{OWN_KEYS}|{OPERATORS}")


@pytest.mark.drill
@pytest.mark.timeout(3600)
async def test_the_ways_to_end_a_key_have_no_crash_and_no_undocumented_answer(target: Target, tmp_path: Path) -> None:
    # Apart from the others, and without links: it must not find the key it works with.
    await fuzz(target, tmp_path, "--auth", target.key, "--include-path-regex", OWN_KEYS, following_links=False)


@pytest.mark.drill
@pytest.mark.timeout(3600)
async def test_an_operator_finds_no_crash_and_no_undocumented_answer(target: Target, tmp_path: Path) -> None:
    bearer = f"Authorization: Bearer {target.token}"
    await fuzz(target, tmp_path, "-H", bearer, "--include-path-regex", f"{OPERATORS}|^/v1/authentication")


async def test_the_running_server_serves_the_committed_documents(target: Target) -> None:
    async with httpx.AsyncClient(base_url=target.url) as client:
        for name in ("openapi-3.1.json", "openapi-3.0.json"):
            answer = await client.get(f"/{name}")

            assert answer.content == (ROOT / "openapi" / name).read_bytes()
