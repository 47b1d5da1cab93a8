"""Whose cards begin with which digits: ranges of BINs as data, with the issuer's country and the kind of funding.

A range holds the first 6 to 8 digits of card numbers; nothing here ever sees more of one. Ranges may lie within each other: the
narrowest decides, so that eight digits can say otherwise than the six they begin with.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Final

import msgspec

from shanraq.core.errors import InvalidInputError, NotFoundError
from shanraq.core.iso3166 import COUNTRIES
from shanraq.payments.texts import holds_card_number

DIGITS: Final = 8
"""How many digits of a card number are looked at, at most."""
MOST_RANGES: Final = 1_000_000

_BIN = msgspec.Meta(pattern="^[0-9]{6,8}$", max_length=8, description="6 to 8 digits, as many in `first` as in `last`.")


class InvalidBinRangeError(InvalidInputError, code="invalid_bin_range", status=400):
    """The range of BINs contradicts itself or another one."""


class BinRangeNotFoundError(NotFoundError, code="bin_range_not_found", status=404):
    """The table of BINs does not know these digits."""


class BinTableVersionNotFoundError(NotFoundError, code="bin_table_version_not_found", status=404):
    """There is no such version of the table of BINs."""


class Funding(StrEnum):
    """What a card draws on; `unknown` where the table does not tell."""

    CREDIT = "credit"
    DEBIT = "debit"
    PREPAID = "prepaid"
    CHARGE = "charge"
    UNKNOWN = "unknown"


class BinRange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The cards that begin with `first` to `last`, both included: 411111 to 411111 are all that begin with 411111."""

    first: Annotated[str, _BIN]
    last: Annotated[str, _BIN]
    scheme: Annotated[str, msgspec.Meta(pattern="^[a-z]{2,20}$", max_length=20, description="Such as `visa`.")]
    country: Annotated[str, msgspec.Meta(pattern="^[A-Z]{2}$", max_length=2, description="ISO 3166-1 alpha-2.")]
    funding: Funding = Funding.UNKNOWN
    issuer: Annotated[str, msgspec.Meta(max_length=100, pattern="^[^\\u0000-\\u001f\\u007f]*$")] = ""

    @property
    def bounds(self) -> tuple[int, int]:
        """Return the first and the last of the eight-digit BINs."""
        return bounds_of(self.first)[0], bounds_of(self.last)[1]


class BinTable(msgspec.Struct, frozen=True, kw_only=True):
    """A version of the table: how many ranges it has, and how it differs from the one before. Version 0 is none at all."""

    version: int
    ranges: int
    added: int
    removed: int
    changed_by: str
    changed_at: datetime | None


class KnownBin(msgspec.Struct, frozen=True, kw_only=True):
    """A range as it stands in the table of `version`."""

    version: int
    range: BinRange


class BinLookup(msgspec.Struct, frozen=True, kw_only=True):
    """What the table of `version` knows of cards with some first digits.

    `ranges` hold all of these cards: the first decides. `within` are ranges of some of them only, which decide for those.
    """

    version: int
    ranges: list[BinRange]
    within: list[BinRange]


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with the range of this index: the field, a sentence, and the index of another one it is about."""

    index: int
    field: str
    text: str
    other: int | None = None


def bounds_of(digits: str) -> tuple[int, int]:
    """Return the first and the last eight-digit BIN that begin with these digits, or with the first eight of them."""
    digits = digits[:DIGITS]
    return int(digits.ljust(DIGITS, "0")), int(digits.ljust(DIGITS, "9"))


def written_out(one: BinRange) -> BinRange:
    """Return a range with eight digits, as it is kept."""
    first, last = one.bounds
    return msgspec.structs.replace(one, first=f"{first:0{DIGITS}}", last=f"{last:0{DIGITS}}")


def faults(ranges: Sequence[BinRange]) -> Iterator[Fault]:
    """Tell what is wrong with a table, first within the ranges and then between them."""
    right: list[int] = []
    for index, one in enumerate(ranges):
        found = list(_own_faults(index, one))
        yield from found
        if not found:
            right.append(index)
    yield from _between(ranges, right)


def _own_faults(index: int, one: BinRange) -> Iterator[Fault]:
    if len(one.first) != len(one.last):
        yield Fault(index, "last", "must have as many digits as the first one")
    elif one.first > one.last:
        yield Fault(index, "last", "is before the first one")
    if one.country not in COUNTRIES:
        yield Fault(index, "country", "must be an ISO 3166-1 alpha-2 code such as KZ")
    if holds_card_number(one.issuer):
        yield Fault(index, "issuer", "holds what passes for a card number")


def _between(ranges: Sequence[BinRange], right: list[int]) -> Iterator[Fault]:
    # Wider ranges before those within them: what is open are the ranges around the one looked at, the widest first.
    bounds = {index: ranges[index].bounds for index in right}
    opened: list[int] = []
    for index in sorted(right, key=lambda index: (bounds[index][0], -bounds[index][1], index)):
        first, last = bounds[index]
        while opened and bounds[opened[-1]][1] < first:
            opened.pop()
        if opened and bounds[opened[-1]] == (first, last):
            yield Fault(index, "first", "is there twice", opened[-1])
            continue
        if opened and bounds[opened[-1]][1] < last:
            yield Fault(index, "first", "overlaps another range without lying within it", opened[-1])
            continue
        opened.append(index)
