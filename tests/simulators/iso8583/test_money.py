"""What the host knows of money, over a real socket."""

from __future__ import annotations

import pytest

from shanraq.simulators.iso8583 import HostConfiguration, Iso8583Host, Standing
from tests.simulators.iso8583.acquirer import OTHER_PAN, Acquirer

RRN = "000000000001"


async def test_an_authorisation_holds(host: Iso8583Host, acquirer: Acquirer) -> None:
    request = acquirer.authorization(1000, RRN)

    answer = await acquirer.say(request)

    assert (answer.mti, answer.fields[39], answer.fields[37]) == ("0110", "00", RRN)
    assert len(answer.fields[38]) == 6
    assert host.standing(RRN) == Standing(authorized=1, captured=0, refunded=0, held=1000)
    assert host.standings() == {RRN: host.standing(RRN)}


async def test_a_purchase_is_captured_at_once(host: Iso8583Host, acquirer: Acquirer) -> None:
    answer = await acquirer.say(acquirer.purchase(1000, RRN))

    assert (answer.mti, answer.fields[39]) == ("0210", "00")
    assert host.standing(RRN) == Standing(1, 1000, 0, 0)


async def test_a_request_without_a_reference_gets_one(host: Iso8583Host, acquirer: Acquirer) -> None:
    for nothing in (None, " " * 12):
        answer = await acquirer.say(acquirer.authorization(1000, de37=nothing))

        assert host.standing(answer.fields[37]).held == 1000


async def test_an_authorisation_is_completed_in_parts_and_no_further(host: Iso8583Host, acquirer: Acquirer) -> None:
    original = acquirer.authorization(1000, RRN)
    await acquirer.say(original)

    codes = [await acquirer.code(acquirer.completion(original, amount)) for amount in (400, 500, 101, 100, 1)]

    assert codes == ["00", "00", "61", "00", "61"]
    assert host.standing(RRN) == Standing(1, 1000, 0, 0)


async def test_a_completion_finds_its_authorisation_by_reference_terminal_and_approval(
    host: Iso8583Host, acquirer: Acquirer
) -> None:
    original = acquirer.authorization(1000, RRN)
    approval = (await acquirer.say(original)).fields[38]

    async def complete(**more: str) -> str:
        return await acquirer.code(acquirer.completion(original, 100, de90=None, **more))

    assert await complete() == "00"
    assert await complete(de38=approval) == "00"
    assert await complete(de38="XXXXXX") == "25"
    assert await complete(de41="TERM0002") == "25"
    assert await complete(de2=OTHER_PAN) == "25"
    assert await complete(de49="840") == "13"
    assert host.standing(RRN).captured == 200


async def test_an_answer_without_a_reference_gets_the_originals(acquirer: Acquirer) -> None:
    original = acquirer.authorization(1000, RRN)
    await acquirer.say(original)

    assert (await acquirer.say(acquirer.completion(original, 100, de37=None))).fields[37] == RRN
    assert (await acquirer.say(acquirer.reversal(original, de37=None))).fields[37] == RRN


@pytest.mark.parametrize("amount", [0, 1000])
async def test_a_completion_of_nothing_known_is_refused(host: Iso8583Host, acquirer: Acquirer, amount: int) -> None:
    never_sent = acquirer.authorization(1000, RRN)

    assert await acquirer.code(acquirer.completion(never_sent, amount)) == "25"
    assert host.standing(RRN) == Standing()


async def test_a_purchase_cannot_be_completed(host: Iso8583Host, acquirer: Acquirer) -> None:
    purchase = acquirer.purchase(1000, RRN)
    await acquirer.say(purchase)

    assert await acquirer.code(acquirer.completion(purchase, 10)) == "25"
    assert host.standing(RRN).captured == 1000


async def test_what_was_captured_can_be_refunded_and_no_more(host: Iso8583Host, acquirer: Acquirer) -> None:
    await acquirer.say(acquirer.purchase(1000, RRN))

    codes = [await acquirer.code(acquirer.refund(amount, RRN)) for amount in (400, 601, 600, 1, 0)]

    assert codes == ["00", "61", "00", "61", "13"]
    assert host.standing(RRN) == Standing(1, 1000, 1000, 0)
    assert await acquirer.code(acquirer.refund(1, "000000000099")) == "25"


