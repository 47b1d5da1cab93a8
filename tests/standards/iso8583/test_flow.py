"""How messages follow each other."""

from __future__ import annotations

import pytest

from shanraq.standards import iso8583
from shanraq.standards.iso8583 import Iso8583Error, Message
from shanraq.standards.iso8583.flow import (
    Original,
    format_error,
    is_repeat,
    is_request,
    is_response,
    original_data,
    original_mti,
    parse_original_data,
    repeat_mti,
    reply_header,
    respond,
    response_mti,
    reversal_of,
)

REQUEST = {
    2: "4111111111111111", 3: "000000", 4: "000000012500", 7: "0401123045", 11: "123456", 22: "051", 32: "12345", 35: "4111=1",
    37: "509112123456", 41: "TERM0001", 49: "398", 52: "1122334455667788",
}  # fmt: skip


@pytest.mark.parametrize(
    ("mti", "response"),
    [("0100", "0110"), ("0201", "0210"), ("0421", "0430"), ("0302", "0312"), ("0403", "0412"), ("1804", "1814"),
     ("1825", "1834"), ("0140", "0150"), ("2160", "2170")],
)  # fmt: skip
def test_a_response_has_the_next_function_and_is_no_repeat(mti: str, response: str) -> None:
    assert response_mti(mti) == response
    assert is_request(mti)
    assert not is_response(mti)
    assert is_response(response)


@pytest.mark.parametrize("mti", ["0110", "0430", "0180", "0190", "", "02", "02A0", "02²0", "02000"])
def test_a_response_or_no_type_at_all_is_not_answered(mti: str) -> None:
    assert not is_request(mti)
    for refused in (lambda: response_mti(mti), lambda: format_error(Message(mti)), lambda: repeat_mti(mti)):
        with pytest.raises(Iso8583Error) as error:
            refused()
        assert (error.value.code[:3], error.value.field) == ("no_", "mti")


@pytest.mark.parametrize(("mti", "repeat"), [("0420", "0421"), ("0421", "0421"), ("0402", "0403"), ("1804", "1805")])
def test_a_repeat_stays_a_repeat(mti: str, repeat: str) -> None:
    assert repeat_mti(mti) == repeat
    assert is_repeat(repeat)
    assert original_mti(repeat) == original_mti(mti)
    with pytest.raises(Iso8583Error):
        repeat_mti("0206")


def test_a_response_echoes_what_it_is_matched_by_and_nothing_secret() -> None:
    response = respond(Message("0200", REQUEST, header="6000310019"), "00")

    assert response.mti == "0210"
    assert list(response.fields) == [2, 3, 4, 7, 11, 32, 37, 39, 41, 49]
    assert response.fields[39] == "00"
    assert response.header == "6000190031"
    assert respond(Message("0200", REQUEST), "05", keep=(11,)).fields == {11: "123456", 39: "05"}


def test_the_verification_value_of_2003_does_not_come_back() -> None:
    for mti in ("2200", "3200"):
        request = Message(mti, {11: "000000123456", 49: "40"})
        assert respond(request, "0000").fields == {11: "000000123456", 39: "0000"}
        assert 49 not in reversal_of(request, stan="1", sent_at="0401123111").fields


@pytest.mark.parametrize(
    ("mti", "code"), [("0100", "30"), ("1100", "904"), ("2100", "1015"), ("3100", "1015"), ("9100", "30")]
)
def test_a_request_that_cannot_be_read_is_answered_as_far_as_it_was_read(mti: str, code: str) -> None:
    assert format_error(Message(mti, {11: "123456"})).fields == {11: "123456", 39: code}


def test_the_answer_to_a_cut_message_can_be_written() -> None:
    codec = iso8583.codec("iso87_asciibin")
    with pytest.raises(Iso8583Error) as refused:
        codec.decode(codec.encode(Message("0200", {n: v for n, v in REQUEST.items() if n < 35}))[:-1])
    assert refused.value.partial is not None

    answer = codec.decode(codec.encode(format_error(refused.value.partial)))

    assert (answer.mti, answer.fields[11], answer.fields[39]) == ("0210", "123456", "30")


@pytest.mark.parametrize("header", [None, "", "60", "ISO025000055", "1601020000000000"])
def test_another_header_than_a_tpdu_goes_back_as_it_is(header: str | None) -> None:
    assert reply_header(header) == header


def test_original_data_name_the_message_and_are_read_again() -> None:
    text = original_data(Message("0200", REQUEST))

    assert text == "0200" + "123456" + "0401123045" + "00000012345" + "0" * 11
    assert parse_original_data(text) == Original("0200", "123456", "0401123045", "12345", "")


def test_original_data_of_later_editions() -> None:
    fields = {11: "123456", 12: "250401123045", 32: "12345"}
    text = original_data(Message("1200", fields))
    later = original_data(Message("2200", {11: "9" * 12, 12: "20250401123045", 32: "12345678901"}))

    assert text == "1200" + "123456" + "250401123045" + "0512345"
    assert parse_original_data(text, "1993") == Original("1200", "123456", "250401123045", "12345")
    assert len(later) == 41
    assert parse_original_data(later, "2003") == Original("2200", "9" * 12, "20250401123045", "12345678901")


@pytest.mark.parametrize(
    ("text", "edition"),
    [("", "1987"), ("0" * 41, "1987"), ("0" * 41 + " ", "1987"), ("²" * 42, "1987"), ("1" * 23, "1993"), ("1" * 30, "1993"),
     ("1" * 29, "2003"), ("1" * 42, "2003")],
)  # fmt: skip
def test_foreign_content_is_no_original(text: str, edition: str) -> None:
    assert parse_original_data(text, edition) is None


@pytest.mark.parametrize(
    ("mti", "fields", "field"),
    [("0200", {11: "12A456"}, "11"), ("0200", {33: "1" * 12}, "33"), ("1200", {12: "²"}, "12"), ("02", {}, "mti")],
)
def test_what_cannot_be_named_is_refused(mti: str, fields: dict[int, str], field: str) -> None:
    with pytest.raises(Iso8583Error) as refused:
        original_data(Message(mti, fields))

    assert (refused.value.field, refused.value.offset) == (field, -1)


def test_a_reversal_names_what_it_reverses() -> None:
    reversal = reversal_of(
        Message("0201", REQUEST, header="6000310019"), stan="123457", sent_at="0401123111", approval="A1B2C3"
    )

    assert reversal.mti == "0420"
    assert reversal.header == "6000310019"
    assert list(reversal.fields) == [2, 3, 4, 7, 11, 22, 32, 37, 38, 41, 49, 90]
    assert (reversal.fields[11], reversal.fields[7], reversal.fields[38]) == ("123457", "0401123111", "A1B2C3")
    assert parse_original_data(reversal.fields[90]) == Original("0201", "123456", "0401123045", "12345", "")
    reversal.header = None
    assert iso8583.codec("iso87_asciibin").encode(reversal)


def test_a_reversal_of_1993_carries_its_function_code() -> None:
    reversal = reversal_of(Message("1200", {11: "123456", 24: "200"}), stan="123457", sent_at="0401123111")

    assert (reversal.mti, reversal.fields[24]) == ("1420", "400")
    assert reversal.fields[56].startswith("1200123456")
