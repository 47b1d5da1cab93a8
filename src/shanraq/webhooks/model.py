"""Webhook endpoints, deliveries and attempts, as a partner sees them: without secrets."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Final

import msgspec

from shanraq.core.ids import derived_number, text_of
from shanraq.core.lifecycle import Lifecycle
from shanraq.core.reseal import Sealed
from shanraq.core.secret import Secret
from shanraq.webhooks.retry import DEFAULT_SCHEDULE
from shanraq.webhooks.signing import SecretKind

PREFIX: Final = "whk"
READ: Final = "webhooks:read"
WRITE: Final = "webhooks:write"
READ_SECRETS: Final = "webhooks:secrets"
"""The scope that may read signing secrets again; each reading is in the audit log."""
SENSITIVE: Final = "webhooks:sensitive"
"""The scope that may subscribe an endpoint to fraud, compliance, audit, AML and KYC events."""

ENDPOINT_LIMIT: Final = 100
HEADER_LIMIT: Final = 20
OLD_SECRET_LIMIT: Final = 10
GRACE_SECONDS: Final = 86_400
GRACE_SECONDS_LIMIT: Final = 604_800
TIMEOUT_MS: Final = 15_000
RESPONSE_BODY_LIMIT: Final = 16_384


class EndpointState(Lifecycle):
    """`paused` keeps its queue, `disabled` is skipped by events, `deleted` is final."""

    ENABLED = "enabled", ("paused", "disabled", "deleted")
    PAUSED = "paused", ("enabled", "disabled", "deleted")
    DISABLED = "disabled", ("enabled", "deleted")
    DELETED = "deleted"

    @property
    def takes_deliveries(self) -> bool:
        """Tell whether events queue up for the endpoint."""
        return self in (EndpointState.ENABLED, EndpointState.PAUSED)


class DisabledReason(StrEnum):
    """Why an endpoint was disabled: it answered 410, or `webhook-delivery: disable`."""

    GONE = "gone"
    RECEIVER_REQUEST = "receiver_request"


class DeliveryState(StrEnum):
    """`pending` and `retrying` are live; the others are final until the event is sent again by hand.

    `skipped`: the endpoint was disabled. `canceled`: it was deleted.
    """

    PENDING = "pending"
    RETRYING = "retrying"
    SUCCEEDED = "succeeded"
    EXHAUSTED = "exhausted"
    CANCELED = "canceled"
    SKIPPED = "skipped"


class Trigger(StrEnum):
    """What caused a delivery: its event, a resend by hand, or a test."""

    SCHEDULED = "scheduled"
    MANUAL = "manual"
    TEST = "test"


Text = Annotated[str, msgspec.Meta(max_length=500)]
Metadata = Annotated[dict[Annotated[str, msgspec.Meta(min_length=1, max_length=40)], Text], msgspec.Meta(max_length=50)]


class NewEndpoint(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A webhook endpoint to add.

    `event_types` holds exact types, groups (`payment.*`) or `*`; `headers` are sent with every delivery and are not shown
    again; `timeout_ms` is 1000 to 30000; `retry_schedule` is the delay before each attempt in seconds, the first included.
    """

    url: str
    event_types: tuple[str, ...]
    description: Text = ""
    include_sensitive: bool = False
    metadata: Metadata = {}
    headers: dict[str, str] = {}
    timeout_ms: int = TIMEOUT_MS
    retry_schedule: tuple[int, ...] = DEFAULT_SCHEDULE


class EndpointChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to change of an endpoint read at `version`; what is left out stays."""

    version: int
    url: str | msgspec.UnsetType = msgspec.UNSET
    event_types: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET
    description: Text | msgspec.UnsetType = msgspec.UNSET
    include_sensitive: bool | msgspec.UnsetType = msgspec.UNSET
    metadata: Metadata | msgspec.UnsetType = msgspec.UNSET
    headers: dict[str, str] | msgspec.UnsetType = msgspec.UNSET
    timeout_ms: int | msgspec.UnsetType = msgspec.UNSET
    retry_schedule: tuple[int, ...] | msgspec.UnsetType = msgspec.UNSET


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """A webhook endpoint. `header_names` are those of its own headers; their values are not shown."""

    id: str
    url: str
    description: str
    state: EndpointState
    disabled_reason: str
    event_types: tuple[str, ...]
    include_sensitive: bool
    header_names: tuple[str, ...]
    metadata: dict[str, str]
    timeout_ms: int
    retry_schedule: tuple[int, ...]
    version: int
    created_at: datetime
    updated_at: datetime

    @property
    def subject(self) -> str:
        """Return the subject of events about this endpoint."""
        return subject_of(self.id)


class EndpointSecret(msgspec.Struct, frozen=True, kw_only=True):
    """What a receiver verifies with: the shared secret (`whsec_`), or the public half of a signing key (`whpk_`).

    It signs until `expires_at`; None is the current one.
    """

    kind: SecretKind
    text: Secret
    created_at: datetime
    expires_at: datetime | None


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """One event on its way to one endpoint. `message_id` is the `webhook-id` of every attempt, resends included."""

    event_id: str
    endpoint_id: str
    message_id: str
    state: DeliveryState
    attempts: int
    due_at: datetime | None
    first_at: datetime | None
    last_at: datetime | None


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One try of a delivery, times in microseconds. `error_code` is None if the receiver accepted it."""

    id: str
    event_id: str
    endpoint_id: str
    message_id: str
    number: int
    trigger: Trigger
    at: datetime
    status_code: int | None
    error_code: str | None
    dns_us: int | None
    connect_us: int | None
    tls_us: int | None
    first_byte_us: int | None
    total_us: int
    remote_address: str | None
    request_headers: dict[str, str]
    response_headers: dict[str, str]
    response_body: str
    truncated: bool


class EndpointDeleted(msgspec.Struct, frozen=True, kw_only=True):
    """What the deletion of an endpoint tells: how many waiting deliveries were cancelled with it."""

    id: str
    canceled: int


class Ping(msgspec.Struct, frozen=True, kw_only=True):
    """What a test delivery tells: the endpoint it is for."""

    id: str


class ExhaustedMessage(msgspec.Struct, frozen=True, kw_only=True):
    """What is told of a message that was given up: which event, for which endpoint, and how its last attempt ended."""

    id: str
    event_id: str
    event_type: str
    endpoint_id: str
    attempts: int
    status_code: int | None
    error_code: str | None


def message_id(event_id: str, endpoint_id: str) -> str:
    """Return the `webhook-id`: one for each event and endpoint, so every retry and resend carries the same.

    It is derived, not stored: two endpoints of one receiver get two messages, and a crash cannot change it.
    """
    return text_of("msg", derived_number("webhook message", event_id, endpoint_id))


def subject_of(endpoint_id: str) -> str:
    """Return the subject of events about an endpoint."""
    return f"webhook_endpoint/{endpoint_id}"


def seal_context(endpoint_id: str, what: str) -> str:
    """Return what a sealed value of an endpoint is bound to."""
    return f"{endpoint_id}/{what}"


def _headers_context(endpoint_id: str) -> str:
    return seal_context(endpoint_id, "headers")


SEALED: Final = (
    Sealed("webhook_endpoint", ("id",), "sealed_headers", _headers_context),
    Sealed("webhook_secret", ("id",), "sealed", seal_context, bound_to=("endpoint_id", "id")),
)
