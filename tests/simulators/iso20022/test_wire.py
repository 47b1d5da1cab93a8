from __future__ import annotations

import asyncio
import gzip
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from shanraq.simulators.iso20022 import ClearingConfiguration, ClearingCredentials, ClearingSimulator, Member
from shanraq.simulators.iso20022.books import Books
from shanraq.standards.iso20022.signatures import SHANRAQ, SignatureError, verify
from tests.simulators.iso20022.participant import Order, Participant, statuses, transfers

CREDENTIALS = ClearingCredentials.generate(others=("TSESKZKA",))
STRANGERS = ClearingCredentials.generate()


@pytest.fixture
async def clearing() -> AsyncIterator[ClearingSimulator]:
    configuration = ClearingConfiguration(credentials=CREDENTIALS, message_limit_bytes=200_000)
    async with ClearingSimulator(configuration) as simulator:
        yield simulator


@pytest.fixture
def bank(clearing: ClearingSimulator) -> Participant:
    return Participant(clearing)


def message(bank: Participant, business_id: str = "M1", order: Order | None = None) -> bytes:
    return bank.envelope("pacs.008.001.08", transfers([order or Order()]), business_id)


async def test_a_message_is_taken_once(bank: Participant) -> None:
    envelope = message(bank)

    answers = [await bank.post(bank.sign(envelope)) for _ in range(3)]

    assert [answer.json()["duplicate"] for answer in answers] == [False, True, True]
    assert len(await bank.hear()) == 1


async def test_an_identifier_belongs_to_one_message(bank: Participant) -> None:
    await bank.post(bank.sign(message(bank)))

    answer = await bank.post(bank.sign(message(bank, order=Order("OTHER"))))

    assert (answer.status_code, answer.json()["code"]) == (409, "duplicate_message_id")


async def test_gzip_is_read(bank: Participant) -> None:
    answer = await bank.post(gzip.compress(bank.sign(message(bank))), **{"Content-Encoding": "gzip"})

    assert answer.status_code == 202


def _tampered(bank: Participant) -> bytes:
    return bank.sign(message(bank)).replace(b"10.00", b"99.00")


def _stranger(bank: Participant) -> bytes:
    other = STRANGERS.participants["SHRQKZKX"]
    bank.member = Member(bic=bank.member.bic, token=bank.member.token, key=other.key, certificate=other.certificate)
    return bank.sign(message(bank))


def _other_sender(bank: Participant) -> bytes:
    bank.member = CREDENTIALS.participants["TSESKZKA"]
    return bank.sign(message(bank))


@pytest.mark.parametrize(
    ("make", "status", "code"),
    [
        (lambda bank: b"no xml", 400, "malformed"),
        (lambda bank: b"", 400, "malformed"),
        (lambda bank: b"<Envelope></Envelope>", 400, "malformed"),
        (lambda bank: b"<!DOCTYPE x><x/>", 400, "malformed"),
        (lambda bank: b'<!DOCTYPE x [<!ENTITY a "b">]>' + bank.sign(message(bank)), 400, "malformed"),
        (message, 403, "signature_refused"),
        (_tampered, 403, "signature_refused"),
        (_stranger, 403, "signature_refused"),
        (_other_sender, 403, "sender_not_participant"),
        (
            lambda bank: bank.sign(bank.envelope("pacs.003.001.08", transfers([Order()]), "M1")),
            422,
            "unsupported_message",
        ),
        (lambda bank: bank.sign(message(bank).replace(b"<ChrgBr>SLEV", b"<ChrgBr>FREE")), 422, "schema_invalid"),
        (lambda bank: bank.sign(message(bank).replace(b"<NbOfTxs>1", b"<NbOfTxs>2")), 422, "rules_violated"),
        (
            lambda bank: bank.sign(bank.envelope("pacs.008.001.02", transfers([Order()]), "M1")),
            422,
            "unsupported_message",
        ),
        (
            lambda bank: bank.sign(message(bank).replace(b"</CreDt>", b"</CreDt><Nonsense></Nonsense>")),
            422,
            "schema_invalid",
        ),
        (lambda bank: bank.sign(message(bank).replace(b"<MsgId>M1", b"<MsgId>M2")), 422, "rules_violated"),
        (lambda bank: bank.sign(message(bank).replace(b"CLRGKZKX", b"TSESKZKA")), 422, "rules_violated"),
        (lambda bank: bank.sign(message(bank, order=Order(currency="XAU"))), 422, "rules_violated"),
        (lambda bank: b"<" * 200_001, 413, "too_large"),
        (lambda bank: b"<" * 1_600_000, 413, "too_large"),
    ],
)
async def test_refusals_change_nothing(
    clearing: ClearingSimulator, bank: Participant, make: object, status: int, code: str | None
) -> None:
    headers = dict(bank.headers)
    content = make(bank)  # type: ignore[operator]
    bank.headers = headers

    answer = await bank.post(content)

    assert (answer.status_code, answer.json().get("code")) == (status, code)
    assert clearing.books.last_cursor() == 0


