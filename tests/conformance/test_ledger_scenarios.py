"""The recorded scenarios of TigerBeetle 0.17.9, in memory and on the rows."""

from __future__ import annotations

import json

import pytest

from shanraq.core.db import Database
from shanraq.ledger import AccountStatus, TransferStatus
from shanraq.ledger.replay import read_scenarios, replay, replay_rows
from tests.conformance.data import conformance_data

FILES = ("scenarios.jsonl", "scenarios-random.jsonl.xz")


def scenarios(name: str) -> list[dict[str, object]]:
    found = [scenario for _, scenario in read_scenarios(conformance_data(f"core-stack/ledger/{name}"))]
    assert all(isinstance(scenario, dict) for scenario in found)
    return found  # type: ignore[return-value]


@pytest.mark.parametrize("name", FILES)
def test_every_scenario_comes_out_as_recorded_in_memory(name: str) -> None:
    differences = {scenario["id"]: replay(scenario) for scenario in scenarios(name)}

    assert len(differences) > 70
    assert {scenario: found for scenario, found in differences.items() if found} == {}


@pytest.mark.parametrize("name", FILES)
async def test_every_scenario_comes_out_as_recorded_on_the_rows(name: str, database: Database) -> None:
    differences = {scenario["id"]: await replay_rows(database, scenario) for scenario in scenarios(name)}

    assert {scenario: found for scenario, found in differences.items() if found} == {}


@pytest.mark.parametrize(
    ("file", "statuses"), [("transfer-status.json", TransferStatus), ("account-status.json", AccountStatus)]
)
def test_the_statuses_are_those_recorded_in_number_name_and_precedence(
    file: str, statuses: type[TransferStatus] | type[AccountStatus]
) -> None:
    recorded = json.loads(conformance_data(f"core-stack/ledger/{file}").read_text())["statuses"]

    ours = [(status.value, status.name.lower(), status.sticky) for status in statuses]

    assert ours == [(row["code"], row["name"], row.get("sticky", False)) for row in recorded]


def test_a_changed_recording_is_found() -> None:
    (scenario, *_) = scenarios(FILES[0])
    scenario["final_accounts"][0]["debits_posted"] = 11  # type: ignore[index]

    assert replay(scenario) == ["final_accounts: 1.debits_posted: recorded 11, given 10"]
