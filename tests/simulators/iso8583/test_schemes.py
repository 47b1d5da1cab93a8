"""Every scheme: the same money, each in its own messages."""

from __future__ import annotations

import pytest

from shanraq.simulators.iso8583 import SCHEMES, HostConfiguration, Iso8583Host, Scheme, Standing
from shanraq.simulators.iso8583.schemes import Result
from shanraq.standards import iso8583
from shanraq.standards.iso8583 import Message
from tests.simulators.iso8583.acquirer import Acquirer

RRN = "000000000001"
TO_TERMINAL = "6001600003603100311001"
SIGN_ONS = {"generic": "001", "visa": "071", "mastercard": "061", "unionpay": "001", "generic93": "801"}
SIGN_OFFS = {"generic": "002", "visa": "072", "mastercard": "062", "unionpay": "002", "generic93": "802"}
ECHOES = {"generic": "301", "visa": "301", "mastercard": "270", "unionpay": "301", "generic93": "831"}
KEY_CHANGES = {"generic": "161", "visa": "161", "mastercard": "161", "unionpay": "161", "generic93": "811"}


@pytest.mark.parametrize("name", SCHEMES)
async def test_the_whole_life_of_a_payment(name: str) -> None:
    scheme = SCHEMES[name]
    code = scheme.codes
    async with Iso8583Host(HostConfiguration(scheme=name, require_sign_on=True)) as host:
        acquirer = await Acquirer.connect(host)
        early = acquirer.authorization(1000, RRN)
        assert await acquirer.code(early) == code[Result.NOT_SIGNED_ON]
        for wanted in (SIGN_ONS, ECHOES, KEY_CHANGES):
            answer = await acquirer.say(acquirer.session(wanted[name]))
            assert answer.mti == {"1987": "0810", "1993": "1814"}[scheme.edition]
            assert answer.fields[39] == code[Result.MANAGED]
            assert wanted[name] in answer.fields[scheme.session_element]

        original = acquirer.authorization(1000, RRN)
        answer = await acquirer.say(original)
        assert answer.mti == original.mti[:2] + "10"
        assert answer.fields[39] == code[Result.APPROVED]
        assert answer.fields[2] == original.fields[2]
        completion = acquirer.completion(original, 600)
        assert await acquirer.code(completion) == code[Result.ADVISED]
        assert await acquirer.code(acquirer.completion(original, 401)) == code[Result.EXCEEDS]
        assert await acquirer.code(acquirer.refund(200, RRN)) == code[Result.APPROVED]
        assert host.standing(RRN) == Standing(1, 600, 200, 400)
        reversal = acquirer.reversal(original, de11=reversal_stan(acquirer, original))
        assert await acquirer.code(reversal) == code[Result.REVERSED]
        assert host.standing(RRN) == Standing(1, 600, 200, 0)

        purchase = acquirer.purchase(500, "000000000002")
        overtaking = acquirer.reversal(purchase, de11=reversal_stan(acquirer, purchase))
        assert await acquirer.code(overtaking) == code[Result.NO_ORIGINAL]
        assert await acquirer.code(purchase) == code[Result.NO_ACTION]
        assert host.standing("000000000002") == Standing()
        assert await acquirer.code(acquirer.session(SIGN_OFFS[name])) == code[Result.MANAGED]
        assert await acquirer.code(acquirer.purchase(1)) == code[Result.NOT_SIGNED_ON]
        await acquirer.close()


def reversal_stan(acquirer: Acquirer, original: Message) -> str:
    """A terminal's reversal has the trace number of its original; any other has one of its own."""
    return f"{next(acquirer.stans):06d}" if acquirer.scheme.names_originals else original.fields[11]


@pytest.mark.parametrize("name", [name for name, scheme in SCHEMES.items() if scheme.names_originals])
async def test_a_partial_reversal_in_every_scheme_that_has_one(name: str) -> None:
    async with Iso8583Host(HostConfiguration(scheme=name)) as host:
        acquirer = await Acquirer.connect(host)
        original = acquirer.authorization(1000, RRN)
        await acquirer.say(original)

        code = await acquirer.code(acquirer.partial_reversal(original, 400))

        assert code == host.scheme.codes[Result.REVERSED]
        assert host.standing(RRN) == Standing(1, 0, 0, 400)
        await acquirer.close()


async def test_codes_of_1987_are_spoken_in_1993() -> None:
    async with Iso8583Host(HostConfiguration(scheme="generic93")) as host:
        acquirer = await Acquirer.connect(host)
        for wanted, code in (("51", "116"), ("91", "907"), ("116", "116")):
            host.fail_next(f"decline:{wanted}")
            assert await acquirer.code(acquirer.purchase(1)) == code
        host.fail_next("partial:40")
        answer = await acquirer.say(acquirer.purchase(100))
        assert (answer.fields[39], int(answer.fields[4])) == ("002", 40)
        await acquirer.close()


