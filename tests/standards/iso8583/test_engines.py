"""Every engine gives what the exact codec gives: the same message, or the same error at the same place."""

from __future__ import annotations

import copy
import gc
import json
import os
import pickle
import random
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from types import CodeType, FunctionType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shanraq.standards import iso8583
from shanraq.standards.iso8583 import Codec, Engine, Iso8583Error, Layout, Level, Message, generated
from shanraq.standards.iso8583.generated import Generated
from tests.conformance.data import conformance_data
from tests.standards.iso8583.samples import STRANGER, header_of, layout_of, message_of, mutated, tlv_items

FULL = os.environ.get("SHANRAQ_DRILL") == "full"
MUTATIONS = 1_000_000 if FULL else 5_000
LAYOUTS = 2_000 if FULL else 30
FAST: list[Engine] = [name for name in iso8583.engines() if name != "exact"]
GENERATED = "<generated>"
PEEKED = (0, 2, 3, 7, 11, 41, 70, 128)


def with_engine(layout: Layout, engine: Engine) -> Codec:
    """Return a codec whose functions are generated at first sight."""
    codec = Codec(layout, engine)
    if isinstance(codec._fast, Generated):
        eager = Generated(layout, codec, codec._head_of, sightings=1, limit=64)
        codec._fast = eager  # type: ignore[misc]
        codec._read = eager.read  # type: ignore[misc]
    return codec


@cache
def codecs(name: str) -> tuple[Codec, list[Codec]]:
    """Return the exact codec of a layout and all fast ones."""
    layout = iso8583.layout(name)
    return Codec(layout, "exact"), [with_engine(layout, engine) for engine in FAST]


def outcome(work: Callable[[], Any]) -> Any:
    try:
        found = work()
    except Iso8583Error as error:
        place = (error.code, error.field, error.offset, error.level, error.message, error.expected, error.found)
        return (*place, outcome_of(error.partial))
    return outcome_of(found)


def outcome_of(found: Any) -> Any:
    if isinstance(found, Message):
        return found.to_dict(), list(found.fields), found.header_parts, found.spans
    return found


def assert_same(exact: Codec, fast: list[Codec], raw: bytes, level: Level, numbers: tuple[int, ...]) -> None:
    read, peeked = outcome(lambda: exact.decode(raw, level)), outcome(lambda: exact.peek(raw, *numbers))
    for codec in fast:
        assert outcome(lambda codec=codec: codec.decode(raw, level)) == read, (codec.engine, level, raw.hex())  # type: ignore[misc]
        assert outcome(lambda codec=codec: codec.peek(raw, *numbers)) == peeked, (codec.engine, numbers, raw.hex())  # type: ignore[misc]


