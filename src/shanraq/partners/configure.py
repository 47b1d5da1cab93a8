"""Configure how a partner wants to be served."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from shanraq import audit, events
from shanraq.core.actor import Actor, ActorKind
from shanraq.core.db import Database, Tx
from shanraq.core.identity import check_email
from shanraq.core.money import Currency
from shanraq.partners import store
from shanraq.partners.cache import forget
from shanraq.partners.errors import InvalidPreferencesError, OverdraftPermissionError
from shanraq.partners.model import ONBOARD, Preferences
from shanraq.partners.networks import read_networks

WEBHOOK_API_VERSIONS: Final = (events.API_VERSION,)
EMAIL_LIMIT: Final = 10
_DESCRIPTOR: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9 .*&'-]{0,20}[A-Za-z0-9.])?|")


async def configure(db: Database, actor: Actor, preferences: Preferences) -> Preferences:
    """Replace the preferences of the actor's environment; they hold at once here, within a second in other processes.

    In live only an operator (`act_for`) can switch `allow_overdraft_accounts` on. Raises UnknownCurrencyError,
    InvalidPreferencesError, InvalidDetailError, InvalidNetworkError, OverdraftPermissionError.
    """
    actor.require(ONBOARD if actor.kind is ActorKind.OPERATOR else "settings:write")
    wanted = _check(preferences)

    async def work(tx: Tx) -> Preferences:
        await store.load_partner(tx, tx.actor.partner_id, lock=True)
        before = await store.find_preferences(tx) or Preferences()
        if wanted.allow_overdraft_accounts and not before.allow_overdraft_accounts:
            _check_overdraft(tx.actor)
        await store.save_preferences(tx, wanted)
        changed = [name for name in wanted.__struct_fields__ if getattr(wanted, name) != getattr(before, name)]
        audit.record(tx, "partner.configured", tx.actor.partner_id, {"changed": changed})
        return wanted

    saved = await db.run(actor, work)
    forget(db)
    return saved


def _check_overdraft(actor: Actor) -> None:
    if actor.livemode and actor.kind is not ActorKind.OPERATOR:
        raise OverdraftPermissionError(field="allow_overdraft_accounts")


def _check(preferences: Preferences) -> Preferences:
    Currency.of(preferences.settlement_currency, field="settlement_currency")
    if not _DESCRIPTOR.fullmatch(preferences.statement_descriptor):
        raise InvalidPreferencesError(
            "must be at most 22 letters, digits, spaces and . * & ' -", field="statement_descriptor"
        )
    if preferences.webhook_api_version not in WEBHOOK_API_VERSIONS:
        raise InvalidPreferencesError(f"must be one of {', '.join(WEBHOOK_API_VERSIONS)}", field="webhook_api_version")
    if len(preferences.notification_emails) > EMAIL_LIMIT:
        raise InvalidPreferencesError(f"must be at most {EMAIL_LIMIT}", field="notification_emails")
    return msgspec.structs.replace(
        preferences,
        notification_emails=tuple(
            check_email(address, field=f"notification_emails[{place}]")
            for place, address in enumerate(preferences.notification_emails)
        ),
        allowed_ips=tuple(str(network) for network in read_networks(preferences.allowed_ips)),
    )
