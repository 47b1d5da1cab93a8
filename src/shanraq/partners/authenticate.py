"""Authenticate: turn credentials into the actor they belong to."""

from __future__ import annotations

import hmac
import re
from collections.abc import Hashable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final, assert_never

from shanraq.core.actor import SYSTEM, Actor, ActorKind
from shanraq.core.batch import Batcher
from shanraq.core.crypto import Keyring, equal
from shanraq.core.db import Database
from shanraq.core.ids import InvalidIdError, number_of, text_of
from shanraq.core.secret import Secret
from shanraq.partners import store
from shanraq.partners.cache import cache_of
from shanraq.partners.credentials import (
    BasicCredentials,
    Credentials,
    OperatorToken,
    SignedCredentials,
    matches,
    read_token,
)
from shanraq.partners.errors import (
    AddressNotAllowedError,
    InvalidCredentialsError,
    KeyExpiredError,
    KeyRevokedError,
    NonceReusedError,
    OperatorDisabledError,
    PartnerClosedError,
    PartnerSuspendedError,
    SignatureExpiredError,
)
from shanraq.partners.keys import signing_context
from shanraq.partners.model import KEY_PREFIX, OPERATOR_PREFIX, Check, PartnerStatus
from shanraq.partners.networks import allows
from shanraq.partners.observe import observe
from shanraq.partners.store import Credential

TIMESTAMP_WINDOW: Final = timedelta(seconds=300)
USE_EXACTNESS: Final = timedelta(minutes=1)
# Clocks of several servers differ a little: a nonce is kept longer than any of them accepts its timestamp.
_NONCE_MARGIN: Final = timedelta(seconds=60)
_NONCE: Final = re.compile(r"[A-Za-z0-9_-]{16,64}")


async def authenticate(db: Database, keyring: Keyring, credentials: Credentials, *, address: str = "") -> Actor:
    """Return whose credentials these are; `address` is the client's, which IP allow lists are applied to.

    An unknown key and a wrong secret are refused alike, after the same work. What else is wrong with a key (revoked, expired,
    its partner suspended) is told only to who has its secret.

    Raises InvalidCredentialsError, KeyRevokedError, KeyExpiredError, SignatureExpiredError, NonceReusedError,
    OperatorDisabledError (401), PartnerSuspendedError, PartnerClosedError, AddressNotAllowedError (403).
    """
    match credentials:
        case BasicCredentials():
            return await _basic(db, keyring, credentials, address)
        case SignedCredentials():
            return await _signed(db, keyring, credentials, address)
        case OperatorToken():
            return await authenticate_operator(db, keyring, credentials.token)
        case _:
            assert_never(credentials)


async def authenticate_operator(db: Database, keyring: Keyring, token: Secret) -> Actor:
    """Return the operator whose token this is. Raises InvalidCredentialsError, OperatorDisabledError."""
    read = read_token(OPERATOR_PREFIX, token)
    if read is None:
        raise InvalidCredentialsError
    operator_id, secret = text_of(OPERATOR_PREFIX, read[0]), read[1]
    async with db.begin(SYSTEM) as tx:
        stored = await store.find_operator(tx, operator_id)
    if not matches(keyring, operator_id, secret, stored.token_hash if stored else None) or stored is None:
        raise InvalidCredentialsError
    if stored.operator.disabled_at is not None:
        raise OperatorDisabledError
    return Actor(kind=ActorKind.OPERATOR, id=operator_id, scopes=frozenset(stored.operator.scopes))


async def _basic(db: Database, keyring: Keyring, credentials: BasicCredentials, address: str) -> Actor:
    credential = await _find(db, credentials.key_id)
    stored = credential.secret_hash if credential else None
    if not matches(keyring, credentials.key_id, credentials.secret, stored) or credential is None:
        raise InvalidCredentialsError
    _check(credential, db.clock(), address)
    await _note_use(db, credential)
    return credential.actor


