"""Act in a partner's name for what has no key of its own, such as its terminals."""

from __future__ import annotations

from typing import assert_never

from shanraq.core.actor import Actor, ActorKind, Environment, book_of
from shanraq.core.db import Tx
from shanraq.partners import store
from shanraq.partners.errors import (
    PartnerClosedError,
    PartnerNotApprovedError,
    PartnerNotLiveError,
    PartnerSuspendedError,
)
from shanraq.partners.model import PartnerStatus


async def actor_of(
    tx: Tx, partner_id: str, environment: Environment, *, acting_id: str, scopes: frozenset[str]
) -> Actor:
    """Return the actor for something that a partner owns; `acting_id` is what the audit log names.

    Raises PartnerNotFoundError, and for a partner that may not act PartnerNotApprovedError, PartnerNotLiveError,
    PartnerSuspendedError, PartnerClosedError.
    """
    stored = await store.load_partner(tx, partner_id)
    match stored.partner.status:
        case PartnerStatus.APPLIED | PartnerStatus.REJECTED:
            raise PartnerNotApprovedError
        case PartnerStatus.APPROVED | PartnerStatus.CERTIFIED:
            if environment is Environment.LIVE:
                raise PartnerNotLiveError
        case PartnerStatus.LIVE:
            pass
        case PartnerStatus.SUSPENDED:
            raise PartnerSuspendedError
        case PartnerStatus.CLOSED:
            raise PartnerClosedError
        case _:
            assert_never(stored.partner.status)
    assert stored.number is not None, "an approved partner has a number"
    return Actor(
        kind=ActorKind.PARTNER,
        id=acting_id,
        partner_id=partner_id,
        environment=environment,
        book=book_of(stored.number, environment),
        scopes=scopes,
    )
