"""A message of FIN: headers, fields, trailers, and every value of them by its path."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from shanraq.standards.mt.formats import LINE, pattern


@dataclass(frozen=True, slots=True)
class BasicHeader:
    """Block 1: `address` is the logical terminal of twelve characters, `session` and `sequence` are digits."""

    application: str
    service: str
    address: str = field(repr=False)
    session: str
    sequence: str


@dataclass(frozen=True, slots=True)
class InputHeader:
    """Block 2 of a message on its way to SWIFT; what may be left out is ""."""

    message_type: str
    address: str = field(repr=False)
    priority: str = ""
    monitoring: str = ""
    obsolescence: str = ""


@dataclass(frozen=True, slots=True)
class OutputHeader:
    """Block 2 of a message that SWIFT delivered: dates are YYMMDD, times HHMM; `address` is the sender's."""

    message_type: str
    input_time: str
    input_date: str
    address: str = field(repr=False)
    session: str
    sequence: str
    output_date: str
    output_time: str
    priority: str = ""


@dataclass(frozen=True, slots=True)
class Field:
    """A field of block 4: its text has lines joined by a line feed; `line` is where it was read."""

    tag: str
    text: str = field(repr=False)
    line: int = field(default=0, compare=False)
    sequence: str = ""

    @property
    def number(self) -> str:
        """Return the two digits of the tag."""
        return self.tag[:2]

    @property
    def parts(self) -> dict[str, str]:
        """Return the parts that are there, by name; lines of a text are one part `line`, joined."""
        found = pattern(self.tag).fullmatch(self.text)
        assert found is not None, self.tag  # only fields of the right form come into a message
        return {name: text for name, text in found.groupdict().items() if text is not None}

    @property
    def lines(self) -> tuple[str, ...]:
        """Return the lines of the part that has several."""
        text = self.parts.get(LINE)
        return () if text is None else tuple(text.split("\n"))


Trailers = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Message:
    """A message. `basic` and `application` are None where a bank wrote the fields of block 4 alone.

    `user` and `trailer` are the tags and values of blocks 3 and 5, None without such a block. `new_line` is how lines end,
    `end` the last line of fields alone: a hyphen or nothing.
    """

    message_type: str
    fields: tuple[Field, ...]
    basic: BasicHeader | None = None
    application: InputHeader | OutputHeader | None = None
    user: Trailers | None = None
    trailer: Trailers | None = None
    new_line: str = "\r\n"
    end: str = ""

    @property
    def kind(self) -> str:
        """Return the type as the structures have it: 202COV for a 202 with {119:COV}."""
        return "202COV" if self.message_type == "202" and self.user_value("119") == "COV" else self.message_type

    @property
    def sender(self) -> str:
        """Return the BIC of the sender, "" without headers."""
        header = self.application if isinstance(self.application, OutputHeader) else self.basic
        return "" if header is None else bic_of(header.address)

    @property
    def receiver(self) -> str:
        """Return the BIC of the receiver, "" without headers."""
        header = self.basic if isinstance(self.application, OutputHeader) else self.application
        return "" if header is None else bic_of(header.address)

    def user_value(self, tag: str) -> str:
        """Return a value of block 3, "" without one."""
        return next((value for each, value in self.user or () if each == tag), "")

    def find(self, *tags: str, sequence: str = "") -> Field | None:
        """Return the first field with one of the tags, in a sequence."""
        return next((each for each in self.fields if each.tag in tags and each.sequence == sequence), None)


def bic_of(address: str) -> str:
    """Return the BIC of a logical terminal: its ninth character is not part of it, and XXX is no branch."""
    return address[:8] if address[9:] == "XXX" else address[:8] + address[9:]


def address_of(bic: str, terminal: str) -> str:
    """Return the logical terminal of a BIC: `terminal` is its letter, A for a sender and X for a receiver."""
    return f"{bic[:8]}{terminal}{bic[8:] or 'XXX'}"


def field_paths(fields: tuple[Field, ...]) -> list[str]:
    """Return the path of each field: its tag, with a number where it is not the only one in its sequence."""
    many = Counter((each.sequence, each.tag) for each in fields)
    number: Counter[tuple[str, str]] = Counter()
    paths = []
    for each in fields:
        key = (each.sequence, each.tag)
        number[key] += 1
        name = f"{each.sequence}/{each.tag}" if each.sequence else each.tag
        paths.append(f"{name}[{number[key]}]" if many[key] > 1 else name)
    return paths


def values(message: Message) -> Iterator[tuple[str, str]]:
    """Yield path and text of every value: `{1:}/address`, `32A/amount`, `59/line[2]`, `61[3]/reference`, `{5:}/CHK`."""
    for block, header in (("{1:}", message.basic), ("{2:}", message.application)):
        if header is not None:
            for name in header.__slots__:
                if (value := str(getattr(header, name))) != "":
                    yield f"{block}/{name}", value
    yield from _blocks("{3:}", message.user)
    for path, each in zip(field_paths(message.fields), message.fields, strict=True):
        yield from field_values(path, each)
    yield from _blocks("{5:}", message.trailer)


def field_values(path: str, each: Field) -> Iterator[tuple[str, str]]:
    """Yield path and text of every value of a field."""
    for name, text in each.parts.items():
        if name == LINE:
            for number, line in enumerate(text.split("\n"), 1):
                yield f"{path}/{LINE}[{number}]", line
        else:
            yield f"{path}/{name}", text


def _blocks(block: str, trailers: Trailers | None) -> Iterator[tuple[str, str]]:
    many = Counter(tag for tag, _ in trailers or ())
    number: Counter[str] = Counter()
    for tag, value in trailers or ():
        number[tag] += 1
        yield f"{block}/{tag}[{number[tag]}]" if many[tag] > 1 else f"{block}/{tag}", value
