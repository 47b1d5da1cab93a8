"""Files of records and private data subelements."""

from __future__ import annotations

import io
import random
from collections.abc import Iterator

import pytest

from shanraq.standards import iso8583
from shanraq.standards.iso8583 import Iso8583Error, Message
from shanraq.standards.iso8583.files import FileFormat, read_records, write_records
from shanraq.standards.iso8583.pds import PDS_ELEMENTS, read_pds, write_pds

FORMS: tuple[FileFormat, ...] = ("vbs", "1014")


def written(records: list[bytes], form: FileFormat) -> bytes:
    return b"".join(write_records(records, form))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("sizes", [[], [1], [1004], [1005], [1008], [1012], [1013, 1, 5000], [2020, 1]])
def test_records_are_written_and_read_in_pieces_of_any_size(form: FileFormat, sizes: list[int]) -> None:
    dice = random.Random(1014)
    records = [dice.randbytes(size) for size in sizes]
    data = written(records, form)

    assert list(read_records(io.BytesIO(data), form)) == records
    for step in (1, 7, 1013, 1014, 4096):
        assert list(read_records([data[at : at + step] for at in range(0, len(data), step)], form)) == records
    if form == "1014":
        assert len(data) % 1014 == 0
        assert all(data[at + 1012 : at + 1014] == b"\x40\x40" for at in range(0, len(data), 1014))


@pytest.mark.parametrize("form", FORMS)
def test_every_cut_file_is_refused_with_its_place(form: FileFormat) -> None:
    data = written([b"a" * 700, b"b" * 700], form)

    for end in range(len(data)):
        with pytest.raises(Iso8583Error) as refused:
            list(read_records(io.BytesIO(data[:end]), form))
        assert refused.value.code in ("truncated", "missing_end")
        assert 0 <= refused.value.offset <= end


def broken(form: FileFormat, change: str) -> bytes:
    data = bytearray(written([b"a" * 700, b"b" * 700], form))
    match change:
        case "trailer":
            data[1013] = 0
        case "fill":
            data[-3] = 0
        case "more":
            data += b"\x00" * (1012 if form == "1014" else 1) + (b"\x40\x40" if form == "1014" else b"")
        case "length":
            data[704:708] = b"\x00\x01\x00\x01"
    return bytes(data)


@pytest.mark.parametrize(
    ("form", "change", "code", "field", "offset"),
    [
        ("1014", "trailer", "bad_block", "block 1", 1012),
        ("1014", "fill", "bad_block", "end", 1414),
        ("1014", "more", "trailing_bytes", "end", 2028),
        ("vbs", "more", "trailing_bytes", "end", 1412),
        ("vbs", "length", "too_long", "record 2", 704),
        ("1014", "length", "too_long", "record 2", 704),
    ],
)
def test_a_broken_file_is_refused_with_its_place(
    form: FileFormat, change: str, code: str, field: str, offset: int
) -> None:
    with pytest.raises(Iso8583Error) as refused:
        list(read_records(io.BytesIO(broken(form, change)), form))

    assert (refused.value.code, refused.value.field, refused.value.offset) == (code, field, offset)


@pytest.mark.parametrize("record", [b"", b"x" * 11])
def test_a_record_without_or_with_too_many_bytes_is_not_written(record: bytes) -> None:
    with pytest.raises(Iso8583Error, match="record 2"):
        list(write_records([b"1", record], "vbs", most_record_bytes=10))


def test_a_file_is_read_as_it_comes() -> None:
    def pieces() -> Iterator[bytes]:
        yield written([b"first"], "vbs")[:9]
        raise AssertionError("read ahead")

    assert next(iter(read_records(pieces(), "vbs"))) == b"first"


def test_subelements_fill_one_element_after_the_other_and_are_never_split() -> None:
    values = {"0001": "a" * 500, "0002": "b" * 485, "0003": "c", "0004": "d" * 992, "0005": "e"}

    fields = write_pds(values)

    assert list(fields) == [48, 62, 123, 124]
    assert [len(text) for text in fields.values()] == [999, 8, 999, 8]
    assert read_pds(Message("1240", fields)) == values
    assert write_pds({}) == {}


def test_subelements_go_through_the_layout() -> None:
    codec = iso8583.codec("mc_ipm")
    values = {"0023": "CT6", "0105": "0" * 25, "0165": "M"}

    message = codec.decode(codec.encode(Message("1240", {24: "200", **write_pds(values)})))

    assert read_pds(message) == values
    assert message.parts[48]["items"] == [[tag, value] for tag, value in values.items()]


@pytest.mark.parametrize(
    ("values", "path"),
    [({"23": "x"}, "pds"), ({"002²": "x"}, "pds"), ({"0001": "x" * 993}, "pds.0001"),
     ({f"{n:04d}": "x" * 992 for n in range(len(PDS_ELEMENTS) + 1)}, "pds.0005")],
)  # fmt: skip
def test_what_does_not_fit_is_refused(values: dict[str, str], path: str) -> None:
    with pytest.raises(Iso8583Error) as refused:
        write_pds(values)

    assert refused.value.field == path


@pytest.mark.parametrize(
    ("fields", "code", "path"),
    [
        ({48: "0023003CT"}, "truncated", "48.0023"),
        ({48: "00230 3CT6"}, "bad_length", "48.0023"),
        ({62: "002"}, "bad_tag", "62"),
        ({48: "002x003CT6"}, "bad_tag", "48"),
        ({48: "0023003CT6", 125: "0023003CT6"}, "duplicate", "125.0023"),
    ],
)
def test_broken_subelements_are_refused(fields: dict[int, str], code: str, path: str) -> None:
    with pytest.raises(Iso8583Error) as refused:
        read_pds(Message("1240", fields))

    assert (refused.value.code, refused.value.field) == (code, path)
