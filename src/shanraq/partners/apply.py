"""Apply to become a partner."""

from __future__ import annotations

from dataclasses import replace
from typing import Final
from urllib.parse import urlsplit

import msgspec

from shanraq import audit
from shanraq.core.actor import SYSTEM, Actor, Environment
from shanraq.core.crypto import Keyring
from shanraq.core.db import Database, Tx
from shanraq.core.identity import (
    InvalidDetailError,
    check_country,
    check_email,
    check_registration_number,
    check_text,
)
from shanraq.core.ids import new_number, text_of
from shanraq.core.secret import Secret
from shanraq.partners import store
from shanraq.partners.credentials import hash_secret, new_secret, write_token
from shanraq.partners.model import (
    CLAIM_PREFIX,
    ONBOARD,
    PREFIX,
    Application,
    Partner,
    PartnerStatus,
    StoredPartner,
)

_WEBSITE_LIMIT: Final = 255


async def apply(
    db: Database, keyring: Keyring, application: Application, applied_by: Actor | None = None, *, request_id: str = ""
) -> tuple[Partner, Secret]:
    """Write an application down, made by the company itself or by an operator for it.

    Returns the partner and the claim token, shown this once, with which the applicant takes the first API key after approval;
    an operator hands it over and keeps none. Raises InvalidDetailError naming the field, MissingScopeError.
    """
    if applied_by is not None:
        applied_by.require(ONBOARD)
    checked = check_application(application)
    number = new_number()
    partner_id, secret = text_of(PREFIX, number), new_secret()
    actor = (applied_by or replace(SYSTEM, id="applicant", request_id=request_id)).acting_for(
        partner_id, Environment.SANDBOX, 0
    )

    async def work(tx: Tx) -> Partner:
        partner = Partner(
            id=partner_id,
            status=PartnerStatus.APPLIED,
            legal_name=checked.legal_name,
            country=checked.country,
            registration_number=checked.registration_number,
            contact_email=checked.contact_email,
            website=checked.website,
            reason="",
            applied_at=tx.now,
            approved_at=None,
            certified_at=None,
            live_at=None,
            updated_at=tx.now,
        )
        stored = StoredPartner(
            partner=partner,
            number=None,
            applied_by=applied_by.id if applied_by else None,
            decided_by=None,
            claim_hash=hash_secret(keyring, partner_id, Secret(secret)),
            claim_expires_at=None,
            claimed_at=None,
        )
        await store.insert_partner(tx, stored)
        audit.record(tx, "partner.applied", partner_id, {"country": partner.country})
        return partner

    return await db.run(actor, work), write_token(CLAIM_PREFIX, number, secret)


def check_application(application: Application) -> Application:
    """Return the application with its texts trimmed; raise InvalidDetailError naming the field."""
    country = check_country(application.country)
    return msgspec.structs.replace(
        application,
        legal_name=check_text(application.legal_name, field="legal_name", limit=140),
        registration_number=check_registration_number(country, application.registration_number),
        contact_email=check_email(application.contact_email, field="contact_email"),
        website=_check_website(application.website),
    )


def _check_website(website: str) -> str:
    try:
        parts = urlsplit(website)
    except ValueError:
        parts = urlsplit("")
    shown = website.isascii() and website.isprintable() and " " not in website and len(website) <= _WEBSITE_LIMIT
    host = (parts.hostname or "").strip(".")
    if not shown or parts.scheme not in {"http", "https"} or "." not in host or "@" in parts.netloc:
        raise InvalidDetailError("must be the address of a website such as https://example.com", field="website")
    return website
