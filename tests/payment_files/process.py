"""A process of its own that uploads or works at payment files, to be killed: `python -m tests.payment_files.process`."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

from shanraq import payment_files
from shanraq.core.crypto import Keyring
from shanraq.core.db import Database
from tests.payment_files.files import order, uploader

LEASE = timedelta(seconds=1)


async def work(db: Database, keyring: Keyring) -> None:
    """Work at files until killed."""
    while True:
        if not await payment_files.advance(db, keyring, lease=LEASE):
            await asyncio.sleep(0.01)


async def upload(db: Database, keyring: Keyring) -> None:
    """Begin to upload a file that never ends."""

    async def body() -> AsyncIterator[bytes]:
        yield order(5000)
        await asyncio.sleep(3600)

    await payment_files.receive(db, keyring, uploader(), "k", payment_files.NewPaymentFile(), body())


async def main(what: str, dsn: str, keys: str) -> None:
    """Do what is asked on a database."""
    db = await Database.connect(dsn, max_size=4)
    await (upload if what == "upload" else work)(db, Keyring.load(Path(keys)))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
