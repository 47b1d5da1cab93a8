from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import stat
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from shanraq.simulators.visa import VisaCredentials, VisaSimulator
from tests.simulators.visa.client import VISA, Merchant, reversal


def merchant_of(simulator: VisaSimulator) -> Merchant:
    known = simulator.credentials
    return Merchant(simulator.base_url, known.merchant_id, known.key_id, known.secret)


async def test_payments_survive_a_restart(tmp_path: Path) -> None:
    credentials = VisaCredentials.generate()
    file = tmp_path / "journal.jsonl"
    async with VisaSimulator(credentials, journal=file) as first:
        before = merchant_of(first)
        payment_id = await before.authorized("100.00", transaction_id="t-1")
        capture_id = (await before.capture(payment_id, "60.00")).json()["id"]
        await before.refund(capture_id, "10.00")
        first.cut_off()
        first.advance_clock(3600)
        await before.http.aclose()
        told = first.journal()

    async with VisaSimulator(credentials, journal=file) as second:
        after = merchant_of(second)

        assert second.journal() == told
        assert (await after.capture(payment_id, "40.01")).json()["reason"] == "EXCEEDS_AUTH_AMOUNT"
        assert (await after.refund(capture_id, "50.00")).status_code == 201
        assert (await after.void("captures", capture_id)).json()["reason"] == "NOT_VOIDABLE"
        assert (await after.post("/pts/v2/reversals", reversal("40.00", "t-1"))).status_code == 201
        assert await after.search("clientReferenceInformation.transactionId:t-1") != []
        assert len({line["id"] for line in second.journal()}) == len(told) + 2
        await after.http.aclose()


async def test_the_same_simulator_can_be_started_again(tmp_path: Path) -> None:
    simulator = VisaSimulator(VisaCredentials.generate(), journal=tmp_path / "journal.jsonl")
    for expected in (1, 2):
        await simulator.start()
        merchant = merchant_of(simulator)
        await merchant.authorize()
        await merchant.http.aclose()
        await simulator.stop()

        assert len(simulator.journal()) == expected


async def test_a_line_cut_off_by_a_crash_is_taken_away(tmp_path: Path) -> None:
    credentials = VisaCredentials.generate()
    file = tmp_path / "journal.jsonl"
    async with VisaSimulator(credentials, journal=file) as first:
        merchant = merchant_of(first)
        await merchant.authorize()
        await merchant.http.aclose()
    whole = file.read_bytes()
    file.write_bytes(whole + whole[:50])

    async with VisaSimulator(credentials, journal=file) as second:
        assert len(second.journal()) == 1
    assert file.read_bytes() == whole


async def test_a_journal_that_is_none_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "journal.jsonl"
    file.write_text('{"entry": "unknown"}\n')

    with pytest.raises(ValueError, match="unknown"):
        await VisaSimulator(VisaCredentials.generate(), journal=file).start()


async def test_a_payment_that_cannot_be_written_down_is_not_taken(tmp_path: Path) -> None:
    file = tmp_path / "journal.jsonl"
    async with VisaSimulator(VisaCredentials.generate(), journal=file) as simulator:
        merchant = merchant_of(simulator)
        assert simulator._journal is not None
        read_only = os.open(file, os.O_RDONLY)
        os.dup2(read_only, simulator._journal._descriptor)
        os.close(read_only)

        reply = await merchant.authorize()

        assert (reply.status_code, reply.json()["reason"]) == (502, "SYSTEM_ERROR")
        assert simulator.journal() == []
        await merchant.http.aclose()


