"""Issue an API key."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from shanraq.core.actor import Actor, Environment, book_of
from shanraq.core.crypto import Keyring
from shanraq.core.db import Database, Tx
from shanraq.core.identity import check_text
from shanraq.partners import store
from shanraq.partners.errors import LiveKeyRequiredError, PartnerNotLiveError, TooManyKeysError
from shanraq.partners.keys import check_not_exceeded, check_scopes, write_key
from shanraq.partners.model import KEY_LIMIT, SCOPES, IssuedKey, NewKey, PartnerStatus
from shanraq.partners.networks import read_networks

NAME_LIMIT: Final = 100


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


def _in(actor: Actor, environment: Environment) -> Actor:
    if environment is actor.environment:
        return actor
    # A book is the partner's number and the environment in one.
    return replace(actor, environment=environment, book=book_of(actor.book // 2, environment))
