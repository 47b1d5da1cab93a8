"""Create and disable operators: the platform's people who look after partners."""

from __future__ import annotations

from collections.abc import Iterable

from shanraq import audit
from shanraq.core.actor import Actor
from shanraq.core.crypto import Keyring
from shanraq.core.db import Database, Tx
from shanraq.core.identity import check_text
from shanraq.core.ids import new_number, text_of
from shanraq.core.secret import Secret
from shanraq.partners import store
from shanraq.partners.credentials import hash_secret, new_secret, write_token
from shanraq.partners.keys import check_scopes
from shanraq.partners.model import OPERATE, OPERATOR_PREFIX, OPERATOR_SCOPES, Operator


async def create_operator(tx: Tx, keyring: Keyring, name: str, scopes: Iterable[str]) -> tuple[Operator, Secret]:
    """Create an operator and return it with its token, shown this once.

    Who may do this is for the caller to know: the command line is the first. Raises InvalidDetailError, UnknownScopeError.
    """
    wanted = tuple(sorted(set(scopes)))
    check_scopes(wanted, OPERATOR_SCOPES)
    number = new_number()
    operator_id, secret = text_of(OPERATOR_PREFIX, number), new_secret()
    operator = Operator(
        id=operator_id,
        name=check_text(name, field="name", limit=100),
        scopes=wanted,
        created_at=tx.now,
        disabled_at=None,
    )
    await store.insert_operator(tx, operator, hash_secret(keyring, operator_id, Secret(secret)))
    audit.record(tx, "operator.created", operator_id, {"scopes": wanted})
    return operator, write_token(OPERATOR_PREFIX, number, secret)


async def list_operators(db: Database, actor: Actor) -> list[Operator]:
    """Return all operators, the newest first."""
    actor.require(OPERATE)
    async with db.begin(actor) as tx:
        return await store.list_operators(tx)


async def disable_operator(db: Database, actor: Actor, operator_id: str) -> Operator:
    """Take an operator's access away for ever. Raises OperatorNotFoundError."""
    actor.require(OPERATE)

    async def work(tx: Tx) -> Operator:
        operator = await store.disable_operator(tx, operator_id)
        audit.record(tx, "operator.disabled", operator_id)
        return operator

    return await db.run(actor, work)
