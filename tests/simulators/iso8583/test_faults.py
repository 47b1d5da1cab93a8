"""Faults and triggers: each one as the client sees it, and what it left of the money."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from shanraq.simulators.iso8583 import (
    CARD_TRIGGERS,
    FAULTS,
    HostConfiguration,
    Iso8583Host,
    Standing,
    load_rules,
    parse_rules,
    trigger_card,
)
from shanraq.simulators.iso8583.triggers import AMOUNT_BASE, BRAND_PREFIXES
from shanraq.standards.iso8583 import Iso8583Error
from shanraq.standards.iso8583.content import passes_luhn
from tests.simulators.iso8583.acquirer import OTHER_PAN, PAN, Acquirer

RRN = "000000000001"
TAKEN = Standing(1, 1000, 0, 0)


@asynccontextmanager
async def running(**settings: Any) -> AsyncIterator[tuple[Iso8583Host, Acquirer]]:
    async with Iso8583Host(HostConfiguration(**settings)) as host:
        acquirer = await Acquirer.connect(host)
        yield host, acquirer
        await acquirer.close()


@pytest.mark.parametrize(("fault", "taken"), [("drop_before", Standing()), ("drop_after", TAKEN)])
async def test_a_dropped_request_has_no_answer(
    host: Iso8583Host, acquirer: Acquirer, fault: str, taken: Standing
) -> None:
    host.fail_next(fault)
    request = acquirer.purchase(1000, RRN)

    acquirer.tell(request)

    assert await acquirer.is_silent()
    assert host.standing(RRN) == taken
    assert await acquirer.code(acquirer.repeat(request)) == "00"
    assert host.standing(RRN) == TAKEN


@pytest.mark.parametrize(("fault", "taken"), [("disconnect_before", Standing()), ("disconnect_after", TAKEN)])
async def test_a_cut_connection_answers_what_came_before_and_nothing_that_comes_after(
    host: Iso8583Host, acquirer: Acquirer, fault: str, taken: Standing
) -> None:
    host.fail_next(fault, when=lambda message: message.fields.get(37) == RRN)

    acquirer.tell(
        acquirer.purchase(1000, "000000000008"),
        acquirer.purchase(1000, RRN),
        acquirer.purchase(1000, "000000000009"),
    )

    assert (await acquirer.hear()).fields[37] == "000000000008"
    assert await acquirer.has_hung_up()
    assert host.standing(RRN) == taken
    assert host.standing("000000000009") == Standing()
    again = await Acquirer.connect(host)
    assert await again.code(again.session("301")) == "00"
    await again.close()


async def test_garbage_comes_in_a_valid_frame(host: Iso8583Host, acquirer: Acquirer) -> None:
    host.fail_next("garbage")
    acquirer.tell(acquirer.purchase(1000, RRN))

    with pytest.raises(Iso8583Error):
        await acquirer.hear()
    assert host.standing(RRN) == TAKEN
    assert await acquirer.code(acquirer.session("301")) == "00"


async def test_a_bad_frame_throws_the_stream_out_of_step(host: Iso8583Host, acquirer: Acquirer) -> None:
    host.fail_next("bad_frame")
    acquirer.tell(acquirer.purchase(1000, RRN))
    assert await acquirer.is_silent()

    acquirer.tell(acquirer.session("301"))

    with pytest.raises((Iso8583Error, TimeoutError)):
        await acquirer.hear(0.3)
        await acquirer.hear(0.3)
    assert host.standing(RRN) == TAKEN


async def test_a_cut_frame_ends_the_connection_within_it(host: Iso8583Host, acquirer: Acquirer) -> None:
    host.fail_next("cut_frame")
    acquirer.tell(acquirer.purchase(1000, RRN))

    assert await acquirer.has_hung_up()
    assert acquirer.frames.waiting
    assert host.standing(RRN) == TAKEN


async def test_an_unmatched_answer_has_another_trace_number(host: Iso8583Host, acquirer: Acquirer) -> None:
    host.fail_next("unmatched")
    request = acquirer.purchase(1000, RRN)
    acquirer.tell(request)

    answer = await acquirer.hear()

    assert answer.fields[11] != request.fields[11]
    assert (answer.mti, answer.fields[39]) == ("0210", "00")
    assert await acquirer.is_silent()
    assert (await acquirer.say(acquirer.repeat(request))).fields[39] == "00"


async def test_an_answer_may_have_the_type_of_another_request(host: Iso8583Host, acquirer: Acquirer) -> None:
    host.fail_next("wrong_mti")

    assert (await acquirer.say(acquirer.purchase(1000, RRN))).mti == "0110"


async def test_a_duplicate_answer_comes_twice_and_is_carried_out_once(host: Iso8583Host, acquirer: Acquirer) -> None:
    host.fail_next("duplicate")
    acquirer.tell(acquirer.purchase(1000, RRN))

    assert await acquirer.raw() == await acquirer.raw()
    assert host.standing(RRN) == TAKEN


@pytest.mark.parametrize("fault", ["late", "slow"])
async def test_a_delayed_answer_is_carried_out_at_once_and_does_not_hold_up_others(fault: str) -> None:
    async with running(slow_seconds=0.2, late_seconds=0.2) as (host, acquirer):
        host.fail_next(fault)
        request = acquirer.purchase(1000, RRN)
        acquirer.tell(request)
        assert await acquirer.code(acquirer.session("301")) == "00"
        assert host.standing(RRN) == TAKEN

        assert (await acquirer.hear()).fields[11] == request.fields[11]


async def test_the_delay_can_be_said_and_a_closed_connection_gets_nothing(
    host: Iso8583Host, acquirer: Acquirer
) -> None:
    host.fail_next("late", seconds=0.05)
    acquirer.tell(acquirer.purchase(1000, RRN))
    await acquirer.is_silent(0.02)
    await acquirer.close()

    await asyncio.sleep(0.1)

    assert host.standing(RRN) == TAKEN
    assert host.connections == 0


async def test_a_decline_is_remembered_unless_it_says_not_now(host: Iso8583Host, acquirer: Acquirer) -> None:
    host.fail_next("decline:51")
    host.fail_next("decline:91")
    declined, not_now = acquirer.purchase(1000, "000000000051"), acquirer.purchase(1000, RRN)

    assert [await acquirer.code(declined), await acquirer.code(not_now)] == ["51", "91"]
    assert [await acquirer.code(acquirer.repeat(one)) for one in (declined, not_now)] == ["51", "00"]
    assert host.standings() == {RRN: TAKEN}


async def test_a_decline_carries_no_approval(host: Iso8583Host, acquirer: Acquirer) -> None:
    host.fail_next("decline:05")

    assert 38 not in (await acquirer.say(acquirer.purchase(1000, RRN))).fields


@pytest.mark.parametrize(("fault", "approved"), [("partial", 500), ("partial:300", 300)])
async def test_a_partial_approval_holds_what_it_says(
    host: Iso8583Host, acquirer: Acquirer, fault: str, approved: int
) -> None:
    host.fail_next(fault)

    answer = await acquirer.say(acquirer.authorization(1000, RRN))

    assert (answer.fields[39], int(answer.fields[4])) == ("10", approved)
    assert host.standing(RRN).held == approved


async def test_a_partial_approval_of_everything_is_a_whole_one(host: Iso8583Host, acquirer: Acquirer) -> None:
    host.fail_next("partial:1000")

    assert await acquirer.code(acquirer.authorization(1000, RRN)) == "00"


async def test_only_what_is_asked_to_pay_is_approved_in_part(host: Iso8583Host, acquirer: Acquirer) -> None:
    await acquirer.say(acquirer.purchase(1000, RRN))
    host.fail_next("partial")

    assert await acquirer.code(acquirer.refund(100, RRN)) == "00"
    assert host.standing(RRN).refunded == 100


async def test_a_format_error_carries_nothing_out(host: Iso8583Host, acquirer: Acquirer) -> None:
    host.fail_next("format_error")

    assert await acquirer.code(acquirer.purchase(1000, RRN)) == "30"
    assert host.standing(RRN) == Standing()


async def test_faults_happen_in_order_to_those_they_are_meant_for_and_never_to_sessions(
    host: Iso8583Host, acquirer: Acquirer
) -> None:
    host.fail_next("decline:05", when=lambda message: message.fields[4].endswith("77"), count=2)
    host.fail_next("decline:62")

    codes = [
        await acquirer.code(message)
        for message in (acquirer.session("301"), acquirer.purchase(1), acquirer.purchase(77), acquirer.purchase(2))
    ]

    assert codes == ["00", "62", "05", "00"]
    assert host.waiting_faults == 1
    host.clear_faults()
    assert await acquirer.code(acquirer.purchase(77)) == "00"


@pytest.mark.parametrize(
    "name", ["", "slowly", "decline", "decline:5", "decline:+1", "late:-1", "late:x", "partial:-1"]
)
def test_faults_there_are_not_are_refused(name: str) -> None:
    with pytest.raises(ValueError):
        Iso8583Host().fail_next(name)


async def test_every_fault_has_a_name_that_is_taken(host: Iso8583Host) -> None:
    for name in FAULTS:
        host.fail_next("decline:05" if name == "decline" else name)

    assert host.waiting_faults == len(FAULTS)
    with pytest.raises(ValueError, match="once"):
        host.fail_next("late", count=0)


# Triggers.


def declines() -> list[tuple[str, str]]:
    return [(number, name.removeprefix("decline:")) for number, name in CARD_TRIGGERS.items() if "decline" in name]


@pytest.mark.parametrize("prefix", BRAND_PREFIXES)
async def test_every_trigger_card_is_declined_in_its_way(host: Iso8583Host, acquirer: Acquirer, prefix: str) -> None:
    for number, code in declines():
        card = trigger_card(number, prefix)
        assert passes_luhn(card)
        assert await acquirer.code(acquirer.authorization(1000, RRN, de2=card)) == code

    assert host.standing(RRN) == Standing()


async def test_every_trigger_amount_is_declined_in_its_way(host: Iso8583Host, acquirer: Acquirer) -> None:
    for number, code in declines():
        answer = await acquirer.code(acquirer.purchase(AMOUNT_BASE + int(number), f"0000000{number}00"))
        assert answer == ("00" if code == "N7" else code)


async def test_triggers_leave_alone_what_follows_a_payment(host: Iso8583Host, acquirer: Acquirer) -> None:
    host.fail_next(host_fault := "duplicate")
    card = trigger_card("051")
    original = acquirer.authorization(1000, RRN, de2=card)
    acquirer.tell(original)
    assert (await acquirer.hear()).fields[39] == "00", f"{host_fault} comes before triggers"
    await acquirer.raw()

    assert await acquirer.code(acquirer.completion(original, 1000, de2=card)) == "00"
    assert await acquirer.code(acquirer.refund(10, RRN, de2=card)) == "00"
    assert await acquirer.code(acquirer.reversal(original, de2=card)) == "00"


async def test_cards_and_amounts_may_do_what_faults_do() -> None:
    async with running(late_seconds=0.1, slow_seconds=0.1) as (host, acquirer):
        assert await acquirer.code(acquirer.authorization(1000, RRN, de2=trigger_card("010"))) == "10"
        assert await acquirer.code(acquirer.authorization(1000, de2=trigger_card("030"))) == "30"
        acquirer.tell(acquirer.purchase(AMOUNT_BASE + 902, "000000000902"))
        assert await acquirer.is_silent(0.05)
        assert host.standing("000000000902").captured == AMOUNT_BASE + 902
        acquirer.tell(acquirer.purchase(1, de2=trigger_card("901")))
        assert await acquirer.is_silent(0.05)
        assert await acquirer.code(acquirer.purchase(1, de2=trigger_card("903"))) == "00"
        acquirer.tell(acquirer.purchase(1, de2=trigger_card("910")))
        assert await acquirer.has_hung_up()


async def test_triggers_can_be_switched_off() -> None:
    async with running(built_in_triggers=False) as (_, acquirer):
        assert await acquirer.code(acquirer.purchase(AMOUNT_BASE + 51, de2=trigger_card("051"))) == "00"


# Rules.


async def test_rules_match_by_type_card_amount_terminal_and_turn(tmp_path: Path) -> None:
    file = tmp_path / "rules.json"
    rules = [
        {"match": {"mti": "0420"}, "then": {"response_code": "96"}},
        {"match": {"pan": PAN, "amount": 5}, "then": {"response_code": "14"}},
        {"match": {"amount": [100, 199], "terminal": "TERM0001"}, "then": {"approve_partial": 50}},
        {"match": {"amount": 7, "every": 3}, "then": {"response_code": "65"}},
        {"match": {"amount": 8}, "then": {"drop": "after"}},
        {"match": {"amount": 9}, "then": {"duplicate": True, "wrong_stan": True}},
        {"match": {"mti": "0800", "every": 2}, "then": {"drop": "before"}},
        {"name": "no echo", "match": {"mti": "0800"}, "then": {"response_code": "96"}},
    ]
    file.write_text(json.dumps(rules))
    async with running(rules=load_rules(file)) as (host, acquirer):
        reversal = acquirer.reversal(acquirer.purchase(1))
        assert await acquirer.code(reversal) == "96"
        assert await acquirer.code(acquirer.purchase(5)) == "14"
        assert await acquirer.code(acquirer.purchase(5, de2=OTHER_PAN)) == "00"
        assert (await acquirer.say(acquirer.purchase(150))).fields[4] == "000000000050"
        assert await acquirer.code(acquirer.purchase(150, de41="TERM0002")) == "00"
        assert [await acquirer.code(acquirer.purchase(7)) for _ in range(6)] == ["00", "00", "65", "00", "00", "65"]
        acquirer.tell(acquirer.purchase(8, "000000000008"))
        assert await acquirer.is_silent()
        assert host.standing("000000000008").captured == 8
        acquirer.tell(acquirer.purchase(9))
        assert await acquirer.raw() == await acquirer.raw()
        assert await acquirer.code(acquirer.session("301")) == "96"
        acquirer.tell(acquirer.session("301"))
        assert await acquirer.is_silent()


async def test_chance_is_the_same_for_the_same_seed() -> None:
    async def codes(seed: int) -> list[str]:
        rules = parse_rules([{"match": {"probability": 0.5}, "then": {"response_code": "05"}}])
        async with running(rules=rules, seed=seed) as (_, acquirer):
            return [await acquirer.code(acquirer.purchase(1)) for _ in range(40)]

    one = await codes(1)

    assert one == await codes(1)
    assert one != await codes(2)
    assert 5 < one.count("05") < 35


async def test_approvals_come_from_the_seed_and_differ() -> None:
    async def approvals(seed: int) -> list[str]:
        async with running(seed=seed) as (_, acquirer):
            return [(await acquirer.say(acquirer.purchase(1))).fields[38] for _ in range(20)]

    one = await approvals(1)

    assert one == await approvals(1)
    assert one != await approvals(2)
    assert len(set(one)) == 20


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({}, "list"),
        ([1], "rule 1"),
        ([{"match": {}}], "rule 1"),
        ([{"then": {}}], "nothing"),
        ([{"then": []}], "object"),
        ([{"then": {"format_error": True}}, {"then": {"explode": True}}], "rule 2: then does not know explode"),
        ([{"match": {"card": "4"}, "then": {"format_error": True}}], "match does not know card"),
        ([{"match": {"amount": "5"}, "then": {"format_error": True}}], "amount"),
        ([{"match": {"amount": True}, "then": {"format_error": True}}], "amount"),
        ([{"match": {"every": 0}, "then": {"format_error": True}}], "every"),
        ([{"match": {"probability": 2}, "then": {"format_error": True}}], "probability"),
        ([{"match": {"mti": ""}, "then": {"format_error": True}}], "mti"),
        ([{"then": {"drop": "never"}}], "before or after"),
        ([{"then": {"drop": "after", "disconnect": "after"}}], "before or after"),
        ([{"then": {"garbage": 1}}], "true or false"),
        ([{"then": {"delay_seconds": -1}}], "delay_seconds"),
    ],
)
def test_rules_that_are_none_are_refused_with_their_place(rules: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_rules(rules)


def test_a_rules_file_that_is_no_json_or_has_a_foreign_code_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "rules.json"
    file.write_text("[")
    with pytest.raises(ValueError, match=r"rules\.json"):
        load_rules(file)
    with pytest.raises(ValueError, match="response code"):
        Iso8583Host(HostConfiguration(rules=parse_rules([{"then": {"response_code": "ABC"}}])))


# The document.

DOCUMENT = Path(__file__).parents[3] / "docs" / "iso8583-simulator.md"


def test_the_document_tells_every_trigger_and_fault_as_it_is() -> None:
    text = DOCUMENT.read_text()
    for number, name in CARD_TRIGGERS.items():
        amount = f"| {AMOUNT_BASE + int(number)} |" if name and not name.endswith("N7") else "| |"
        cards = " | ".join(trigger_card(number, prefix) for prefix in BRAND_PREFIXES)
        assert f"| {cards} {amount} `{name or 'approved'}` |" in text
    for name in FAULTS:
        assert f"`{name}" in text


def test_the_rules_of_the_document_are_rules() -> None:
    example = DOCUMENT.read_text().partition("```json\n")[2].partition("```")[0]

    assert len(parse_rules(json.loads(example))) == 5
