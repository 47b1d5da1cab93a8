"""Partners, their API keys, preferences and certification runs, as they are seen from outside: without secrets."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

import msgspec

from shanraq import events
from shanraq.core.actor import Environment
from shanraq.core.lifecycle import IllegalMoveError, Lifecycle
from shanraq.core.secret import ApiSecret

PREFIX: Final = "prt"
KEY_PREFIX: Final = "key"
OPERATOR_PREFIX: Final = "opr"
CLAIM_PREFIX: Final = "clm"
RUN_PREFIX: Final = "crt"

SCOPES: Final = frozenset(
    {
        "accounts:read", "accounts:write",
        "customers:read", "customers:write",
        "events:read",
        "keys:read", "keys:write",
        "messages:read",
        "p2p:read", "p2p:write",
        "payment_files:read", "payment_files:write",
        "payment_methods:read", "payment_methods:write",
        "payments:read", "payments:write",
        "settings:read", "settings:write",
        "transactions:read", "transactions:write",
        "webhooks:read", "webhooks:write", "webhooks:secrets", "webhooks:sensitive",
    }
)  # fmt: skip
"""What a partner's key can be allowed. `settings` covers preferences, certification and going live."""

OVERDRAFT: Final = "accounts:overdraft"
"""The scope that authentication adds while the preferences allow accounts below zero; no key holds it by itself."""

ONBOARD: Final = "partners:write"
APPROVE: Final = "partners:approve"
SUSPEND: Final = "partners:suspend"
READ: Final = "partners:read"
OPERATE: Final = "operators:write"
ROUTE: Final = "routing:write"
READ_ROUTES: Final = "routing:read"
OPERATOR_SCOPES: Final = frozenset({ONBOARD, APPROVE, SUSPEND, READ, OPERATE, ROUTE, READ_ROUTES}) | {
    scope for scope in SCOPES if scope.endswith(":read")
}
"""What an operator can be allowed: to look after partners and routing, and to read on their behalf; never to move money."""

KEY_LIMIT: Final = 100
OVERLAP_SECONDS: Final = 86_400
OVERLAP_SECONDS_LIMIT: Final = 604_800
CLAIM_DAYS: Final = 30
REASON_LIMIT: Final = 500


class PartnerStatus(Lifecycle):
    """The way of a partner; a suspended one goes back to where it was, `rejected` and `closed` are final."""

    APPLIED = "applied", ("approved", "rejected")
    APPROVED = "approved", ("certified", "suspended", "closed")
    REJECTED = "rejected"
    CERTIFIED = "certified", ("live", "suspended", "closed")
    LIVE = "live", ("suspended", "closed")
    SUSPENDED = "suspended", ("approved", "certified", "live", "closed")
    CLOSED = "closed"


class Application(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a company says of itself. `registration_number` is the one its country's register gave (in Kazakhstan the BIN)."""

    legal_name: str
    country: str
    registration_number: str
    contact_email: str
    website: str


class Partner(msgspec.Struct, frozen=True, kw_only=True):
    """A partner. `reason` says why it was rejected, suspended or closed."""

    id: str
    status: PartnerStatus
    legal_name: str
    country: str
    registration_number: str
    contact_email: str
    website: str
    reason: str
    applied_at: datetime
    approved_at: datetime | None
    certified_at: datetime | None
    live_at: datetime | None
    updated_at: datetime

    @property
    def subject(self) -> str:
        """Return the subject of events about this partner."""
        return f"partner/{self.id}"

    def require(self, status: PartnerStatus) -> None:
        """Raise IllegalMoveError unless the partner has this status.

        The moves alone do not tell verbs apart: resuming a suspended partner makes it live too, without being `go_live`.
        """
        if self.status is not status:
            raise IllegalMoveError(f"the partner is {self.status}, not {status}")


@dataclass(frozen=True, slots=True)
class StoredPartner:
    """A partner with what only we know: its number (None before approval), who decided, and the claim of its first key."""

    partner: Partner
    number: int | None
    applied_by: str | None
    decided_by: str | None
    claim_hash: bytes
    claim_expires_at: datetime | None
    claimed_at: datetime | None


class KeyStatus(StrEnum):
    """Whether a key works; it follows from `revoked_at` and `expires_at`."""

    ACTIVE = "active"
    EXPIRED = "expired"
    REVOKED = "revoked"


class NewKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An API key to issue. `allowed_ips` are addresses and networks (CIDR) it may be used from; empty means any."""

    environment: Environment
    scopes: tuple[str, ...]
    name: str
    allowed_ips: tuple[str, ...] = ()


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """An API key without its secrets. `replaces` is the key it was rotated from; `last_used_at` is exact to a minute."""

    id: str
    environment: Environment
    name: str
    scopes: tuple[str, ...]
    allowed_ips: tuple[str, ...]
    status: KeyStatus
    replaces: str | None
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None

    @property
    def subject(self) -> str:
        """Return the subject of events about this key."""
        return f"api_key/{self.id}"


class IssuedKey(msgspec.Struct, frozen=True, kw_only=True):
    """A new API key with its secrets, which are shown this once.

    `secret` is the password of HTTP Basic; `signing_secret`, as ASCII text, the HMAC key of signed requests.
    """

    key: ApiKey
    secret: ApiSecret
    signing_secret: ApiSecret

    @property
    def id(self) -> str:
        """Return the id of the key: the user name of HTTP Basic."""
        return self.key.id

    @property
    def scopes(self) -> tuple[str, ...]:
        """Return what the key allows."""
        return self.key.scopes

    @property
    def expires_at(self) -> datetime | None:
        """Return until when the key works; None for no end."""
        return self.key.expires_at


class Operator(msgspec.Struct, frozen=True, kw_only=True):
    """A person of the platform's who looks after partners."""

    id: str
    name: str
    scopes: tuple[str, ...]
    created_at: datetime
    disabled_at: datetime | None


class Preferences(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a partner wants to be served in one environment.

    `statement_descriptor` is what cardholders read (1 to 22 characters; empty: the legal name's beginning);
    `allowed_ips` are addresses and networks (CIDR) that all its keys may be used from, empty means any.
    """

    settlement_currency: str = "KZT"
    statement_descriptor: str = ""
    webhook_api_version: str = events.API_VERSION
    notification_emails: tuple[str, ...] = ()
    allow_overdraft_accounts: bool = False
    allowed_ips: tuple[str, ...] = ()


class Check(StrEnum):
    """What a certification run wants to see happen in the sandbox."""

    AUTHENTICATED_CALL = "authenticated_call"
    PAYMENT_APPROVED = "payment_approved"
    DECLINE_HANDLED = "decline_handled"
    REFUND = "refund"
    WEBHOOK_ACKNOWLEDGED = "webhook_acknowledged"
    IDEMPOTENT_REPLAY = "idempotent_replay"


class RunStatus(Lifecycle):
    """A run is open until every check was observed."""

    OPEN = "open", ("passed",)
    PASSED = "passed"


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    """When a check was first seen, and by what (the id of a payment, a key, a delivery)."""

    at: datetime
    evidence: str


class CheckResult(msgspec.Struct, frozen=True, kw_only=True):
    """A check and its observation; None if it was not seen yet."""

    check: Check
    observation: Observation | None


class Certification(msgspec.Struct, frozen=True, kw_only=True):
    """A certification run with the result of every check."""

    id: str
    status: RunStatus
    checks: tuple[CheckResult, ...]
    started_at: datetime
    passed_at: datetime | None

    @property
    def missing(self) -> tuple[Check, ...]:
        """Return the checks that were not observed yet."""
        return tuple(result.check for result in self.checks if result.observation is None)