def damaged(message: Message, dice: random.Random) -> Message:
    """Return a message in which something may be wrong to write."""
    fields: dict[Any, Any] = dict(message.fields)
    number = dice.choice(list(fields) or [2])
    value = fields.get(number, "")
    fields[number] = dice.choice((
        value[:-1], value + "0", value.lower(), value.upper(), value[:-1] + "x", value[:-1] + "²", value[:-1] + "é",
        "ﬀ" * (len(value) // 2), "я" + value[1:], value[1:] + "F", value[1:] + " ", "", value * 2,
    ))  # fmt: skip
    if dice.random() < 0.1:
        fields[dice.choice((1, 65, 192, 200, -1, 2))] = "1"
    if dice.random() < 0.3:
        fields = dict(reversed(fields.items()))
    mti = message.mti if dice.random() < 0.8 else dice.choice(("", "080", "08000", "０８００", "08²0", "080A"))
    header = message.header
    if dice.random() < 0.2:
        header = dice.choice((None, "", "00", (header or "0") + " ", (header or "").lower(), "é" * len(header or "")))
    return Message(mti, fields, header)


def assert_written_same(exact: Codec, fast: list[Codec], message: Message) -> None:
    wanted = outcome(lambda: exact.encode(message))
    for codec in fast:
        assert outcome(lambda codec=codec: codec.encode(message)) == wanted, (codec.engine, message.to_dict())  # type: ignore[misc]


def rounds(exact: Codec, fast: list[Codec], dice: random.Random, count: int) -> int:
    """Compare with the exact codec on a made-up message and on mutations of it; return how many mutations were refused."""
    message, raw = message_of(exact, dice)
    for level in (Level.STRUCTURE, Level.CONTENT, Level.SEMANTIC):
        assert_same(exact, fast, raw, level, PEEKED)
    assert_written_same(exact, fast, message)
    refused = 0
    for _ in range(count):
        data = mutated(raw, dice)
        level = dice.choice(list(Level))
        assert_same(exact, fast, data, level, tuple(dice.choices(PEEKED, k=dice.randint(0, 4))))
        assert_written_same(exact, fast, damaged(message, dice))
        refused += isinstance(outcome(lambda data=data: exact.decode(data)), tuple)  # type: ignore[misc]
    return refused


@pytest.mark.drill
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("name", iso8583.layout_names())
def test_engines_agree_on_messages_and_mutations(name: str) -> None:
    exact, fast = codecs(name)
    dice = random.Random(f"8583 {name}")
    each = 20
    for _ in range(MUTATIONS // len(iso8583.layout_names()) // each):
        rounds(exact, fast, dice, each)


@pytest.mark.drill
@pytest.mark.timeout(3000)
def test_engines_agree_on_layouts_of_any_kind() -> None:
    dice = random.Random(2003)
    for _ in range(LAYOUTS):
        layout = layout_of(dice)
        exact, fast = Codec(layout, "exact"), [with_engine(layout, engine) for engine in FAST]
        for _ in range(4):
            rounds(exact, fast, dice, 6)


def test_engines_agree_on_the_shared_vectors() -> None:
    dice = random.Random(1993)
    for path in sorted(conformance_data("iso8583/messages").glob("*.json")):
        for case in json.loads(path.read_bytes()):
            exact, fast = codecs(case["layout"])
            raw = bytes.fromhex(case["raw_hex"])
            assert_same(exact, fast, raw, Level.SEMANTIC, PEEKED)
            assert_written_same(exact, fast, exact.decode(raw))
            for _ in range(20):
                assert_same(exact, fast, mutated(raw, dice), dice.choice(list(Level)), PEEKED)


CLASSES = ("n", "a", "an", "anp", "ans", "ns", "z", "b", "x+n")
ENCODINGS = ("ascii", "latin1", "ebcdic", "bcd", "sign_bcd", "raw", "hex_ascii")
UNITS = {"bcd": "digits", "raw": "bytes", "hex_ascii": "bytes"}


def layout_with(*fields: dict[str, Any], charset: str) -> Layout:
    """Return a layout whose elements 2, 3, ... are these."""
    numbered = {str(number): {"name": "", **field} for number, field in enumerate(fields, 2)}
    return Layout.from_json(json.dumps({
        "schema": "iso8583-layout/1", "id": "", "title": "", "iso_version": "1987", "charset": charset, "fields": numbered,
        "mti": {"encoding": "ascii"},
        "bitmap": {"encoding": "binary", "min_maps": 1, "max_maps": 1, "extension_bit": True},
    }))  # fmt: skip


def fixed(encoding: str, content: str, size: int) -> dict[str, Any]:
    return {
        "class": content,
        "encoding": encoding,
        "length": {"kind": "fixed", "size": size, "unit": UNITS.get(encoding, "characters")},
    }


def variable(encoding: str, content: str, prefix: str, width: int, most: int) -> dict[str, Any]:
    length = {"kind": "variable", "max": most, "unit": UNITS.get(encoding, "characters")}
    return {
        "class": content, "encoding": encoding, "length": length | {"prefix": {"encoding": prefix, "bytes": width}},
    }  # fmt: skip


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("content", CLASSES)
def test_engines_agree_on_every_character(encoding: str, content: str) -> None:
    charset = "latin1" if encoding == "latin1" else "cp1047"
    fields = [fixed(encoding, content, 2), fixed(encoding, content, 3)]
    if encoding != "sign_bcd":
        fields.append(variable(encoding, content, "binary", 1, 9))
    layout = layout_with(*fields, charset=charset)
    exact, fast = Codec(layout, "exact"), [with_engine(layout, engine) for engine in FAST]
    digits = "1" if encoding in ("ascii", "latin1", "hex_ascii") else "\xf1" if encoding == "ebcdic" else "\x11"
    sizes = {"bcd": (1, 2, 2), "sign_bcd": (2, 2), "hex_ascii": (4, 6, 6)}.get(encoding, (2, 3, 3))

    for number, size in enumerate(sizes, 2):
        head = b"0800" + (1 << 64 - number).to_bytes(8, "big") + (b"\x03" if number == 4 else b"")
        for place in range(size):
            for code in range(256):
                data = bytearray(digits.encode("latin-1") * size)
                data[place] = code
                for level in (Level.CONTENT, Level.STRUCTURE):
                    assert_same(exact, fast, head + data, level, (3,))


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_engines_agree_on_every_character_written(encoding: str) -> None:
    charset = "latin1" if encoding == "latin1" else "cp037"
    fields = [fixed(encoding, "ans", 4), fixed(encoding, "ans", 5)]
    if encoding != "sign_bcd":
        fields += [variable(encoding, "ans", prefix, 1, 300) for prefix in ("ascii", "ebcdic", "bcd", "binary")]
    layout = layout_with(*fields, charset=charset if encoding != "latin1" else "latin1")
    exact, fast = Codec(layout, "exact"), [with_engine(layout, engine) for engine in FAST]

    for number in layout.fields:
        for size in (0, 1, 4, 5, 8, 9, 10, 99, 100, 101, 198, 199, 200, 255, 256, 299, 300, 301, 511, 600, 601):
            assert_written_same(exact, fast, Message("0800", {number: "1" * size}))
        for size in (4, 5, 8, 10):
            for place in range(size):
                for code in (*range(256), 0x410, 0xFB00, 0x1F4B3):
                    value = "1" * place + chr(code) + "1" * (size - place - 1)
                    assert_written_same(exact, fast, Message("0800", {number: value}))


@pytest.mark.parametrize("prefix", ["ascii", "ebcdic", "bcd", "binary"])
@pytest.mark.parametrize("width", [1, 2])
@pytest.mark.parametrize("most", [5, 199, 20_000])
def test_engines_agree_on_every_length(prefix: str, width: int, most: int) -> None:
    fields = [variable(encoding, "b", prefix, width, most) for encoding in ("raw", "ebcdic", "bcd")]
    layout = layout_with(*fields, charset="cp500")
    exact, fast = Codec(layout, "exact"), [with_engine(layout, engine) for engine in FAST]
    starts = [b""] if width == 1 else [b"0", b"\xf1", b"\x01"]

    for number in layout.fields:
        head = b"0800" + (1 << 64 - number).to_bytes(8, "big")
        for start in starts:
            for code in range(256):
                for size in (0, 3, 5, 11):
                    assert_same(exact, fast, head + start + bytes((code,)) + b"\x12" * size, Level.STRUCTURE, (2, 3, 4))


@given(data=st.binary(max_size=120), name=st.sampled_from(iso8583.layout_names()), head=st.booleans())
@settings(max_examples=300, deadline=None)
def test_engines_agree_on_any_bytes(data: bytes, name: str, head: bool) -> None:
    exact, fast = codecs(name)
    # Behind a right head more of the bytes are looked at.
    header = header_of(exact.layout, random.Random(1))
    raw = exact.encode(Message("0800", {}, header))[:-8] + data if head else data

    assert_same(exact, fast, raw, Level.CONTENT, (0, 11, 41))


@pytest.mark.parametrize("engine", FAST)
@pytest.mark.parametrize("name", iso8583.layout_names())
def test_a_right_message_takes_the_fast_path(name: str, engine: Engine) -> None:
    codec = with_engine(iso8583.layout(name), engine)
    dice = random.Random(name)
    for _ in range(20):
        message, raw = message_of(codec, dice)

        assert codec._fast.read(raw) == codec._fast.read_bare(raw) == message
        assert codec._fast.peek(raw, (0,)) == {0: message.mti}
        for number in list(message.fields)[:1]:
            # What stands behind is not looked at.
            found = codec._fast.peek(raw[: message.spans[number].end], (number,))
            assert found == {number: message.fields[number]}
        assert codec._fast.spans(raw) == message.spans
        assert not message.fields or codec._fast.write(message) == raw


@pytest.mark.parametrize("engine", iso8583.engines())
@pytest.mark.parametrize("raw_type", [bytearray, memoryview])
def test_bytes_of_any_kind_are_read_and_not_kept(engine: Engine, raw_type: Callable[[Any], Any]) -> None:
    codec = with_engine(iso8583.layout("iso87_asciibin"), engine)
    raw = codec.encode(Message("0100", {3: "000000", 55: "9F0206000000001000"}))
    sent = bytearray(raw)

    message = codec.decode(raw_type(sent) if raw_type is memoryview else sent)  # type: ignore[arg-type]
    sent[:] = bytes(len(sent))

    assert message.parts == {55: [["9F02", "000000001000"]]}
    assert codec.peek(raw_type(raw), 3) == {3: "000000"}


# What is found only when it is asked for


@pytest.fixture(params=iso8583.engines())
def codec(request: pytest.FixtureRequest) -> Codec:
    return with_engine(iso8583.layout("visa_base1_h22"), request.param)


@pytest.fixture
def raw(codec: Codec) -> bytes:
    fields = {2: "4111111111111111", 3: "000000", 11: "000001"}
    parts = {55: [{"id": "01", "items": [["9F02", "000000001000"], ["95", "0000008000"]]}]}
    return codec.encode(Message("0100", fields, "16010200000000000000000000000000000000000000", parts))


def test_parts_and_spans_are_there_whenever_they_are_asked_for(codec: Codec, raw: bytes) -> None:
    late, early = codec.decode(raw), codec.decode(raw)
    spans = dict(early.spans)
    del late.fields[55], early.fields[55]

    assert late.parts == {55: [{"id": "01", "items": [["9F02", "000000001000"], ["95", "0000008000"]]}]}
    assert late == early
    assert late.header_parts["header_length"] == "16"
    assert late.spans == spans
    assert codec.encode(late) == codec.encode(early) == raw


def test_a_composite_that_was_taken_away_is_written_from_its_parts(codec: Codec, raw: bytes) -> None:
    message = codec.decode(raw)
    del message.fields[55]

    assert not message.is_whole()
    assert codec.encode(message) == raw


def test_parts_can_be_set_before_they_were_asked_for(codec: Codec, raw: bytes) -> None:
    message, wanted = codec.decode(raw), codec.decode(raw)
    message.parts = {55: [{"id": "01", "items": [["82", "3900"]]}]}
    message.header_parts, message.spans = {}, {}
    del message.fields[55]

    assert message != wanted
    assert codec.decode(codec.encode(message)).parts == {55: [{"id": "01", "items": [["82", "3900"]]}]}
    assert (message.header_parts, message.spans) == ({}, {})


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda message: pickle.loads(pickle.dumps(message))])
def test_a_message_survives_being_copied(codec: Codec, raw: bytes, again: Callable[[Message], Message]) -> None:
    message = codec.decode(raw)

    copied = again(message)

    assert copied == message == codec.decode(raw)
    assert copied.spans == message.spans
    assert codec.encode(copied) == raw