async def test_a_bomb_is_not_unpacked(bank: Participant) -> None:
    answer = await bank.post(gzip.compress(b" " * 50_000_000), **{"Content-Encoding": "gzip"})

    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


async def test_half_a_gzip_is_refused(bank: Participant) -> None:
    answer = await bank.post(gzip.compress(bank.sign(message(bank)))[:-10], **{"Content-Encoding": "gzip"})

    assert (answer.status_code, answer.json()["code"]) == (400, "malformed")


@pytest.mark.parametrize(("encoding", "added"), [("gzip", b"more"), ("br", b""), ("gzip, gzip", b"")])
async def test_what_is_not_one_gzip_is_refused(bank: Participant, encoding: str, added: bytes) -> None:
    body = gzip.compress(bank.sign(message(bank))) + added

    answer = await bank.post(body, **{"Content-Encoding": encoding})

    assert (answer.status_code, answer.json()["code"]) == (400, "malformed")


async def test_a_sender_whom_nobody_knows_is_no_participant(bank: Participant) -> None:
    unknown = bank.envelope("pacs.008.001.08", transfers([Order()]), "M1", sender="NOBOKZKX")

    answer = await bank.post(bank.sign(unknown))

    assert (answer.status_code, answer.json()["code"]) == (403, "sender_not_participant")


async def test_without_a_token_nothing_is_said(bank: Participant) -> None:
    bank.headers = {"Authorization": "Bearer nothing"}

    assert (await bank.post(bank.sign(message(bank)))).status_code == 401
    assert (await bank.http.get("/v1/messages", headers=bank.headers)).status_code == 401
    assert (await bank.http.get("/control/state", headers=bank.headers)).status_code == 401


async def test_participants_have_mailboxes_of_their_own(clearing: ClearingSimulator, bank: Participant) -> None:
    other = Participant(clearing, "TSESKZKA")
    await bank.pay(Order())

    assert await other.hear() == []
    assert len(await bank.hear()) == 1


async def test_a_mailbox_is_read_in_pieces_and_again(bank: Participant) -> None:
    for number in range(5):
        await bank.pay(Order(f"E{number}"))

    first, rest = await bank.hear(limit=2), await bank.hear(limit=100)
    bank.cursor = ""

    assert [each[0] for each in statuses(*first, *rest)] == [f"E{number}" for number in range(5)]
    assert len(await bank.hear()) == 5


async def test_the_mailbox_waits_for_a_message(bank: Participant) -> None:
    waiting = asyncio.create_task(bank.hear(wait=20))
    await asyncio.sleep(0.1)
    assert not waiting.done()

    await bank.pay(Order())

    assert len(await asyncio.wait_for(waiting, 5)) == 1


@pytest.mark.parametrize("query", ["after=x", "limit=0", "limit=501", "wait=-1", "after=-1", "wait=nan"])
async def test_a_wrong_question_is_refused(bank: Participant, query: str) -> None:
    answer = await bank.http.get(f"/v1/messages?{query}", headers=bank.headers)

    assert (answer.status_code, answer.json()["code"]) == (400, "malformed")


