"""The paths of the API, with and without a slash at the end, and the operation each one means."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from shanraq.simulators.visa.model import Kind, Refusal


class Verb(StrEnum):
    """What a request asks for."""

    AUTHORIZE = "authorize"
    INCREMENT = "increment"
    CAPTURE = "capture"
    REFUND = "refund"
    CREDIT = "credit"
    REVERSE = "reverse"
    VOID = "void"
    TIMEOUT_REVERSE = "timeout_reverse"
    TIMEOUT_VOID = "timeout_void"
    SEARCH = "search"
    GET_SEARCH = "get_search"
    GET_TRANSACTION = "get_transaction"


@dataclass(frozen=True, slots=True)
class Route:
    """An operation, the id in its path, and the kind of operation that id names."""

    verb: Verb
    id: str = ""
    target: Kind | None = None


_ROUTES: Final[dict[str, tuple[str, Verb, Kind | None]]] = {
    "/pts/v2/payments": ("POST", Verb.AUTHORIZE, None),
    "/pts/v2/payments/{id}": ("PATCH", Verb.INCREMENT, Kind.AUTHORIZATION),
    "/pts/v2/payments/{id}/captures": ("POST", Verb.CAPTURE, Kind.AUTHORIZATION),
    "/pts/v2/payments/{id}/refunds": ("POST", Verb.REFUND, Kind.AUTHORIZATION),
    "/pts/v2/captures/{id}/refunds": ("POST", Verb.REFUND, Kind.CAPTURE),
    "/pts/v2/payments/{id}/reversals": ("POST", Verb.REVERSE, Kind.AUTHORIZATION),
    "/pts/v2/payments/{id}/voids": ("POST", Verb.VOID, Kind.AUTHORIZATION),
    "/pts/v2/captures/{id}/voids": ("POST", Verb.VOID, Kind.CAPTURE),
    "/pts/v2/refunds/{id}/voids": ("POST", Verb.VOID, Kind.REFUND),
    "/pts/v2/credits/{id}/voids": ("POST", Verb.VOID, Kind.CREDIT),
    "/pts/v2/reversals": ("POST", Verb.TIMEOUT_REVERSE, None),
    "/pts/v2/voids": ("POST", Verb.TIMEOUT_VOID, None),
    "/pts/v2/credits": ("POST", Verb.CREDIT, None),
    "/tss/v2/searches": ("POST", Verb.SEARCH, None),
    "/tss/v2/searches/{id}": ("GET", Verb.GET_SEARCH, None),
    "/tss/v2/transactions/{id}": ("GET", Verb.GET_TRANSACTION, None),
}


def find_route(method: str, target: str) -> Route:
    """Return the operation of a method and a path; raises a Refusal with 404 or 405."""
    path = target.partition("?")[0].removesuffix("/")
    parts = path.split("/", 5)
    identifier = ""
    if len(parts) > 4:
        identifier = parts[4]
        parts[4] = "{id}"
    known = _ROUTES.get("/".join(parts))
    if known is None:
        raise Refusal("INVALID_DATA", status=404, message="The requested resource was not found")
    expected_method, verb, kind = known
    if method != expected_method:
        raise Refusal("NOT_SUPPORTED", status=405, message="The method is not supported here")
    return Route(verb, identifier, kind)
