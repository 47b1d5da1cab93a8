"""The transaction history of the Reporting API: CSV with exactly the columns that were asked for."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final
from urllib.parse import parse_qsl

from shanraq.simulators.mastercard.refusal import Refusal

_KNOWN: Final = frozenset({"columns", "columnHeaders", "timeOfRecord.start", "timeOfRecord.end"})
_REQUIRED: Final = ("columns", "timeOfRecord.start", "timeOfRecord.end")
_PATH: Final = re.compile(r"[A-Za-z0-9]+(?:\.[A-Za-z0-9]+)*")
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:Z|[+-]\d\d:\d\d)", re.ASCII)
_COLUMNS_LIMIT: Final = 200
_LONGEST_HEADER: Final = 100
_CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class HistoryQuery:
    """What is asked for: dotted paths of fields, their headers, and the times of record from `start` to before `end`."""

    columns: tuple[str, ...]
    headers: tuple[str, ...]
    start: datetime
    end: datetime


def read_query(query: str) -> HistoryQuery:
    """Read the query of a URL, percent-encoded. Raises Refusal naming the parameter."""
    given = parameters_of(query, known=_KNOWN, required=_REQUIRED)
    columns = tuple(given["columns"].split(","))
    if len(columns) > _COLUMNS_LIMIT or not all(_PATH.fullmatch(column) for column in columns):
        raise Refusal("columns", "INVALID", "Value is not a list of field names.")
    headers = tuple(given["columnHeaders"].split(",")) if "columnHeaders" in given else columns
    if len(headers) != len(columns):
        raise Refusal("columnHeaders", "INVALID", "There must be as many headers as columns.")
    if not all(0 < len(header) <= _LONGEST_HEADER and not _CONTROLS.search(header) for header in headers):
        raise Refusal("columnHeaders", "INVALID", "Value is not a list of headers.")
    start, end = window_of(given)
    return HistoryQuery(columns, headers, start, end)


def history_csv(query: HistoryQuery, replies: Iterable[Mapping[str, Any]]) -> bytes:
    """Write a merchant's transactions recorded in the window, oldest first, one line each. UTF-8.

    A field that a transaction does not have is an empty value.
    """
    chosen = [
        (time, reply)
        for time, reply in ((time_of(str(reply["timeOfRecord"])), reply) for reply in replies)
        if time is not None and query.start <= time < query.end
    ]
    chosen.sort(key=lambda entry: entry[0])
    return csv_of(query.headers, ([text_at(reply, path) for path in query.columns] for _, reply in chosen))


def parameters_of(query: str, *, known: frozenset[str], required: tuple[str, ...]) -> dict[str, str]:
    """Return the parameters of a query, each once and not empty. Raises Refusal naming the one that is not so."""
    given: dict[str, str] = {}
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query), errors="strict", max_num_fields=50)
    except ValueError:
        raise Refusal("", "INVALID", "The query cannot be read.") from None
    for name, value in pairs:
        if name not in known:
            raise Refusal(name[:_LONGEST_HEADER], "UNSUPPORTED", "Unknown parameter.")
        if name in given:
            raise Refusal(name, "INVALID", "The parameter is given twice.")
        given[name] = value
    for name in required:
        if name not in given:
            raise Refusal(name, "MISSING", "The parameter is missing.")
    for name, value in given.items():
        if not value:
            raise Refusal(name, "INVALID", "Value is empty.")
    return given


def window_of(given: Mapping[str, str]) -> tuple[datetime, datetime]:
    """Return `timeOfRecord.start` and `timeOfRecord.end` in UTC. Raises Refusal."""
    read = []
    for name in ("timeOfRecord.start", "timeOfRecord.end"):
        time = time_of(given[name])
        if time is None:
            raise Refusal(name, "INVALID", "Value is not a time with a zone.")
        read.append(time)
    if read[0] >= read[1]:
        raise Refusal("timeOfRecord.end", "INVALID", "The end must be after the start.")
    return read[0], read[1]


def time_of(text: str) -> datetime | None:
    """Read a time of the gateway (`2014-10-16T17:23:57.083Z`) in UTC; None where it is not one."""
    if not _TIME.fullmatch(text):
        return None
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def time_text(time: datetime) -> str:
    """Write a time as the gateway does: UTC, milliseconds, Z."""
    return time.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def text_at(reply: Mapping[str, Any], path: str) -> str:
    """Return the value at a dotted path as text; empty where there is none, or where it is a block of fields."""
    value: Any = reply
    for name in path.split("."):
        if not isinstance(value, Mapping) or name not in value:
            return ""
        value = value[name]
    match value:
        case None | Mapping() | list() | tuple():
            return ""
        case bool():
            return "true" if value else "false"
        case Decimal():
            return f"{value:f}"
        case _:
            return str(value)


def csv_of(headers: Iterable[str], rows: Iterable[Iterable[str]]) -> bytes:
    """Write CSV (RFC 4180) in UTF-8."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(headers)
    writer.writerows(rows)
    return text.getvalue().encode()
