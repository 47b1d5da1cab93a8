"""Change a terminal: let it in or shut it out, give it another account, key or name."""

from __future__ import annotations

import msgspec

from shanraq import accounts, audit
from shanraq.core.actor import Actor
from shanraq.core.db import Database, Tx
from shanraq.terminals import store
from shanraq.terminals.model import Terminal, TerminalStatus


async def change_terminal(
    db: Database,
    actor: Actor,
    terminal_id: str,
    *,
    status: TerminalStatus | None = None,
    account_id: str | None = None,
    mac_key: str | None = None,
    name: str | None = None,
) -> Terminal:
    """Change what is given. Raises TerminalNotFoundError, AccountNotFoundError."""

    async def work(tx: Tx) -> Terminal:
        before = await store.load_terminal(tx, terminal_id, lock=True)
        if account_id is not None and account_id not in await accounts.load_accounts(tx, [account_id]):
            raise accounts.AccountNotFoundError(field="account_id")
        given = {"status": status, "account_id": account_id, "mac_key": mac_key, "name": name}
        changes = {field: value for field, value in given.items() if value is not None}
        after = msgspec.structs.replace(before, **changes, updated_at=tx.now)
        await store.update_terminal(tx, after)
        audit.record(tx, "terminal.changed", terminal_id, {field: str(value) for field, value in changes.items()})
        return after

    return await db.run(actor, work)
