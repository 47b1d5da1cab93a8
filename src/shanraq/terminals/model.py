"""Terminals, and what they ask."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

import msgspec

from shanraq.core.actor import Environment
from shanraq.core.money import Money

PREFIX: Final = "trm"


class TerminalStatus(StrEnum):
    """Messages of a disabled terminal are refused; nothing of them is carried out."""

    ACTIVE = "active"
    DISABLED = "disabled"


class NewTerminal(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is registered: DE41 and DE42 as the terminal sends them, the account its payments go to, the name of its MAC key."""

    terminal: str
    acceptor: str
    account_id: str
    name: str = ""
    mac_key: str = ""


class Terminal(msgspec.Struct, frozen=True, kw_only=True):
    """A registered terminal. With `mac_key` only messages with a right code under that key are believed."""

    id: str
    partner_id: str
    environment: Environment
    terminal: str
    acceptor: str
    account_id: str
    name: str
    mac_key: str
    status: TerminalStatus
    created_at: datetime
    updated_at: datetime


class AskedKind(StrEnum):
    """What a terminal may ask for."""

    AUTHORIZE = "authorize"
    SALE = "sale"
    CAPTURE = "capture"
    REFUND = "refund"
    REVERSAL = "reversal"


class MessageStatus(StrEnum):
    """`accepted` is a reversal that was acknowledged and is still to be carried out."""

    OPEN = "open"
    ACCEPTED = "accepted"
    ANSWERED = "answered"


@dataclass(frozen=True, slots=True)
class Asked:
    """A message. `key` is the same for its repeats; `name` is what original data elements (DE90, DE56) call it by.

    `original` is the name of what it reverses or completes, where it says so; `rrn` is empty where it has no reference number.
    """

    key: str
    name: str
    kind: AskedKind
    rrn: str
    amount: Money | None
    original: str | None = None


@dataclass(frozen=True, slots=True)
class Noted:
    """A message as it was written down. `payment_id` is the payment it made or is about; `fresh`, that it came just now."""

    terminal_id: str
    key: str
    name: str
    kind: AskedKind
    rrn: str
    amount_minor: int | None
    currency: str | None
    payment_id: str | None
    original: str | None
    status: MessageStatus
    response_code: str
    approval_code: str
    approved_minor: int | None
    attempts: int
    fresh: bool = False
