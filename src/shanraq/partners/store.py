"""Partners, operators, keys, preferences and certification runs in the database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import asyncpg
import msgspec

from shanraq.core.actor import Actor, ActorKind, Environment, book_of
from shanraq.core.db import Row, Tx
from shanraq.core.ids import number_of
from shanraq.partners.errors import (
    CertificationNotFoundError,
    KeyNotFoundError,
    OperatorNotFoundError,
    PartnerNotFoundError,
    PartnerRegisteredError,
)
from shanraq.partners.model import (
    KEY_PREFIX,
    OPERATOR_PREFIX,
    OVERDRAFT,
    PREFIX,
    ApiKey,
    Certification,
    Check,
    CheckResult,
    KeyStatus,
    Observation,
    Operator,
    Partner,
    PartnerStatus,
    Preferences,
    RunStatus,
    StoredPartner,
)
from shanraq.partners.networks import Networks, read_networks

# Partners


def _partner_of(row: Row) -> StoredPartner:
    partner = Partner(
        id=row["id"], status=PartnerStatus(row["status"]), legal_name=row["legal_name"], country=row["country"],
        registration_number=row["registration_number"], contact_email=row["contact_email"], website=row["website"],
        reason=row["reason"], applied_at=row["applied_at"], approved_at=row["approved_at"],
        certified_at=row["certified_at"], live_at=row["live_at"], updated_at=row["updated_at"],
    )  # fmt: skip
    return StoredPartner(
        partner=partner, number=row["number"], applied_by=row["applied_by"], decided_by=row["decided_by"],
        claim_hash=row["claim_hash"], claim_expires_at=row["claim_expires_at"], claimed_at=row["claimed_at"],
    )  # fmt: skip


async def insert_partner(tx: Tx, stored: StoredPartner) -> None:
    """Write a new application."""
    partner = stored.partner
    await tx.execute(
        """INSERT INTO partner (id, status, legal_name, country, registration_number, contact_email, website, applied_by,
                                claim_hash, applied_at, updated_at)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10)""",
        partner.id, partner.status, partner.legal_name, partner.country, partner.registration_number,
        partner.contact_email, partner.website, stored.applied_by, stored.claim_hash, partner.applied_at,
    )  # fmt: skip


async def load_partner(tx: Tx, partner_id: str, *, lock: bool = False) -> StoredPartner:
    """Return a partner, locked for a change if asked; raise PartnerNotFoundError."""
    number_of(PREFIX, partner_id, field="partner_id")
    row = await tx.row(
        "SELECT * FROM partner WHERE id = $1 FOR NO KEY UPDATE" if lock else "SELECT * FROM partner WHERE id = $1",
        partner_id,
    )
    if row is None:
        raise PartnerNotFoundError(field="partner_id")
    return _partner_of(row)


async def page_partners(tx: Tx, *, status: PartnerStatus | None, after: str, limit: int) -> list[Partner]:
    """Return partners newest first, after an id; one more than `limit` to tell whether more follow."""
    rows = await tx.rows(
        """SELECT * FROM partner WHERE ($1::text IS NULL OR status = $1) AND ($2 = '' OR id < $2)
            ORDER BY id DESC LIMIT $3 + 1""",
        status, after, limit,
    )  # fmt: skip
    return [_partner_of(row).partner for row in rows]


async def next_number(tx: Tx) -> int:
    """Return a partner number that was never given before."""
    return int(await tx.value("SELECT nextval('partner_number')"))


async def save_partner(tx: Tx, before: StoredPartner, after: StoredPartner) -> StoredPartner:
    """Write what changed of a locked partner. Raises PartnerRegisteredError."""
    saved = replace(after, partner=msgspec.structs.replace(after.partner, updated_at=tx.now))
    partner = saved.partner
    try:
        written = await tx.execute(
            """UPDATE partner
                  SET number = $3, status = $4, reason = $5, decided_by = $6, claim_expires_at = $7, claimed_at = $8,
                      approved_at = $9, certified_at = $10, live_at = $11, updated_at = $12
                WHERE id = $1 AND status = $2""",
            partner.id, before.partner.status, saved.number, partner.status, partner.reason, saved.decided_by,
            saved.claim_expires_at, saved.claimed_at, partner.approved_at, partner.certified_at, partner.live_at, tx.now,
        )  # fmt: skip
    except asyncpg.UniqueViolationError:
        raise PartnerRegisteredError(field="registration_number") from None
    assert written == 1, "a partner is locked before it is changed"
    return saved


# Operators


@dataclass(frozen=True, slots=True)
class StoredOperator:
    """An operator and the keyed hash of the token."""

    operator: Operator
    token_hash: bytes


def _operator_of(row: Row) -> StoredOperator:
    operator = Operator(
        id=row["id"], name=row["name"], scopes=tuple(row["scopes"]), created_at=row["created_at"],
        disabled_at=row["disabled_at"],
    )  # fmt: skip
    return StoredOperator(operator, row["token_hash"])


async def insert_operator(tx: Tx, operator: Operator, token_hash: bytes) -> None:
    """Write a new operator."""
    await tx.execute(
        "INSERT INTO operator (id, name, scopes, token_hash, created_at) VALUES ($1, $2, $3, $4, $5)",
        operator.id, operator.name, list(operator.scopes), token_hash, operator.created_at,
    )  # fmt: skip


async def find_operator(tx: Tx, operator_id: str) -> StoredOperator | None:
    """Return an operator, or None."""
    row = await tx.row("SELECT * FROM operator WHERE id = $1", operator_id)
    return None if row is None else _operator_of(row)


async def list_operators(tx: Tx) -> list[Operator]:
    """Return all operators, the newest first."""
    return [_operator_of(row).operator for row in await tx.rows("SELECT * FROM operator ORDER BY id DESC")]


async def disable_operator(tx: Tx, operator_id: str) -> Operator:
    """Write that an operator has no access any more, since when it has none. Raises OperatorNotFoundError."""
    number_of(OPERATOR_PREFIX, operator_id, field="operator_id")
    row = await tx.row(
        "UPDATE operator SET disabled_at = coalesce(disabled_at, $2) WHERE id = $1 RETURNING *", operator_id, tx.now
    )
    if row is None:
        raise OperatorNotFoundError(field="operator_id")
    return _operator_of(row).operator


# API keys


def _status_of(row: Row, now: datetime) -> KeyStatus:
    if row["revoked_at"] is not None:
        return KeyStatus.REVOKED
    if row["expires_at"] is not None and row["expires_at"] <= now:
        return KeyStatus.EXPIRED
    return KeyStatus.ACTIVE


def _key_of(row: Row, now: datetime) -> ApiKey:
    return ApiKey(
        id=row["id"], environment=Environment(row["environment"]), name=row["name"], scopes=tuple(row["scopes"]),
        allowed_ips=tuple(row["allowed_ips"]), status=_status_of(row, now), replaces=row["replaces"],
        created_at=row["created_at"], expires_at=row["expires_at"], revoked_at=row["revoked_at"],
        last_used_at=row["last_used_at"],
    )  # fmt: skip


async def insert_key(tx: Tx, key: ApiKey, secret_hash: bytes, sealed_signing_secret: bytes) -> None:
    """Write a new API key."""
    partner_id, environment = tx.actor.scope
    assert key.environment is environment, "a key is written in its own environment"
    await tx.execute(
        """INSERT INTO api_key (id, partner_id, environment, name, scopes, allowed_ips, secret_hash, sealed_signing_secret,
                                replaces, created_at, expires_at)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)""",
        key.id, partner_id, environment, key.name, list(key.scopes), list(key.allowed_ips), secret_hash,
        sealed_signing_secret, key.replaces, key.created_at, key.expires_at,
    )  # fmt: skip


async def load_key(tx: Tx, key_id: str) -> ApiKey:
    """Return an API key of the partner, locked for a change; raise KeyNotFoundError."""
    number_of(KEY_PREFIX, key_id, field="key_id")
    partner_id, environment = tx.actor.scope
    row = await tx.row(
        "SELECT * FROM api_key WHERE id = $1 AND partner_id = $2 AND environment = $3 FOR UPDATE",
        key_id, partner_id, environment,
    )  # fmt: skip
    if row is None:
        raise KeyNotFoundError(field="key_id")
    return _key_of(row, tx.now)


async def page_keys(tx: Tx, *, after: str, limit: int) -> list[ApiKey]:
    """Return the partner's API keys newest first, after an id; one more than `limit` to tell whether more follow."""
    partner_id, environment = tx.actor.scope
    rows = await tx.rows(
        """SELECT * FROM api_key WHERE partner_id = $1 AND environment = $2 AND ($3 = '' OR id < $3)
            ORDER BY id DESC LIMIT $4 + 1""",
        partner_id, environment, after, limit,
    )  # fmt: skip
    return [_key_of(row, tx.now) for row in rows]


