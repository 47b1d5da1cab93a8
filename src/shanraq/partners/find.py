"""Find partners, their keys and preferences."""

from __future__ import annotations

from shanraq.core.actor import Actor, ActorKind, Environment, book_of
from shanraq.core.db import Database
from shanraq.core.page import Page, PageRequest, page_of
from shanraq.partners import store
from shanraq.partners.errors import PartnerNotApprovedError
from shanraq.partners.model import READ, ApiKey, Partner, PartnerStatus, Preferences


async def find_partner(db: Database, actor: Actor, partner_id: str = "") -> Partner:
    """Return a partner to an operator, or to a partner's key itself (without an id). Raises PartnerNotFoundError."""
    actor.require(READ if actor.kind is ActorKind.OPERATOR else "settings:read")
    async with db.begin(actor) as tx:
        return (await store.load_partner(tx, partner_id or actor.partner_id)).partner


async def list_partners(
    db: Database, actor: Actor, request: PageRequest, *, status: PartnerStatus | None = None
) -> Page[Partner]:
    """Return partners to an operator, newest first, of one status if asked."""
    actor.require(READ)
    async with db.begin(actor) as tx:
        rows = await store.page_partners(tx, status=status, after=request.after, limit=request.limit)
    return page_of(rows, request, lambda partner: partner.id)


async def list_keys(db: Database, actor: Actor, request: PageRequest) -> Page[ApiKey]:
    """Return the API keys of the actor's environment, newest first."""
    actor.require("keys:read")
    async with db.begin(actor) as tx:
        rows = await store.page_keys(tx, after=request.after, limit=request.limit)
    return page_of(rows, request, lambda key: key.id)


async def find_preferences(db: Database, actor: Actor) -> Preferences:
    """Return the preferences of the actor's environment."""
    actor.require("settings:read")
    async with db.begin(actor) as tx:
        return await store.find_preferences(tx) or Preferences()


async def act_for(db: Database, actor: Actor, partner_id: str, environment: Environment) -> Actor:
    """Return an operator confined to one partner and environment, for what is done in a partner's stead.

    Raises PartnerNotFoundError, PartnerNotApprovedError.
    """
    actor.require(READ)
    async with db.begin(actor) as tx:
        stored = await store.load_partner(tx, partner_id)
    if stored.number is None:
        raise PartnerNotApprovedError
    return actor.acting_for(partner_id, environment, book_of(stored.number, environment))