def test_messages_are_compared_by_all_but_their_spans(codec: Codec, raw: bytes) -> None:
    message = codec.decode(raw)
    same = Message(message.mti, message.fields, message.header, message.parts, message.header_parts)

    assert message == same
    assert same.spans == {}
    assert message != Message(message.mti, message.fields, message.header)
    assert message != message.to_dict()
    with pytest.raises(TypeError):
        hash(message)


# Bounds


def heads(codec: Codec, dice: random.Random, count: int) -> Iterator[bytes]:
    """Yield messages with elements chosen at random, each sent as often as it takes to be remembered."""
    numbers = [number for number in codec.layout.fields if number <= 64]
    for _ in range(count):
        chosen = sorted(dice.sample(numbers, 3))
        head = codec.encode(Message("0800"))[:4] + sum(1 << 64 - number for number in chosen).to_bytes(8, "big")
        yield head + b"0" * dice.randint(0, 30)


def test_a_sender_cannot_fill_memory_with_bitmaps() -> None:
    codec = Codec(iso8583.layout("iso87_asciibin"), "generated")
    limit = 50
    bounded = Generated(codec.layout, codec, codec._head_of, sightings=2, limit=limit)
    for raw in heads(codec, random.Random(1), 500):
        for _ in range(3):
            bounded.read(raw)
            bounded.read_bare(raw)
            bounded.peek(raw, (11, 41))
            bounded.spans(raw)

    tables = (bounded.read_functions, bounded.bare_functions, bounded.peek_functions, bounded.span_functions)
    assert all(limit <= table.size <= 2 * limit for table in tables)
    assert len(bounded.read_functions.known) == limit