async def count_keys(tx: Tx) -> tuple[int, int]:
    """Return how many API keys the partner has had in this environment, and how many of them work."""
    partner_id, environment = tx.actor.scope
    row = await tx.row(
        """SELECT count(*) AS ever,
                  count(*) FILTER (WHERE revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $3)) AS working
             FROM api_key WHERE partner_id = $1 AND environment = $2""",
        partner_id, environment, tx.now,
    )  # fmt: skip
    assert row is not None
    return row["ever"], row["working"]


async def replacement_of(tx: Tx, key_id: str) -> str | None:
    """Return the id of the API key that replaced one, or None."""
    return await tx.value("SELECT id FROM api_key WHERE replaces = $1", key_id)  # type: ignore[no-any-return]


async def end_key(tx: Tx, key: ApiKey, *, expires_at: datetime | None, revoked_at: datetime | None) -> ApiKey:
    """Write until when a locked API key works."""
    row = await tx.row(
        "UPDATE api_key SET expires_at = $2, revoked_at = $3 WHERE id = $1 RETURNING *", key.id, expires_at, revoked_at
    )
    assert row is not None, "a key is locked before it is changed"
    return _key_of(row, tx.now)


# Authentication


@dataclass(frozen=True, slots=True)
class Credential:
    """All that authentication must know of an API key, its partner, preferences and open certification run."""

    actor: Actor
    secret_hash: bytes
    sealed_signing_secret: bytes
    key_networks: Networks
    partner_networks: Networks
    partner_status: PartnerStatus
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    awaits_call: bool
    """Whether an open certification run has not seen an authenticated call yet."""


