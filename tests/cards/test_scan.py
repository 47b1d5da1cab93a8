"""The scanner finds card data in every form that it is meant to find, so its silence means something."""

from __future__ import annotations

import base64

import asyncpg
import pytest

from shanraq.ops.postgres import EmbeddedPostgres
from tests.cards.scan import findings, planted, scan_database

NUMBER = "4111111111111111"
FORMS = [
    NUMBER,
    "4111 1111 1111 1111",
    "4111-1111-1111-1111",
    f'{{"number":"{NUMBER}"}}',
    f'{{"number":{NUMBER}}}',
    f"0200{NUMBER}000000001000",
    base64.b64encode(f'{{"pan":"{NUMBER}"}}'.encode()).decode(),
    base64.b64encode(b"1" + NUMBER.encode()).decode().rstrip("="),
    f"\\\\x{NUMBER.encode().hex()}",
    f"\\\\x00{NUMBER}ff",
]


@pytest.mark.parametrize("form", FORMS)
def test_finds_a_planted_number_in_every_form(form: str) -> None:
    assert any("411111xxxxxx1111" in one for one in findings(form))
    assert NUMBER not in " ".join(findings(form))


@pytest.mark.parametrize(
    "text", ['"security_code":"123"', "cvv=9876", "'cvc2': 123", "Security Code: 123", '{"csc": 123}', "cvv2:123"]
)
def test_finds_a_security_code_behind_its_name(text: str) -> None:
    assert findings(text)


def test_finds_a_planted_security_code_by_itself() -> None:
    assert findings("said 9173 there", codes=frozenset({"9173"}))
    assert not findings("0.917300 and 19173 and 91730", codes=frozenset({"9173"}))


@pytest.mark.parametrize(
    "text", ["411111xxxxxx1111", "411111", "1764184512345678", '"security_code":"****"', "security_code must be 3 or 4"]
)
def test_says_nothing_of_masked_numbers_and_other_digits(text: str) -> None:
    assert not findings(text)


def test_the_numbers_of_the_tests_are_planted() -> None:
    assert NUMBER in planted()
    assert len(planted()) > 20


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("text", NUMBER),
        ("jsonb", f'{{"deep": [{{"reference": "card {NUMBER}"}}]}}'),
        ("bytea", NUMBER.encode()),
        ("bytea", bytes.fromhex(NUMBER)),
        ("bigint", int(NUMBER)),
        ("text[]", ["x", NUMBER]),
    ],
)
async def test_finds_it_in_a_database(postgres: EmbeddedPostgres, empty_dsn: str, column: str, value: object) -> None:
    connection = await asyncpg.connect(empty_dsn)
    await connection.execute(f"CREATE TABLE leak (kept {column})")
    assert await scan_database(empty_dsn) == []

    await connection.execute("INSERT INTO leak VALUES ($1)", value)
    await connection.close()

    assert any(one.startswith("leak: card number 411111xxxxxx1111") for one in await scan_database(empty_dsn))
