"""Recompute every audit chain, independently of the function that wrote it: one changed byte is found."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable
from datetime import UTC, datetime

from shanraq.core.db import Row, Tx

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


async def verify(tx: Tx, progress: Callable[[int], None] | None = None) -> list[str]:
    """Return what is wrong with the chains, in words; empty when every entry is as it was written.

    Reads the whole log as the system actor; `progress` is called with the number of entries checked so far.
    """
    heads = {row["lane"]: row for row in await tx.rows("SELECT lane, seq, hash FROM audit_lane")}
    links: dict[int, tuple[int, bytes]] = {lane: (0, _genesis(lane)) for lane in heads}
    findings: list[str] = []
    count = 0
    async for row in tx.cursor("SELECT * FROM audit_entry ORDER BY lane, seq"):
        lane, seq = row["lane"], row["seq"]
        last_seq, link = links.get(lane, (0, b""))
        if seq != last_seq + 1:
            findings.append(f"audit lane {lane}: entries {last_seq + 1} to {seq - 1} are missing")
        expected = _link(link, row)
        if expected != row["hash"]:
            findings.append(f"audit lane {lane}, entry {seq} ({row['action']} {row['subject']}): the hash does not fit")
        links[lane] = (seq, row["hash"])
        count += 1
        if progress is not None and count % 1000 == 0:
            progress(count)
    for lane, head in heads.items():
        seq, link = links[lane]
        if head["seq"] != seq or head["hash"] != link:
            findings.append(f"audit lane {lane}: the head stands at {head['seq']}, the last entry is {seq}")
    if progress is not None:
        progress(count)
    return findings


def _genesis(lane: int) -> bytes:
    return hashlib.sha256(f"shanraq audit lane {lane}".encode()).digest()


def _link(previous: bytes, row: Row) -> bytes:
    microseconds = (row["at"] - _EPOCH) // (datetime.resolution)
    texts = (row["partner_id"], row["environment"], row["actor"], row["action"], row["subject"], row["request_id"])
    parts = [previous, struct.pack(">hqq", row["lane"], row["seq"], microseconds)]
    for item in (*(text.encode() for text in texts), row["details"]):
        parts += [struct.pack(">i", len(item)), item]
    return hashlib.sha256(b"".join(parts)).digest()
