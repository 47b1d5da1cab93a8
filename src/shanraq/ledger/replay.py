"""Replay recorded scenarios against the ledger, in memory or on its rows, and tell what differs.

A scenario is an object with `accounts` (opened first), `steps` (`create_accounts` and `create_transfers` with `events`
and, position by position, `results`; `sleep` with `seconds`), `final_accounts`, `final_transfers` and `order`. Numbers may
be decimal strings; "max" is 2^128-1. The clock is the replay's own: every batch takes a millisecond, a sleep its seconds.
"""

from __future__ import annotations

import lzma
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import IntFlag
from pathlib import Path
from typing import Final

import msgspec

from shanraq.core.actor import SYSTEM
from shanraq.core.db import Database
from shanraq.core.errors import InvalidInputError, ShanraqError
from shanraq.ledger import store
from shanraq.ledger.evaluate import EXPIRY, Book, due_holds, evaluate_accounts, evaluate_transfers, expire
from shanraq.ledger.expire_holds import expire_holds
from shanraq.ledger.model import (
    AMOUNT_MAX,
    Account,
    AccountFlags,
    AccountStatus,
    Balance,
    Transfer,
    TransferFlags,
    TransferStatus,
    nanoseconds_of,
)
from shanraq.ledger.open_accounts import open_accounts
from shanraq.ledger.post import post

Status = AccountStatus | TransferStatus

_START: Final = datetime(2026, 12, 1, tzinfo=UTC)
_BATCH_TIME: Final = timedelta(milliseconds=1)
_SLEEP_LIMIT: Final = timedelta(days=10_000)
_EXPIRY_LIMIT: Final = 500

_ACCOUNT_BITS: Final = {
    "id": 128, "ledger": 32, "code": 16, "user_data_128": 128, "user_data_64": 64, "user_data_32": 32,
    "debits_pending": 128, "debits_posted": 128, "credits_pending": 128, "credits_posted": 128, "reserved": 32,
    "timestamp": 64,
}  # fmt: skip
_TRANSFER_BITS: Final = {
    "id": 128, "debit_account_id": 128, "credit_account_id": 128, "amount": 128, "pending_id": 128,
    "user_data_128": 128, "user_data_64": 64, "user_data_32": 32, "timeout": 32, "ledger": 32, "code": 16,
    "timestamp": 64,
}  # fmt: skip
_BALANCES: Final = ("debits_pending", "debits_posted", "credits_pending", "credits_posted")
_STORED: Final = (
    "debit_account_id", "credit_account_id", "amount", "pending_id", "user_data_128", "user_data_64", "user_data_32",
    "timeout", "ledger", "code", "flags",
)  # fmt: skip


class MalformedScenarioError(InvalidInputError, code="malformed_scenario", status=400):
    """The scenario is not of the expected shape."""


@dataclass(frozen=True, slots=True)
class _Accounts:
    events: list[Account]
    expected: list[object]
    place: str


@dataclass(frozen=True, slots=True)
class _Transfers:
    events: list[Transfer]
    expected: list[object]
    place: str


@dataclass(frozen=True, slots=True)
class _Sleep:
    pause: timedelta


_Step = _Accounts | _Transfers | _Sleep