async def test_visa_headers_name_their_length_and_go_back_to_where_they_came_from() -> None:
    async with Iso8583Host(HostConfiguration(scheme="visa", echo_after_seconds=0.1)) as host:
        acquirer = await Acquirer.connect(host)
        acquirer.tell(acquirer.authorization(1000, RRN))

        raw = await acquirer.raw()

        answer = acquirer.codec.decode(raw)
        assert int(answer.header_parts["total_length"], 16) == len(raw)
        assert (answer.header_parts["destination"], answer.header_parts["source"]) == ("123456", "000000")
        echo = await acquirer.raw()
        assert int(acquirer.codec.decode(echo).header_parts["total_length"], 16) == len(echo)
        await acquirer.close()


async def test_unionpay_answers_go_to_the_originator_of_the_tpdu() -> None:
    async with Iso8583Host(HostConfiguration(scheme="unionpay")) as host:
        acquirer = await Acquirer.connect(host)

        answer = await acquirer.say(acquirer.authorization(1000, RRN))

        assert answer.header == TO_TERMINAL
        host.send_echo()
        echo = await acquirer.hear()
        assert (echo.mti, echo.fields[60][8:11]) == ("0820", "301")
        await acquirer.close()


async def test_unionpay_completes_by_condition_and_reverses_by_trace_number_alone() -> None:
    async with Iso8583Host(HostConfiguration(scheme="unionpay")) as host:
        acquirer = await Acquirer.connect(host)
        approval = (await acquirer.say(acquirer.authorization(1000, RRN))).fields[38]
        completion = acquirer.purchase(600, RRN, de25="06", de38=approval)
        assert await acquirer.code(completion) == "00"
        assert host.standing(RRN) == Standing(1, 600, 0, 400)

        reversal = acquirer.request("0400", "000000", 600, de37=None, de11=completion.fields[11])

        assert await acquirer.code(reversal) == "00"
        assert host.standing(RRN) == Standing(1, 0, 0, 1000)
        lost = acquirer.purchase(600, RRN, de25="06", de38=approval)
        lost_reversal = acquirer.request("0400", "000000", 600, de37=RRN, de11=lost.fields[11])
        assert await acquirer.code(lost_reversal) == "25", "the authorisation is not taken for the lost completion"
        assert await acquirer.code(lost) == "21"
        by_approval = acquirer.request("0400", "000000", 1000, de37=RRN, de38=approval)
        assert await acquirer.code(by_approval) == "00"
        assert host.standing(RRN) == Standing()
        await acquirer.close()


@pytest.mark.parametrize("framing", [name for name in iso8583.framing_names() if name != "ascii2"])
async def test_any_framing_can_be_taken(framing: str) -> None:
    layout = "iso87a" if framing in {"base24", "base24tcp"} else "iso87_asciibin"
    async with Iso8583Host(HostConfiguration(layout=layout, framing=framing)) as host:
        acquirer = await Acquirer.connect(host)

        assert await acquirer.code(acquirer.purchase(1000, RRN)) == "00"
        assert (host.layout, host.framing) == (layout, framing)
        await acquirer.close()


LAYOUTS = ["iso87a", "iso87a_bbm", "iso87b", "base24", "nac_bcd", "post", "spec87ascii_tlv55_2bm"]


@pytest.mark.parametrize("layout", LAYOUTS)
async def test_any_layout_can_be_taken(layout: str) -> None:
    headers = {"base24": "ISO025000055", "nac_bcd": "6000090001"}
    async with Iso8583Host(HostConfiguration(layout=layout)) as host:
        acquirer = await Acquirer.connect(host)
        terminal = "TERM0001".ljust(16 if layout == "base24" else 8)
        original = acquirer.authorization(1000, RRN, de41=terminal)
        original.header = headers.get(layout)
        assert await acquirer.code(original) == "00"
        reversal = acquirer.reversal(original, de41=terminal)
        reversal.header = headers.get(layout)

        assert await acquirer.code(reversal) == "00"
        assert host.standing(RRN) == Standing()
        await acquirer.close()


async def test_layouts_framings_and_schemes_may_be_ones_own() -> None:
    generic = SCHEMES["generic"]
    own = Scheme(
        "own", generic.layout, generic.framing, dict(generic.codes), {"777": generic.sessions["301"]}, frozenset()
    )
    configuration = HostConfiguration(
        scheme=own, layout=iso8583.layout("iso87a"), framing=iso8583.framing("ascii4", limit=4000)
    )
    host = Iso8583Host(configuration)
    assert (host.scheme.echo_code(), host.layout, host.framing) == ("777", "iso87a", "ascii4")


@pytest.mark.parametrize("wrong", [{"scheme": "jcb"}, {"layout": "iso88"}, {"framing": "pigeon"}])
def test_names_there_are_not_are_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(ValueError):
        Iso8583Host(HostConfiguration(**wrong))  # type: ignore[arg-type]
