"""The journal: what was answered survives a kill, nothing in it is a card number, and the program that writes it."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import os
import re
import signal
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import structlog

from shanraq.simulators.iso8583 import HostConfiguration, Iso8583Host, Standing, read_journal
from shanraq.standards import iso8583
from tests.simulators.iso8583.acquirer import OTHER_PAN, Acquirer

RRN = "000000000001"
CANARY = "4929000000000000018"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "host.jsonl"


@asynccontextmanager
async def running(file: Path, **settings: object) -> AsyncIterator[tuple[Iso8583Host, Acquirer]]:
    async with Iso8583Host(HostConfiguration(journal=file, **settings)) as host:  # type: ignore[arg-type]
        acquirer = await Acquirer.connect(host)
        yield host, acquirer
        await acquirer.close()


async def test_everything_survives_a_restart(file: Path) -> None:
    async with running(file) as (host, acquirer):
        original = acquirer.authorization(1000, RRN)
        completion = acquirer.completion(original, 600)
        refund = acquirer.refund(100, RRN)
        given = acquirer.purchase(5, de37=None)
        never_seen = acquirer.purchase(700, "000000000002")
        overtaking = acquirer.reversal(never_seen)
        host.fail_next("decline:51", when=lambda message: message.fields.get(37) == "000000000051")
        host.fail_next("partial", when=lambda message: message.fields.get(37) == "000000000010")
        declined, partial = acquirer.purchase(9, "000000000051"), acquirer.purchase(90, "000000000010")
        messages = [original, completion, refund, given, overtaking, declined, partial]
        answers = []
        for message in messages:
            acquirer.tell(message)
            answers.append(await acquirer.raw())
        before = host.standings()

    async with running(file) as (host, acquirer):
        assert host.standings() == before == read_journal(file)
        assert host.standing(RRN) == Standing(1, 600, 100, 400)
        for message, answer in zip(messages, answers, strict=True):
            acquirer.tell(acquirer.repeat(message))
            assert await acquirer.raw() == answer, "a repeat is answered as before the restart"
        assert host.standings() == before
        assert await acquirer.code(never_seen) == "21"
        assert await acquirer.code(acquirer.reversal(completion, de11="000898")) == "21", "a part of it is refunded"
        assert await acquirer.code(acquirer.reversal(refund, de11="000899")) == "00"
        assert await acquirer.code(acquirer.reversal(completion, de11="000900")) == "00"
        assert await acquirer.code(acquirer.reversal(original, de11="000901", de2=OTHER_PAN)) == "25"
        assert await acquirer.code(acquirer.reversal(original, de11="000902")) == "00"
        assert await acquirer.code(acquirer.reversal(original, de11="000903")) == "25"
        after = host.standings()

    assert read_journal(file) == after


async def test_the_same_host_can_be_started_again(file: Path) -> None:
    host = Iso8583Host(HostConfiguration(journal=file))
    for times in (1, 2):
        await host.start()
        acquirer = await Acquirer.connect(host)
        await acquirer.say(acquirer.purchase(10, RRN, de7=f"040112304{times}"))
        await acquirer.close()
        await host.stop()

        assert read_journal(file) == host.standings() == {RRN: Standing(times, 10 * times, 0, 0)}


async def test_a_torn_line_is_cut_off(file: Path) -> None:
    async with running(file) as (_, acquirer):
        await acquirer.say(acquirer.purchase(10, RRN))
    whole = file.read_bytes()
    file.write_bytes(whole + whole.splitlines()[-1][:40])

    assert read_journal(file) == {RRN: Standing(1, 10, 0, 0)}
    assert len(file.read_bytes()) > len(whole), "reading leaves the file alone"
    async with running(file) as (host, _):
        assert host.standing(RRN) == Standing(1, 10, 0, 0)
    assert file.read_bytes() == whole


async def test_a_file_of_a_torn_first_line_or_none_is_begun_anew(file: Path) -> None:
    file.write_bytes(b'{"journal":"sha')
    assert read_journal(file) == {}

    async with running(file) as (host, _):
        assert host.standings() == {}


@pytest.mark.parametrize("content", ["{}\n", "what?\n", '{"journal":"shanraq-iso8583-host/2","salt":"00"}\n'])
async def test_a_file_that_is_no_journal_is_refused(file: Path, content: str) -> None:
    file.write_text(content)

    with pytest.raises(ValueError, match="no journal"):
        await Iso8583Host(HostConfiguration(journal=file)).start()
    assert file.read_text() == content


async def test_a_line_that_is_no_entry_is_named(file: Path) -> None:
    async with running(file) as (_, acquirer):
        await acquirer.say(acquirer.purchase(10, RRN))
    with file.open("a") as lines:
        lines.write('{"sequence":2}\n')

    with pytest.raises(ValueError, match="line 3"):
        read_journal(file)


async def test_a_journal_belongs_to_one_host_and_one_scheme(file: Path) -> None:
    async with running(file):
        with pytest.raises(OSError):
            await Iso8583Host(HostConfiguration(journal=file)).start()
    with pytest.raises(ValueError, match="generic"):
        await Iso8583Host(HostConfiguration(journal=file, scheme="visa")).start()
    async with running(file):
        pass


async def test_what_cannot_be_written_down_is_not_answered(file: Path) -> None:
    async with Iso8583Host(HostConfiguration(journal=file)) as host:
        acquirer = await Acquirer.connect(host)
        assert host._journal is not None
        read_only = os.open(file, os.O_RDONLY)
        os.dup2(read_only, host._journal._descriptor)
        os.close(read_only)

        acquirer.tell(acquirer.purchase(10, RRN))

        assert await acquirer.has_hung_up()
        assert host.counts["journal_failures"] == 1
    assert read_journal(file) == {}


@pytest.fixture
def logged() -> Iterator[io.StringIO]:
    """Everything that is logged, before any redaction."""
    shown = io.StringIO()
    structlog.configure(
        processors=[structlog.processors.KeyValueRenderer()],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),
        logger_factory=structlog.WriteLoggerFactory(file=shown),
        cache_logger_on_first_use=False,
    )
    yield shown
    structlog.reset_defaults()


async def test_no_card_number_leaves_the_host(
    file: Path, capfd: pytest.CaptureFixture[str], logged: io.StringIO
) -> None:
    seen: list[str] = []
    async with running(file, observe=lambda way, message: seen.append(f"{way} {message}")) as (host, acquirer):
        original = acquirer.authorization(1000, RRN, de2=CANARY)
        track = acquirer.authorization(1000, "000000000002", de2=None, de35=f"{CANARY}=2812")
        for message in (original, track, acquirer.completion(original, 100, de2=CANARY)):
            assert await acquirer.code(message) == "00"
        host.fail_next("garbage")
        acquirer.tell(acquirer.repeat(original))
        await acquirer.raw()
        raw = acquirer.codec.encode(original)
        for broken in (raw + b"!", raw[:-1], raw.replace(b"398", b"39x"), raw.replace(b"TERM", CANARY[:4].encode())):
            acquirer.writer.write(acquirer.framing.frame(broken))
            await acquirer.hear()
        assert CANARY not in repr(host) + repr(host.standings()) + repr(host._accounts._operations)

    out, err = capfd.readouterr()
    for text in (out, err, logged.getvalue(), file.read_text(), *seen):
        assert CANARY not in text
        assert CANARY[:12] not in text
    assert "492900*********0018" in file.read_text()
    assert "iso8583_host" in logged.getvalue()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_hashes_of_two_journals_differ(tmp_path: Path) -> None:
    async def hash_of(file: Path) -> str:
        async with running(file) as (_, acquirer):
            await acquirer.say(acquirer.purchase(10, RRN))
        return str(json.loads(file.read_text().splitlines()[1])["card"])

    one, other = (asyncio.run(hash_of(tmp_path / name)) for name in ("one", "other"))

    assert one != other


# The program.

PROGRAM = (sys.executable, "-m", "shanraq", "simulate", "iso8583", "--port", "0")


async def start(*arguments: str) -> tuple[asyncio.subprocess.Process, int]:
    process = await asyncio.create_subprocess_exec(
        *PROGRAM, *arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert process.stdout is not None
    line = (await asyncio.wait_for(process.stdout.readline(), 60)).decode()
    found = re.search(r"127\.0\.0\.1:([0-9]+)", line)
    assert found is not None, line
    return process, int(found[1])


async def connect(port: int) -> Acquirer:
    host = Iso8583Host(HostConfiguration(port=port))
    return await Acquirer.connect(host)


async def test_a_kill_under_load_loses_nothing_that_was_answered(file: Path) -> None:
    answered: dict[str, Standing] = {}
    process, port = await start("--journal", str(file))
    try:
        acquirer = await connect(port)
        requests = {}
        for number in range(4000):
            request = (acquirer.purchase if number % 2 else acquirer.authorization)(10, f"{number:012d}")
            requests[request.fields[37]] = request
        acquirer.tell(*requests.values())
        for _ in range(1000):
            answer = await acquirer.hear()
            is_purchase = answer.mti == "0210"
            answered[answer.fields[37]] = Standing(1, 10, 0, 0) if is_purchase else Standing(1, 0, 0, 10)
        process.kill()
        await process.wait()

        kept = read_journal(file)

        assert answered.items() <= kept.items()
        await acquirer.close()
        process, port = await start("--journal", str(file))
        again = await connect(port)
        again.tell(*(again.repeat(request) for request in requests.values()))
        codes = {(await again.hear()).fields[39] for _ in requests}
        assert codes == {"00"}
        await again.close()
    finally:
        process.send_signal(signal.SIGTERM)
        out, _ = await asyncio.wait_for(process.communicate(), 30)

    standings = read_journal(file).values()
    assert len(standings) == 4000
    assert {one.authorized for one in standings} == {1}, "every repeat was carried out at most once"
    assert process.returncode == 0
    assert "authorized 4000" in out.decode()


async def test_the_program_says_what_it_does_masked_and_keeps_to_its_rules(tmp_path: Path, file: Path) -> None:
    rules = tmp_path / "rules.json"
    rules.write_text(json.dumps([{"match": {"amount": 7}, "then": {"response_code": "05"}}]))
    layout = tmp_path / "own.json"
    layout.write_bytes(iso8583.layout("iso87_asciibin").to_json())
    files = ("--journal", str(file), "--rules", str(rules), "--layout", str(layout))
    process, port = await start(*files, "--verbose", "--seed", "3")
    try:
        acquirer = await connect(port)
        assert await acquirer.code(acquirer.purchase(7, RRN, de2=CANARY)) == "05"
        assert await acquirer.code(acquirer.purchase(8, RRN, de2=CANARY)) == "00"
        await acquirer.close()
    finally:
        process.send_signal(signal.SIGINT)
        out, _ = await asyncio.wait_for(process.communicate(), 30)

    text = out.decode()
    assert process.returncode == 0
    assert CANARY not in text
    assert re.search(r'^in  0200 .*"2": "492900\*{9}0018"', text, re.MULTILINE)
    assert re.search(r'^out 0210 .*"39": "05"', text, re.MULTILINE)
    assert "captured 8" in text


@pytest.mark.parametrize(
    "arguments",
    [
        ("--layout", "iso88"),
        ("--framing", "pigeon"),
        ("--rules", "there-is-no-such-file.json"),
        ("--tls-ca", "ca.pem"),
        ("--tls-cert", "there-is-no-such-file.pem"),
    ],
)
async def test_the_program_refuses_what_it_cannot_use(arguments: tuple[str, ...]) -> None:
    process = await asyncio.create_subprocess_exec(
        *PROGRAM, *arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )

    out, _ = await asyncio.wait_for(process.communicate(), 60)

    assert process.returncode == 1
    assert "error" in out.decode()
    assert "Traceback" not in out.decode()
