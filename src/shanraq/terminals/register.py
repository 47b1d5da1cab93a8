"""Register a terminal of a partner."""

from __future__ import annotations

from typing import Final

from shanraq import accounts, audit
from shanraq.core.actor import Actor
from shanraq.core.db import Database, Tx
from shanraq.core.ids import new_id
from shanraq.terminals import store
from shanraq.terminals.errors import InvalidTerminalError
from shanraq.terminals.model import PREFIX, NewTerminal, Terminal, TerminalStatus

_LIMITS: Final = {"terminal": 16, "acceptor": 35}


async def register_terminal(db: Database, actor: Actor, new: NewTerminal) -> Terminal:
    """Let a terminal in whose payments go to an account of the partner.

    Raises InvalidTerminalError naming the field, TerminalTakenError, AccountNotFoundError.
    """
    partner_id, environment = actor.scope
    for field, most in _LIMITS.items():
        text = getattr(new, field)
        if not 0 < len(text) <= most or not text.isascii() or not text.isprintable() or text != text.strip():
            raise InvalidTerminalError(field=field)

    async def work(tx: Tx) -> Terminal:
        account = (await accounts.load_accounts(tx, [new.account_id])).get(new.account_id)
        if account is None or account.kind is accounts.AccountKind.SYSTEM:
            raise accounts.AccountNotFoundError(field="account_id")
        terminal = Terminal(
            id=new_id(PREFIX),
            partner_id=partner_id,
            environment=environment,
            terminal=new.terminal,
            acceptor=new.acceptor,
            account_id=new.account_id,
            name=new.name,
            mac_key=new.mac_key,
            status=TerminalStatus.ACTIVE,
            created_at=tx.now,
            updated_at=tx.now,
        )
        await store.insert_terminal(tx, terminal)
        audit.record(tx, "terminal.registered", terminal.id, {"terminal": new.terminal, "acceptor": new.acceptor})
        return terminal

    return await db.run(actor, work)
