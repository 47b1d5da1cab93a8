"""Give partners their messages."""

from __future__ import annotations

from shanraq.core.actor import Actor
from shanraq.core.crypto import Keyring
from shanraq.core.db import Database
from shanraq.core.ids import number_of
from shanraq.core.page import Page, PageRequest, page_of
from shanraq.messages import store
from shanraq.messages.model import PREFIX, Message, unpack

READ = "messages:read"


async def find_message(db: Database, actor: Actor, message_id: str) -> Message:
    """Return one message of the partner, without its content. Raises InvalidIdError, MessageNotFoundError."""
    actor.require(READ)
    number_of(PREFIX, message_id, field="message_id")
    async with db.begin(actor) as tx:
        return await store.load(tx, message_id)


async def list_messages(
    db: Database, actor: Actor, request: PageRequest, *, identification: str | None = None
) -> Page[Message]:
    """Return the partner's messages, newest first; only those with an identification (MsgId or Assgnmt/Id) if given."""
    actor.require(READ)
    async with db.begin(actor) as tx:
        rows = await store.page(tx, identification=identification, after=request.after, limit=request.limit)
    return page_of(rows, request, lambda message: message.id)


async def message_content(db: Database, keyring: Keyring, actor: Actor, message_id: str) -> bytes:
    """Return a message of the partner as it is on the wire. Raises InvalidIdError, MessageNotFoundError, SealBrokenError."""
    actor.require(READ)
    number_of(PREFIX, message_id, field="message_id")
    async with db.begin(actor) as tx:
        sealed = await store.load_content(tx, message_id)
    return unpack(keyring, message_id, sealed)