async def test_a_reversed_authorisation_holds_nothing(host: Iso8583Host, acquirer: Acquirer) -> None:
    original = acquirer.authorization(1000, RRN)
    await acquirer.say(original)

    answer = await acquirer.say(acquirer.reversal(original))

    assert (answer.mti, answer.fields[39]) == ("0430", "00")
    assert host.standing(RRN) == Standing()
    assert await acquirer.code(acquirer.completion(original, 10)) == "25"


async def test_reversing_a_completed_authorisation_releases_only_the_rest(
    host: Iso8583Host, acquirer: Acquirer
) -> None:
    original = acquirer.authorization(1000, RRN)
    await acquirer.say(original)
    completion = acquirer.completion(original, 300)
    await acquirer.say(completion)

    assert await acquirer.code(acquirer.reversal(original)) == "00"
    assert host.standing(RRN) == Standing(1, 300, 0, 0)
    assert await acquirer.code(acquirer.reversal(completion)) == "00"
    assert host.standing(RRN) == Standing()


async def test_a_partial_reversal_leaves_what_it_says(host: Iso8583Host, acquirer: Acquirer) -> None:
    original = acquirer.authorization(1000, RRN)
    await acquirer.say(original)
    await acquirer.say(acquirer.completion(original, 300))

    assert await acquirer.code(acquirer.partial_reversal(original, 700)) == "00"
    assert host.standing(RRN) == Standing(1, 300, 0, 400)
    assert await acquirer.code(acquirer.partial_reversal(original, 701)) == "61"
    assert await acquirer.code(acquirer.partial_reversal(original, 299)) == "13"
    assert await acquirer.code(acquirer.partial_reversal(original, 300)) == "00"
    assert host.standing(RRN) == Standing(1, 300, 0, 0)


async def test_a_reversed_completion_is_on_hold_again(host: Iso8583Host, acquirer: Acquirer) -> None:
    original = acquirer.authorization(1000, RRN)
    await acquirer.say(original)
    completion = acquirer.completion(original, 600)
    await acquirer.say(completion)

    assert await acquirer.code(acquirer.partial_reversal(completion, 200)) == "00"
    assert host.standing(RRN) == Standing(1, 200, 0, 800)
    assert await acquirer.code(acquirer.reversal(completion)) == "00"
    assert host.standing(RRN) == Standing(1, 0, 0, 1000)


async def test_a_reversed_purchase_and_a_reversed_refund_leave_nothing(host: Iso8583Host, acquirer: Acquirer) -> None:
    purchase = acquirer.purchase(1000, RRN)
    await acquirer.say(purchase)
    refund = acquirer.refund(400, RRN)
    await acquirer.say(refund)

    assert await acquirer.code(acquirer.reversal(purchase)) == "21"  # it would leave more refunded than captured
    assert await acquirer.code(acquirer.reversal(refund)) == "00"
    assert host.standing(RRN) == Standing(1, 1000, 0, 0)
    assert await acquirer.code(acquirer.reversal(purchase)) == "00"
    assert host.standing(RRN) == Standing()


async def test_a_declined_request_can_be_reversed_without_effect(host: Iso8583Host, acquirer: Acquirer) -> None:
    host.fail_next("decline:05")
    original = acquirer.authorization(1000, RRN)
    assert await acquirer.code(original) == "05"

    assert await acquirer.code(acquirer.reversal(original)) == "00"
    assert host.standing(RRN) == Standing()


async def test_another_reversal_of_the_same_finds_no_original_but_a_repeat_is_answered_as_before(
    host: Iso8583Host, acquirer: Acquirer
) -> None:
    original = acquirer.purchase(1000, RRN)
    await acquirer.say(original)
    reversal = acquirer.reversal(original)
    acquirer.tell(reversal)
    first = await acquirer.raw()

    acquirer.tell(acquirer.repeat(reversal))

    assert await acquirer.raw() == first
    assert await acquirer.code(acquirer.reversal(original, "0400")) == "25"
    assert host.standing(RRN) == Standing()


async def test_another_reversal_can_be_let_pass() -> None:
    async with Iso8583Host(HostConfiguration(second_reversal="approved")) as host:
        acquirer = await Acquirer.connect(host)
        original = acquirer.purchase(1000, RRN)
        await acquirer.say(original)
        await acquirer.say(acquirer.reversal(original))

        assert await acquirer.code(acquirer.reversal(original)) == "00"
        await acquirer.close()


