"""Framing: what cannot be followed is refused, with the place."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shanraq.standards.iso8583 import FramingError, framing, framing_names
from shanraq.standards.iso8583.framing import reply_tpdu


@pytest.mark.parametrize(
    ("name", "stream", "code"),
    [
        ("ascii4", b"00+9xxxxxxxxx", "bad_length"),
        ("ascii4", b" 012", "bad_length"),
        ("ascii4", b"0_12", "bad_length"),
        ("ascii4", b"x", "bad_length"),
        ("hex4", b"00 b", "bad_length"),
        ("hex4", b"0x1b", "bad_length"),
        ("bcd2", b"\x01\x2a", "bad_length"),
        ("amex", b"\x00\x01", "bad_length"),
        ("amex", b"\x00\x02", "bad_length"),
        ("cs", b"\x00\x05\x00\x01", "bad_header"),
        ("cs", b"\x00\x00\x00\x10", "bad_header"),
        ("gicc", b"\x01", "bad_header"),
        ("rbp", b"\xd0\x4b", "bad_header"),
        ("rbp", b"\xd0\x4a\x00\x01\x00\x01", "bad_header"),
        ("nac", b"\x00\x05\x60\x00\x01\x00\x02", "truncated"),
        ("base24tcp", b"\x00\x03abc", "bad_end"),
        ("raw4", b"\x7f\xff\xff\xff", "too_long"),
        ("cmf3", b"\xff\xff\xff", "too_long"),
        ("base24", b"0" * 4097, "too_long"),
    ],
)
def test_a_stream_that_cannot_be_followed_is_refused(name: str, stream: bytes, code: str) -> None:
    with pytest.raises(FramingError) as refused:
        framing(name).reader().feed(stream)

    assert refused.value.code == code


def test_parts_are_put_together_and_bounded() -> None:
    reader = framing("rbp", limit=10).reader()
    more, last = bytes.fromhex("D04A00040100"), bytes.fromhex("D04A00040000")

    first = reader.feed(more + b"abcd")
    whole = reader.feed(last + b"efgh")

    assert first == []
    assert [found.message for found in whole] == [b"abcdefgh"]
    with pytest.raises(FramingError):
        reader.feed((more + b"abcd") * 3)


def test_the_answer_goes_back_where_the_request_came_from() -> None:
    link = framing("binary2", tpdu=bytes.fromhex("6000010002"))
    (received,) = link.reader().feed(link.frame(b"0800"))

    assert received.tpdu.hex() == "6000010002"
    assert reply_tpdu(received.tpdu).hex() == "6000020001"
    assert link.frame(b"0810", reply_tpdu(received.tpdu))[2:7].hex() == "6000020001"


def test_keep_alives_are_echoed_only_where_asked() -> None:
    loud, quiet = framing("ascii4").reader(), framing("ascii4", echo=False).reader()

    assert loud.feed(b"00000000") == quiet.feed(b"00000000") == []
    assert (loud.take_echoes(), quiet.take_echoes()) == (b"00000000", b"")


@pytest.mark.parametrize(("name", "options"), [("morse", {}), ("ascii9", {}), ("base24", {"tpdu": b"12345"})])
def test_what_there_is_not_is_refused(name: str, options: dict[str, bytes]) -> None:
    with pytest.raises(FramingError):
        framing(name, **options)  # type: ignore[arg-type]
    with pytest.raises(FramingError):
        framing("ascii4", tpdu=b"123")
    with pytest.raises(FramingError):
        framing("ascii4").frame(b"")
    with pytest.raises(FramingError):
        framing("base24").frame(b"a\x03b")
    with pytest.raises(FramingError):
        framing("nac", limit=0)


@given(
    st.sampled_from(framing_names()),
    st.lists(st.binary(min_size=1, max_size=99).filter(lambda message: 3 not in message), max_size=6),
    st.data(),
)
@settings(max_examples=200, deadline=None)
def test_what_is_framed_comes_out_again(name: str, messages: list[bytes], data: st.DataObject) -> None:
    link = framing(name)
    stream = b"".join(link.frame(message) for message in messages if len(message) <= link.limit)
    reader = link.reader()
    found: list[bytes] = []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        found += [received.message for received in reader.feed(stream[:size])]
        stream = stream[size:]

    assert found == [message for message in messages if len(message) <= link.limit]
    assert not reader.waiting


@given(st.sampled_from(framing_names()), st.binary(max_size=300))
@settings(max_examples=300, deadline=None)
def test_no_stream_gives_another_error(name: str, stream: bytes) -> None:
    with contextlib.suppress(FramingError):
        framing(name).reader().feed(stream)
