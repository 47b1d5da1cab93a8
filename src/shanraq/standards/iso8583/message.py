"""A message: its type and elements as text. Shown masked, unless asked for otherwise."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple, Protocol

from shanraq.standards.iso8583.mask import mask

_NUMBER: Final = re.compile(r"[1-9][0-9]{0,2}")


class Span(NamedTuple):
    """Where an element stands in the bytes: its length (if it has one before it), its data, its end."""

    start: int
    data: int
    end: int


class Reading(Protocol):
    """What has read a message, and can say more about it when it is asked."""

    def spans_of(self, raw: bytes) -> dict[int, Span]:
        """Return where the elements are."""

    def parts_of(self, raw: bytes, spans: Mapping[int, Span]) -> dict[int, Any]:
        """Return the elements that split further."""

    def header_parts_of(self, raw: bytes) -> dict[str, str]:
        """Return the parts of the header."""


class Message:
    """A message. `fields` are texts by element number: digits and letters as they are, bytes as upper-case hex.

    `header` is hex or text, as the layout says. `parts` are the elements that split further; `spans` is where each element was
    read (0 is the message type). Messages are equal when everything but their spans is.
    """

    # What few ask for is found when it is asked for. Until then `_reading` knows how, `_raw` and `_composites` (the elements
    # that split further) are what it needs, and the three it finds are not there; afterwards it is the other way round.
    __slots__ = ("_composites", "_header_parts", "_parts", "_raw", "_reading", "_spans", "fields", "header", "mti")

    mti: str
    fields: dict[int, str]
    header: str | None
    _reading: Reading | None
    _raw: bytes
    _composites: frozenset[int]
    _parts: dict[int, Any]
    _header_parts: dict[str, str]
    _spans: dict[int, Span]

    def __init__(
        self,
        mti: str,
        fields: dict[int, str] | None = None,
        header: str | None = None,
        parts: dict[int, Any] | None = None,
        header_parts: dict[str, str] | None = None,
        spans: dict[int, Span] | None = None,
    ) -> None:
        self.mti = mti
        self.fields = {} if fields is None else fields
        self.header = header
        self._reading = None
        self._parts = {} if parts is None else parts
        self._header_parts = {} if header_parts is None else header_parts
        self._spans = {} if spans is None else spans

    @property
    def parts(self) -> dict[int, Any]:
        """Return the elements that split further, by number."""
        if self._reading is not None:
            self._complete(self._reading)
        return self._parts

    @parts.setter
    def parts(self, parts: dict[int, Any]) -> None:
        if self._reading is not None:
            self._complete(self._reading)
        self._parts = parts

    @property
    def header_parts(self) -> dict[str, str]:
        """Return the parts of the header, by name."""
        if self._reading is not None:
            self._complete(self._reading)
        return self._header_parts

    @header_parts.setter
    def header_parts(self, header_parts: dict[str, str]) -> None:
        if self._reading is not None:
            self._complete(self._reading)
        self._header_parts = header_parts

    @property
    def spans(self) -> dict[int, Span]:
        """Return where each element was read, by number; empty for a message that was not read."""
        if self._reading is not None:
            self._complete(self._reading)
        return self._spans

    @spans.setter
    def spans(self, spans: dict[int, Span]) -> None:
        if self._reading is not None:
            self._complete(self._reading)
        self._spans = spans

    def is_whole(self) -> bool:
        """Tell whether `fields` has everything: no element is given in `parts` alone."""
        given = self._parts.keys() if self._reading is None else self._composites
        return not given or given <= self.fields.keys()

    def _complete(self, reading: Reading) -> None:
        self._spans = reading.spans_of(self._raw)
        self._parts = reading.parts_of(self._raw, self._spans)
        self._header_parts = reading.header_parts_of(self._raw)
        self._reading = None

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Message):
            return NotImplemented
        return (
            self.mti == other.mti
            and self.fields == other.fields
            and self.header == other.header
            and self.parts == other.parts
            and self.header_parts == other.header_parts
        )

    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> tuple[type[Message], tuple[Any, ...]]:
        return Message, (self.mti, self.fields, self.header, self.parts, self.header_parts, self.spans)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as it is, card numbers too: `{"mti", "header", "fields", "parts"}` with numbers as text."""
        return {
            "mti": self.mti,
            "header": self.header,
            "fields": {str(number): value for number, value in self.fields.items()},
            "parts": {str(number): value for number, value in self.parts.items()},
        }

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Message:
        """Read what `to_dict` gives; raise ValueError for another form."""
        fields, parts = ({} if plain.get(name) is None else plain[name] for name in ("fields", "parts"))
        right = isinstance(plain.get("mti"), str) and isinstance(fields, Mapping) and isinstance(parts, Mapping)
        right = right and isinstance(plain.get("header"), str | None)
        # Not int(), which takes signs, blanks and leading zeros: two names of one element would become one.
        right = right and all(_NUMBER.fullmatch(str(number)) for number in (*fields, *parts))
        if not right or not all(isinstance(value, str) for value in fields.values()):
            raise ValueError("a message is {mti: text, header: text, fields: {number: text}, parts: {number: ...}}")
        return cls(
            mti=plain["mti"],
            fields={int(number): value for number, value in fields.items()},
            header=plain.get("header"),
            parts={int(number): value for number, value in parts.items()},
        )

    def masked(self) -> dict[str, Any]:
        """Return what `to_dict` gives, with everything that identifies a card or its holder masked at every depth."""
        return mask(self)

    def __repr__(self) -> str:
        return f"Message({self.masked()})"

    __str__ = __repr__
