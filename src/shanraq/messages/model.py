"""ISO 20022 messages as they are kept."""

from __future__ import annotations

import zlib
from datetime import datetime
from enum import StrEnum
from typing import Final

import msgspec

from shanraq.core.actor import SYSTEM, Actor, Environment
from shanraq.core.crypto import Keyring
from shanraq.core.lifecycle import Lifecycle
from shanraq.core.reseal import Sealed

PREFIX: Final = "msg"


class Direction(StrEnum):
    """Which way a message went, seen from here."""

    IN = "in"
    OUT = "out"


class Party(StrEnum):
    """With whom it was exchanged."""

    PARTNER = "partner"
    CLEARING = "clearing"


class MessageStatus(Lifecycle):
    """`kept` asks for nothing more; `queued` is to be sent; `received` is to be acted on."""

    KEPT = "kept"
    QUEUED = "queued", ("sent", "refused", "given_up")
    SENT = "sent"
    REFUSED = "refused"
    GIVEN_UP = "given_up"
    RECEIVED = "received", ("applied", "failed")
    APPLIED = "applied"
    FAILED = "failed"


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a message without opening it; `size` in bytes."""

    id: str
    direction: Direction
    party: Party
    definition: str
    message_id: str
    business_id: str
    sender: str
    receiver: str
    related_id: str | None
    status: MessageStatus
    failure: str
    size: int
    created_at: datetime
    updated_at: datetime


class NewMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A message to keep: its bytes and the identifiers it is found by."""

    content: bytes
    direction: Direction
    party: Party
    definition: str
    message_id: str
    business_id: str = ""
    sender: str = ""
    receiver: str = ""
    related_id: str | None = None
    status: MessageStatus = MessageStatus.KEPT


class Queued(msgspec.Struct, frozen=True, kw_only=True):
    """A message to send or act on, and for whom; `attempts` counts this one."""

    message: Message
    partner_id: str
    environment: Environment
    book: int
    attempts: int
    sealed: bytes

    @property
    def actor(self) -> Actor:
        """Return the system acting for the message's owner."""
        return SYSTEM.acting_for(self.partner_id, self.environment, self.book)

    def content(self, keyring: Keyring) -> bytes:
        """Return the bytes as they are kept. Raises SealBrokenError."""
        return unpack(keyring, self.message.id, self.sealed)


def pack(keyring: Keyring, id_: str, content: bytes) -> bytes:
    """Compress a message and seal it for its row."""
    return keyring.seal(zlib.compress(content, 6), context=_context(id_))


def _context(id_: str) -> str:
    return f"iso_message/{id_}"


SEALED: Final = (Sealed("iso_message", ("id",), "content", _context),)


def unpack(keyring: Keyring, id_: str, sealed: bytes) -> bytes:
    """Return what `pack` was given. Raises SealBrokenError."""
    return zlib.decompress(keyring.open(sealed, context=_context(id_)))
