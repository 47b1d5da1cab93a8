"""The port to a clearing system: messages go out and come in, signed, each at least once.

What the system answers to a message is a value: `Taken` (it has it), `Refused` (it will not take it and did nothing) or
`Unconfirmed` (nobody knows: the same message is sent again, and a system takes a business message identifier once).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Protocol
from zoneinfo import ZoneInfo

from lxml import etree

from shanraq.core.actor import Environment
from shanraq.core.crypto import Keyring
from shanraq.core.db import Database
from shanraq.core.errors import UnavailableError


class ClearingUnavailableError(UnavailableError, code="clearing_unavailable", status=503):
    """The clearing system does not answer, or answers what cannot be read; nothing was changed."""


@dataclass(frozen=True, slots=True)
class Terms:
    """How we take part in a clearing system: BICs of ours and its, its code for SttlmInf, and what it takes."""

    name: str
    bic: str
    clearing_bic: str
    system: str
    currencies: frozenset[str]
    transactions_per_message: int = 1000


@dataclass(frozen=True, slots=True)
class Taken:
    """The system has the message."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The system will not take the message and did nothing: a code of its own, and words."""

    code: str
    text: str


@dataclass(frozen=True, slots=True)
class Unconfirmed:
    """Whether the system has the message is not known."""

    why: str


Sent = Taken | Refused | Unconfirmed


@dataclass(frozen=True, slots=True)
class Arrived:
    """A message of the mailbox whose signature holds; `document` stands in the tree that was verified."""

    cursor: str
    business_id: str
    definition: str
    sender: str
    receiver: str
    content: bytes
    document: etree._Element


@dataclass(frozen=True, slots=True)
class Distrusted:
    """A message of the mailbox that must not be believed; nothing is done but to keep it for a person."""

    cursor: str
    business_id: str
    failure: str
    content: bytes


class Clearing(Protocol):
    """One clearing system, as one environment uses it."""

    @property
    def terms(self) -> Terms:
        """Return how we take part."""
        ...

    async def send(self, content: bytes) -> Sent:
        """Sign a business message (AppHdr and Document in an Envelope) and hand it in. Never raises for what is outside."""
        ...

    async def fetch(self, after: str, *, limit: int, wait_seconds: float) -> list[Arrived | Distrusted]:
        """Return messages of the mailbox after a cursor, oldest first, waiting for one. Raises ClearingUnavailableError."""
        ...

    async def close(self) -> None:
        """Let connections go."""
        ...


@dataclass(frozen=True)
class Interbank:
    """What the verbs work with: the database, the keys, the clearing system of each environment, the business time zone.

    A status is asked for when none came for `ask_after_seconds`.
    """

    db: Database
    keyring: Keyring
    clearings: Mapping[Environment, Clearing] = field(default_factory=dict)
    zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("Asia/Almaty"))
    ask_after_seconds: float = 60.0

    def terms(self, environment: Environment | None) -> Terms | None:
        """Return how we take part in the clearing of an environment; None where there is none."""
        clearing = None if environment is None else self.clearings.get(environment)
        return None if clearing is None else clearing.terms

    def today(self, now: datetime) -> date:
        """Return the business day of an instant."""
        return now.astimezone(self.zone).date()