@pytest.mark.parametrize(("kind", "taken"), [("lose_request", 0), ("lose_answer", 1)])
async def test_a_lost_exchange_is_repeated_safely(bank: Participant, kind: str, taken: int) -> None:
    await bank.control("faults", {"kind": kind})
    signed = bank.sign(message(bank))

    with pytest.raises(httpx.RemoteProtocolError):
        await bank.post(signed)
    assert len(await bank.hear()) == taken
    answer = await bank.post(signed)

    assert answer.json()["duplicate"] is bool(taken)
    assert len(await bank.hear()) == 1 - taken


async def test_faults_of_answers(bank: Participant) -> None:
    await bank.control("faults", {"kind": "status_503"})
    assert (await bank.pay(Order())).status_code == 503
    await bank.control("faults", {"kind": "slow", "seconds": 0.05})
    assert (await bank.pay(Order())).status_code == 202


async def test_faults_of_the_mailbox(bank: Participant) -> None:
    await bank.control("faults", {"kind": "duplicate_delivery"})
    await bank.pay(Order("A"))
    await bank.control("faults", {"kind": "reorder"})
    await bank.pay(Order("B"))
    await bank.pay(Order("C"))

    assert [each[0] for each in statuses(*await bank.hear())] == ["A", "A", "C", "B"]


async def test_a_message_that_nothing_overtakes_comes_all_the_same(tmp_path: Path) -> None:
    configuration = ClearingConfiguration(credentials=CREDENTIALS, database=tmp_path / "books.sqlite")
    async with ClearingSimulator(configuration) as simulator:
        bank = Participant(simulator)
        await bank.control("faults", {"kind": "reorder", "seconds": 3600})
        await bank.pay(Order("A"))
        assert await bank.hear() == []
    async with ClearingSimulator(configuration) as simulator:
        bank = Participant(simulator)
        await bank.control("clock", {"advance_seconds": 3601})

        assert statuses(*await bank.hear()) == [("A", "ACSC", "")]


async def test_a_message_of_another_participant_overtakes_nothing(
    clearing: ClearingSimulator, bank: Participant
) -> None:
    await bank.control("faults", {"kind": "reorder", "seconds": 3600})
    await bank.pay(Order("A"))
    await Participant(clearing, "TSESKZKA").pay(Order("B"))

    assert await bank.hear() == []


async def test_new_books_go_on_where_others_ended() -> None:
    seen = []
    for _ in range(2):
        async with ClearingSimulator(ClearingConfiguration(credentials=CREDENTIALS)) as simulator:
            bank = Participant(simulator)
            await bank.pay(Order())
            answer = await bank.http.get("/v1/messages", headers=bank.headers)
            seen.append(answer.json()["messages"][0])

    before, after = seen
    assert int(before["cursor"]) < int(after["cursor"])
    assert before["business_message_id"] != after["business_message_id"]


async def test_long_answers_come_in_pieces(bank: Participant, clearing: ClearingSimulator) -> None:
    for number in range(3):
        await bank.pay(Order(f"E{number}"))

    some = clearing.books.letters("SHRQKZKX", 0, 500, 1)
    all_ = clearing.books.letters("SHRQKZKX", 0, 500, 10**6)

    assert (len(some), len(all_)) == (1, 3)


async def test_what_is_being_done_is_done_before_the_end(tmp_path: Path) -> None:
    configuration = ClearingConfiguration(credentials=CREDENTIALS, database=tmp_path / "books.sqlite")
    simulator = ClearingSimulator(configuration)
    await simulator.start()
    bank = Participant(simulator)
    signed = [bank.sign(message(bank, f"M{number}")) for number in range(20)]
    sending = [asyncio.create_task(bank.post(each)) for each in signed]
    await asyncio.sleep(0.05)

    await simulator.stop()

    answers = [
        each for each in await asyncio.gather(*sending, return_exceptions=True) if isinstance(each, httpx.Response)
    ]
    async with ClearingSimulator(configuration) as again:
        bank = Participant(again)
        repeated = [(await bank.post(each)).status_code for each in signed]
        assert all(answer.status_code == 202 for answer in answers)
        assert repeated == [202] * 20
        assert len(await bank.hear()) == 20


