"""What a payment system offers, beyond what every one does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import assert_never

from shanraq.payments.adapter import Adapter, Authenticates, Credits, Verifies
from shanraq.payments.routing import RoutedOperation


def offers(kind: type[object], operation: RoutedOperation) -> bool:
    """Tell whether an adapter of this class can carry an operation out."""
    match operation:
        case RoutedOperation.PAYMENT:
            return True
        case RoutedOperation.CREDIT:
            return issubclass(kind, Credits)
        case RoutedOperation.VERIFICATION:
            return issubclass(kind, Verifies)
        case RoutedOperation.AUTHENTICATION:
            return issubclass(kind, Authenticates)
        case _:
            assert_never(operation)


def lacking(adapters: Mapping[str, Adapter], operation: RoutedOperation) -> frozenset[str]:
    """Return the names of the adapters that cannot carry an operation out."""
    return frozenset(name for name, adapter in adapters.items() if not offers(type(adapter), operation))