def test_a_set_of_elements_gets_its_function_when_it_came_often_enough() -> None:
    codec = Codec(iso8583.layout("iso87_asciibin"), "generated")
    fast = codec._fast
    assert isinstance(fast, Generated)
    raw = codec.encode(Message("0800", {11: "000001"}))

    for _ in range(generated.SIGHTINGS - 1):
        assert fast.read(raw) is None
    assert fast.read(raw) == codec.decode(raw)
    assert fast.read_functions.size == 1


def test_shapes_of_tlv_are_bounded_and_never_believed_wrongly() -> None:
    exact, fast = codecs("iso87_asciibin")
    dice = random.Random(55)
    for _ in range(3_000):
        items = tlv_items(dice, dice.randint(1, 3))
        raw = exact.encode(Message("0100", parts={55: items}))
        assert_same(exact, fast, raw, Level.CONTENT, ())
        data = bytearray(raw)
        data[dice.randrange(15, len(data))] ^= 1 << dice.randrange(8)
        assert_same(exact, fast, bytes(data), Level.CONTENT, ())
    for codec in fast:
        if isinstance(codec._fast, Generated):
            shapes = codec._fast._shapes[55]
            assert 0 < len(shapes.known) <= len(shapes._misses) <= generated._SHAPE_BYTES_LIMIT


