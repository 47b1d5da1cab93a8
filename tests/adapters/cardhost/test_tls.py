"""A link over TLS: each side knows the other, and an end that is not answered does not hold anybody up."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest

from shanraq.adapters.cardhost import CardHostAdapter, NotSentError
from shanraq.core.crypto import Keyring
from shanraq.core.db import Database
from shanraq.core.settings import CardHostSettings
from shanraq.ops.card_host import card_host
from tests.adapters.cardhost.peer import listening
from tests.adapters.cardhost.test_link import CODEC, FRAMING, purchase
from tests.certificates import Issued, certificate


def server_side(authority: Issued, own: Issued) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(authority.file))
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(own.file, own.key_file)
    return context


def linked(
    port: int, database: Database, authority: Issued, own: Issued | None = None, server_name: str = ""
) -> CardHostAdapter:
    settings = CardHostSettings(
        addresses=(f"127.0.0.1:{port}",), connections=1, tls=True, tls_ca_file=str(authority.file), timeout_seconds=2,
        tls_certificate_file=str(own.file) if own else "", tls_key_file=str(own.key_file) if own else "",
        tls_server_name=server_name,
    )  # fmt: skip
    return card_host("card_host_live", settings, database, Keyring.generate())


async def test_who_shows_a_certificate_is_heard(database: Database, tmp_path: Path) -> None:
    authority = certificate(tmp_path, "authority")
    host, own = certificate(tmp_path, "host", authority), certificate(tmp_path, "own", authority)
    async with listening(CODEC, FRAMING, tls=server_side(authority, host)) as peer:
        adapter = linked(peer.port, database, authority, own)
        await adapter.open()
        answer = await adapter.link.request(purchase(1))
        await asyncio.wait_for(adapter.close(), 5)

    assert answer.fields[39] == "00"


@pytest.mark.parametrize("wrong", ["no certificate", "foreign authority", "another name"])
async def test_nothing_is_sent_to_who_is_not_known_or_does_not_know_us(
    database: Database, tmp_path: Path, wrong: str
) -> None:
    authority, stranger = certificate(tmp_path, "authority"), certificate(tmp_path, "stranger")
    host, own = certificate(tmp_path, "host", authority), certificate(tmp_path, "own", authority)
    async with listening(CODEC, FRAMING, tls=server_side(authority, host)) as peer:
        adapter = linked(
            peer.port, database, stranger if wrong == "foreign authority" else authority,
            None if wrong == "no certificate" else own, "elsewhere.example" if wrong == "another name" else "",
        )  # fmt: skip
        await adapter.open()
        with pytest.raises(NotSentError):
            await adapter.link.request(purchase(1))
        await adapter.close()

        assert peer.said("0200") == []


async def test_closing_does_not_wait_for_a_host_that_never_ends_tls(database: Database, tmp_path: Path) -> None:
    authority = certificate(tmp_path, "authority")
    host, own = certificate(tmp_path, "host", authority), certificate(tmp_path, "own", authority)
    async with listening(CODEC, FRAMING, tls=server_side(authority, host)) as peer:
        adapter = linked(peer.port, database, authority, own)
        await adapter.open()
        await adapter.link.request(purchase(1))
        for writer in peer.writers:
            writer.transport.pause_reading()  # type: ignore[attr-defined]

        await asyncio.wait_for(adapter.close(), 6)

    assert adapter.link.status.online == 0
