"""Read and rotate the secrets a receiver verifies signatures with."""

from __future__ import annotations

from datetime import timedelta

import msgspec

from shanraq import audit, events
from shanraq.core.actor import Actor
from shanraq.core.crypto import Keyring
from shanraq.core.db import Database, Row, Tx
from shanraq.webhooks import store
from shanraq.webhooks.errors import InvalidEndpointError, TooManySecretsError
from shanraq.webhooks.model import (
    GRACE_SECONDS,
    GRACE_SECONDS_LIMIT,
    OLD_SECRET_LIMIT,
    READ_SECRETS,
    WRITE,
    EndpointSecret,
    seal_context,
)
from shanraq.webhooks.signing import Ed25519Public, Ed25519Secret, HmacSecret, SecretKind, parse_secret
from shanraq.webhooks.subscribe import EPOCH, create_secret, shown


async def secret(db: Database, actor: Actor, endpoint_id: str, *, keyring: Keyring) -> tuple[EndpointSecret, ...]:
    """Return the secrets that sign for an endpoint, newest first; the reading is in the audit log.

    Needs the scope webhooks:secrets. Raises EndpointNotFoundError.
    """
    actor.require(READ_SECRETS)

    async def work(tx: Tx) -> tuple[EndpointSecret, ...]:
        await store.load(tx, endpoint_id)
        rows = await store.secrets(tx, [endpoint_id])
        audit.record(tx, "webhook_endpoint.secret_read", endpoint_id)
        return tuple(
            shown(open_secret(keyring, row), created_at=row["created_at"], expires_at=row["expires_at"]) for row in rows
        )

    return await db.run(actor, work)


async def rotate_secret(
    db: Database,
    actor: Actor,
    endpoint_id: str,
    *,
    keyring: Keyring,
    grace_seconds: int = GRACE_SECONDS,
    kind: SecretKind = SecretKind.HMAC,
) -> EndpointSecret:
    """Make a new secret of a kind; the old one signs beside it for `grace_seconds` (0 to 604800) more.

    The first rotation of the kind ed25519 adds `v1a` signatures to the others.
    Raises EndpointNotFoundError, TooManySecretsError, InvalidEndpointError.
    """
    actor.require(WRITE)
    actor.require(READ_SECRETS)
    if not 0 <= grace_seconds <= GRACE_SECONDS_LIMIT:
        raise InvalidEndpointError(f"must be 0 to {GRACE_SECONDS_LIMIT}", field="grace_seconds")

    async def work(tx: Tx) -> EndpointSecret:
        before = await store.load(tx, endpoint_id, lock=True)
        # Signatures know whole seconds: the old secret ends and the new one begins at one of them, without a gap.
        begins = tx.now.replace(microsecond=0)
        await store.expire_secrets(tx, endpoint_id, kind, begins + timedelta(seconds=grace_seconds))
        old = [row for row in await store.secrets(tx, [endpoint_id]) if row["kind"] == kind]
        if len(old) > OLD_SECRET_LIMIT:
            raise TooManySecretsError
        created = await create_secret(tx, keyring, endpoint_id, kind, not_before=begins if old else EPOCH)
        after = await store.save(tx, before, msgspec.structs.replace(before))
        events.emit(tx, events.Event("webhook_endpoint.updated", after.subject, after))
        audit.record(
            tx, "webhook_endpoint.secret_rotated", endpoint_id, {"kind": kind.value, "grace_seconds": grace_seconds}
        )
        return created

    return await db.run(actor, work)


def open_secret(keyring: Keyring, row: Row) -> HmacSecret | Ed25519Secret:
    """Unseal one row of webhook_secret."""
    text = keyring.open(row["sealed"], context=seal_context(row["endpoint_id"], row["id"])).decode()
    parsed = parse_secret(text)
    assert not isinstance(parsed, Ed25519Public), "only secrets are sealed"
    return parsed