async def find_credential(tx: Tx, key_id: str) -> Credential | None:
    """Return what is known of an API key of any partner, or None."""
    row = await tx.row(
        """SELECT k.id, k.partner_id, k.environment, k.scopes, k.allowed_ips, k.secret_hash, k.sealed_signing_secret,
                  k.expires_at, k.revoked_at, k.last_used_at, p.number, p.status,
                  coalesce(f.allowed_ips, '{}') AS partner_ips, coalesce(f.allow_overdraft_accounts, false) AS overdraft,
                  r.id IS NOT NULL AS certifying, NOT r.observed ? $2 AS awaits_call
             FROM api_key k
             JOIN partner p ON p.id = k.partner_id
             LEFT JOIN partner_preferences f ON f.partner_id = k.partner_id AND f.environment = k.environment
             LEFT JOIN certification_run r
                    ON r.partner_id = k.partner_id AND r.environment = k.environment AND r.status = 'open'
            WHERE k.id = $1""",
        key_id, Check.AUTHENTICATED_CALL,
    )  # fmt: skip
    if row is None:
        return None
    environment = Environment(row["environment"])
    scopes = frozenset(row["scopes"])
    actor = Actor(
        kind=ActorKind.PARTNER,
        id=row["id"],
        partner_id=row["partner_id"],
        environment=environment,
        book=book_of(row["number"], environment),
        scopes=scopes | {OVERDRAFT} if row["overdraft"] else scopes,
        certifying=row["certifying"],
    )
    return Credential(
        actor=actor, secret_hash=row["secret_hash"], sealed_signing_secret=row["sealed_signing_secret"],
        key_networks=read_networks(row["allowed_ips"]), partner_networks=read_networks(row["partner_ips"]),
        partner_status=PartnerStatus(row["status"]), expires_at=row["expires_at"], revoked_at=row["revoked_at"],
        last_used_at=row["last_used_at"], awaits_call=bool(row["awaits_call"]),
    )  # fmt: skip


async def touch_key(tx: Tx, key_id: str, *, exactness: timedelta) -> None:
    """Write that a key is used now, unless that was written less than `exactness` ago."""
    await tx.execute(
        "UPDATE api_key SET last_used_at = $2 WHERE id = $1 AND (last_used_at IS NULL OR last_used_at <= $3)",
        key_id, tx.now, tx.now - exactness,
    )  # fmt: skip


async def use_nonces(tx: Tx, key_id: str, expires_at: Mapping[str, datetime]) -> set[str]:
    """Remember nonces of a key, each until its instant; return those that were not remembered already."""
    partner_id, environment = tx.actor.scope
    nonces = sorted(expires_at)  # in one order, so that two processes with the same ones wait for each other in turn
    rows = await tx.rows(
        """INSERT INTO api_nonce AS n (key_id, nonce, partner_id, environment, expires_at)
           SELECT $1, u.nonce, $2, $3, u.expires_at FROM unnest($4::text[], $5::timestamptz[]) u(nonce, expires_at)
           ON CONFLICT (key_id, nonce) DO UPDATE SET expires_at = excluded.expires_at WHERE n.expires_at <= $6
           RETURNING nonce""",
        key_id, partner_id, environment, nonces, [expires_at[nonce] for nonce in nonces], tx.now,
    )  # fmt: skip
    return {row["nonce"] for row in rows}