async def _signed(db: Database, keyring: Keyring, credentials: SignedCredentials, address: str) -> Actor:
    now = db.clock()
    signed_at = _instant(credentials.timestamp)
    if abs(now - signed_at) > TIMESTAMP_WINDOW:
        raise SignatureExpiredError
    credential = await _find(db, credentials.key_id)
    right = equal(
        hmac.digest(_signing_key(keyring, credential), credentials.signed_text, "sha256"), credentials.signature
    )
    if not right or credential is None or not _NONCE.fullmatch(credentials.nonce):
        raise InvalidCredentialsError
    _check(credential, now, address)
    await _use_nonce(db, credential, credentials.nonce, signed_at)
    await _note_use(db, credential)
    return credential.actor


async def _find(db: Database, key_id: str) -> Credential | None:
    try:
        number_of(KEY_PREFIX, key_id)
    except InvalidIdError:
        return None
    return await cache_of(db).get(db, key_id)


def _signing_key(keyring: Keyring, credential: Credential | None) -> bytes:
    if credential is None:
        # Nobody's key: an unknown id must not answer sooner than a wrong signature.
        return keyring.open(keyring.seal(bytes(43), context=""), context="")
    return keyring.open(credential.sealed_signing_secret, context=signing_context(credential.actor.id))


def _instant(timestamp: int) -> datetime:
    try:
        return datetime.fromtimestamp(timestamp, UTC)
    except (ValueError, OverflowError, OSError):
        raise SignatureExpiredError from None


def _check(credential: Credential, now: datetime, address: str) -> None:
    if credential.revoked_at is not None:
        raise KeyRevokedError
    if credential.expires_at is not None and credential.expires_at <= now:
        raise KeyExpiredError
    match credential.partner_status:
        case PartnerStatus.APPROVED | PartnerStatus.CERTIFIED | PartnerStatus.LIVE:
            pass
        case PartnerStatus.SUSPENDED:
            raise PartnerSuspendedError
        case PartnerStatus.CLOSED:
            raise PartnerClosedError
        case PartnerStatus.APPLIED | PartnerStatus.REJECTED:
            raise AssertionError("keys are issued after approval")
        case _:
            assert_never(credential.partner_status)
    if not (allows(credential.key_networks, address) and allows(credential.partner_networks, address)):
        raise AddressNotAllowedError


async def _use_nonce(db: Database, credential: Credential, nonce: str, signed_at: datetime) -> None:
    # In the database, not in memory: a request replayed to another process, or after a restart, is refused too. Signed requests
    # of one key share the transaction.
    used = nonce, signed_at + TIMESTAMP_WINDOW + _NONCE_MARGIN
    if not await _nonces.do((db, credential.actor), used):
        raise NonceReusedError


async def _use_nonces(group: Hashable, used: Sequence[tuple[str, datetime]]) -> list[bool]:
    assert isinstance(group, tuple)
    db, actor = group
    first = {nonce: index for index, (nonce, _) in reversed([*enumerate(used)])}
    async with db.begin(actor) as tx:
        fresh = await store.use_nonces(tx, actor.id, {nonce: used[index][1] for nonce, index in first.items()})
    return [nonce in fresh and first[nonce] == index for index, (nonce, _) in enumerate(used)]


_nonces: Final[Batcher[tuple[str, datetime], bool]] = Batcher(_use_nonces)


async def _note_use(db: Database, credential: Credential) -> None:
    now = db.clock()
    recent = credential.last_used_at is not None and now - credential.last_used_at < USE_EXACTNESS
    if recent and not credential.awaits_call:
        return
    # Remembered before it is written, so that of many requests at once one writes.
    cache_of(db).amend(credential, replace(credential, last_used_at=now, awaits_call=False))
    async with db.begin(credential.actor) as tx:
        await store.touch_key(tx, credential.actor.id, exactness=USE_EXACTNESS)
        await observe(tx, Check.AUTHENTICATED_CALL, credential.actor.id)