def test_generated_code_has_nothing_of_a_layout_in_it() -> None:
    before = {id(code) for code in _generated()}
    dice = random.Random(1)
    codecs = [with_engine(layout_of(dice), "generated") for _ in range(20)]
    for codec in codecs:
        message, raw = message_of(codec, dice)
        codec.peek(raw, *message.fields)
        _ = message.spans

    made = [code for code in _generated() if id(code) not in before]
    assert len(made) > len(codecs)
    names = {name for code in made for name in (*code.co_names, *code.co_varnames)}
    texts = {text for code in made for text in _texts_in(code.co_consts)}
    assert not any(STRANGER[1:] in word for word in names | texts)
    # Of texts it holds nothing but these.
    assert texts <= {"", "0", "F", "ascii", "big", "latin-1"}


def _generated() -> list[CodeType]:
    return [
        found.__code__
        for found in gc.get_objects()
        if isinstance(found, FunctionType) and found.__code__.co_filename == GENERATED
    ]


def _texts_in(constants: Iterable[object]) -> list[str]:
    found: list[str] = []
    for constant in constants:
        if isinstance(constant, str):
            found.append(constant)
        elif isinstance(constant, tuple):
            found += _texts_in(constant)
        elif isinstance(constant, CodeType):
            found += [*constant.co_names, *constant.co_varnames, *_texts_in(constant.co_consts)]
    return found


# Choosing


def test_the_extension_can_be_left_out() -> None:
    text = "from shanraq.standards import iso8583; print(iso8583.engine(), *iso8583.engines())"
    done = subprocess.run(
        [sys.executable, "-c", text], env=os.environ | {"SHANRAQ_PURE": "1"}, capture_output=True, text=True, check=True
    )

    assert done.stdout.split() == ["generated", "generated", "exact"]


def test_the_fastest_engine_is_taken_unless_another_is_named() -> None:
    layout = iso8583.layout("iso87_asciibin")

    assert Codec(layout).engine == iso8583.engine() == iso8583.engines()[0]
    assert Codec(layout, "exact").engine == "exact"
    with pytest.raises(ValueError, match="is not here"):
        Codec(layout, "other")  # type: ignore[arg-type]