@pytest.mark.parametrize("mti", ["0400", "0420"])
@pytest.mark.parametrize("kind", ["authorization", "purchase"])
async def test_an_original_that_was_overtaken_by_its_reversal_moves_nothing(
    host: Iso8583Host, acquirer: Acquirer, mti: str, kind: str
) -> None:
    original = getattr(acquirer, kind)(1000, RRN)
    assert await acquirer.code(acquirer.reversal(original, mti)) == "25"

    assert await acquirer.code(original) == "21"

    assert host.standing(RRN) == Standing()
    assert await acquirer.code(acquirer.repeat(original)) == "21"


async def test_a_completion_that_was_overtaken_by_its_reversal_moves_nothing(
    host: Iso8583Host, acquirer: Acquirer
) -> None:
    original = acquirer.authorization(1000, RRN)
    await acquirer.say(original)
    completion = acquirer.completion(original, 300)
    assert await acquirer.code(acquirer.reversal(completion)) == "25"

    assert await acquirer.code(completion) == "21"
    assert host.standing(RRN) == Standing(1, 0, 0, 1000)


async def test_a_reversal_without_original_data_finds_it_by_reference(host: Iso8583Host, acquirer: Acquirer) -> None:
    original = acquirer.authorization(1000, RRN)
    await acquirer.say(original)

    assert await acquirer.code(acquirer.reversal(original, de90=None)) == "00"
    assert host.standing(RRN) == Standing()
    assert await acquirer.code(acquirer.reversal(original, de90=None)) == "25"
    again = acquirer.authorization(700, RRN)
    await acquirer.say(again)
    assert await acquirer.code(acquirer.authorization(600, RRN)) == "00"
    assert await acquirer.code(acquirer.reversal(again, de90=None)) == "00", "the newest that stands"
    assert host.standing(RRN).held == 700
    late = acquirer.authorization(500, "000000000002")
    assert await acquirer.code(acquirer.reversal(late, de90="9" * 41 + "0", de37="000000000002")) == "25"
    assert await acquirer.code(acquirer.reversal(late, de90=None)) == "25"
    assert await acquirer.code(late) == "21"


async def test_repeats_are_answered_byte_for_byte_and_never_carried_out_again(
    host: Iso8583Host, acquirer: Acquirer
) -> None:
    original = acquirer.authorization(1000, RRN)
    for message in (original, acquirer.completion(original, 100), acquirer.refund(50, RRN)):
        acquirer.tell(message, message, acquirer.repeat(message))

        answers = {await acquirer.raw() for _ in range(3)}

        assert len(answers) == 1
    assert host.standing(RRN) == Standing(1, 100, 50, 900)
    assert host.counts["duplicates"] == 6


async def test_requests_that_ask_for_nothing_known_are_refused(host: Iso8583Host, acquirer: Acquirer) -> None:
    async def code(mti: str, processing: str | None, amount: int | None) -> str:
        return await acquirer.code(acquirer.request(mti, processing, amount, de37=RRN))

    assert await code("0200", "400000", 100) == "40"
    assert await code("0100", "200000", 100) == "40"
    assert await code("0100", "300000", None) == "00"  # an inquiry moves nothing
    assert await code("0200", None, 100) == "30"
    assert await code("0200", "000000", None) == "30"
    assert await code("0200", "000000", 0) == "13"
    assert await code("0600", "000000", 100) == "12"
    assert await code("0500", "000000", 100) == "12"
    assert host.standing(RRN) == Standing()


async def test_a_card_may_be_verified_with_no_amount(host: Iso8583Host, acquirer: Acquirer) -> None:
    assert await acquirer.code(acquirer.authorization(0, RRN)) == "00"
    assert host.standing(RRN) == Standing(1, 0, 0, 0)


async def test_a_card_number_may_be_in_track_two(host: Iso8583Host, acquirer: Acquirer) -> None:
    original = acquirer.authorization(1000, RRN, de2=None, de35=f"{OTHER_PAN}=2812101")
    await acquirer.say(original)

    assert await acquirer.code(acquirer.completion(original, 100)) == "25"
    assert await acquirer.code(acquirer.completion(original, 100, de2=OTHER_PAN)) == "00"
