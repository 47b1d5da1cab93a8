"""Find the payment system that offers what not every one does."""

from __future__ import annotations

from collections.abc import Callable

from shanraq.core.actor import Environment
from shanraq.payments.adapter import Adapter
from shanraq.payments.errors import OperationNotSupportedError
from shanraq.payments.model import Gateways


def first_able(gateways: Gateways, environment: Environment, able: Callable[[Adapter], bool], what: str) -> Adapter:
    """Return the payment system that takes what no rule decides, or else the first other one that is able to.

    Raises OperationNotSupportedError, NoAdapterError.
    """
    default = gateways.choose(environment)
    for adapter in (default, *gateways.adapters[environment].values()):
        if able(adapter):
            return adapter
    raise OperationNotSupportedError(f"no payment system of this environment offers {what}")