async def delete_nonces(tx: Tx, *, limit: int) -> int:
    """Delete nonces whose time is over and return how many, at most `limit`."""
    return await tx.execute(
        """DELETE FROM api_nonce WHERE (key_id, nonce) IN (
               SELECT key_id, nonce FROM api_nonce WHERE expires_at <= $1 LIMIT $2 FOR UPDATE SKIP LOCKED)""",
        tx.now, limit,
    )  # fmt: skip


# Preferences


async def find_preferences(tx: Tx) -> Preferences | None:
    """Return the partner's preferences in this environment, or None if it never gave any."""
    partner_id, environment = tx.actor.scope
    row = await tx.row(
        "SELECT * FROM partner_preferences WHERE partner_id = $1 AND environment = $2", partner_id, environment
    )
    if row is None:
        return None
    return Preferences(
        settlement_currency=row["settlement_currency"], statement_descriptor=row["statement_descriptor"],
        webhook_api_version=row["webhook_api_version"], notification_emails=tuple(row["notification_emails"]),
        allow_overdraft_accounts=row["allow_overdraft_accounts"], allowed_ips=tuple(row["allowed_ips"]),
    )  # fmt: skip


async def save_preferences(tx: Tx, preferences: Preferences) -> None:
    """Write the partner's preferences in this environment."""
    partner_id, environment = tx.actor.scope
    await tx.execute(
        """INSERT INTO partner_preferences (partner_id, environment, settlement_currency, statement_descriptor,
               webhook_api_version, notification_emails, allow_overdraft_accounts, allowed_ips, updated_at)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
           ON CONFLICT (partner_id, environment) DO UPDATE
              SET settlement_currency = $3, statement_descriptor = $4, webhook_api_version = $5, notification_emails = $6,
                  allow_overdraft_accounts = $7, allowed_ips = $8, updated_at = $9""",
        partner_id, environment, preferences.settlement_currency, preferences.statement_descriptor,
        preferences.webhook_api_version, list(preferences.notification_emails), preferences.allow_overdraft_accounts,
        list(preferences.allowed_ips), tx.now,
    )  # fmt: skip


# Certification


def _results(observed: dict[str, Any]) -> tuple[CheckResult, ...]:
    return tuple(
        CheckResult(
            check=check, observation=msgspec.convert(observed[check], Observation) if check in observed else None
        )
        for check in Check
    )


def _run_of(row: Row) -> Certification:
    return Certification(
        id=row["id"], status=RunStatus(row["status"]), checks=_results(row["observed"]), started_at=row["started_at"],
        passed_at=row["passed_at"],
    )  # fmt: skip


async def insert_run(tx: Tx, run_id: str) -> bool:
    """Write a new certification run; False if one is open."""
    partner_id, environment = tx.actor.scope
    written = await tx.execute(
        """INSERT INTO certification_run (id, partner_id, environment, status, started_at) VALUES ($1, $2, $3, 'open', $4)
           ON CONFLICT (partner_id) WHERE status = 'open' DO NOTHING""",
        run_id, partner_id, environment, tx.now,
    )  # fmt: skip
    return written == 1


async def latest_run(tx: Tx) -> Certification:
    """Return the partner's latest certification run. Raises CertificationNotFoundError."""
    partner_id, _ = tx.actor.scope
    row = await tx.row("SELECT * FROM certification_run WHERE partner_id = $1 ORDER BY id DESC LIMIT 1", partner_id)
    if row is None:
        raise CertificationNotFoundError
    return _run_of(row)


async def observe(tx: Tx, check: Check, observation: Observation) -> Certification | None:
    """Write an observation into the open run and return the run; None if no run is open or it has one already."""
    partner_id, environment = tx.actor.scope
    row = await tx.row(
        """UPDATE certification_run SET observed = observed || jsonb_build_object($3::text, $4::jsonb)
            WHERE partner_id = $1 AND environment = $2 AND status = 'open' AND NOT observed ? $3
           RETURNING *""",
        partner_id, environment, check, msgspec.to_builtins(observation),
    )  # fmt: skip
    return None if row is None else _run_of(row)


async def pass_run(tx: Tx, run: Certification) -> Certification:
    """Write that a run of which every check was observed is passed."""
    row = await tx.row(
        "UPDATE certification_run SET status = $3, passed_at = $4 WHERE id = $1 AND status = $2 RETURNING *",
        run.id, run.status, run.status.to(RunStatus.PASSED), tx.now,
    )  # fmt: skip
    assert row is not None, "the observation locked the run"
    return _run_of(row)
