"""Transaction search: a small part of the query language, and the lag of the index behind the payments."""

from __future__ import annotations

import re
import uuid
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, Final

from shanraq.simulators.serve import Reply
from shanraq.simulators.visa.model import Record, Refusal
from shanraq.simulators.visa.render import json_reply, summary, utc_text
from shanraq.simulators.visa.store import Store
from shanraq.simulators.visa.validate import Body

_LONGEST_QUERY: Final = 1000
_LARGEST_LIMIT: Final = 2500
_LARGEST_OFFSET: Final = 1_000_000
_SEARCHES_KEPT: Final = 1000

_TERM = re.compile(r'\s*([A-Za-z.]+):("[^"]*"|[\[{][^\]}]*[\]}]|\S+)\s*')
_RANGE = re.compile(r"([\[{])\s*(\S+)\s+TO\s+(\S+?)\s*([\]}])")
_NOW = re.compile(r"NOW((?:/[A-Z]+|[+-][0-9]{1,6}[A-Z]+)*)")
_STEP = re.compile(r"/([A-Z]+)|([+-][0-9]+)([A-Z]+)")
_UNITS: Final = {
    "SECOND": timedelta(seconds=1),
    "MINUTE": timedelta(minutes=1),
    "HOUR": timedelta(hours=1),
    "DAY": timedelta(days=1),
}
_SORT_KEYS: Final[dict[str, Callable[[Record], Any]]] = {
    "id": lambda record: record.operation.id,
    "submitTimeUtc": lambda record: record.operation.time,
}


@dataclass(frozen=True, slots=True)
class TimeRange:
    """A range of times; None is open, and each end belongs to it or not."""

    start: datetime | None
    end: datetime | None
    with_start: bool
    with_end: bool

    def __contains__(self, time: datetime) -> bool:
        after = self.start is None or time > self.start or (self.with_start and time == self.start)
        before = self.end is None or time < self.end or (self.with_end and time == self.end)
        return after and before


@dataclass(frozen=True, slots=True)
class Query:
    """The terms of a query, all of which must hold; None is any."""

    code: str | None = None
    transaction_id: str | None = None
    id: str | None = None
    times: tuple[TimeRange, ...] = ()


@dataclass(frozen=True, slots=True)
class _Search:
    id: str
    merchant_id: str
    text: str
    query: Query
    name: str
    timezone: str
    save: bool
    offset: int
    limit: int
    sort: str


class Searches:
    """Runs searches on a store and keeps the last of them, each for its merchant."""

    def __init__(self, store: Store, now: Callable[[], datetime], seed: int) -> None:
        self.index_lag_seconds = 0.0
        self._store = store
        self._now = now
        self._random = Random(seed)  # noqa: S311 - ids of a reproducible run, no secret
        self._kept: OrderedDict[str, _Search] = OrderedDict()

    def forget(self) -> None:
        """Forget all searches."""
        self._kept.clear()

    def create(self, merchant_id: str, body: Body) -> Reply:
        """Run a search and keep it; raises a Refusal."""
        text = body.get("query")
        if text is None:
            raise Refusal("MISSING_FIELD", field="query")
        sort = body.get("sort", "submitTimeUtc:desc")
        _order([], sort)
        search = _Search(
            id=str(uuid.UUID(int=self._random.getrandbits(128), version=4)),
            merchant_id=merchant_id,
            text=text,
            query=parse_query(text, self._now()),
            name=body.get("name", ""),
            timezone=body.get("timezone", "UTC"),
            save=body.get("save", False),
            offset=_within(body, "offset", 0, 0, _LARGEST_OFFSET),
            limit=_within(body, "limit", 20, 1, _LARGEST_LIMIT),
            sort=sort,
        )
        self._kept[search.id] = search
        if len(self._kept) > _SEARCHES_KEPT:
            self._kept.popitem(last=False)
        return self._reply(search, 201)

    def get(self, merchant_id: str, search_id: str) -> Reply:
        """Run a kept search again; raises a Refusal with 404."""
        search = self._kept.get(search_id)
        if search is None or search.merchant_id != merchant_id:
            raise Refusal("INVALID_DATA", field="searchId", status=404, message="The search was not found")
        return self._reply(search, 200)

    def _reply(self, search: _Search, status: int) -> Reply:
        found = _order(self._find(search), search.sort)
        page = found[search.offset : search.offset + search.limit]
        body: dict[str, Any] = {
            "searchId": search.id,
            "save": search.save,
            "name": search.name,
            "timezone": search.timezone,
            "query": search.text,
            "offset": search.offset,
            "limit": search.limit,
            "sort": search.sort,
            "count": len(page),
            "totalCount": len(found),
            "submitTimeUtc": utc_text(self._now()),
            "_embedded": {"transactionSummaries": [summary(record) for record in page]},
            "_links": {"self": {"href": f"/tss/v2/searches/{search.id}", "method": "GET"}},
        }
        if not page:
            del body["_embedded"]
        return json_reply(status, body)

    def _find(self, search: _Search) -> list[Record]:
        query = search.query
        candidates: Sequence[Record]
        if query.transaction_id is not None:
            candidates = self._store.with_transaction_id(search.merchant_id, query.transaction_id)
        elif query.code is not None:
            candidates = self._store.with_code(search.merchant_id, query.code)
        else:
            candidates = self._store.of_merchant(search.merchant_id)
        indexed_until = self._now() - timedelta(seconds=self.index_lag_seconds)
        return [
            record
            for record in candidates
            if record.operation.time <= indexed_until
            and query.code in {None, record.operation.code}
            and query.id in {None, record.operation.id}
            and all(record.operation.time in times for times in query.times)
        ]


