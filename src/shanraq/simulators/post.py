"""What the simulators send notifications with."""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

_LONGEST_HEAD: Final = 64 * 1024
_CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f]")


async def post(url: str, body: bytes, headers: Mapping[str, str], tls: ssl.SSLContext | None) -> int:
    """Send one POST of JSON on a connection of its own, and return the status.

    Raises OSError, EOFError, ValueError or asyncio.LimitOverrunError; the deadline is the caller's.
    """
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    context = (tls or ssl.create_default_context()) if secure else None
    port = parts.port or (443 if secure else 80)
    reader, writer = await asyncio.open_connection(parts.hostname, port, ssl=context, limit=_LONGEST_HEAD)
    try:
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        host = parts.netloc.rpartition("@")[2]
        lines = [
            f"POST {target} HTTP/1.1",
            f"Host: {host}",
            "Content-Type: application/json;charset=utf-8",
            f"Content-Length: {len(body)}",
            "Connection: close",
            *(f"{name}: {_CONTROLS.sub(' ', value)}" for name, value in headers.items()),
        ]
        writer.write("\r\n".join(lines).encode("latin-1", "replace") + b"\r\n\r\n" + body)
        await writer.drain()
        head = await reader.readuntil(b"\r\n")
        version, _, rest = head.decode("latin-1").partition(" ")
        if not version.startswith("HTTP/1.") or not rest[:3].isdecimal():
            raise ValueError("the receiver does not speak HTTP/1.1")
        return int(rest[:3])
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
