"""Who acts: a partner's key, an operator or the system, in one environment, with scopes and a request id."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from shanraq.core.errors import ForbiddenError


class Environment(StrEnum):
    """`sandbox` moves no real money; `live` does. Every key, row, event and webhook belongs to one of them."""

    SANDBOX = "sandbox"
    LIVE = "live"


class MissingScopeError(ForbiddenError, code="missing_scope", status=403):
    """The credentials lack the scope that this needs."""


class ActorKind(StrEnum):
    """The three kinds of actors."""

    PARTNER = "partner"
    OPERATOR = "operator"
    SYSTEM = "system"


@dataclass(frozen=True, slots=True)
class Actor:
    """An authenticated party. `id` is the key, operator or process; `book` the ledger book (0 sees every book).

    A partner actor always has `partner_id` and `environment`; an operator or the system may have none (all of them).
    """

    kind: ActorKind
    id: str
    partner_id: str = ""
    environment: Environment | None = None
    book: int = 0
    scopes: frozenset[str] = frozenset()
    request_id: str = ""
    certifying: bool = False

    def __post_init__(self) -> None:
        if self.kind is ActorKind.PARTNER:
            assert self.partner_id and self.environment and self.book, "a partner acts in one environment"

    def require(self, scope: str) -> None:
        """Raise MissingScopeError (403) unless the actor holds `scope`."""
        if scope not in self.scopes:
            raise MissingScopeError(f"needs the scope {scope}")

    @property
    def livemode(self) -> bool:
        """Tell whether real money moves."""
        return self.environment is Environment.LIVE

    @property
    def scope(self) -> tuple[str, Environment]:
        """Return (partner_id, environment), the owner of everything this actor writes."""
        assert self.partner_id and self.environment, f"{self.kind} does not act for one partner"
        return self.partner_id, self.environment

    def acting_for(self, partner_id: str, environment: Environment, book: int) -> Actor:
        """Return the same actor confined to one partner and environment, as workers do before they write."""
        return replace(self, partner_id=partner_id, environment=environment, book=book)

    def with_request(self, request_id: str) -> Actor:
        """Return the same actor serving another request."""
        return Actor(
            self.kind, self.id, self.partner_id, self.environment, self.book, self.scopes, request_id, self.certifying
        )


SYSTEM: Final = Actor(kind=ActorKind.SYSTEM, id="system")


def book_of(partner_number: int, environment: Environment) -> int:
    """Return the ledger book of a partner's environment: even numbers are sandbox, odd ones live."""
    assert partner_number > 0
    return partner_number * 2 + (environment is Environment.LIVE)
