"""Find the payment system that offers what not every one does."""

from __future__ import annotations

from typing import TypeVar

from shanraq.core.actor import Environment
from shanraq.payments.adapter import Adapter
from shanraq.payments.errors import OperationNotSupportedError
from shanraq.payments.model import Gateways

Ability = TypeVar("Ability")


def able(adapter: object, ability: type[Ability], *, what: str) -> Ability:
    """Return the adapter as one that has the ability. Raises OperationNotSupportedError."""
    if not isinstance(adapter, ability):
        raise OperationNotSupportedError(f"this payment system offers no {what}")
    return adapter


def first_able(gateways: Gateways, environment: Environment, ability: type[Ability], *, what: str) -> Adapter:
    """Return the payment system that takes what no rule decides, or else the first other one that has the ability.

    Raises OperationNotSupportedError, NoAdapterError.
    """
    default = gateways.choose(environment)
    for adapter in (default, *gateways.adapters[environment].values()):
        if isinstance(adapter, ability):
            return adapter  # type: ignore[return-value]  # an adapter with one ability more
    raise OperationNotSupportedError(f"no payment system of this environment offers {what}")