@dataclass(frozen=True, slots=True)
class _Scenario:
    steps: list[_Step]
    final_accounts: dict[int, dict[str, int]]
    final_transfers: dict[int, dict[str, int]]
    order: list[int]
    wide: bool


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What a replay came to: the statuses of every batch, and what is stored in the end, in order of commit."""

    statuses: list[list[Status]]
    balances: dict[int, Balance]
    transfers: list[Transfer]


def read_scenarios(path: Path) -> Iterator[tuple[int, object]]:
    """Yield (line number, scenario) of a `.jsonl` or `.jsonl.xz` file; None stands for a line that is not JSON."""
    with lzma.open(path, "rb") if path.suffix == ".xz" else path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                yield number, msgspec.json.decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                yield number, None


def replay(scenario: object) -> list[str]:
    """Replay a scenario in memory with 128-bit amounts; return the differences from what was recorded, at best none."""
    try:
        parsed = _parse(scenario)
    except MalformedScenarioError as error:
        return [str(error)]
    return _differences(parsed, _run_in_memory(parsed, width_bits=128))


async def replay_rows(db: Database, scenario: object) -> list[str]:
    """Replay a scenario on the rows of the database, in a new book; return the differences from what was recorded.

    Columns are 63 bits wide: a scenario that comes out differently with such amounts is replayed in memory instead.
    """
    try:
        parsed = _parse(scenario)
    except MalformedScenarioError as error:
        return [str(error)]
    whole = _run_in_memory(parsed, width_bits=128)
    if parsed.wide or whole.statuses != _run_in_memory(parsed, width_bits=store.WIDTH_BITS).statuses:
        return _differences(parsed, whole)
    try:
        return _differences(parsed, await _run_on_rows(db, parsed))
    except ShanraqError as error:
        return [f"steps: the ledger refused: {error}"]


# ----------------------------------------------------------------------------------------------------------------- running


def _run_in_memory(scenario: _Scenario, *, width_bits: int) -> _Outcome:
    book = Book(width_bits)
    now = _START
    statuses: list[list[Status]] = []
    for step in scenario.steps:
        match step:
            case _Accounts(events):
                now += _BATCH_TIME
                opening, _ = evaluate_accounts(book, events, nanoseconds_of(now))
                statuses.append([result.status for result in opening])
            case _Transfers(events):
                now += _BATCH_TIME
                statuses.append([r.status for r in evaluate_transfers(book, events, nanoseconds_of(now)).results])
            case _Sleep(pause):
                now += pause
                due = due_holds(book, nanoseconds_of(now))
                # Ids beyond those that events can have.
                first = (1 << 128) + len(book.transfers)
                expire(book, due, range(first, first + len(due)), nanoseconds_of(now))
    balances = {number: position.balance for number, position in book.accounts.items()}
    return _Outcome(statuses, balances, [t for t in book.transfers.values() if not t.flags & EXPIRY])


async def _run_on_rows(db: Database, scenario: _Scenario) -> _Outcome:
    # Books of partners count from 1; a random one far above them is new.
    actor = replace(SYSTEM, book=secrets.randbits(61) | 1 << 61)
    now = _START
    statuses: list[list[Status]] = []
    for step in scenario.steps:
        match step:
            case _Accounts(events):
                now += _BATCH_TIME
                async with db.begin(actor) as tx:
                    tx.now = now
                    statuses.append([result.status for result in await open_accounts(tx, events)])
            case _Transfers(events):
                now += _BATCH_TIME
                async with db.begin(actor) as tx:
                    tx.now = now
                    statuses.append([result.status for result in await post(tx, events)])
            case _Sleep(pause):
                now += pause
                released = _EXPIRY_LIMIT
                while released == _EXPIRY_LIMIT:
                    async with db.begin(actor) as tx:
                        tx.now = now
                        released = len(await expire_holds(tx, limit=_EXPIRY_LIMIT))
    async with db.begin(actor) as tx:
        return _Outcome(statuses, await store.all_balances(tx, actor.book), await store.all_transfers(tx, actor.book))


# --------------------------------------------------------------------------------------------------------------- comparing


def _differences(scenario: _Scenario, outcome: _Outcome) -> list[str]:
    differences: list[str] = []
    batches = [step for step in scenario.steps if not isinstance(step, _Sleep)]
    for step, statuses in zip(batches, outcome.statuses, strict=True):
        if len(step.expected) != len(statuses):
            differences.append(f"{step.place}.results: {len(step.expected)} recorded, {len(statuses)} given")
        for index, (expected, status) in enumerate(zip(step.expected, statuses, strict=False)):
            if not _is_status(expected, status):
                name = status.name.lower()
                differences.append(f"{step.place}.results[{index}]: recorded {expected}, given {name} ({status.value})")
    balances = {
        number: {field: int(getattr(balance, field)) for field in (*_BALANCES, "closed")}
        for number, balance in outcome.balances.items()
    }
    differences += _compared("final_accounts", scenario.final_accounts, balances)
    transfers = {transfer.id: _fields_of(transfer) for transfer in outcome.transfers}
    differences += _compared("final_transfers", scenario.final_transfers, transfers)
    order = [transfer.id for transfer in outcome.transfers]
    if order != scenario.order:
        place = next(
            (i for i, (a, b) in enumerate(zip(scenario.order, order, strict=False)) if a != b),
            min(len(order), len(scenario.order)),
        )
        differences.append(f"order[{place}]: the order of the stored transfers differs from here on")
    return differences


def _is_status(expected: object, status: Status) -> bool:
    """Tell whether a recorded result, by name or by number, is this status."""
    if isinstance(expected, Mapping):
        named = [expected[key] for key in ("status", "result", "code", "name") if key in expected]
        return bool(named) and all(_is_status(value, status) for value in named)
    if isinstance(expected, str) and not expected.isdigit():
        return expected.lower() == status.name.lower()
    return not isinstance(expected, bool) and str(expected) == str(status.value)


def _compared(place: str, recorded: dict[int, dict[str, int]], given: dict[int, dict[str, int]]) -> list[str]:
    differences = [f"{place}: {number} is recorded and not stored" for number in recorded.keys() - given.keys()]
    differences += [f"{place}: {number} is stored and not recorded" for number in given.keys() - recorded.keys()]
    for number in recorded.keys() & given.keys():
        for field, value in recorded[number].items():
            if given[number][field] != value:
                differences.append(f"{place}: {number}.{field}: recorded {value}, given {given[number][field]}")
    return sorted(differences)


def _fields_of(transfer: Transfer) -> dict[str, int]:
    return {
        field: getattr(transfer, "timeout_seconds" if field == "timeout" else field)
        for field in (*_STORED, "timestamp")
    }


# ----------------------------------------------------------------------------------------------------------------- reading


def _parse(scenario: object) -> _Scenario:
    top = _object(scenario, "scenario")
    opened = [_account(event, f"accounts[{index}]") for index, event in enumerate(_array(top, "accounts", "accounts"))]
    steps: list[_Step] = [_Accounts(opened, ["created"] * len(opened), "accounts")]
    slept = timedelta()
    for index, value in enumerate(_array(top, "steps", "steps")):
        step = _step(_object(value, f"steps[{index}]"), f"steps[{index}]")
        steps.append(step)
        if isinstance(step, _Sleep):
            slept += step.pause
            if slept > _SLEEP_LIMIT:
                raise MalformedScenarioError("the sleeps are too long together", field=f"steps[{index}].seconds")
    tags = top.get("tags", [])
    return _Scenario(
        steps,
        _records(top, "final_accounts", {**dict.fromkeys(_BALANCES, 128), "closed": 1}),
        _records(top, "final_transfers", {**{name: _TRANSFER_BITS.get(name, 16) for name in _STORED}, "timestamp": 64}),
        [_number(value, 128, f"order[{i}]") for i, value in enumerate(_array(top, "order", "order"))],
        isinstance(tags, list) and "u128" in tags,
    )


def _step(step: Mapping[str, object], place: str) -> _Step:
    match step.get("op"):
        case "create_accounts":
            accounts = [_account(e, f"{place}.events[{i}]") for i, e in enumerate(_array(step, "events", place))]
            return _Accounts(accounts, list(_array(step, "results", place)), place)
        case "create_transfers":
            transfers = [_transfer(e, f"{place}.events[{i}]") for i, e in enumerate(_array(step, "events", place))]
            return _Transfers(transfers, list(_array(step, "results", place)), place)
        case "sleep":
            seconds = step.get("seconds")
            if isinstance(seconds, bool) or not isinstance(seconds, int | float):
                raise MalformedScenarioError("must be a number", field=f"{place}.seconds")
            if not 0 <= seconds <= _SLEEP_LIMIT.total_seconds():
                raise MalformedScenarioError("must not be negative, nor so long", field=f"{place}.seconds")
            return _Sleep(timedelta(seconds=seconds))
        case unknown:
            raise MalformedScenarioError(f"{unknown!r} is no operation", field=f"{place}.op")


def _account(event: object, place: str) -> Account:
    numbers = _event(event, _ACCOUNT_BITS, AccountFlags, place)
    for name in ("id", "ledger", "code"):
        numbers.setdefault(name, 0)
    return Account(**numbers)


def _transfer(event: object, place: str) -> Transfer:
    numbers = _event(event, _TRANSFER_BITS, TransferFlags, place)
    numbers["timeout_seconds"] = numbers.pop("timeout", 0)
    numbers.setdefault("id", 0)
    return Transfer(**numbers)


def _event(event: object, bits: Mapping[str, int], names: type[IntFlag], place: str) -> dict[str, int]:
    fields = dict(_object(event, place))
    flags = _flags(fields.pop("flags", []), names, f"{place}.flags")
    if "flags_raw" in fields:
        flags = _number(fields.pop("flags_raw"), 16, f"{place}.flags_raw")
    numbers = {}
    for name, value in fields.items():
        if name not in bits:
            raise MalformedScenarioError("unknown field", field=f"{place}.{name}")
        numbers[name] = _number(value, bits[name], f"{place}.{name}")
    return {**numbers, "flags": flags}


def _flags(value: object, names: type[IntFlag], place: str) -> int:
    if not isinstance(value, list):
        return _number(value, 16, place)
    flags = 0
    for index, name in enumerate(value):
        if not isinstance(name, str) or name.upper() not in names.__members__:
            raise MalformedScenarioError(f"{name!r} is no flag", field=f"{place}[{index}]")
        flags |= names[name.upper()].value
    return flags


def _records(top: Mapping[str, object], key: str, bits: Mapping[str, int]) -> dict[int, dict[str, int]]:
    records: dict[int, dict[str, int]] = {}
    for index, value in enumerate(_array(top, key, key)):
        place = f"{key}[{index}]"
        fields = dict(_object(value, place))
        number = _number(fields.pop("id", None), 128, f"{place}.id")
        if number in records:
            raise MalformedScenarioError("this id is recorded twice", field=f"{place}.id")
        record = records[number] = {}
        for name, field in fields.items():
            if name not in bits:
                raise MalformedScenarioError("unknown field", field=f"{place}.{name}")
            if name == "closed":
                if not isinstance(field, bool):
                    raise MalformedScenarioError("must be true or false", field=f"{place}.closed")
                record[name] = int(field)
            elif name == "flags":
                record[name] = _flags(field, TransferFlags, f"{place}.flags")
            else:
                record[name] = _number(field, bits[name], f"{place}.{name}")
    return records


def _object(value: object, place: str) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise MalformedScenarioError("must be an object", field=place)
    return value


def _array(parent: Mapping[str, object], key: str, place: str) -> Sequence[object]:
    value = parent.get(key)
    where = place if place == key else f"{place}.{key}"
    if not isinstance(value, list):
        raise MalformedScenarioError("must be an array", field=where)
    return value


def _number(value: object, bits: int, place: str) -> int:
    if value == "max":
        value = AMOUNT_MAX
    elif isinstance(value, str) and len(value) <= 39 and value.isascii() and value.isdigit():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise MalformedScenarioError("must be an unsigned integer", field=place)
    if not 0 <= value < 1 << bits:
        raise MalformedScenarioError(f"must fit into {bits} bits", field=place)
    return value
