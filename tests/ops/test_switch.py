"""The gateway of terminals from settings: what cannot be is refused by name; terminals from the command line."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import Any

import msgspec
import pytest

from shanraq import accounts, partners, terminals
from shanraq.core.actor import Environment
from shanraq.core.crypto import Keyring
from shanraq.core.db import Database
from shanraq.core.settings import InvalidSettingError, Settings, SwitchSettings
from shanraq.ops.role import Role
from shanraq.ops.serve import running
from shanraq.ops.switch import list_all, register, set_status
from shanraq.standards.iso8583 import Message, codec, framing
from shanraq.standards.iso8583.security import Cipher, MessageAuthentication, SoftwareModule
from shanraq.terminals import NewTerminal, TerminalNotFoundError, TerminalStatus
from tests.certificates import certificate
from tests.flows.platform import onboard

CODEC, FRAMING = codec("iso87_asciibin"), framing("binary2")
ECHO = Message("0800", {7: "1126120000", 11: "000001", 41: "T1      ", 42: "SHOP           ", 70: "301"})


def settings_of(dsn: str, folder: Path, **switch: Any) -> Settings:
    return Settings(
        database_url=dsn, data_dir=str(folder), port=0, unsafe=True, log_level="error", card_gateway="card_host",
        switch=msgspec.structs.replace(SwitchSettings(port=0), **switch),
    )  # fmt: skip


async def a_terminal(settings: Settings, mac_key: str = "") -> terminals.Terminal:
    (Path(settings.data_dir) / "keys").mkdir(exist_ok=True)
    keyring = Keyring.load_or_create(settings.keyring_path)
    db = await Database.connect(settings.database_url)
    try:
        issued = await onboard(db, keyring)
        credentials = partners.BasicCredentials(issued.id, issued.secret)
        actor = await partners.authenticate(db, keyring, credentials, address="127.0.0.1")
        account = await accounts.open_account(db, actor, accounts.NewAccount(currency="KZT"))
    finally:
        await db.close()
    new = NewTerminal(terminal="T1", acceptor="SHOP", account_id=account.id, mac_key=mac_key)
    return await register(settings, actor.partner_id, Environment.SANDBOX, new, lambda _: None)


async def exchange(port: int, message: Message | bytes, tls: ssl.SSLContext | None = None) -> Message:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls)
    try:
        raw = message if isinstance(message, bytes) else CODEC.encode(message)
        writer.write(FRAMING.frame(raw))
        frames = FRAMING.reader()
        async with asyncio.timeout(20):
            while data := await reader.read(65536):
                for received in frames.feed(data):
                    return CODEC.decode(received.message)
    finally:
        writer.close()
    raise ConnectionError("no answer")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"layout": "nowhere"}, "layout"),
        ({"layout": "iso2003b"}, "layout"),
        ({"framing": "morse"}, "framing"),
        ({"tpdu": "xx"}, "tpdu"),
        ({"tls_ca_file": "ca.pem"}, "tls_certificate_file"),
        ({"tls_certificate_file": "nowhere.pem"}, "tls_certificate_file"),
        ({"mac_keys_file": "nowhere"}, "mac_keys_file"),
        ({"host": "192.0.2.1"}, "port"),
    ],
)
async def test_a_setting_that_cannot_be_is_named(
    owner_dsn: str, tmp_path: Path, changes: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidSettingError) as refused:
        async with running(settings_of(owner_dsn, tmp_path, **changes), frozenset({Role.ISO8583})):
            raise AssertionError("it cannot run so")

    assert refused.value.field == f"switch.{field}"


@pytest.mark.parametrize("line", ["t1", "t1 zz", "t1 00", "t1 " + "00" * 16 + "\nt1 " + "11" * 16])
async def test_a_file_of_keys_that_is_none_is_refused(owner_dsn: str, tmp_path: Path, line: str) -> None:
    (tmp_path / "keys.txt").write_text(f"# keys\n{line}\n")

    with pytest.raises(InvalidSettingError) as refused:
        async with running(
            settings_of(owner_dsn, tmp_path, mac_keys_file=str(tmp_path / "keys.txt")), frozenset({Role.ISO8583})
        ):
            raise AssertionError("it cannot run so")

    assert refused.value.field == "switch.mac_keys_file"


async def test_terminals_come_and_go_from_the_command_line(owner_dsn: str, tmp_path: Path) -> None:
    settings = settings_of(owner_dsn, tmp_path)
    registered = await a_terminal(settings)
    async with running(settings, frozenset({Role.ISO8583})) as now:
        assert now.switch is not None
        answers = [await exchange(now.switch.port, ECHO)]
        for status in (TerminalStatus.DISABLED, TerminalStatus.ACTIVE):
            await set_status(settings, registered.id, status, lambda _: None)
            answers.append(await exchange(now.switch.port, ECHO))
        listed = await list_all(settings, lambda _: None)

    assert [answer.fields[39] for answer in answers] == ["00", "58", "00"]
    assert [(one.id, one.status) for one in listed] == [(registered.id, TerminalStatus.ACTIVE)]
    with pytest.raises(TerminalNotFoundError):
        await set_status(settings, "trm_01M8BW9TSYY7YMA04NDCSM70HC", TerminalStatus.ACTIVE, lambda _: None)


async def test_pays_over_tls_with_codes_from_a_file_of_keys(owner_dsn: str, tmp_path: Path) -> None:
    authority = certificate(tmp_path, "authority")
    host, till = certificate(tmp_path, "host", authority), certificate(tmp_path, "till", authority)
    (tmp_path / "keys.txt").write_text(f"t1 {bytes(range(16)).hex()}\n")
    settings = settings_of(
        owner_dsn, tmp_path, tls_certificate_file=str(host.file), tls_key_file=str(host.key_file),
        tls_ca_file=str(authority.file), mac_keys_file=str(tmp_path / "keys.txt"),
    )  # fmt: skip
    await a_terminal(settings, mac_key="t1")
    module = SoftwareModule()
    module.load("t1", Cipher.TDES, bytes(range(16)))
    codes = MessageAuthentication(module, "t1")
    tls = ssl.create_default_context(cafile=str(authority.file))
    tls.load_cert_chain(till.file, till.key_file)
    sale = Message("0200", {
        2: "4111111111111111", 3: "000000", 4: "000000012300", 7: "1126120000", 11: "000002", 14: "3112", 41: "T1      ",
        42: "SHOP           ", 49: "398",
    })  # fmt: skip
    roles = frozenset({Role.ISO8583, Role.SIMULATORS, Role.WORKER})
    async with running(settings, roles) as now:
        assert now.switch is not None
        without = await exchange(now.switch.port, sale, tls)
        answer = await exchange(now.switch.port, codes.sealed(CODEC, sale), tls)
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await exchange(now.switch.port, sale, ssl.create_default_context(cafile=str(authority.file)))

    assert (without.fields[39], answer.fields[39]) == ("96", "00")
    assert codes.is_authentic(CODEC, CODEC.encode(answer))