async def test_no_card_number_security_code_or_secret_leaves_the_simulator(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    credentials = VisaCredentials.generate()
    file = tmp_path / "journal.jsonl"
    replies: list[str] = []
    async with VisaSimulator(credentials, index_lag_seconds=0, journal=file) as simulator:
        merchant = merchant_of(simulator)
        simulator.fail_next("http_502", processed=True)
        for number in (VISA, VISA, "4000000204000006", "4000000232000002", "4000000475000008"):
            reply = await merchant.authorize(number=number, security_code="9517", sale=True)
            replies.append(reply.text)
        for operation in simulator.journal():
            details = await merchant.get(f"/tss/v2/transactions/{operation['id']}")
            replies.append(details.text)
        replies.append(json.dumps(await merchant.search("clientReferenceInformation.code:order-1")))
        replies.append(json.dumps(simulator.journal()))
        await merchant.http.aclose()

    for text in (*replies, file.read_text(), *capsys.readouterr(), repr(credentials)):
        assert VISA not in text
        assert "9517" not in re.findall(r"\b[0-9]{4}\b", text)
        assert credentials.secret not in text
        assert "Bearer" not in text
        for digits in re.findall(r"(?<![0-9])[0-9]{13,19}(?![0-9])", text):
            assert not has_check_digit(digits), f"{digits} could be a card number"
    assert file.stat().st_mode & 0o077 == 0


def has_check_digit(digits: str) -> bool:
    total = 0
    for position, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + position % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def test_credentials_are_kept_for_their_owner_with_keys_that_are_not_known(tmp_path: Path) -> None:
    file = tmp_path / "credentials.json"
    VisaCredentials.generate().save(file)
    stored = json.loads(file.read_text()) | {"note": "kept"}
    file.write_text(json.dumps(stored))

    VisaCredentials.load(file).save(file)

    assert json.loads(file.read_text()) == stored
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["credentials.json"]


@pytest.mark.parametrize(
    "change", [{"secret": "not base64!"}, {"secret": 17}, {"other_key_id": ""}, {"merchant_id": None}]
)
def test_credentials_that_cannot_serve_are_refused_without_showing_them(
    tmp_path: Path, change: dict[str, object]
) -> None:
    file = tmp_path / "credentials.json"
    VisaCredentials.generate().save(file)
    file.write_text(json.dumps(json.loads(file.read_text()) | change))

    with pytest.raises(ValueError, match="credentials: ") as caught:
        VisaCredentials.load(file)
    assert "not base64!" not in str(caught.value)


def test_credentials_that_are_no_object_or_lack_keys_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "credentials.json"
    for content, message in (("[]", "JSON object"), ("{", "JSON object"), ("{}", "lacks merchant_id")):
        file.write_text(content)
        with pytest.raises(ValueError, match=message):
            VisaCredentials.load(file)


def test_two_merchants_with_one_name_are_refused() -> None:
    known = VisaCredentials.generate()

    with pytest.raises(ValueError, match="must differ"):
        VisaCredentials("a", "k", known.secret, "a", "l", known.secret)


async def test_the_program_keeps_payments_when_killed_and_stops_cleanly_when_asked(tmp_path: Path) -> None:
    credentials, file = tmp_path / "credentials.json", tmp_path / "journal.jsonl"
    program = (
        "from pathlib import Path; from shanraq.simulators.visa import run_visa_simulator;"
        f"run_visa_simulator('127.0.0.1', 0, Path({str(credentials)!r}), journal=Path({str(file)!r}))"
    )

    async def start() -> tuple[asyncio.subprocess.Process, Merchant]:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", program, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert process.stdout is not None
        while b"listens on" not in (line := await asyncio.wait_for(process.stdout.readline(), 30)):
            assert line, (await process.communicate())[1].decode()
        known = VisaCredentials.load(credentials)
        base_url = re.search(r"http://\S+", line.decode())
        assert base_url is not None
        return process, Merchant(base_url[0], known.merchant_id, known.key_id, known.secret)

    process, merchant = await start()
    payment_id = await merchant.authorized()
    process.kill()
    await process.wait()
    await merchant.http.aclose()

    process, merchant = await start()
    assert (await merchant.get(f"/tss/v2/transactions/{payment_id}")).status_code == 200
    process.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(process.wait(), 10) == 0
    with pytest.raises(httpx.TransportError):
        await merchant.authorize()
    await merchant.http.aclose()
