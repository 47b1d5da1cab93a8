"""FIN is read strictly, and written again character by character."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shanraq.standards import mt
from tests.standards.mt.samples import MT103, MT202COV, MT900, MT910, MT940, MT942, UETR

WHOLE = [MT103, MT202COV, MT900, MT910, MT942]
X = "ABCXYZabcxyz0189/-?:().,'+ "


def refused(text: str) -> tuple[str, str, int]:
    with pytest.raises(mt.MtError) as error:
        mt.read_all(text)
    assert str(error.value).startswith(error.value.tag or "message")
    return error.value.code, error.value.tag, error.value.line


def with_field(old: str, new: str, text: str = MT103) -> str:
    assert old in text
    return text.replace(old, new.replace("\n", "\r\n"))


@pytest.mark.parametrize("text", WHOLE)
def test_what_is_read_is_written_again(text: str) -> None:
    assert mt.write(mt.read(text)) == text


def test_several_messages_of_one_file_are_read_in_order() -> None:
    pages = mt.read_all(MT940)
    files = mt.read_all(f"{MT103}$\r\n{MT202COV}\r\n")

    assert [page.find("28C").text for page in pages] == ["5/1", "5/2"]  # type: ignore[union-attr]
    assert "\n".join(mt.write(page) for page in pages) == MT940
    assert [message.kind for message in files] == ["103", "202COV"]
    assert refused(MT103 + MT202COV[:-2])[0] == "block"
    with pytest.raises(mt.MtError, match="2 messages"):
        mt.read(MT103 + MT202COV)


def test_headers_and_fields_tell_their_parts() -> None:
    message = mt.read(MT103)
    delivered = mt.read(MT900)
    values = dict(mt.values(message))

    assert (message.sender, message.receiver, message.user_value("121")) == ("NBRKKZKX", "DEUTDEFF", UETR)
    assert (delivered.sender, delivered.receiver) == ("DEUTDEFF", "NBRKKZKX")
    assert values["32A/amount"] == "1234,5"
    assert values["59F/line[3]"] == "3/DE/BERLIN"
    assert values["53B/mark"] == "D"
    assert values["56D/identifier"] == "/FW021000021"
    assert (values["{3:}/108"], values["{5:}/TNG"]) == ("MUR1", "")
    assert "TEST PAYER" not in repr(message)


def test_two_sequences_keep_their_fields_apart() -> None:
    message = mt.read(MT202COV)
    values = dict(mt.values(message))

    assert message.find("57A", sequence="A") is not None
    assert message.find("57A", sequence="B") is None
    assert values["B/50K/line[1]"] == "TEST PAYER"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("EUR1234,5", "EUR1234.50", ("format", "32A")),
        ("EUR1234,5", "EUR,5", ("format", "32A")),
        ("EUR1234,5", "EUR1234", ("format", "32A")),
        ("EUR1234,5", "EUR-1,", ("format", "32A")),
        ("EUR1234,5", "EUR1,2,3", ("format", "32A")),
        ("EUR1234,5", "EUR123456789012345,", ("format", "32A")),
        ("EUR1234,5", "eur1234,5", ("format", "32A")),
        ("261123EUR", "261323EUR", ("date", "32A")),
        ("261123EUR", "260229EUR", ("date", "32A")),
        ("0915+0100", "2515+0100", ("time", "13C")),
        ("0915+0100", "0915+0160", ("time", "13C")),
        (":20:REF-1", ":20:12345678901234567", ("format", "20")),
        (":20:REF-1", ":20:/REF", ("format", "20")),
        (":20:REF-1", ":20:REF/", ("format", "20")),
        (":20:REF-1", ":20:A//B", ("format", "20")),
        (":20:REF-1", ":20:A=B", ("format", "20")),
        (":20:REF-1", ":20:", ("format", "20")),
        (":20:REF-1\r\n", "", ("missing_field", "20")),
        (":23B:CRED", ":23B:CASH", ("code", "23B")),
        (":71A:SHA", ":71A:ALL", ("code", "71A")),
        (":23B:CRED", ":23B:CRED\n:99Z:X", ("unknown_tag", "99Z")),
        (":23B:CRED", ":23B:CRED\n:20:X", ("unexpected_field", "20")),
        (":71A:SHA\r\n:71F:USD5,", ":71F:USD5,\n:71A:SHA", ("unexpected_field", "71F")),
        ("TEST PAYER", "T" * 36, ("format", "50K")),
        ("TEST PAYER", "A\nB\nC\nD", ("format", "50K")),
        ("TEST PAYER", "A\n\nB", ("format", "50K")),
        ("TEST PAYER", "A\n:B", ("tag", "50K")),
        ("TEST PAYER", "A\n-B", ("tag", "50K")),
        ("1/TEST PAYEE", "TEST PAYEE", ("format", "59F")),
        (":53B:/D/12345", ":53B:/D/12345LONDON" + "X" * 30, ("format", "53B")),
        (":53B:/D/12345", ":53B:/D/12345\nLONDON\nX", ("format", "53B")),
        (":52A:NBRKKZKX", ":52A:NBRKKZK", ("format", "52A")),
        (f"121:{UETR}", "121:eb6305c9", ("format", "{3:}/121")),
        (":36:0,95\r\n", "", ("rule", "36")),
        (":33B:USD1300,", ":33B:EUR1300,", ("rule", "36")),
        (":57A:DEUTDEFF\r\n", "", ("rule", "57a")),
        (":56D:", ":55A:DEUTDEFF\n:56D:", ("rule", "55a")),
        (":71A:SHA", ":71A:OUR", ("rule", "71F")),
        (":71F:USD5,", ":71G:USD5,", ("rule", "71G")),
        (":71A:SHA\r\n:71F:USD5,", ":71A:BEN", ("rule", "71F")),
        (":33B:USD1300,\r\n:36:0,95\r\n", "", ("rule", "33B")),
        (":77B:/ORDERRES/KZ//INVOICE", ":77T:X", ("rule", "77T")),
        ("{3:{108:MUR1}", "{3:{119:STP}", ("rule", "23E")),
        ("{1:F01", "{1:Q01", ("header", "{1:}")),
        ("{2:I103", "{2:X103", ("header", "{2:}")),
        ("{2:I103", "{2:I999", ("unknown_type", "{2:}")),
        ("{3:{108:MUR1}", "{3:", ("block", "{4:}")),
        ("{4:\r\n", "{4:", ("block", "{4:}")),
        ("{4:", "{5:", ("block", "{4:}")),
        ("-}{5:", "- }{5:", ("block", "{4:}")),
        ("{5:{CHK:123456789ABC}{TNG:}}", "{5:{CHK}}", ("block", "{5:}")),
    ],
)
def test_what_is_wrong_is_named_with_its_field(old: str, new: str, expected: tuple[str, str]) -> None:
    if expected == ("block", "{4:}") and new == "{3:":
        text = MT103.replace("{3:{108:MUR1}{121:" + UETR + "}}", "{3:}")
        assert refused(text)[:2] == ("block", "{3:}")
        return
    code, tag, line = refused(with_field(old, new))

    assert (code, tag) == expected
    assert line > 0


def test_a_line_of_an_error_is_that_of_the_field() -> None:
    assert refused(with_field(":71A:SHA", ":71A:ALL")) == ("code", "71A", 22)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "empty"), (" \r\n$", "empty"), ("hello", "block"), ("{", "block"), ("{1:", "header"), ("{2:I103}", "block"),
        (MT103 + "x", "block"), (MT103.replace("TEST PAYER", "TÉST"), "character"), (MT103.replace("\r\n", "\r"), "line_end"),
        (MT103.replace("\r\n", "\n", 1), "line_end"), ("\x00", "character"), (":20:A\n:99:B", "unknown_type"),
        (":20:" + "A" * 1_000_000, "unknown_type"), (":20:A\n:60F:" + "9" * 1_000_000, "format"),
        ("{1:F01NBRKKZKXAXXX0001000001}{2:I940DEUTDEFFXXXXN}{4:" + "\n" * 100_000, "block"),
        (MT940.replace(":86:FREE TEXT", ":86:A\n:86:B"), "unexpected_field"),
        ("{" * 100_000, "block"), ("{1:F01NBRKKZKXAXXX0001000001}{2:I103DEUTDEFFXXXXN}{3:" + "{108:A}" * 1000 + "}", "block"),
    ],
)  # fmt: skip
def test_hostile_texts_are_refused(text: str, code: str) -> None:
    assert refused(text)[0] == code


def test_a_text_has_a_bound() -> None:
    assert refused(" " * (32 * 1024 * 1024 + 1))[0] == "too_long"


def test_years_from_80_on_are_of_the_last_century() -> None:
    assert str(mt.calendar_date("791231")) == "2079-12-31"
    assert str(mt.calendar_date("800101")) == "1980-01-01"
    assert mt.calendar_date("000229") is not None
    assert mt.calendar_date("010229") is None


def test_remittance_has_an_envelope_only_under_its_flag() -> None:
    text = MT103.replace("{3:{108:MUR1}", "{3:{119:REMIT}")
    rich = text.replace(":77B:/ORDERRES/KZ//INVOICE", ':77T:/SWIF/a="b"').replace(":70:/ROC/E2E-1///INVOICE 12\r\n", "")

    assert mt.write(mt.read(rich)) == rich
    assert refused(rich.replace(":71A:", ":70:A\r\n:71A:"))[:2] == ("rule", "70")


def test_a_message_that_would_be_read_otherwise_is_not_written() -> None:
    message = mt.read(MT103)
    header = mt.BasicHeader("F", "01", "nonsense", "0001", "000001")

    with pytest.raises(mt.MtError) as error:
        mt.write(mt.Message("103", message.fields, header, message.application))

    assert error.value.code == "header"


def test_other_letters_are_written_in_set_x() -> None:
    assert mt.to_x("Қазақстан Щедрин Ł. Müller & Co_1") == ("Qazaqstan Shchedrin L. Muller + Co-1", False)
    assert mt.to_x("漢字 ß\n€") == (".. ss .", True)
    assert mt.to_x("PLAIN") == ("PLAIN", False)
    assert not mt.in_x("A\n")


@given(st.text(max_size=60))
def test_whatever_is_written_in_set_x_is_of_it(text: str) -> None:
    written, _ = mt.to_x(text)

    assert mt.in_x(written)


amounts = st.from_regex(r"[0-9]{1,11},[0-9]{0,3}", fullmatch=True).filter(lambda text: len(text) <= 15)
line = st.text(X, min_size=1, max_size=35).filter(lambda text: text[0] not in ":-/" and text.strip() != "")


@given(amounts, st.lists(line, min_size=1, max_size=4), st.lists(line, min_size=1, max_size=4))
def test_any_message_of_the_right_form_comes_back(amount: str, party: list[str], remittance: list[str]) -> None:
    text = MT103.replace("EUR1234,5", f"EUR{amount}").replace(
        "TEST PAYER\r\nTEST STREET 1", "\r\n".join(party)
    ).replace(":70:/ROC/E2E-1///INVOICE 12", ":70:" + "\r\n".join(remittance))  # fmt: skip

    message = mt.read(text)

    assert mt.write(message) == text
    assert [value for path, value in mt.values(message) if path.startswith("50K/line")] == party


@settings(max_examples=300)
@given(st.sampled_from([*WHOLE, MT940]), st.integers(0, 2**32))
def test_mutations_raise_only_the_error_of_fin(text: str, seed: int) -> None:
    rng = random.Random(seed)
    mutated = list(text)
    for _ in range(rng.randint(1, 4)):
        place = rng.randrange(len(mutated))
        match rng.randrange(4):
            case 0:
                del mutated[place : place + rng.randint(1, 30)]
            case 1:
                mutated[place:place] = rng.choice(
                    ["\r\n", ":", "{", "}", "-", ",", ":20:A", "\r\n:61:", "é", "\x00", "9" * 40]
                )
            case 2:
                mutated[place] = chr(rng.randrange(256))
            case _:
                mutated[place:place] = mutated[rng.randrange(len(mutated)) :][:40]
    changed = "".join(mutated)

    try:
        messages = mt.read_all(changed)
    except mt.MtError as error:
        assert error.code and error.message  # noqa: PT017
        return
    for message in messages:
        assert mt.read(mt.write(message)) == message
