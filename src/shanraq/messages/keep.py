"""Keep messages."""

from __future__ import annotations

from shanraq.core.crypto import Keyring, sha256
from shanraq.core.db import Tx
from shanraq.core.ids import new_id
from shanraq.messages import store
from shanraq.messages.model import PREFIX, Message, NewMessage, pack


async def keep(tx: Tx, keyring: Keyring, new: NewMessage, *, message_row_id: str | None = None) -> Message:
    """Write a message, sealed, with this transaction; `message_row_id` where others refer to it already.

    A message with a clearing system that is there already breaks the transaction: see `keep_once`.
    """
    kept = await keep_once(tx, keyring, new, message_row_id=message_row_id)
    assert kept is not None, "a business message identifier was given twice"
    return kept


async def keep_once(tx: Tx, keyring: Keyring, new: NewMessage, *, message_row_id: str | None = None) -> Message | None:
    """Write a message unless the same sender's with this business message identifier is there: then return None."""
    id_ = message_row_id or new_id(PREFIX)
    return await store.insert(tx, id_, new, pack(keyring, id_, new.content), sha256(new.content))
