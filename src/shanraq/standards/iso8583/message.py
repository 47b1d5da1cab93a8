"""A message: its type and elements as text. Shown masked, unless asked for otherwise."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from shanraq.standards.iso8583.mask import mask

_NUMBER: Final = re.compile(r"[1-9][0-9]{0,2}")


class Span(NamedTuple):
    """Where an element stands in the bytes: its length (if it has one before it), its data, its end."""

    start: int
    data: int
    end: int


@dataclass(slots=True)
class Message:
    """A message. `fields` are texts by element number: digits and letters as they are, bytes as upper-case hex.

    `header` is hex or text, as the layout says. `parts` are the elements that split further; `spans` is where each element was
    read (0 is the message type).
    """

    mti: str
    fields: dict[int, str] = field(default_factory=dict)
    header: str | None = None
    parts: dict[int, Any] = field(default_factory=dict)
    header_parts: dict[str, str] = field(default_factory=dict)
    spans: dict[int, Span] = field(default_factory=dict, compare=False)

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
