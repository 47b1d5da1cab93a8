from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from shanraq import webhooks
from shanraq.core.http import HttpClient, Request
from shanraq.ops.app import Platform
from shanraq.ops.demo import Caller, Demo, StepError
from shanraq.ops.demo_receiver import Receiver
from shanraq.webhooks.signing import sign

DEMO = (sys.executable, "-m", "shanraq", "demo", "--json")
STEPS = 21


def processes_of(folder: str) -> list[str]:
    """Return the command lines of processes that still use the folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
            except OSError:
                continue
            if folder in line:
                found.append(line)
    return found


def run(*command: str, scratch: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(command, capture_output=True, timeout=120, env={**os.environ, "TMPDIR": scratch}, check=False)


@pytest.fixture
def scratch() -> Iterator[str]:
    """A directory for temporary files that the database server's account may enter."""
    folder = tempfile.mkdtemp(prefix="shq")
    os.chmod(folder, 0o711)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    started = Receiver()
    await started.start()
    yield started
    await started.stop()


@pytest.fixture
async def http() -> AsyncIterator[HttpClient]:
    client = HttpClient()
    yield client
    await client.close()


def test_the_demo_takes_every_step_and_leaves_nothing_behind(scratch: str) -> None:
    done = run(*DEMO, scratch=scratch)

    report = json.loads(done.stdout)
    assert report["ok"], [step for step in report["steps"] if not step["ok"]]
    assert done.returncode == 0
    assert done.stderr == b""
    assert len(report["steps"]) == STEPS
    assert all(set(step) == {"name", "ok", "ms", "detail"} for step in report["steps"])
    assert report["totals"]["webhooks"] > 20
    assert report["totals"]["balances"] == [1_369_900, 350_000]
    assert list(Path(scratch).iterdir()) == []
    assert processes_of(scratch) == []


def test_a_demo_that_cannot_start_says_why_and_leaves_nothing_behind(scratch: str) -> None:
    # No file above a megabyte: a full disk, as far as the database server can tell.
    done = run("bash", "-c", 'ulimit -f 1000; exec "$@"', "demo", *DEMO, scratch=scratch)

    report = json.loads(done.stdout)
    assert done.returncode == 1
    assert not report["ok"]
    assert [(step["name"], step["ok"]) for step in report["steps"]] == [("start", False), ("stop", True)]
    assert "initdb" in report["steps"][0]["detail"]
    assert list(Path(scratch).iterdir()) == []
    assert processes_of(scratch) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_leaves_nothing_behind(scratch: str, number: signal.Signals) -> None:
    with subprocess.Popen(
        DEMO, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, "TMPDIR": scratch}
    ) as demo:
        deadline = time.monotonic() + 60
        while not list(Path(scratch).glob("shanraq-demo-*/simulators/visa.jsonl")):
            assert demo.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        demo.send_signal(number)
        output, errors = demo.communicate(timeout=60)

    assert (demo.returncode, output, errors) == (130, b"", b"")
    assert list(Path(scratch).iterdir()) == []
    assert processes_of(scratch) == []


@dataclass
class Scripted(Caller):
    """A caller that gets the answers it is given, in turn."""

    answers: list[tuple[int, Any, bool]] = field(default_factory=list)

    async def send(self, method: str, path: str, body: object = None, key: str | None = None) -> tuple[int, Any, bool]:
        """Return the next answer."""
        return self.answers.pop(0)


async def test_a_demo_notices_that_the_same_operator_can_approve(receiver: Receiver, http: HttpClient) -> None:
    demo = Demo(cast(Platform, None), "", http, receiver)
    demo.operators = {"Aigerim": Scripted("", http, answers=[(200, {"status": "approved"}, False)])}

    with pytest.raises(StepError, match="must be refused, and got 200"):
        await demo.approve()


async def test_a_demo_notices_a_second_payment_under_one_key(receiver: Receiver, http: HttpClient) -> None:
    demo = Demo(cast(Platform, None), "", http, receiver)
    demo.accounts, demo.cards = ["acc_1"], {"visa": "pm_1"}
    demo.partner = Scripted("", http, answers=[(201, {"id": "pay_1"}, False), (201, {"id": "pay_2"}, True)])

    with pytest.raises(StepError, match="two payments were made"):
        await demo.repeat()


async def deliver(http: HttpClient, receiver: Receiver, signature: str, body: bytes) -> int:
    headers = (
        ("webhook-id", "msg_1"),
        ("webhook-timestamp", str(int(time.time()))),
        ("webhook-signature", signature),
        ("content-type", "application/json"),
    )
    return (await http.send(Request("POST", receiver.url, headers, body), 10.0)).status


async def test_the_receiver_believes_what_is_signed_for_it_once(receiver: Receiver, http: HttpClient) -> None:
    secret, body = webhooks.HmacSecret.generate(), b'{"id":"evt_1","sequence":"1"}'
    receiver.expect(secret.text())
    genuine = sign(secret, "msg_1", int(time.time()), body)
    forged = sign(webhooks.HmacSecret.generate(), "msg_1", int(time.time()), body)

    statuses = [await deliver(http, receiver, signature, body) for signature in (genuine, genuine, forged)]

    assert statuses == [204, 204, 401]
    assert receiver.events == {"evt_1": {"id": "evt_1", "sequence": "1"}}
    assert receiver.rejected == ["no_matching_signature"]


async def test_what_overtakes_the_secret_waits_for_it(receiver: Receiver, http: HttpClient) -> None:
    secret, body = webhooks.HmacSecret.generate(), b'{"id":"evt_1","sequence":"1"}'
    signature = sign(secret, "msg_1", int(time.time()), body)
    delivery = asyncio.create_task(deliver(http, receiver, signature, body))
    await asyncio.sleep(0.05)

    receiver.expect(secret.text())

    assert await delivery == 204
    assert list(receiver.events) == ["evt_1"]
