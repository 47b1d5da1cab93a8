"""Receive a payment file: its bytes are stored while they arrive, and never all in memory."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

import msgspec
import structlog

from shanraq import audit
from shanraq.core import once
from shanraq.core.actor import SYSTEM, Actor
from shanraq.core.crypto import Keyring
from shanraq.core.db import CommitUnknownError, Database, Tx
from shanraq.core.ids import new_id
from shanraq.payment_files import store
from shanraq.payment_files.errors import DuplicateFileError, EmptyFileError, LargeFileError
from shanraq.payment_files.model import PREFIX, FileStatus, NewPaymentFile, PaymentFile, Progress
from shanraq.payment_files.pieces import PIECE_BYTES, pack

log = structlog.get_logger(__name__)

OPERATION: Final = "payment_files.receive"
LIMIT_BYTES: Final = 256 * 1024 * 1024
BROKEN_UPLOADS_KEPT: Final = timedelta(hours=24)
"""Longer than any upload may take."""
_SWEPT_AT_ONCE: Final = 1000


class _Fingerprint(msgspec.Struct, frozen=True):
    """What makes two requests under one key the same."""

    name: str
    profile: str
    size: int
    sha256: str


@dataclass(slots=True)
class _Upload:
    db: Database
    keyring: Keyring
    actor: Actor
    file_id: str
    limit_bytes: int
    digest: hashlib._Hash = field(default_factory=hashlib.sha256)
    size: int = 0
    pieces: int = 0

    async def take(self, body: AsyncIterator[bytes]) -> None:
        """Store the body piece by piece."""
        waiting = bytearray()
        async for chunk in body:
            self.size += len(chunk)
            if self.size > self.limit_bytes:
                raise LargeFileError(f"is larger than {self.limit_bytes} bytes of XML")
            waiting += chunk
            while len(waiting) >= PIECE_BYTES:
                await self._write(bytes(waiting[:PIECE_BYTES]))
                del waiting[:PIECE_BYTES]
        if waiting:
            await self._write(bytes(waiting))

    async def _write(self, content: bytes) -> None:
        self.pieces += 1
        self.digest.update(content)
        sealed = await asyncio.to_thread(pack, self.keyring, self.file_id, self.pieces, content)
        async with self.db.begin(self.actor) as tx:
            await store.insert_piece(tx, self.file_id, self.pieces, sealed)

    async def discard(self) -> None:
        """Delete what was stored; what stays because the database is away is swept up later."""
        try:
            async with self.db.begin(self.actor) as tx:
                await store.delete_pieces(tx, self.file_id)
        except Exception:
            log.exception("payment_files.discard_failed", file=self.file_id)


async def receive(
    db: Database,
    keyring: Keyring,
    actor: Actor,
    key: str | None,
    new: NewPaymentFile,
    body: AsyncIterator[bytes],
    *,
    limit_bytes: int = LIMIT_BYTES,
) -> once.Given[PaymentFile]:
    """Store a file as it arrives (unpacked) and give it to the workers; what it holds is looked at later.

    The same key with the same bytes gives the same answer. Raises EmptyFileError, LargeFileError, DuplicateFileError naming
    the earlier file, what `body` raises, and the errors of core.once. Nothing stays of an upload that breaks.
    """
    actor.require("payment_files:write")
    once.Request.of(OPERATION, key, None)  # a bad key is refused before anything is stored
    upload = _Upload(db, keyring, actor, new_id(PREFIX), limit_bytes)
    try:
        await upload.take(body)
        if not upload.size:
            raise EmptyFileError
        given = await _register(upload, key, new)
    except CommitUnknownError:
        # There may be a file: what belongs to none is swept up.
        raise
    except BaseException:
        await asyncio.shield(upload.discard())
        raise
    if given.replayed:
        await upload.discard()
    return given


async def _register(upload: _Upload, key: str | None, new: NewPaymentFile) -> once.Given[PaymentFile]:
    sha256 = upload.digest.hexdigest()
    request = once.Request.of(OPERATION, key, _Fingerprint(new.name, new.profile, upload.size, sha256))

    async def work(tx: Tx) -> PaymentFile:
        file = PaymentFile(
            id=upload.file_id,
            name=new.name,
            profile=new.profile,
            size=upload.size,
            sha256=sha256,
            definition="",
            message_id="",
            status=FileStatus.RECEIVED,
            reason="",
            reason_text="",
            findings=[],
            transactions=0,
            control_sum="",
            progress=Progress(0, {}),
            version=1,
            created_at=tx.now,
            updated_at=tx.now,
            completed_at=None,
        )
        earlier = await store.insert(tx, file, upload.pieces)
        if earlier:
            raise DuplicateFileError(f"these bytes are the file {earlier}")
        audit.record(tx, "payment_file.received", file.id, {"size": file.size, "sha256": sha256})
        return file

    return await once.perform(upload.db, upload.actor, request, PaymentFile, work)


async def sweep(db: Database) -> int:
    """Delete what broken uploads left; returns how many pieces."""
    async with db.begin(SYSTEM) as tx:
        return await store.sweep_pieces(tx, tx.now - BROKEN_UPLOADS_KEPT, _SWEPT_AT_ONCE)
