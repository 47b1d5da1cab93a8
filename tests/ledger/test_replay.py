"""Replaying scenarios: what is malformed is reported with its place, never a crash."""

from __future__ import annotations

import copy
import lzma
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shanraq.core.db import Database
from shanraq.ledger.replay import read_scenarios, replay, replay_rows

SCENARIO: dict[str, Any] = {
    "id": "small-01",
    "title": "a hold expires",
    "tags": ["time"],
    "accounts": [{"id": 1, "ledger": 1, "code": 10, "flags": []}, {"id": "2", "ledger": 1, "code": 10, "flags": []}],
    "steps": [
        {
            "op": "create_transfers",
            "events": [
                {"id": 1, "debit_account_id": 1, "credit_account_id": 2, "amount": 5, "ledger": 1, "code": 1,
                 "flags": ["pending"], "timeout": 1},
                {"id": 2, "debit_account_id": 1, "credit_account_id": 2, "amount": 7, "ledger": 1, "code": 1,
                 "flags": []},
            ],
            "results": ["created", 4294967295],
        },
        {"op": "sleep", "seconds": 1.5},
        {
            "op": "create_transfers",
            "events": [{"id": 3, "debit_account_id": 0, "credit_account_id": 0, "amount": "max", "pending_id": 1,
                        "ledger": 0, "code": 0, "flags": ["post_pending_transfer"]}],
            "results": ["pending_transfer_expired"],
        },
    ],
    "final_accounts": [
        {"id": 1, "debits_pending": 0, "debits_posted": 7, "credits_pending": 0, "credits_posted": 0, "closed": False},
        {"id": 2, "debits_pending": 0, "debits_posted": 0, "credits_pending": 0, "credits_posted": 7, "closed": False},
    ],
    "final_transfers": [
        {"id": 1, "debit_account_id": 1, "credit_account_id": 2, "amount": 5, "timeout": 1, "flags": 2},
        {"id": 2, "debit_account_id": 1, "credit_account_id": 2, "amount": 7, "timeout": 0, "flags": 0},
    ],
    "order": [1, 2],
}  # fmt: skip

CHANGES: list[tuple[tuple[str | int, ...], object, str]] = [
    (("steps", 0, "results", 0), "exists", "steps[0].results[0]: recorded exists, given created"),
    (("steps", 0, "results", 1), 46, "steps[0].results[1]: recorded 46, given created"),
    (("steps", 0, "results"), ["created"], "steps[0].results: 1 recorded, 2 given"),
    (("final_accounts", 1, "credits_posted"), 8, "final_accounts: 2.credits_posted: recorded 8, given 7"),
    (("final_transfers", 0, "flags"), 0, "final_transfers: 1.flags: recorded 0, given 2"),
    (("final_transfers", 1, "id"), 9, "final_transfers: 2 is stored and not recorded"),
    (("order",), [2, 1], "order[0]"),
    (("order",), [1], "order[1]"),
    (("accounts", 1, "ledger"), 0, "accounts.results[1]: recorded created, given ledger_must_not_be_zero"),
    (("accounts", 0, "flags", 0), "golden", "accounts[0].flags[0]: 'golden' is no flag"),
    (("steps", 1, "op"), "dance", "steps[1].op: 'dance' is no operation"),
    (("steps", 1, "seconds"), -1, "steps[1].seconds"),
    (("steps", 1, "seconds"), 10**300, "steps[1].seconds"),
    (("steps", 0, "events", 0, "amount"), -5, "steps[0].events[0].amount: must fit into 128 bits"),
    (("steps", 0, "events", 0, "amount"), 1.5, "steps[0].events[0].amount: must be an unsigned integer"),
    (("steps", 0, "events", 0, "code"), 65536, "steps[0].events[0].code: must fit into 16 bits"),
    (("steps", 0, "events", 0, "colour"), 1, "steps[0].events[0].colour: unknown field"),
    (("steps", 0, "events", 0), None, "steps[0].events[0]: must be an object"),
    (("steps",), None, "steps: must be an array"),
    (("final_accounts", 1, "id"), 1, "final_accounts[1].id: this id is recorded twice"),
    (("final_accounts", 1, "closed"), 1, "final_accounts[1].closed: must be true or false"),
]


def changed(path: tuple[str | int, ...], value: object) -> dict[str, Any]:
    scenario: Any = copy.deepcopy(SCENARIO)
    target = scenario
    for key in path[:-1]:
        target = target[key]
    if isinstance(target, list) and path[-1] == len(target):
        target.append(value)
    else:
        target[path[-1]] = value
    return scenario  # type: ignore[no-any-return]


async def test_a_right_scenario_has_no_differences(database: Database) -> None:
    assert replay(SCENARIO) == []
    assert await replay_rows(database, SCENARIO) == []


@pytest.mark.parametrize(("path", "value", "difference"), CHANGES)
async def test_a_difference_names_its_place(
    path: tuple[str | int, ...], value: object, difference: str, database: Database
) -> None:
    scenario = changed(path, value)

    in_memory = replay(scenario)

    assert any(found.startswith(difference) for found in in_memory), in_memory
    assert await replay_rows(database, scenario) == in_memory


def test_a_scenario_that_is_none_is_reported() -> None:
    assert replay(None) == ["scenario: must be an object"]
    assert replay([]) == ["scenario: must be an object"]


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just("max"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(path=st.sampled_from([path for path, _, _ in CHANGES]), value=_json)
@settings(max_examples=300, deadline=None)
def test_no_scenario_crashes_the_replay(path: tuple[str | int, ...], value: object) -> None:
    assert isinstance(replay(changed(path, value)), list)


async def test_amounts_beyond_63_bits_are_replayed_in_memory(database: Database) -> None:
    scenario = changed(("steps", 0, "events", 1, "amount"), str(2**63))
    scenario["final_accounts"][0]["debits_posted"] = str(2**63)
    scenario["final_accounts"][1]["credits_posted"] = str(2**63)
    scenario["final_transfers"][1]["amount"] = str(2**63)

    assert await replay_rows(database, scenario) == []
    async with database.connection() as connection:
        assert await connection.fetchval("SELECT reltuples <= 0 FROM pg_class WHERE relname = 'ledger_transfer'")


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.xz"])
def test_scenarios_are_read_from_plain_and_compressed_lines(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"scenarios{suffix}"
    raw = b'{"id": "a"}\n\nnot json\n' + b"[" * 100_000 + b"\n"
    path.write_bytes(lzma.compress(raw) if suffix.endswith("xz") else raw)

    assert list(read_scenarios(path)) == [(1, {"id": "a"}), (3, None), (4, None)]
