"""Find messages and read them."""

from __future__ import annotations

from shanraq.core.crypto import Keyring
from shanraq.core.db import Tx
from shanraq.messages import store
from shanraq.messages.model import Message, unpack


async def find(tx: Tx, id_: str) -> Message:
    """Return one message without its content. Raises MessageNotFoundError."""
    return await store.load(tx, id_)


async def content(tx: Tx, keyring: Keyring, id_: str) -> bytes:
    """Return the bytes of a message as they were on the wire. Raises MessageNotFoundError, SealBrokenError."""
    return unpack(keyring, id_, await store.load_content(tx, id_))


async def related(tx: Tx, id_: str) -> list[Message]:
    """Return the messages that answer a message or belong to it, oldest first."""
    return await store.load_related(tx, id_)


async def of_message_id(tx: Tx, message_id: str) -> list[Message]:
    """Return the messages with this message identifier (GrpHdr/MsgId or Assgnmt/Id), oldest first."""
    return await store.load_named(tx, message_id)
