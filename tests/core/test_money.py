from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shanraq.core.iso4217 import ISO_4217
from shanraq.core.money import (
    MAX_MINOR,
    Currency,
    CurrencyMismatchError,
    InvalidAmountError,
    Money,
    UnknownCurrencyError,
)

CURRENCIES = st.sampled_from([Currency.of(code) for code, (_, exponent) in ISO_4217.items() if exponent is not None])
MINOR = st.integers(-MAX_MINOR, MAX_MINOR)
POSITIVE = st.integers(0, MAX_MINOR)


@pytest.mark.parametrize(
    ("code", "exponent", "text"),
    [("KZT", 2, "15000.00"), ("JPY", 0, "1500000"), ("KWD", 3, "1500.000"), ("CLF", 4, "150.0000")],
)
def test_writes_exactly_the_decimals_of_the_currency(code: str, exponent: int, text: str) -> None:
    money = Money.of(1_500_000, code)

    assert money.currency.exponent == exponent
    assert money.decimal_text() == text


@given(POSITIVE, CURRENCIES)
def test_reads_back_what_it_wrote(minor: int, currency: Currency) -> None:
    money = Money(minor, currency)

    assert Money.parse(money.decimal_text(), currency) == money


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1e3",
        "-1.00",
        "+1",
        "1,000.00",
        "1_000",
        "10.005",
        "1.",
        ".5",
        " 1",
        "1 ",
        "NaN",
        "Infinity",
        "01.00",
        "１.00",
        "1\n",
    ],
)
def test_refuses_a_text_that_is_no_exact_amount(text: str) -> None:
    with pytest.raises(InvalidAmountError):
        Money.parse(text, Currency.of("KZT"))


@pytest.mark.parametrize("minor", [1.0, "1", True, None, MAX_MINOR + 1, -MAX_MINOR - 1])
def test_refuses_anything_but_a_whole_number_in_range(minor: object) -> None:
    with pytest.raises(InvalidAmountError):
        Money(minor, Currency.of("KZT"))  # type: ignore[arg-type]


@pytest.mark.parametrize("minor", [0, -1, 1.5, True])
def test_refuses_what_is_not_positive_naming_the_field(minor: object) -> None:
    with pytest.raises(InvalidAmountError) as refused:
        Money.positive(minor, "KZT", field="capture.amount")  # type: ignore[arg-type]

    assert refused.value.field == "capture.amount"


@pytest.mark.parametrize("code", ["", "kzt", "XAU", "XXX", "KZ", "ZZZ", "HRK"])
def test_refuses_a_currency_without_minor_units(code: str) -> None:
    with pytest.raises(UnknownCurrencyError):
        Currency.of(code)


def test_reads_withdrawn_currencies_of_history() -> None:
    assert Currency.historic("HRK").number == 191


@given(POSITIVE, CURRENCIES, st.lists(st.integers(0, 10_000), min_size=1, max_size=12).filter(any))
def test_a_split_adds_up_and_is_fair_to_one_unit(minor: int, currency: Currency, weights: list[int]) -> None:
    parts = Money(minor, currency).split(weights)

    assert sum(part.minor for part in parts) == minor
    for part, weight in zip(parts, weights, strict=True):
        assert abs(part.minor * sum(weights) - minor * weight) < sum(weights)


def test_a_fee_of_three_percent_needs_no_float() -> None:
    fee, rest = Money.of(15_000_01, "KZT").split((3, 97))

    assert (fee.minor, rest.minor) == (45_000, 1_455_001)


@pytest.mark.parametrize("weights", [[], [0, 0], [-1, 2], [1.0]])
def test_refuses_weights_that_share_nothing(weights: list[int]) -> None:
    with pytest.raises(InvalidAmountError):
        Money.of(1, "KZT").split(weights)


@given(MINOR, MINOR)
def test_adds_and_subtracts_like_integers(left: int, right: int) -> None:
    kzt = Currency.of("KZT")
    if abs(left + right) <= MAX_MINOR:
        total = Money(left, kzt) + Money(right, kzt)

        assert total - Money(right, kzt) == Money(left, kzt)
    else:
        with pytest.raises(InvalidAmountError):
            Money(left, kzt) + Money(right, kzt)


def test_currencies_never_mix() -> None:
    tenge, dollar = Money.of(1, "KZT"), Money.of(1, "USD")

    for mixed in (lambda: tenge + dollar, lambda: tenge - dollar, lambda: tenge < dollar):
        with pytest.raises(CurrencyMismatchError):
            mixed()


def test_orders_negates_and_prints() -> None:
    money = Money.of(-5, "KZT")

    assert money < Money.of(0, "KZT")
    assert -money >= Money.of(5, "KZT")
    assert str(money) == "-0.05 KZT"
    assert not Money.of(0, "KZT")
