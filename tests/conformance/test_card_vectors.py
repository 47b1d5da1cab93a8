from __future__ import annotations

import json
from typing import Any

import pytest

from shanraq.core.money import Currency, InvalidAmountError, Money, UnknownCurrencyError
from shanraq.core.secret import InvalidPanError, Pan, luhn_valid
from shanraq.payments.brands import brand_of, range_of
from tests.conformance.data import conformance_data

PANS = json.loads(conformance_data("cards/vectors/pan.json").read_text())
AMOUNTS = json.loads(conformance_data("cards/vectors/amounts.json").read_text())


@pytest.mark.parametrize("row", [row for row in PANS if isinstance(row["pan"], str)], ids=lambda row: str(row["pan"]))
def test_card_numbers(row: dict[str, Any]) -> None:
    digits = row["pan"]
    try:
        pan: Pan | None = Pan(digits)
    except InvalidPanError:
        pan = None

    if "luhn" in row and digits.isascii() and digits.isdigit():
        assert luhn_valid(digits) is row["luhn"]
    if row.get("stored") is not None:
        assert pan is not None
        assert pan.masked == row["stored"]
        assert brand_of(pan) == (row["brand"] or "unknown")
        found = range_of(digits)
        assert found is None or (len(digits) in found[1]) is row["lengthValid"]
    elif row.get("luhn") is False:
        assert pan is None


@pytest.mark.parametrize("row", AMOUNTS["valid"], ids=lambda row: f"{row['minor']} {row['currency']}")
def test_amounts_are_written_and_read_exactly(row: dict[str, Any]) -> None:
    currency = Currency.of(row["currency"])

    assert Money(row["minor"], currency).decimal_text() == row["decimal"]
    assert Money.parse(row["decimal"], currency).minor == row["minor"]


@pytest.mark.parametrize("row", AMOUNTS["invalid"], ids=lambda row: repr(row["decimal"]))
def test_texts_that_are_no_amount_are_refused(row: dict[str, Any]) -> None:
    with pytest.raises((InvalidAmountError, UnknownCurrencyError)):
        Money.parse(row["decimal"], Currency.of(row["currency"]))