async def test_things_are_done_one_at_a_time_even_if_nobody_waits_for_them(clearing: ClearingSimulator) -> None:
    running, most = 0, 0

    def work() -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        time.sleep(0.05)
        running -= 1

    given_up = asyncio.create_task(clearing._alone(work))
    await asyncio.sleep(0.02)
    given_up.cancel()
    await clearing._alone(work)

    assert (running, most) == (0, 1)


async def test_books_belong_to_one_process(tmp_path: Path) -> None:
    path = tmp_path / "books.sqlite"
    books = Books(path, 0)

    with pytest.raises(ValueError, match="cannot be used"):
        Books(path, 0)
    books.close()
    assert path.stat().st_mode & 0o777 == 0o600


class ElsewhereSimulator(ClearingSimulator):
    """Listens at an address that this machine does not have."""

    async def start(self, host: str = "192.0.2.1", port: int = 0) -> None:
        await super().start(host, port)


async def test_who_cannot_listen_lets_the_books_go(tmp_path: Path) -> None:
    configuration = ClearingConfiguration(credentials=CREDENTIALS, database=tmp_path / "books.sqlite")

    with pytest.raises(OSError):
        async with ElsewhereSimulator(configuration):
            pass

    async with ClearingSimulator(configuration) as simulator:
        assert (await Participant(simulator).pay(Order())).status_code == 202


def test_a_file_of_something_else_is_no_book(tmp_path: Path) -> None:
    path = tmp_path / "books.sqlite"
    path.write_bytes(b"something else " * 1000)

    with pytest.raises(ValueError, match="cannot be used"):
        Books(path, 0)


async def test_a_mistake_of_ours_has_an_answer(bank: Participant, clearing: ClearingSimulator) -> None:
    clearing.books.set("number", "0")
    clearing.books.close()

    answer = await bank.pay(Order())

    assert (answer.status_code, answer.json()["code"]) == (500, "failed")


async def test_a_bad_signature_comes_before_the_good_one(bank: Participant) -> None:
    await bank.control("faults", {"kind": "bad_signature"})
    await bank.pay(Order("A"))

    answer = await bank.http.get("/v1/messages", headers=bank.headers)
    bad, good = answer.json()["messages"]

    with pytest.raises(SignatureError):
        verify(bad["content"].encode(), trust=bank.trust, profile=SHANRAQ, as_of=datetime.now(UTC))
    assert statuses(bank.read(good)) == [("A", "ACSC", "")]


@pytest.mark.parametrize(
    ("name", "body", "status"),
    [
        ("nothing", {}, 404),
        ("faults", {"kind": "earthquake"}, 400),
        ("return", {"uetr": "x", "reason": "AC04"}, 404),
        ("return", {"uetr": "x", "reason": "ZZZZ"}, 400),
        ("recall", {"uetr": "x", "reason": "DUPL"}, 404),
        ("credit", {"creditor_account": "KZ1", "amount": 0}, 400),
        ("credit", {"creditor_account": "KZ1", "amount": 1, "currency": "XXX"}, 400),
        ("credit", {"creditor_account": "KZ1", "amount": 1}, 400),
        ("credit", {"creditor_account": "1", "amount": 1, "debtor_account": "KZ1"}, 400),
        ("credit", {"creditor_account": "1", "amount": 10**15}, 400),
        ("credit", {"creditor_account": "1", "amount": 1, "creditor": ""}, 400),
        ("credit", {"creditor_account": "1", "amount": 1, "debtor": "a\x01b"}, 400),
        ("credit", {"creditor_account": "1", "amount": 1, "end_to_end_id": "E" * 36}, 400),
        ("credit", {"creditor_account": "1", "amount": 1, "participant": "NOBOKZKX"}, 400),
        ("clock", {"advance_seconds": -1}, 400),
        ("payments", {}, 404),
    ],
)
async def test_the_control_interface_refuses_what_it_cannot_do(
    bank: Participant, name: str, body: dict[str, object], status: int
) -> None:
    assert (await bank.control(name, body)).status_code == status
    assert await bank.hear() == []


