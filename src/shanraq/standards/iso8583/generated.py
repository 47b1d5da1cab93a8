"""Read and write by functions whose code is generated for one type and one set of elements: the fast path in pure Python.

A function knows where every element begins up to the first one of variable length, takes neighbours out in one step, and checks
the characters of neighbours of one class in one step. It gives None for whatever is not plainly right, and the exact codec then
reads or writes that message: so it never has to say what is wrong.

A layout may come from a stranger: the text of the code holds integers and names made here, and nothing else of a layout or of a
message.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from operator import itemgetter
from threading import Lock
from typing import Any, Final, Generic, NamedTuple, TypeVar

from shanraq.standards.iso8583 import parts as splitting
from shanraq.standards.iso8583.content import check_of, is_mti
from shanraq.standards.iso8583.layout import (
    BerTlv,
    Field,
    Fixed,
    Layout,
    Prefix,
    Variable,
)
from shanraq.standards.iso8583.message import Message, Reading, Span
from shanraq.standards.iso8583.wire import byte_size, page_of, prefix_reader, prefix_writer, write_bitmaps

Read = Callable[[bytes], Message | None]
Write = Callable[[str, dict[int, str], str | None], bytes | None]
Peek = Callable[[bytes], dict[int, str] | None]
Place = Callable[[bytes], dict[int, Span] | None]
K = TypeVar("K")
F = TypeVar("F")

# The sender chooses the bits: what is kept for them has a bound.
FUNCTIONS_LIMIT: Final = 1024
# Generating costs about what reading ten messages exactly costs. A set of elements gets its function when it has cost more:
# whatever a sender does, it costs less than twice the exact codec.
SIGHTINGS: Final = 16
_LENGTHS_LIMIT: Final = 10_000
_SHAPE_BYTES_LIMIT: Final = 255
_LITERAL_LIMIT: Final = 15  # a larger dict literal is not made in one step

_PRINTABLE: Final = " -~"
_ABOVE: Final = r"\xa0-\xff"
# The characters of the content classes that are sets, in ASCII and in what stands above it.
_ALPHABETS: Final[dict[str, tuple[str, str]]] = {
    "n": ("0-9", ""),
    "a": ("A-Za-z ", ""),
    "an": ("A-Za-z0-9 ", ""),
    "anp": ("A-Za-z0-9 ", ""),
    "ans": (_PRINTABLE, _ABOVE),
    "ns": (r" -@\[-`{-~", _ABOVE),
    "b": ("0-9A-F", ""),
}
_DIGITS: Final = "0-9"
_ASCII: Final = r"\x00-\x7f"
# Makes digits of what else track 2 consists of, and of nothing else.
_TRACK: Final = bytes.maketrans(b"=ABCDEF", b"0000000")
_WITH_DIGITS: Final = frozenset((_DIGITS, "A-Za-z0-9 ", _PRINTABLE, _PRINTABLE + _ABOVE, _ASCII))


def _tlv() -> re.Pattern[bytes]:
    """Return what matches well-formed BER-TLV with lengths of one or two bytes (00-7F, 81); longer ones are split to see."""

    def bodies(lengths: Iterable[int]) -> bytes:
        written = (b"." * length if length < 9 else b".{%d}" % length for length in range(0x100))
        return b"|".join(re.escape(bytes([length])) + body for length, body in zip(lengths, written, strict=False))

    more = rb"[\x1f\x3f\x5f\x7f\x9f\xbf\xdf]"
    tag = rb"(?:[^\x00\xff\x1f\x3f\x5f\x7f\x9f\xbf\xdf]|" + more + rb"[\x00-\x7f]|" + more + rb"[\x80-\xff][\x00-\x7f])"
    length = b"(?:" + bodies(range(0x80)) + rb"|\x81(?:" + bodies(range(0x100)) + b"))"
    # Every byte leaves one way to go on, so that what does not match is given up in linear time.
    return re.compile(rb"(?s)(?:" + tag + length + rb"|[\x00\xff])*")


_TLV: Final = _tlv().fullmatch


class Shapes:
    """Where tags and lengths stand in the BER-TLV of an element, as it comes again and again: one shape for each size.

    Whoever has the same bytes in the same places is well-formed as well, which one comparison of integers tells.
    """

    def __init__(self, parts: BerTlv, place: splitting.Place) -> None:
        self.known: Final[dict[int, tuple[int, int]]] = {}
        self._misses: Final[dict[int, int]] = {}
        self._parts = parts
        self._place = place

    def check(self, data: bytes) -> None:
        """Check what has no known shape; remember the shape of a size that has missed often enough. Raises Iso8583Error."""
        if _TLV(data) is None:
            splitting.split(self._parts, data, self._place)
        size = len(data)
        if size > _SHAPE_BYTES_LIMIT or (size not in self._misses and len(self._misses) >= _SHAPE_BYTES_LIMIT):
            return
        self._misses[size] = self._misses.get(size, 0) + 1
        if self._misses[size] % SIGHTINGS == 0:
            mask = splitting.tlv_frame(data)
            self.known[size] = mask, mask & int.from_bytes(data, "big")


class Functions(Generic[K, F]):
    """The functions for what has come often enough, at most so many, the oldest given up first."""

    def __init__(self, sightings: int, limit: int) -> None:
        self.known: Final[dict[K, F]] = {}
        self._seen: Final[dict[K, int]] = {}
        self._sightings = sightings
        self._limit = limit
        self._lock = Lock()

    def meet(self, key: K, generate: Callable[[], F | None]) -> F | None:
        """Count what has no function yet; generate one when it is due."""
        with self._lock:
            seen = self._seen.get(key, 0) + 1
            if seen < self._sightings:
                if seen == 1 and len(self._seen) >= self._limit:
                    self._seen.clear()
                self._seen[key] = seen
                return None
            self._seen.pop(key, None)
            function = generate()
            if function is not None:
                if len(self.known) >= self._limit:
                    del self.known[next(iter(self.known))]
                self.known[key] = function
            return function

    @property
    def size(self) -> int:
        """Return how many keys are held, with and without a function."""
        return len(self.known) + len(self._seen)


class Generated:
    """The functions of one layout. `heads` tells type and elements of a message, and raises for what has no right head."""

    def __init__(
        self,
        layout: Layout,
        reading: Reading,
        heads: Callable[[bytes], tuple[str, list[int], int]],
        *,
        sightings: int = SIGHTINGS,
        limit: int = FUNCTIONS_LIMIT,
    ) -> None:
        self._layout = layout
        self._reading = reading
        self._heads = heads
        self.read_functions: Final = Functions[bytes, Read](sightings, limit)
        self.bare_functions: Final = Functions[bytes, Read](sightings, limit)
        self.write_functions: Final = Functions[tuple[int, ...], Write](sightings, limit)
        self.peek_functions: Final = Functions[tuple[bytes, tuple[int, ...]], Peek](sightings, limit)
        self.span_functions: Final = Functions[bytes, Place](sightings, limit)
        self._mtis: Final[dict[str, bytes]] = {}
        self._shapes: Final = {
            number: Shapes(field.parts, splitting.place_of(field, str(number), 0, layout.charset))
            for number, field in layout.fields.items()
            if isinstance(field.parts, BerTlv) and field.encoding != "hex_ascii"
        }
        self._key_of = _key_of(layout)
        self.read = self._reader(self.read_functions, content=True)
        self.read_bare = self._reader(self.bare_functions, content=False)

    def _reader(self, functions: Functions[bytes, Read], *, content: bool) -> Read:
        known, key_of, head = functions.known, self._key_of, _head_of(self._layout)

        def generate(raw: bytes) -> Read | None:
            mti, numbers, at = self._heads(raw)
            if not is_mti(mti):
                return None
            return _read_function(self._layout, self._reading, self._shapes, mti, numbers, at, content=content)

        def meet(raw: bytes) -> Message | None:
            try:
                key = key_of(raw)
                function = None if key in known else functions.meet(key, lambda: generate(raw))
                return None if function is None else function(raw)
            except Exception:  # whatever it was, the exact reader says it better
                return None

        if head.longer is None:

            def read(raw: bytes) -> Message | None:
                try:
                    return known[key_of(raw)](raw)
                except Exception:  # a head not met before, or anything wrong with the message
                    return meet(raw)

            return read

        first, last = head.bitmap, head.last
        short, long = slice(head.start, head.end), slice(head.start, head.longer)

        def read_short(raw: bytes) -> Message | None:
            try:
                return known[raw[short] if raw[first] <= last else raw[long]](raw)
            except Exception:  # a head not met before, or anything wrong with the message
                return meet(raw)

        return read_short

    def write(self, message: Message) -> bytes | None:
        """Write a message, or None."""
        fields = message.fields
        try:
            if not message.is_whole():
                return None
            key = tuple(fields)
            function = self.write_functions.known.get(key)
            if function is None:
                function = self.write_functions.meet(key, lambda: _write_function(self._layout, key, self._mtis))
                if function is None:
                    return None
            mti = message.mti
            if mti not in self._mtis:
                self._meet_mti(mti)
            return function(mti, fields, message.header)
        except Exception:  # whatever it was, the exact writer says it better
            return None

    def _meet_mti(self, mti: str) -> None:
        if not is_mti(mti):
            raise ValueError(mti)
        if len(self._mtis) >= FUNCTIONS_LIMIT:
            self._mtis.clear()
        encoding = self._layout.mti.encoding
        data = bytes.fromhex(mti) if encoding == "bcd" else page_of(encoding, self._layout.charset).encode(mti)
        assert data is not None, "every code page has digits"
        self._mtis[mti] = data

    def peek(self, raw: bytes, numbers: tuple[int, ...]) -> dict[int, str] | None:
        """Return those of the elements that are there (0 is the type), or None."""
        try:
            key = (self._key_of(raw), numbers)
            function = self.peek_functions.known.get(key)
            if function is None:
                function = self.peek_functions.meet(key, lambda: self._generate_peek(raw, numbers))
            return None if function is None else function(raw)
        except Exception:  # whatever it was, the exact reader says it better
            return None

    def _generate_peek(self, raw: bytes, numbers: tuple[int, ...]) -> Peek | None:
        mti, present, at = self._heads(raw)
        return _peek_function(self._layout, mti, present, at, numbers)

    def tlv(self, _: bytes) -> list[list[str]] | None:
        """Leave BER-TLV to the exact functions."""
        return None

    def spans(self, raw: bytes) -> dict[int, Span] | None:
        """Return where the elements are, or None."""
        try:
            key = self._key_of(raw)
            function = self.span_functions.known.get(key)
            if function is None:
                function = self.span_functions.meet(key, lambda: _spans_function(self._layout, *self._heads(raw)[1:]))
            return None if function is None else function(raw)
        except Exception:  # whatever it was, the exact reader says it better
            return None


# What a function is for: the type and the bitmaps


class _Head(NamedTuple):
    """Where the type, the first bitmap and what follows begin; where a second bitmap ends, if there is one or two; and the last
    byte with which a bitmap begins that announces no other."""

    start: int
    bitmap: int
    end: int
    longer: int | None
    last: int


def _head_of(layout: Layout) -> _Head:
    rules = layout.bitmap
    start = layout.header.bytes if layout.header else 0
    bitmap = start + (2 if layout.mti.encoding == "bcd" else 4)
    size, last = (8, 0x7F) if rules.encoding == "binary" else (16, ord("7"))
    end = bitmap + (size if rules.extension_bit else size * rules.max_maps)
    longer = end + size if rules.extension_bit and rules.max_maps == 2 else None
    return _Head(start, bitmap, end, longer, last)


def _key_of(layout: Layout) -> Callable[[bytes], bytes]:
    """Return what takes type and bitmaps out of a message."""
    head = _head_of(layout)
    if not layout.bitmap.extension_bit:
        return itemgetter(slice(head.start, head.end))
    size, most = head.end - head.bitmap, layout.bitmap.max_maps

    def key_of(raw: bytes) -> bytes:
        after, count = head.end, 1
        while count < most and raw[after - size] > head.last:
            after += size
            count += 1
        return raw[head.start : after]

    return key_of


# The text of a function


class _Stretch(NamedTuple):
    """Characters of one alphabet, one after the other: in `source`, from and to, and how many (-1: some, None: perhaps none).

    The digits of a length are `proven` already: they only hold their neighbours together.
    """

    alphabet: str
    source: str
    start: str
    end: str
    size: int | None
    proven: bool


class _Taken(NamedTuple):
    """A value or a length that is taken out with its neighbours: its bytes, nibbles to leave out on both sides of hex, and for
    text its characters and the stretch that would check them."""

    name: str
    low: int
    high: int
    cut: int = 0
    left: int = 0
    alphabet: str = ""
    stretch: int = -1


class _Walk:
    """Writes the lines that go over the elements of one message, and gathers what they need."""

    def __init__(
        self,
        layout: Layout,
        at: int,
        *,
        content: bool,
        wanted: frozenset[int] | None = None,
        shapes: Mapping[int, Shapes] | None = None,
        value: str = "v{}",
    ) -> None:
        self.layout = layout
        self._value = value
        self._shapes = shapes or {}
        self.content = content
        self.wanted = wanted
        self.lines: list[str] = []
        self.checks: list[str] = []
        self.names: dict[str, Any] = {
            "a2b_hex": binascii.a2b_hex,
            "INTEGER": int.from_bytes,
            "NONE": (0, 1),
            "TRACK": _TRACK,
        }
        self.spans: list[tuple[int, str, str, str]] = []
        self.composites: list[int] = []
        self._base = ""
        self._at = at
        self._run: dict[str, list[_Taken]] = {}
        self._stretches: list[_Stretch | None] = []
        self._digits: list[tuple[int, bool]] = []

    def name(self, value: Any, prefix: str) -> str:
        """Give a constant a name."""
        name = f"{prefix}{len(self.names)}"
        self.names[name] = value
        return name

    def value(self, number: int) -> str:
        """Return where the value of an element is kept: a name, or a place in the dict that is made of them."""
        return self._value.format(number)

    def cut(self, source: str, start: str, end: str) -> str:
        """Return the expression for a piece of the message; where it is always the same one, without making the slice anew."""
        if start.isdigit() and end.isdigit():
            return f"{source}[{self.name(slice(int(start), int(end)), 'CUT')}]"
        return f"{source}[{start}:{end}]"

    def place(self, further: int = 0) -> str:
        """Return where the walk stands, as an expression."""
        at = self._at + further
        if not self._base:
            return str(at)
        return self._base if at == 0 else f"{self._base}+{at}"

    def element(self, number: int) -> None:
        """Go over one element. Raises KeyError for one that the layout does not have."""
        field = self.layout.fields[number]
        if isinstance(field.length, Fixed):
            self._fixed(number, field, field.length)
        else:
            self._variable(number, field, field.length)

    def finish(self) -> None:
        """Take out what is still to be taken out, and write the checks of the characters."""
        self._take_run()
        self._check_stretches()
        if self._digits:
            values = ", ".join(self.value(number) for number, _ in self._digits)
            self.checks.append(f"d = ''.join(({values},))")
            some = "" if any(fixed for _, fixed in self._digits) else "d and "
            self.checks.append(f"if {some}not d.isdigit(): return None")

    # Elements

    def _fixed(self, number: int, field: Field, length: Fixed) -> None:
        size = byte_size(field)(length.size)
        start, end = self.place(), self.place(size)
        low, high = self._at, self._at + size
        self._note(number, field, start, start, end, size)
        taken = self.wanted is None or number in self.wanted
        match field.encoding:
            case "ascii" | "latin1" | "ebcdic":
                if taken:
                    alphabet = self._alphabet(field)
                    run = self._run.get(_source(field))
                    if run and run[0].alphabet == _DIGITS != alphabet:
                        self._take_run()  # digits are checked faster in a way of their own
                    one = _Taken(self.value(number), low, high, alphabet=alphabet, stretch=len(self._stretches))
                    self._run.setdefault(_source(field), []).append(one)
            case "raw" | "bcd":
                self._break()
                odd = field.encoding == "bcd" and length.size % 2
                right = odd and _pads_right(field)
                if taken:
                    one = _Taken(self.value(number), low, high, cut=int(odd and not right), left=int(right))
                    self._run.setdefault("raw", []).append(one)
            case "sign_bcd":
                self._break()
                self.lines.append(f"if raw[{start}] > 127: return None")
                skip = "" if length.size % 2 else "[1:]"
                self.lines.append(
                    f"{self.value(number)} = t[{start}:{self.place(1)}] + raw[{self.place(1)}:{end}].hex().upper(){skip}"
                )
            case "hex_ascii":
                self._break()
                self.lines.append(f"{self.value(number)} = a2b_hex(raw[{start}:{end}]).hex().upper()")
        self._check_value(number, field, start, end, length.size, fixed=True)
        self._at += size

    def _variable(self, number: int, field: Field, length: Variable) -> None:
        prefix = length.prefix
        before, start = self.place(), self.place(prefix.bytes)
        source = "e" if prefix.encoding == "ebcdic" else "t"
        if with_run := source in self._run and prefix.encoding in ("ascii", "ebcdic") and length.max < _LENGTHS_LIMIT:
            self._run[source].append(_Taken(f"l{number}", self._at, self._at + prefix.bytes))
        self._take_run()
        self._length(number, prefix, length.max, before, start, with_run=with_run)
        if self._base:
            self.lines.append(f"p{number} = {start}")
            start = f"p{number}"
        size = {"bcd": f"(n{number} + 1 >> 1)", "hex_ascii": f"n{number} * 2"}.get(field.encoding, f"n{number}")
        end = f"o{number}"
        self.lines.append(f"{end} = {start} + {size}")
        self._note(number, field, before, start, end, None)
        taken = self.wanted is None or number in self.wanted
        match field.encoding:
            case "ascii" | "latin1" | "ebcdic":
                value = self.cut(_source(field), start, end)
            case "hex_ascii":
                value, taken = f"a2b_hex(raw[{start}:{end}]).hex().upper()", True
            case "bcd":
                cut = f"[:n{number}]" if _pads_right(field) else f"[n{number} & 1:]"
                value = f"raw[{start}:{end}].hex().upper(){cut}"
            case _ if taken and number in self._shapes:
                self.lines.append(f"d{number} = raw[{start}:{end}]")
                value = f"d{number}.hex().upper()"
            case _:
                value = f"raw[{start}:{end}].hex().upper()"
        if taken:
            self.lines.append(f"{self.value(number)} = {value}")
        if prefix.encoding in ("ascii", "ebcdic"):
            source = "e" if prefix.encoding == "ebcdic" else "t"
            self._stretches.append(_Stretch(_DIGITS, source, before, start, prefix.bytes, proven=True))
        else:
            self._break()
        if field.encoding not in ("ascii", "latin1", "ebcdic"):
            self._break()
        self._check_value(number, field, start, end, None, fixed=False)
        self._base, self._at = end, 0

    def _length(self, number: int, prefix: Prefix, most: int, start: str, end: str, *, with_run: bool) -> None:
        """Write the line that reads a length into `n`."""
        width, name = prefix.bytes, f"n{number}"
        if prefix.encoding == "binary":
            read = f"raw[{start}]" if width == 1 else f"int.from_bytes(raw[{start}:{end}], 'big')"
            self.lines.append(f"{name} = {read}")
            if most < 256**width - 1:
                self.lines.append(f"if {name} > {most}: return None")
        elif most >= _LENGTHS_LIMIT:
            read = self.name(prefix_reader(prefix, str(number), self.layout.charset), "LENGTH")
            self.lines.append(f"{name} = {read}(raw[{start}:{end}], 0)")
            self.lines.append(f"if {name} > {most}: return None")
        elif prefix.encoding == "bcd":
            at = f"raw[{start}]" if width == 1 else f"raw[{start}:{end}]"
            self.lines.append(f"{name} = {self.name(_bcd_lengths(width, most), 'LENGTHS')}[{at}]")
        else:
            source = "e" if prefix.encoding == "ebcdic" else "t"
            table = self.name(_text_lengths(width, most), "LENGTHS")
            self.lines.append(
                f"{name} = {table}[" + (f"l{number}]" if with_run else f"{self.cut(source, start, end)}]")
            )

    def _note(self, number: int, field: Field, before: str, start: str, end: str, size: int | None) -> None:
        self.spans.append((number, before, start, end))
        if field.parts is None or self.wanted is not None:
            return
        self.composites.append(number)
        self._check_parts(number, field, start, end, size)

    # Taking neighbours out

    def _take_run(self) -> None:
        for source, run in self._run.items():
            low, high = run[0].low, run[-1].high
            place = f"{self.place(low - self._at)}:{self.place(high - self._at)}"
            names = ", ".join(one.name for one in run)
            if len(run) == 1:
                one = run[0]
                text = self.cut(source, *place.split(":")) + ("" if source != "raw" else ".hex().upper()")
                piece = f"[{one.cut}:{-one.left or ''}]" if one.cut or one.left else ""
                self.lines.append(f"{names} = {text}{piece}")
            elif source != "raw" and self.content and run[0].alphabet != _DIGITS:
                # One expression takes apart and checks; None has no groups, which ends the fast path.
                match = self.name(_taking(tuple((one.alphabet, one.low - low, one.high - low) for one in run)), "TAKE")
                self.lines.append(f"{names} = {match}({source}, {place.replace(':', ', ')}).groups()")
                for one in run:
                    if one.stretch >= 0:
                        self._stretches[one.stretch] = None
            else:
                scale = 2 if source == "raw" else 1
                own = source == "raw" or self._base  # else the slices can be those of the whole message
                shift = low if own else 0
                text = f"raw[{place}].hex().upper()" if source == "raw" else f"{source}[{place}]" if own else source
                slices = [
                    slice((one.low - shift) * scale + one.cut, (one.high - shift) * scale - one.left) for one in run
                ]
                self.lines.append(f"{names} = {self.name(itemgetter(*slices), 'TAKE')}({text})")
        self._run = {}

    # Checking characters

    def _break(self) -> None:
        self._stretches.append(None)

    def _check_value(self, number: int, field: Field, start: str, end: str, size: int | None, *, fixed: bool) -> None:
        if field.encoding in ("raw", "hex_ascii"):
            return
        if field.encoding in ("bcd", "sign_bcd"):
            if not self.content or (field.encoding == "bcd" and field.content in ("an", "anp", "ans", "z", "b")):
                return
            if field.encoding == "bcd" and field.content == "n":
                self._digits.append((number, fixed))
            else:
                self._check_one(number, field)
            return
        alphabet = self._alphabet(field)
        if self.content and not alphabet:
            track = field.content == "z" and _source(field) == "t"
            self._check_one(number, field, f"not raw[{start}:{end}].translate(TRACK).isdigit()" if track else "")
        self._stretches.append(_Stretch(alphabet, _source(field), start, end, size, proven=False) if alphabet else None)

    def _alphabet(self, field: Field) -> str:
        """Return the characters that text may consist of; empty where one set does not say it."""
        if not self.content:
            return _ASCII if field.encoding == "ascii" else ""
        known = _ALPHABETS.get(field.content, ("", ""))
        return known[0] if field.encoding == "ascii" or not known[0] else known[0] + known[1]

    def _check_one(self, number: int, field: Field, doubt: str = "") -> None:
        wrong = f"{self.name(check_of(field), 'CHECK')}({self.value(number)}) is None"
        self.checks.append(f"if {doubt} and {wrong}: return None" if doubt else f"if {wrong}: return None")

    def _check_stretches(self) -> None:
        for group in _groups(_joined(self._stretches)):
            first, last = group[0], group[-1]
            source, start, end = first.source, first.start, last.end
            alphabets = {one.alphabet for one in group}
            as_bytes = "raw" if source == "t" else "r"
            if alphabets == {_DIGITS}:
                right = f"{as_bytes}[{start}:{end}].isdigit()"
                if all(one.size is None for one in group):
                    right = f"({start} == {end} or {right})"
                self.checks.append(f"if not {right}: return None")
            elif alphabets == {_ASCII}:
                self.checks.append(f"if not {as_bytes}[{start}:{end}].isascii(): return None")
            else:
                pattern = _pattern(tuple((one.alphabet, one.size) for one in group))
                self.checks.append(
                    f"if {self.name(pattern.fullmatch, 'CHECK')}({source}, {start}, {end}) is None: return None"
                )

    def _check_parts(self, number: int, field: Field, start: str, end: str, size: int | None) -> None:
        data = f"raw[{start}:{end}]"
        if number in self._shapes:
            shapes = self._shapes[number]
            if field.encoding != "raw" or size is not None:
                self.checks.append(f"d{number} = {data}")
            known, learn = self.name(shapes.known.get, "SHAPE"), self.name(shapes.check, "CHECK")
            self.checks.append(f"mask, frame = {known}(len(d{number}), NONE)")
            self.checks.append(f"if INTEGER(d{number}, 'big') & mask != frame: {learn}(d{number})")
        elif (sizes := splitting.possible_sizes(field, self.layout.charset)) is not None:
            if size not in sizes:
                self.checks.append(f"if {end} - ({start}) not in {self.name(sizes, 'SIZES')}: return None")
        elif (check := splitting.whole_check(field, str(number), self.layout.charset)) is not None:
            # It raises for what is malformed; what it returns is found again when it is asked for.
            self.checks.append(f"{self.name(check, 'CHECK')}({data})")


def _source(field: Field) -> str:
    return "e" if field.encoding == "ebcdic" else "t"


def _pads_right(field: Field) -> bool:
    return field.pad_nibble is not None and field.pad_nibble.side == "right"


def _joined(stretches: Sequence[_Stretch | None]) -> list[_Stretch | None]:
    """Join neighbours of one alphabet, over the lengths between them where the alphabet has digits."""
    joined: list[_Stretch | None] = []
    between: _Stretch | None = None
    for one in stretches:
        if one is not None and one.proven:
            between = one
            continue
        last = joined[-1] if joined else None
        same = one is not None and last is not None and (last.alphabet, last.source) == (one.alphabet, one.source)
        if between is None and same and one is not None and last is not None:
            joined[-1] = last._replace(end=one.end, size=_sum(last.size, one.size))
        elif same and one is not None and last is not None and between is not None and _spans_lengths(one, between):
            joined[-1] = last._replace(end=one.end, size=-1)
        elif between is not None and one is not None and one.alphabet == _DIGITS and one.source == between.source:
            joined.append(one._replace(start=between.start, size=-1))
        else:
            joined.append(one)
        between = None
    return joined


def _sum(one: int | None, other: int | None) -> int | None:
    if one is None or other is None:
        return None if one is other else -1
    return one + other if min(one, other) > 0 else -1


def _spans_lengths(one: _Stretch, between: _Stretch) -> bool:
    return one.source == between.source and one.alphabet in _WITH_DIGITS


def _groups(stretches: Sequence[_Stretch | None]) -> list[list[_Stretch]]:
    """Group neighbours that one expression can check: those of known size."""
    groups: list[list[_Stretch]] = []
    for last, one in pairwise([None, *stretches]):
        if one is None:
            continue
        together = last is not None and last.source == one.source and (last.size or 0) > 0 and (one.size or 0) > 0
        if together:
            groups[-1].append(one)
        else:
            groups.append([one])
    return groups


@lru_cache(maxsize=256)
def _pattern(group: tuple[tuple[str, int | None], ...]) -> re.Pattern[str]:
    return re.compile(
        "".join(f"[{alphabet}]" + (f"{{{size}}}" if size and size > 0 else "*") for alphabet, size in group)
    )


@lru_cache(maxsize=256)
def _taking(run: tuple[tuple[str, int, int], ...]) -> Callable[[str, int, int], re.Match[str] | None]:
    """Return what matches neighbours, given their characters (empty: any), where each begins and ends; a group for each."""
    written, at = "", 0
    for alphabet, low, high in run:
        written += f".{{{low - at}}}" if low > at else ""
        written += f"([{alphabet}]{{{high - low}}})" if alphabet else f"(.{{{high - low}}})"
        at = high
    return re.compile(written, re.DOTALL).fullmatch


@lru_cache(maxsize=64)
def _text_lengths(width: int, most: int) -> Mapping[str, int]:
    # Not int(), which takes signs, blanks and underscores too.
    return {f"{length:0{width}d}": length for length in range(min(most, 10**width - 1) + 1)}


@lru_cache(maxsize=64)
def _bcd_lengths(width: int, most: int) -> Mapping[Any, int]:
    written = {bytes.fromhex(f"{length:0{width * 2}d}"): length for length in range(min(most, 100**width - 1) + 1)}
    return written if width > 1 else {data[0]: length for data, length in written.items()}


# Functions


def _made(name: str, parameters: str, lines: Iterable[str], names: dict[str, Any]) -> Any:
    text = f"def {name}({parameters}):\n" + "".join(f"    {line}\n" for line in lines)
    exec(compile(text, "<generated>", "exec"), names)  # noqa: S102  its text is ours, see above
    return names.pop(name)


def _texts(layout: Layout, lines: Iterable[str], names: dict[str, Any]) -> list[str]:
    """Return the lines that make those texts of the whole message that the others use."""
    used = " ".join(lines)
    made = []
    if re.search(r"\bt\b", used):
        made.append("t = raw.decode('latin-1')")
    if re.search(r"\b[er]\b", used):
        names["PAGE"] = _page(layout)
        made += ["r = raw.translate(PAGE)", "e = r.decode('latin-1')"]
    return made


def _page(layout: Layout) -> bytes:
    """Return the table from the code page to Latin-1."""
    return (page_of("ebcdic", layout.charset).decode(bytes(range(256))) or "").encode("latin-1")


def _read_function(
    layout: Layout,
    reading: Reading,
    shapes: Mapping[int, Shapes],
    mti: str,
    numbers: Sequence[int],
    at: int,
    *,
    content: bool,
) -> Read | None:
    direct = len(numbers) > _LITERAL_LIMIT
    if not all(number in layout.fields for number in numbers):
        return None
    walk = _Walk(layout, at, content=content, shapes=shapes, value="fields[{}]" if direct else "v{}")
    for number in numbers:
        walk.element(number)
    walk.finish()
    names = walk.names
    if direct:
        # A copy has all places in their order, whatever is filled in first.
        names["FIELDS"] = dict.fromkeys(numbers)
        walk.lines.insert(0, "fields = FIELDS.copy()")
    names |= {"NEW": object.__new__, "Message": Message, "MTI": mti, "READING": reading}
    names["COMPOSITES"] = frozenset(walk.composites)
    lines = [*walk.lines, f"if len(raw) != {walk.place()}: return None", *walk.checks]
    header = "None"
    if layout.header is not None:
        size = layout.header.bytes
        if layout.header.value_form == "text":
            lines.append(f"if not raw[:{size}].isascii(): return None")
            header = f"t[:{size}]"
        else:
            header = f"raw[:{size}].hex().upper()"
    if not direct:
        lines.append(f"fields = {{{', '.join(f'{number}: v{number}' for number in numbers)}}}")
    lines += [
        "m = NEW(Message)",
        "m.mti = MTI",
        "m.fields = fields",
        f"m.header = {header}",
        "m._reading = READING",
        "m._raw = raw",
        "m._composites = COMPOSITES",
        "return m",
    ]
    read: Read = _made("read", "raw", [*_texts(layout, lines, names), *lines], names)
    return read


def _peek_function(layout: Layout, mti: str, present: Sequence[int], at: int, numbers: Sequence[int]) -> Peek | None:
    last = max(numbers, default=0)
    passed = [number for number in present if number <= last]
    if not all(number in layout.fields for number in passed):
        return None
    walk = _Walk(layout, at, content=False, wanted=frozenset(numbers))
    for number in passed:
        walk.element(number)
    walk.finish()
    walk.names["MTI"] = mti
    lines = [*walk.lines, f"if len(raw) < {walk.place()}: return None", *walk.checks]
    if layout.header is not None and layout.header.value_form == "text":
        lines.append(f"if not raw[:{layout.header.bytes}].isascii(): return None")
    found = ["0: MTI"] if 0 in numbers else []
    found += [f"{number}: v{number}" for number in passed if number in numbers]
    lines.append(f"return {{{', '.join(found)}}}")
    peek: Peek = _made("peek", "raw", [*_texts(layout, lines, walk.names), *lines], walk.names)
    return peek


def _spans_function(layout: Layout, numbers: Sequence[int], at: int) -> Place | None:
    if not all(number in layout.fields for number in numbers):
        return None
    walk = _Walk(layout, at, content=False, wanted=frozenset())
    for number in numbers:
        walk.element(number)
    start = layout.header.bytes if layout.header else 0
    after = start + (2 if layout.mti.encoding == "bcd" else 4)
    walk.names |= {"NEW": tuple.__new__, "Span": Span}
    found = [f"0: NEW(Span, ({start}, {start}, {after}))"]
    found += [f"{number}: NEW(Span, ({before}, {data}, {end}))" for number, before, data, end in walk.spans]
    lines = [*walk.lines, f"if len(raw) != {walk.place()}: return None", f"return {{{', '.join(found)}}}"]
    spans: Place = _made("spans", "raw", [*_texts(layout, lines, walk.names), *lines], walk.names)
    return spans


# Writing


class _Output:
    """Gathers the pieces of a message: text of one encoding, or hex, as long as they are of one kind."""

    def __init__(self) -> None:
        self.pieces: list[tuple[str, list[str]]] = []

    def add(self, kind: str, expression: str) -> None:
        """Add what comes next: `ascii`, `latin1` or `ebcdic` text, `hex`, or `bytes`."""
        if kind != "bytes" and self.pieces and self.pieces[-1][0] == kind:
            self.pieces[-1][1].append(expression)
        else:
            self.pieces.append((kind, [expression]))

    def expressions(self) -> list[str]:
        """Return an expression for the bytes of each piece."""
        found = []
        for kind, texts in self.pieces:
            # Joined, not formatted: what is no text must not be written as if it were.
            text = texts[0] if kind == "bytes" else f"''.join(({', '.join(texts)},))"
            found.append(
                {
                    "ascii": f"{text}.encode('ascii')",
                    "latin1": f"{text}.encode('latin-1')",
                    "ebcdic": f"{text}.encode('latin-1').translate(PAGE)",
                    "hex": f"a2b_hex({text})",
                    "bytes": text,
                }[kind]
            )
        return found


def _write_function(layout: Layout, numbers: tuple[int, ...], mtis: Mapping[str, bytes]) -> Write | None:
    if not numbers or not all(number in layout.fields for number in numbers):
        return None
    names: dict[str, Any] = {
        "a2b_hex": binascii.a2b_hex,
        "MTIS": mtis,
        "BITMAPS": write_bitmaps(layout, sorted(numbers)),
    }
    lines = [f"{', '.join(f'v{number}' for number in numbers)}, = fields.values()"]
    output = _Output()
    if layout.header is None:
        lines.append("if header: return None")
    else:
        in_hex = layout.header.value_form == "hex"
        lines.append("header = a2b_hex(''.join((header,)))" if in_hex else "header = header.encode('ascii')")
        lines.append(f"if len(header) != {layout.header.bytes}: return None")
        output.add("bytes", "header")
    output.add("bytes", "MTIS[mti]")
    output.add("bytes", "BITMAPS")
    sizes: list[str] = []
    digits: list[str] = []
    for number in sorted(numbers):
        _write_element(layout, number, layout.fields[number], output, lines, sizes, digits, names)
    if sizes:
        lines.append(f"if not ({' and '.join(sizes)}): return None")
    if digits:
        # a2b_hex takes small letters too, the layout does not.
        lines.append(f"d = ''.join(({', '.join(digits)},))")
        lines.append("if d != d.upper(): return None")
    if any(kind == "ebcdic" for kind, _ in output.pieces):
        page = page_of("ebcdic", layout.charset).encode(bytes(range(256)).decode("latin-1"))
        if page is None:
            return None
        names["PAGE"] = page
    lines.append(f"return b''.join(({', '.join(output.expressions())},))")
    write: Write = _made("write", "mti, fields, header", lines, names)
    return write


def _write_element(
    layout: Layout, number: int, field: Field, output: _Output, lines: list[str], sizes: list[str], digits: list[str],
    names: dict[str, Any],
) -> None:  # fmt: skip
    value, length = f"v{number}", field.length
    scale = 2 if field.encoding in ("raw", "hex_ascii") else 1
    if isinstance(length, Fixed):
        sizes.append(f"len({value}) == {length.size * scale}")
    else:
        name = f"PREFIXES{number}"
        writer = prefix_writer(length.prefix, layout.charset)
        kind: str = length.prefix.encoding if length.prefix.encoding in ("ascii", "ebcdic") else "bytes"
        if (kind, field.encoding) == ("ascii", "latin1"):
            kind = "latin1"
        if length.max < _LENGTHS_LIMIT:
            names[name] = _prefixes(length.prefix, length.max, layout.charset, as_text=kind != "bytes")
            prefix = f"{name}[len({value}) >> 1]" if scale == 2 else f"{name}[len({value})]"
        else:
            kind = "bytes"
            names[name] = writer
            sizes.append(f"len({value}) <= {length.max * scale}")
            prefix = f"{name}(len({value}) >> 1)" if scale == 2 else f"{name}(len({value}))"
        output.add(kind, prefix)
    match field.encoding:
        case "ascii" | "latin1" | "ebcdic":
            output.add(field.encoding, value)
        case "raw":
            output.add("hex", value)
        case "hex_ascii":
            lines.append(f"a2b_hex({value})")
            output.add("ascii", f"{value}.upper()")
        case "bcd" | "sign_bcd":
            signed = field.encoding == "sign_bcd"
            pad = f"'{int(field.pad_nibble.value if field.pad_nibble else '0', 16):X}'"
            right = not signed and _pads_right(field)
            count = length.size - signed if isinstance(length, Fixed) else None
            if signed:
                output.add("ascii", f"{value}[:1]")
                lines.append(f"d{number} = {value}[1:]")
                value = f"d{number}"
            elif count is None:
                odd = f"{value} + {pad}" if right else f"{pad} + {value}"
                lines.append(f"d{number} = {odd} if len({value}) & 1 else {value}")
                value = f"d{number}"
            digits.append(value)
            padded = [pad] if count is not None and count % 2 else []
            for text in [value, *padded] if right else [*padded, value]:
                output.add("hex", text)


@lru_cache(maxsize=64)
def _prefixes(prefix: Prefix, most: int, code_page: str | None, *, as_text: bool) -> Sequence[str | bytes | None]:
    """Return the written lengths from 0 to the most there can be; as text where text follows."""
    write = prefix_writer(prefix, code_page)
    if as_text:
        most = min(most, 10**prefix.bytes - 1)
        return tuple(f"{length:0{prefix.bytes}d}" for length in range(most + 1))
    return tuple(data for length in range(most + 1) if (data := write(length)) is not None)
