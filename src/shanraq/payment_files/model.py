"""Payment files: a partner's pain.001, from its upload to the last of its transfers."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Final

import msgspec

from shanraq.core.lifecycle import Lifecycle
from shanraq.credit_transfers import Rejection

PREFIX: Final = "pmf"
KEPT_FINDINGS: Final = 100
REASON_TEXT_LENGTH: Final = 105
"""What AddtlInf of a status report holds."""


class FileStatus(Lifecycle):
    """`received` is validated next; `loading`: its transactions become transfers; `processing`: these are carried out."""

    RECEIVED = "received", ("loading", "rejected")
    LOADING = "loading", ("processing",)
    PROCESSING = "processing", ("completed",)
    COMPLETED = "completed"
    REJECTED = "rejected"


class FileProfile(StrEnum):
    """The usage profiles a file may be validated under."""

    ISO = "iso"
    KZ = "kz"
    SEPA = "sepa"
    CBPR = "cbpr+"


class FileFinding(msgspec.Struct, frozen=True):
    """One thing that does not hold in a file; `path` is in the words of the message, `line` counts from 1 (0: unknown)."""

    code: str
    severity: str
    layer: str
    path: str
    line: int
    message: str
    reason: str


class Progress(msgspec.Struct, frozen=True):
    """How many transactions are stored as credit transfers, and how many of these stand where."""

    loaded: int
    by_status: dict[str, int]


class PaymentFile(msgspec.Struct, frozen=True, kw_only=True):
    """A payment file as the partner sees it.

    `size` is in bytes of XML and `sha256` in hexadecimal, both unpacked. `reason` is a code of ExternalStatusReason1Code for a
    file that was rejected as a whole. `findings` are the first 100.
    """

    id: str
    name: str
    profile: FileProfile
    size: int
    sha256: str
    definition: str
    message_id: str
    status: FileStatus
    reason: str
    reason_text: str
    findings: list[FileFinding]
    transactions: int
    control_sum: str
    progress: Progress
    version: int
    created_at: datetime
    updated_at: datetime
    completed_at: datetime | None


class NewPaymentFile(msgspec.Struct, frozen=True, kw_only=True):
    """What a partner says about a file it uploads."""

    name: str = ""
    profile: FileProfile = FileProfile.ISO


class Heading(msgspec.Struct, frozen=True, kw_only=True):
    """What the group header says, as written: "" where it says nothing. `batch` tells a business file of many messages."""

    message_id: str = ""
    created_at: str = ""
    transactions: str = ""
    control_sum: str = ""
    batch: bool = False


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What validation says: the whole file is refused, or some blocks and transactions of it, or nothing.

    Keys of `rejections` are the number of a block and of a transaction in it, 0 for all of the block.
    """

    definition: str
    heading: Heading
    findings: list[FileFinding]
    rejection: Rejection | None = None
    rejections: dict[tuple[int, int], Rejection] = {}