def parse_query(text: str, now: datetime) -> Query:
    """Read `field:value` terms joined by AND; raises a Refusal for anything else."""
    if len(text) > _LONGEST_QUERY:
        raise Refusal("INVALID_DATA", field="query")
    values: dict[str, str] = {}
    times: list[TimeRange] = []
    for term in re.split(r"\s+AND\s+", text.strip()):
        match = _TERM.fullmatch(term)
        if match is None:
            raise Refusal("INVALID_DATA", field="query")
        name, value = match[1], match[2]
        if name == "submitTimeUtc":
            times.append(_parse_range(value, now))
        elif name in values or name not in {
            "clientReferenceInformation.code",
            "clientReferenceInformation.transactionId",
            "id",
        }:
            raise Refusal("INVALID_DATA", field="query")
        else:
            values[name] = value[1:-1] if value[0] == '"' else value.replace("\\", "")
    return Query(
        values.get("clientReferenceInformation.code"),
        values.get("clientReferenceInformation.transactionId"),
        values.get("id"),
        tuple(times),
    )


def _parse_range(text: str, now: datetime) -> TimeRange:
    match = _RANGE.fullmatch(text)
    if match is None:
        raise Refusal("INVALID_DATA", field="query")
    opening, start, end, closing = match.groups()
    return TimeRange(_parse_time(start, now), _parse_time(end, now), opening == "[", closing == "]")


def _parse_time(text: str, now: datetime) -> datetime | None:
    """Read `*`, an ISO time, or date mathematics from now: `NOW/DAY-7DAYS`."""
    if text == "*":
        return None
    try:
        relative = _NOW.fullmatch(text)
        if relative is None:
            time = datetime.fromisoformat(text)
            return time if time.tzinfo is not None else time.replace(tzinfo=UTC)
        time = now
        for unit, count, counted_unit in _STEP.findall(relative[1]):
            step = _UNITS[(unit or counted_unit).removesuffix("S")]
            time = time + int(count) * step if count else time - (time - datetime.min.replace(tzinfo=UTC)) % step
    except (ValueError, KeyError, OverflowError):
        raise Refusal("INVALID_DATA", field="query") from None
    return time


def _within(body: Body, name: str, default: int, smallest: int, largest: int) -> int:
    value: int = body.get(name, default)
    if not smallest <= value <= largest:
        raise Refusal("INVALID_DATA", field=name)
    return value


def _order(records: list[Record], sort: str) -> list[Record]:
    """Sort by `field:asc,field:desc`; raises a Refusal for other fields."""
    for term in reversed(sort.split(",")):
        name, _, direction = term.strip().partition(":")
        if name not in _SORT_KEYS or direction not in {"asc", "desc"}:
            raise Refusal("INVALID_DATA", field="sort")
        records = sorted(records, key=_SORT_KEYS[name], reverse=direction == "desc")
    return records
