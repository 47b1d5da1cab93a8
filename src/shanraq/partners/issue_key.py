"""Issue an API key."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from shanraq import audit, events
from shanraq.core.actor import Actor, Environment, book_of
from shanraq.core.crypto import Keyring
from shanraq.core.db import Database, Tx
from shanraq.core.identity import check_text
from shanraq.core.ids import new_id
from shanraq.core.secret import ApiSecret
from shanraq.partners import store
from shanraq.partners.credentials import hash_secret, new_secret
from shanraq.partners.errors import (
    LiveKeyRequiredError,
    PartnerNotLiveError,
    ScopeExceededError,
    TooManyKeysError,
    UnknownScopeError,
)
from shanraq.partners.model import (
    KEY_LIMIT,
    KEY_PREFIX,
    SCOPES,
    ApiKey,
    IssuedKey,
    KeyStatus,
    NewKey,
    PartnerStatus,
)
from shanraq.partners.networks import read_networks

NAME_LIMIT = 100


async def issue_key(db: Database, keyring: Keyring, actor: Actor, new: NewKey) -> IssuedKey:
    """Issue an API key; its secrets are in the answer and nowhere else.

    A sandbox key issues sandbox keys and, once the partner is live, the first live key: from then on live keys come from live
    keys, so that a sandbox key that leaks opens nothing. Raises UnknownScopeError, ScopeExceededError, InvalidDetailError,
    InvalidNetworkError, PartnerNotLiveError, LiveKeyRequiredError, TooManyKeysError.
    """
    actor.require("keys:write")
    check_scopes(new.scopes, SCOPES)
    check_not_exceeded(actor, new.scopes)
    checked = NewKey(
        environment=new.environment,
        scopes=tuple(sorted(set(new.scopes))),
        name=check_text(new.name, field="name", limit=NAME_LIMIT),
        allowed_ips=tuple(str(network) for network in read_networks(new.allowed_ips)),
    )

    async def work(tx: Tx) -> IssuedKey:
        stored = await store.load_partner(tx, tx.actor.partner_id, lock=True)
        ever, working = await store.count_keys(tx)
        if new.environment is Environment.LIVE:
            if stored.partner.status is not PartnerStatus.LIVE:
                raise PartnerNotLiveError(field="environment")
            if ever and not actor.livemode:
                raise LiveKeyRequiredError(field="environment")
        if working >= KEY_LIMIT:
            raise TooManyKeysError
        return await write_key(tx, keyring, checked)

    return await db.run(_in(actor, new.environment), work)


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


def _in(actor: Actor, environment: Environment) -> Actor:
    if environment is actor.environment:
        return actor
    # A book is the partner's number and the environment in one.
    return replace(actor, environment=environment, book=book_of(actor.book // 2, environment))
