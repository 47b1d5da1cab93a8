"""The table of BINs from the command line: read from a CSV file, with what is wrong told by line, and shown."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import msgspec

from shanraq import partners, payments
from shanraq.core.actor import SYSTEM
from shanraq.core.errors import InvalidInputError
from shanraq.core.page import MAX_LIMIT, PageRequest
from shanraq.core.settings import Settings
from shanraq.ops.app import Announce
from shanraq.ops.routing import opened

# Who has the database at hand may do this; the audit log says that it came from here.
_CONSOLE: Final = replace(SYSTEM, id="console", scopes=frozenset({partners.ROUTE, partners.READ_ROUTES}))
_COLUMNS: Final = {
    "bin_from": "first", "bin_to": "last", "scheme": "scheme", "issuer_country": "country", "funding": "funding",
    "issuer_name": "issuer",
}  # fmt: skip
_NEEDED: Final = ("bin_from", "scheme", "issuer_country")
_NAMES: Final = {field: column for column, field in _COLUMNS.items()}
_TEXTS: Final = {
    "bin_from": "must be 6 to 8 digits",
    "bin_to": "must be 6 to 8 digits",
    "scheme": "must be small letters, such as visa",
    "issuer_country": "must be an ISO 3166-1 alpha-2 code such as KZ",
    "funding": "must be credit, debit, prepaid or charge, or empty",
    "issuer_name": "must be at most 100 characters, no control characters",
}
_SHOWN: Final = 20
_TOLD_EVERY: Final = 1_000


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a line of the file; line 0 is the file as a whole. Never says what stands there."""

    line: int
    column: str
    text: str

    def __str__(self) -> str:
        where = f"line {self.line}: " if self.line else ""
        return f"{where}{self.column} {self.text}" if self.column else f"{where}{self.text}"


class BinFileError(InvalidInputError, code="invalid_bin_file", status=400):
    """The file is no table of BINs: `problems` tells the first of what is wrong by line, `more` how much more there is."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems[:_SHOWN])
        self.more = len(problems) - len(self.problems)
        super().__init__(str(problems[0]), field="file")


def read_bins(file: Path, told: Callable[[int], None] = lambda _: None) -> list[payments.BinRange]:
    """Read a CSV file; `told` hears how many lines were read, as they are. Raises BinFileError."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as text:
            return _read(text, told)
    except OSError as error:
        raise BinFileError([Problem(0, "", f"cannot be read: {error.strerror}")]) from None
    except UnicodeDecodeError:
        raise BinFileError([Problem(0, "", "is not UTF-8")]) from None


async def import_bins(
    settings: Settings, ranges: Sequence[payments.BinRange], announce: Announce, told: Callable[[int], None]
) -> payments.BinTable:
    """Put ranges in the place of the whole table of BINs; return its version."""
    async with opened(settings, announce) as db:
        return await payments.replace_bins(db, _CONSOLE, ranges, told=told)


async def list_bins(settings: Settings, version: int | None, announce: Announce) -> list[payments.BinRange]:
    """Return all ranges of the newest version, or of another. Raises BinTableVersionNotFoundError."""
    found: list[payments.BinRange] = []
    cursor: str | None = None
    async with opened(settings, announce) as db:
        while cursor != "":
            page = await payments.list_bins(db, _CONSOLE, PageRequest.read(cursor, MAX_LIMIT), version=version)
            found += page.items
            cursor = page.next_cursor
    return found


async def show_bin(settings: Settings, digits: str, announce: Announce) -> payments.BinLookup:
    """Tell what is known of cards with these first digits. Raises InvalidInputError, BinRangeNotFoundError."""
    async with opened(settings, announce) as db:
        return await payments.show_bin(db, _CONSOLE, digits)


async def versions(settings: Settings, announce: Announce) -> list[payments.BinTable]:
    """Return the versions of the table, the newest first."""
    async with opened(settings, announce) as db:
        return await payments.bin_table_versions(db, _CONSOLE)


def _read(text: Iterator[str], told: Callable[[int], None]) -> list[payments.BinRange]:
    head = next(text, "")
    rows = csv.reader(text, delimiter=";" if ";" in head else ",", strict=True)
    columns = _columns(head, ";" if ";" in head else ",")
    ranges: list[payments.BinRange] = []
    lines: list[int] = []
    problems: list[Problem] = []
    try:
        for number, row in enumerate(rows, 1):
            if number % _TOLD_EVERY == 0:
                told(_TOLD_EVERY)
            line = rows.line_num + 1
            if not any(row):
                continue
            if len(row) != len(columns):
                problems.append(Problem(line, "", f"has {len(row)} columns, not {len(columns)}"))
                continue
            if len(ranges) == payments.MOST_RANGES:
                problems.append(
                    Problem(line, "", f"is one too many: a table has at most {payments.MOST_RANGES} ranges")
                )
                break
            one = _range(dict(zip(columns, (cell.strip() for cell in row), strict=True)), line, problems)
            if one is not None:
                ranges.append(one)
                lines.append(line)
    except csv.Error as error:
        problems.append(Problem(rows.line_num + 1, "", f"is not CSV: {error}"))
    for fault in payments.faults(ranges):
        about = f": see line {lines[fault.other]}" if fault.other is not None else ""
        problems.append(Problem(lines[fault.index], _NAMES[fault.field], fault.text + about))
    if not problems and not ranges:
        problems.append(Problem(0, "", "holds no ranges"))
    if problems:
        raise BinFileError(sorted(problems, key=lambda problem: problem.line))
    return ranges


def _columns(head: str, delimiter: str) -> list[str]:
    columns = [name.strip().strip('"').lower() for name in head.split(delimiter)]
    problems = [Problem(1, "", f"has no column {name}") for name in _NEEDED if name not in columns]
    if len(set(columns)) < len(columns):
        problems.append(Problem(1, "", "names a column twice"))
    if not set(columns) <= set(_COLUMNS):
        # An unknown name may be data: a file without a head.
        problems.append(Problem(1, "", f"may only name {', '.join(_COLUMNS)}"))
    if problems:
        raise BinFileError(problems)
    return columns


def _range(cells: Mapping[str, str], line: int, problems: list[Problem]) -> payments.BinRange | None:
    given = {_COLUMNS[column]: cell for column, cell in cells.items() if cell}
    given.setdefault("last", given.get("first", ""))
    wrong = []
    for column in _COLUMNS:
        name = _COLUMNS[column]
        try:
            if name in given or column in _NEEDED:
                msgspec.convert(given.get(name, ""), _TYPES[name])
        except msgspec.ValidationError:
            if not (column == "bin_to" and not cells.get("bin_to")):
                wrong.append(Problem(line, column, _TEXTS[column]))
    problems += wrong
    return None if wrong else msgspec.convert(given, payments.BinRange)


_TYPES: Final = {field.name: field.type for field in msgspec.structs.fields(payments.BinRange)}