async def test_the_control_interface_shows_payments_and_returns_them(bank: Participant) -> None:
    await bank.pay(Order("LOOK"))

    found = (await bank.control("payments?end_to_end_id=LOOK")).json()["payments"]
    answer = await bank.control("return", {"uetr": found[0]["uetr"], "reason": "AC04"})

    assert (found[0]["status"], found[0]["amount"]) == ("ACSC", 1000)
    assert answer.json()["payments"] == {"ACSC": 1}
    assert len(await bank.hear()) == 2


def test_credentials_are_kept_in_a_file_of_their_owner(tmp_path: Path) -> None:
    path = tmp_path / "clearing.json"
    CREDENTIALS.save(path)

    assert ClearingCredentials.load(path) == CREDENTIALS
    assert path.stat().st_mode & 0o777 == 0o600
    assert "PRIVATE" not in repr(CREDENTIALS.participants["SHRQKZKX"])


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"authority": 1}'])
def test_wrong_credentials_are_refused_without_showing_them(tmp_path: Path, text: str) -> None:
    path = tmp_path / "clearing.json"
    path.write_text(text)

    with pytest.raises(ValueError, match="not a set of the clearing simulator"):
        ClearingCredentials.load(path)


async def test_what_was_taken_survives_the_end_of_the_process(tmp_path: Path) -> None:
    command = [
        sys.executable, "-m", "shanraq", "simulate", "iso20022", "--port", "0", "--credentials", str(tmp_path / "c.json"),
        "--journal", str(tmp_path / "books.sqlite"), "--control-token", "token", "--pending-seconds", "0.2",
    ]  # fmt: skip
    taken: list[str] = []
    heard: list[str] = []
    for round_ in range(3):
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, env=os.environ)
        assert process.stdout is not None
        line = (await asyncio.wait_for(process.stdout.readline(), 30)).decode()
        url = next(word for word in line.split() if word.startswith("http"))
        credentials = ClearingCredentials.load(tmp_path / "c.json")
        stand_in = ClearingSimulator(ClearingConfiguration(credentials=credentials, control_token="token"))
        bank = Participant(stand_in, base_url=url)

        async def pay(number: int, bank: Participant = bank, round_: int = round_) -> None:
            name = f"R{round_}N{number}"
            try:
                answer = await bank.pay(Order("SIM-PDNG" if number % 3 else "E", "1.00"), business_id=name)
            except httpx.HTTPError:
                return
            if answer.status_code == 202:
                taken.append(name)

        paying = [asyncio.create_task(pay(number)) for number in range(30)]
        await asyncio.sleep(0.15 + 0.1 * round_)
        if round_ < 2:
            process.send_signal(signal.SIGKILL)
            await process.wait()
            await asyncio.gather(*paying)
            continue
        await asyncio.gather(*paying)
        for _ in range(100):
            state = (await bank.control("state")).json()
            if not state["payments"].get("PDNG"):
                break
            await asyncio.sleep(0.1)
        documents = await bank.hear(limit=500)
        heard = [
            str(document.findtext(".//{*}OrgnlMsgId"))
            for document in documents
            for _, status, _ in statuses(document)
            if status == "ACSC"
        ]
        balance = state["balances"]["SHRQKZKX"]["KZT"]
        assert balance == 10**15 - 100 * len(heard)
        process.terminate()
        await process.wait()
    assert taken
    assert len(heard) == len(set(heard))
    assert set(taken) <= set(heard)
