"""Money: an integer of minor units in an ISO 4217 currency. No float enters or leaves."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import total_ordering
from typing import Final, Self

from shanraq.core.errors import InvalidInputError, RefusedError
from shanraq.core.iso4217 import ISO_4217, RETIRED

MAX_MINOR: Final = 2**63 - 1
_DECIMAL = re.compile(r"(0|[1-9][0-9]*)(?:\.([0-9]+))?")


class UnknownCurrencyError(InvalidInputError, code="unknown_currency", status=400):
    """The currency is not an ISO 4217 code with minor units."""


class InvalidAmountError(InvalidInputError, code="invalid_amount", status=400):
    """The amount is not a whole number of minor units within the limits."""


class CurrencyMismatchError(RefusedError, code="currency_mismatch", status=422):
    """Two amounts of different currencies meet."""


@dataclass(frozen=True, slots=True)
class Currency:
    """An ISO 4217 currency: alphabetic code, numeric code, exponent (minor units are 10**-exponent)."""

    code: str
    number: int
    exponent: int

    @classmethod
    def of(cls, code: str, *, field: str = "currency") -> Currency:
        """Return the currency of an alphabetic code; raise UnknownCurrencyError naming `field`."""
        try:
            return _CURRENCIES[code]
        except (KeyError, TypeError):
            raise UnknownCurrencyError(
                f"{str(code)[:12]!r} is not an ISO 4217 code with minor units", field=field
            ) from None

    @classmethod
    def numbered(cls, number: int, *, field: str = "currency") -> Currency:
        """Return the currency of a numeric code (ISO 8583 DE49); raise UnknownCurrencyError naming `field`."""
        try:
            return _NUMBERED[number]
        except KeyError:
            raise UnknownCurrencyError(
                f"{number:03d} is not an ISO 4217 number with minor units", field=field
            ) from None

    @classmethod
    def historic(cls, code: str) -> Currency:
        """Return a current or withdrawn currency, for reading history."""
        return _CURRENCIES.get(code) or _HISTORIC[code]

    def __str__(self) -> str:
        return self.code


_CURRENCIES: Final = {c: Currency(c, n, e) for c, (n, e) in ISO_4217.items() if e is not None}
_NUMBERED: Final = {currency.number: currency for currency in _CURRENCIES.values()}
_HISTORIC: Final = {c: Currency(c, n, e) for c, (n, e) in RETIRED.items() if e is not None}


@total_ordering
@dataclass(frozen=True, slots=True)
class Money:
    """An exact amount: `minor` is a signed 64-bit integer of the currency's minor units.

    Raises InvalidAmountError for anything but an int in range, CurrencyMismatchError when currencies meet.
    """

    minor: int
    currency: Currency

    def __post_init__(self) -> None:
        if type(self.minor) is not int:
            raise InvalidAmountError("must be a whole number of minor units", field="amount")
        if not -MAX_MINOR <= self.minor <= MAX_MINOR:
            raise InvalidAmountError("must fit a signed 64-bit integer", field="amount")

    @classmethod
    def of(cls, minor: int, code: str) -> Self:
        """Return minor units of the currency with this code."""
        return cls(minor, Currency.of(code))

    @classmethod
    def positive(cls, minor: int, code: str, *, field: str = "amount") -> Self:
        """Return an amount above zero; raise InvalidAmountError naming `field`."""
        currency = Currency.of(code, field="currency")
        if type(minor) is not int or not 0 < minor <= MAX_MINOR:
            raise InvalidAmountError("must be a whole number of minor units from 1 to 2^63-1", field=field)
        return cls(minor, currency)

    @classmethod
    def parse(cls, text: str, currency: Currency, *, field: str = "amount") -> Self:
        """Read an unsigned decimal text in major units (`"102.21"`), exactly; never rounds.

        Raises InvalidAmountError for signs, exponents, separators, other digits, or more digits than the currency has.
        """
        match = _DECIMAL.fullmatch(text)
        if match is None or not text.isascii():
            raise InvalidAmountError("must be digits with at most one point", field=field)
        whole, fraction = match[1], match[2] or ""
        if len(fraction) > currency.exponent:
            raise InvalidAmountError(f"{currency} has {currency.exponent} decimals", field=field)
        if len(whole) > 19:
            raise InvalidAmountError("is too large", field=field)
        return cls(int(whole + fraction.ljust(currency.exponent, "0")), currency)

    def decimal_text(self) -> str:
        """Write the amount in major units with exactly the currency's decimals: `"15000.00"`."""
        sign, digits = ("-" if self.minor < 0 else ""), str(abs(self.minor))
        exponent = self.currency.exponent
        if not exponent:
            return sign + digits
        digits = digits.rjust(exponent + 1, "0")
        return f"{sign}{digits[:-exponent]}.{digits[-exponent:]}"

    def split(self, weights: tuple[int, ...] | list[int]) -> tuple[Money, ...]:
        """Share the amount by integer weights; the parts add up to it exactly.

        The remainder goes one minor unit at a time to the largest fractions, earlier parts first when equal.
        """
        if not weights or any(type(w) is not int or w < 0 for w in weights) or not (total := sum(weights)):
            raise InvalidAmountError("weights must be whole numbers from 0, not all 0", field="weights")
        sign, amount = (-1 if self.minor < 0 else 1), abs(self.minor)
        parts = [amount * weight // total for weight in weights]
        order = sorted(range(len(weights)), key=lambda i: (-(amount * weights[i] % total), i))
        for index in order[: amount - sum(parts)]:
            parts[index] += 1
        return tuple(Money(sign * part, self.currency) for part in parts)

    def _other(self, other: Money) -> int:
        if self.currency is not other.currency and self.currency != other.currency:
            raise CurrencyMismatchError(f"{self.currency} and {other.currency} cannot be combined", field="currency")
        return other.minor

    def __add__(self, other: Money) -> Money:
        return Money(self.minor + self._other(other), self.currency)

    def __sub__(self, other: Money) -> Money:
        return Money(self.minor - self._other(other), self.currency)

    def __neg__(self) -> Money:
        return Money(-self.minor, self.currency)

    def __lt__(self, other: Money) -> bool:
        return self.minor < self._other(other)

    def __bool__(self) -> bool:
        return self.minor != 0

    def __str__(self) -> str:
        return f"{self.decimal_text()} {self.currency}"
