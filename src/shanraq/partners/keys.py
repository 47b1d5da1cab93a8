"""The steps that issuing, claiming and rotating an API key share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from shanraq import audit, events
from shanraq.core.actor import Actor
from shanraq.core.crypto import Keyring
from shanraq.core.db import Tx
from shanraq.core.ids import new_id
from shanraq.core.reseal import Sealed
from shanraq.core.secret import ApiSecret
from shanraq.partners import store
from shanraq.partners.credentials import hash_secret, new_secret
from shanraq.partners.errors import ScopeExceededError, UnknownScopeError
from shanraq.partners.model import KEY_PREFIX, ApiKey, IssuedKey, KeyStatus, NewKey


async def write_key(tx: Tx, keyring: Keyring, new: NewKey, *, replaces: str | None = None) -> IssuedKey:
    """Make a checked key's id and secrets and write them, secrets hashed and sealed, with event and audit entry."""
    key_id = new_id(KEY_PREFIX)
    secret = ApiSecret(f"shq_{new.environment}_{new_secret()}")
    signing_secret = ApiSecret(f"shq_sign_{new_secret()}")
    key = ApiKey(
        id=key_id,
        environment=new.environment,
        name=new.name,
        scopes=new.scopes,
        allowed_ips=new.allowed_ips,
        status=KeyStatus.ACTIVE,
        replaces=replaces,
        created_at=tx.now,
        expires_at=None,
        revoked_at=None,
        last_used_at=None,
    )
    await store.insert_key(
        tx,
        key,
        hash_secret(keyring, key_id, secret),
        keyring.seal(signing_secret.reveal().encode(), context=signing_context(key_id)),
    )
    event = "api_key.created" if replaces is None else "api_key.rotated"
    events.emit(tx, events.Event(event, key.subject, key))
    audit.record(tx, event, key_id, {"scopes": key.scopes, "replaces": replaces})
    return IssuedKey(key=key, secret=secret, signing_secret=signing_secret)


def signing_context(key_id: str) -> str:
    """Return what a key's sealed signing secret is bound to."""
    return f"api key {key_id} signing secret"


SEALED: Final = (Sealed("api_key", ("id",), "sealed_signing_secret", signing_context),)


def check_scopes(scopes: Iterable[str], known: frozenset[str]) -> None:
    """Raise UnknownScopeError unless there are scopes, and all of them known."""
    wanted = set(scopes)
    if not wanted:
        raise UnknownScopeError("must name at least one scope", field="scopes")
    if unknown := sorted(wanted - known):
        raise UnknownScopeError(f"there is no scope {unknown[0][:64]!r}", field="scopes")


def check_not_exceeded(actor: Actor, scopes: Iterable[str]) -> None:
    """Raise ScopeExceededError unless the actor holds all of these scopes itself."""
    if exceeding := sorted(set(scopes) - actor.scopes):
        raise ScopeExceededError(f"your key lacks the scope {exceeding[0]}", field="scopes")
