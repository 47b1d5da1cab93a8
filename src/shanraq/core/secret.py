"""Values that cannot be printed, logged or serialised by accident."""

from __future__ import annotations

from typing import Final, NoReturn

from shanraq.core.errors import InvalidInputError


class Secret:
    """Hold a text that shows as `****` everywhere; `reveal()` is the only way to it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the text; the call is what a reviewer searches for."""
        return self._text

    def __repr__(self) -> str:
        return f"{type(self).__name__}(****)"

    def __str__(self) -> str:
        return "****"

    def __format__(self, spec: str) -> str:
        return format("****", spec)

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other._text == self._text

    def __hash__(self) -> int:
        return hash((type(self), self._text))

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"{type(self).__name__} cannot be pickled or copied")


class ApiSecret(Secret):
    """The secret half of an API key."""

    __slots__ = ()


class SecurityCode(Secret):
    """A card's security code (CVV, CVC): in memory only, never stored (PCI DSS 4.0, 3.3.1.2)."""

    __slots__ = ()

    def __init__(self, text: str) -> None:
        if not (3 <= len(text) <= 4 and text.isascii() and text.isdigit()):
            raise InvalidInputError("must be 3 or 4 digits", field="security_code")
        super().__init__(text)


class InvalidPanError(InvalidInputError, code="invalid_card_number", status=400):
    """The card number is not 12 to 19 digits with a right check digit (ISO/IEC 7812-1)."""


class Pan(Secret):
    """A primary account number: 12 to 19 ASCII digits with a valid Luhn check digit (ISO/IEC 7812-1).

    Raises InvalidPanError, whose text never repeats the number.
    """

    __slots__ = ()

    def __init__(self, text: str) -> None:
        if not (12 <= len(text) <= 19 and text.isascii() and text.isdigit()):
            raise InvalidPanError("must be 12 to 19 digits", field="number")
        if not luhn_valid(text):
            raise InvalidPanError("the check digit is wrong", field="number")
        super().__init__(text)

    @property
    def masked(self) -> str:
        """Return the first six and last four digits, what may be shown at most of any number (PCI DSS 4.0, 3.4.1)."""
        return self._text[:6] + "x" * (len(self._text) - 10) + self._text[-4:]

    @property
    def last4(self) -> str:
        """Return the last four digits."""
        return self._text[-4:]

    def __repr__(self) -> str:
        return f"Pan({self.masked})"

    def __str__(self) -> str:
        return self.masked

    def __format__(self, spec: str) -> str:
        return format(self.masked, spec)


# Twice a digit, and the digits of that added up.
_DOUBLED: Final = str.maketrans("0123456789", "0246813579")


def luhn_valid(digits: str) -> bool:
    """Tell whether the last digit is the Luhn check digit of the others (ISO/IEC 7812-1 annex B)."""
    total = sum(map(int, digits[-1::-2])) + sum(map(int, digits[-2::-2].translate(_DOUBLED)))
    return total % 10 == 0
