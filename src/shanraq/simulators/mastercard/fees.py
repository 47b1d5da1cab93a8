"""What the acquirer keeps of a transaction, by a table: interchange, scheme fee, and its own service charge. Integers only."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Final

import msgspec

from shanraq.simulators.visa.currency import MINOR_DIGITS

TYPES: Final = frozenset({"PAYMENT", "CAPTURE", "REFUND", "CHARGEBACK", "CHARGEBACK_REVERSAL"})
"""What a line of a settlement statement can be."""

BRINGS: Final = frozenset({"PAYMENT", "CAPTURE", "CHARGEBACK_REVERSAL"})
"""The types that bring the merchant money; the others take it."""

_BasisPoints = Annotated[int, msgspec.Meta(ge=-10_000, le=10_000)]
_Minor = Annotated[int, msgspec.Meta(ge=-1_000_000_000, le=1_000_000_000)]
_RULES_LIMIT: Final = 500


class FeeRule(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """One row of the table: which lines it is for (an empty text fits any), and what is kept of them.

    Rates are basis points of the amount, items minor units of its currency. Below zero something is given back.
    """

    type: str = ""
    brand: str = ""
    currency: str = ""
    interchange_basis_points: _BasisPoints = 0
    interchange_per_item: _Minor = 0
    scheme_basis_points: _BasisPoints = 0
    scheme_per_item: _Minor = 0
    service_basis_points: _BasisPoints = 0
    service_per_item: _Minor = 0

    def fits(self, type_: str, brand: str, currency: str) -> bool:
        """Tell whether a line is one of those the rule is for."""
        return self.type in ("", type_) and self.brand in ("", brand) and self.currency in ("", currency)


DEFAULT: Final = (
    FeeRule(type="PAYMENT", interchange_basis_points=120, scheme_basis_points=15, service_basis_points=45),
    FeeRule(type="CAPTURE", interchange_basis_points=120, scheme_basis_points=15, service_basis_points=45),
    FeeRule(type="REFUND", interchange_basis_points=-120, scheme_basis_points=15),
    FeeRule(type="CHARGEBACK", service_per_item=500_000),
)
"""The table of a new simulator. What no rule fits costs nothing."""


@dataclass(frozen=True, slots=True)
class Fees:
    """What is kept of one line, in minor units."""

    interchange: int = 0
    scheme: int = 0
    service: int = 0

    @property
    def total(self) -> int:
        """Everything that is kept."""
        return self.interchange + self.scheme + self.service


def share(amount: int, basis_points: int) -> int:
    """Return basis points of an amount in minor units, rounded to the nearest, a half away from zero."""
    rounded = (amount * abs(basis_points) + 5_000) // 10_000
    return rounded if basis_points >= 0 else -rounded


def fees_of(rules: Iterable[FeeRule], type_: str, brand: str, currency: str, amount: int) -> Fees:
    """Return what the first rule that fits keeps of an amount in minor units; each part is rounded for itself."""
    rule = next((one for one in rules if one.fits(type_, brand, currency)), None)
    if rule is None:
        return Fees()
    return Fees(
        share(amount, rule.interchange_basis_points) + rule.interchange_per_item,
        share(amount, rule.scheme_basis_points) + rule.scheme_per_item,
        share(amount, rule.service_basis_points) + rule.service_per_item,
    )


def check(rules: list[FeeRule]) -> None:
    """Raise ValueError, naming the field, for a table that cannot be meant."""
    if len(rules) > _RULES_LIMIT:
        raise ValueError(f"fees: there may be {_RULES_LIMIT} rules")
    for number, rule in enumerate(rules):
        if rule.type and rule.type not in TYPES:
            raise ValueError(f"fees[{number}].type must be one of {', '.join(sorted(TYPES))}")
        if rule.currency and rule.currency not in MINOR_DIGITS:
            raise ValueError(f"fees[{number}].currency must be an ISO 4217 currency code")
