"""Claim the first API key."""

from __future__ import annotations

from dataclasses import replace

from shanraq import audit
from shanraq.core.actor import SYSTEM, Environment
from shanraq.core.crypto import Keyring
from shanraq.core.db import Database, Tx
from shanraq.core.ids import text_of
from shanraq.core.secret import Secret
from shanraq.partners import store
from shanraq.partners.credentials import matches, read_token
from shanraq.partners.errors import (
    ClaimExpiredError,
    ClaimUsedError,
    InvalidClaimError,
    PartnerClosedError,
    PartnerNotApprovedError,
    PartnerNotFoundError,
    PartnerSuspendedError,
)
from shanraq.partners.keys import write_key
from shanraq.partners.model import CLAIM_PREFIX, PREFIX, SCOPES, IssuedKey, NewKey, PartnerStatus, StoredPartner


async def claim_key(db: Database, keyring: Keyring, claim_token: Secret, *, request_id: str = "") -> IssuedKey:
    """Give the applicant the first API key: for the sandbox, with every scope; once, within 30 days after approval.

    Raises InvalidClaimError, PartnerNotApprovedError, ClaimUsedError, ClaimExpiredError, PartnerSuspendedError,
    PartnerClosedError.
    """
    read = read_token(CLAIM_PREFIX, claim_token)
    if read is None:
        raise InvalidClaimError
    partner_id, secret = text_of(PREFIX, read[0]), read[1]
    applicant = replace(SYSTEM, id="applicant", request_id=request_id)

    async def work(tx: Tx) -> IssuedKey:
        before = await _claimant(tx, keyring, partner_id, secret)
        await store.save_partner(tx, before, replace(before, claimed_at=tx.now))
        issued = await write_key(
            tx, keyring, NewKey(environment=Environment.SANDBOX, scopes=tuple(sorted(SCOPES)), name="first key")
        )
        audit.record(tx, "partner.key_claimed", partner_id, {"key_id": issued.id})
        return issued

    return await db.run(applicant.acting_for(partner_id, Environment.SANDBOX, 0), work)


async def _claimant(tx: Tx, keyring: Keyring, partner_id: str, secret: Secret) -> StoredPartner:
    try:
        stored: StoredPartner | None = await store.load_partner(tx, partner_id, lock=True)
    except PartnerNotFoundError:
        stored = None
    if not matches(keyring, partner_id, secret, stored.claim_hash if stored else None) or stored is None:
        raise InvalidClaimError
    match stored.partner.status:
        case PartnerStatus.APPLIED | PartnerStatus.REJECTED:
            raise PartnerNotApprovedError(f"the application is {stored.partner.status}")
        case PartnerStatus.SUSPENDED:
            raise PartnerSuspendedError
        case PartnerStatus.CLOSED:
            raise PartnerClosedError
        case PartnerStatus.APPROVED | PartnerStatus.CERTIFIED | PartnerStatus.LIVE:
            pass
    if stored.claimed_at is not None:
        raise ClaimUsedError
    assert stored.claim_expires_at is not None, "approval sets it"
    if stored.claim_expires_at <= tx.now:
        raise ClaimExpiredError
    return stored
