"""Add a webhook endpoint."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import msgspec

from shanraq import audit, events
from shanraq.core.actor import Actor, Environment
from shanraq.core.crypto import Keyring
from shanraq.core.db import Database, Tx
from shanraq.core.ids import new_id
from shanraq.core.secret import Secret
from shanraq.webhooks import store
from shanraq.webhooks.errors import InvalidEndpointError, TooManyEndpointsError
from shanraq.webhooks.guard import GuardPolicy, check_header, check_url
from shanraq.webhooks.matching import check_event_types
from shanraq.webhooks.model import (
    ENDPOINT_LIMIT,
    HEADER_LIMIT,
    PREFIX,
    SENSITIVE,
    WRITE,
    Endpoint,
    EndpointSecret,
    EndpointState,
    NewEndpoint,
    seal_context,
)
from shanraq.webhooks.retry import check_schedule
from shanraq.webhooks.signing import Ed25519Secret, HmacSecret, SecretKind

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_TIMEOUT_MS: Final = range(1_000, 30_001)


async def subscribe(
    db: Database, actor: Actor, new: NewEndpoint, *, keyring: Keyring, policy: GuardPolicy
) -> tuple[Endpoint, EndpointSecret]:
    """Add an endpoint, enabled, and return it with the secret its receiver verifies signatures with.

    Raises what `check_url` and `check_header` raise, InvalidSubscriptionError, InvalidScheduleError,
    InvalidEndpointError, TooManyEndpointsError, MissingScopeError for sensitive event types.
    """
    actor.require(WRITE)
    _, environment = actor.scope
    checked = check_endpoint(actor, environment, new, policy)
    endpoint_id = new_id(PREFIX)
    sealed_headers = seal_headers(keyring, endpoint_id, checked.headers)

    async def work(tx: Tx) -> tuple[Endpoint, EndpointSecret]:
        if await store.count(tx) >= ENDPOINT_LIMIT:
            raise TooManyEndpointsError
        endpoint = Endpoint(
            id=endpoint_id,
            url=checked.url,
            description=checked.description,
            state=EndpointState.ENABLED,
            disabled_reason="",
            event_types=checked.event_types,
            include_sensitive=checked.include_sensitive,
            header_names=tuple(checked.headers),
            metadata=checked.metadata,
            timeout_ms=checked.timeout_ms,
            retry_schedule=checked.retry_schedule,
            version=1,
            created_at=tx.now,
            updated_at=tx.now,
        )
        await store.insert(tx, endpoint, sealed_headers)
        secret = await create_secret(tx, keyring, endpoint_id, SecretKind.HMAC, not_before=EPOCH)
        events.emit(tx, events.Event("webhook_endpoint.created", endpoint.subject, endpoint))
        audit.record(tx, "webhook_endpoint.created", endpoint_id, {"event_types": endpoint.event_types})
        return endpoint, secret

    return await db.run(actor, work)


def check_endpoint(actor: Actor, environment: Environment, wanted: NewEndpoint, policy: GuardPolicy) -> NewEndpoint:
    """Return what is wanted if every attribute is within its limits; raise as `subscribe` does."""
    target = check_url(wanted.url, environment, policy)
    if wanted.include_sensitive:
        actor.require(SENSITIVE)
    if wanted.timeout_ms not in _TIMEOUT_MS:
        raise InvalidEndpointError("must be 1000 to 30000", field="timeout_ms")
    if len(wanted.headers) > HEADER_LIMIT:
        raise InvalidEndpointError(f"must be at most {HEADER_LIMIT}", field="headers")
    for name, value in wanted.headers.items():
        check_header(name, value)
    if len({name.lower() for name in wanted.headers}) != len(wanted.headers):
        raise InvalidEndpointError("must not repeat a name", field="headers")
    return msgspec.structs.replace(
        wanted,
        # A name beyond ASCII is kept as its A-labels: what is sent to is what was judged.
        url=wanted.url if wanted.url.isascii() else target.url,
        event_types=check_event_types(wanted.event_types, include_sensitive=wanted.include_sensitive),
        retry_schedule=check_schedule(wanted.retry_schedule),
    )


def seal_headers(keyring: Keyring, endpoint_id: str, headers: dict[str, str]) -> bytes | None:
    """Seal an endpoint's own headers: they often hold a credential of the receiver."""
    if not headers:
        return None
    return keyring.seal(msgspec.json.encode(headers), context=seal_context(endpoint_id, "headers"))


def open_headers(keyring: Keyring, endpoint_id: str, sealed: bytes | None) -> dict[str, str]:
    """Read an endpoint's own headers."""
    if sealed is None:
        return {}
    return msgspec.json.decode(keyring.open(sealed, context=seal_context(endpoint_id, "headers")), type=dict[str, str])


async def create_secret(
    tx: Tx, keyring: Keyring, endpoint_id: str, kind: SecretKind, *, not_before: datetime
) -> EndpointSecret:
    """Make and store a new secret, sealed, that signs from `not_before` on."""
    secret = HmacSecret.generate() if kind is SecretKind.HMAC else Ed25519Secret.generate()
    secret_id = new_id("whs")
    sealed = keyring.seal(secret.text().encode(), context=seal_context(endpoint_id, secret_id))
    await store.insert_secret(tx, endpoint_id, kind, sealed, not_before, secret_id)
    return shown(secret, created_at=tx.now, expires_at=None)


def shown(secret: HmacSecret | Ed25519Secret, *, created_at: datetime, expires_at: datetime | None) -> EndpointSecret:
    """Return what a receiver may see of a secret: a shared one as it is, of a signing key only the public half."""
    match secret:
        case HmacSecret():
            kind, text = SecretKind.HMAC, secret.text()
        case Ed25519Secret():
            kind, text = SecretKind.ED25519, secret.public.text()
    return EndpointSecret(kind=kind, text=Secret(text), created_at=created_at, expires_at=expires_at)
