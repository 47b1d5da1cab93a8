"""The gateway of terminals from settings, and terminals as an operator handles them."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry, Gauge

from shanraq import partners, terminals
from shanraq.core.actor import SYSTEM, Actor, Environment
from shanraq.core.settings import InvalidSettingError, Settings, SwitchSettings
from shanraq.ops.app import Announce, Platform, open_platform
from shanraq.ops.wire import framing_setting, layout_setting
from shanraq.standards.iso8583 import Codec
from shanraq.standards.iso8583.security import (
    Cipher,
    MacAlgorithm,
    MessageAuthentication,
    SecurityError,
    SoftwareModule,
)
from shanraq.switch import Acceptor, Gateway, Limits, tls_context

_NAME: Final = "switch"
# Who has the database at hand may do this; the audit log says that it came from here.
_CONSOLE: Final = replace(SYSTEM, id="console", scopes=frozenset({partners.READ}))


@asynccontextmanager
async def switching(platform: Platform) -> AsyncIterator[Acceptor]:
    """Listen for terminals until the block ends. Raises InvalidSettingError naming the setting."""
    settings = platform.settings.switch
    codec = Codec(layout_setting(_NAME, settings.layout))
    if codec.layout.iso_version not in ("1987", "1993"):
        raise InvalidSettingError("must be of ISO 8583:1987 or 1993", field=f"{_NAME}.layout")
    gateway = Gateway(platform.acquiring, Environment(settings.environment), codec, _authentication(settings))
    acceptor = Acceptor(
        codec,
        framing_setting(_NAME, settings.framing, settings.tpdu),
        gateway.answer,
        host=settings.host,
        port=settings.port,
        tls=_tls(settings),
        limits=Limits(
            connections=settings.connections,
            connections_per_address=settings.connections_per_address,
            in_flight=settings.in_flight,
            idle_seconds=settings.idle_seconds,
            answer_seconds=settings.answer_seconds,
        ),
    )
    try:
        await acceptor.start()
    except OSError as error:
        raise InvalidSettingError(
            f"cannot listen on {settings.host}:{settings.port}: {error.strerror}", field=f"{_NAME}.port"
        ) from None
    try:
        _measure(acceptor, platform.registry)
        yield acceptor
    finally:
        await acceptor.close()


async def register(
    settings: Settings, partner_id: str, environment: Environment, new: terminals.NewTerminal, announce: Announce
) -> terminals.Terminal:
    """Register a terminal for a partner. Raises what terminals.register_terminal does, and PartnerNotFoundError."""
    async with open_platform(settings, simulators=False, announce=announce) as platform:
        actor = await partners.act_for(platform.db, _CONSOLE, partner_id, environment)
        return await terminals.register_terminal(platform.db, actor, new)


async def list_all(settings: Settings, announce: Announce) -> list[terminals.Terminal]:
    """Return all terminals, the newest first."""
    async with open_platform(settings, simulators=False, announce=announce) as platform:
        return await terminals.list_terminals(platform.db, _CONSOLE)


async def set_status(
    settings: Settings, terminal_id: str, status: terminals.TerminalStatus, announce: Announce
) -> terminals.Terminal:
    """Let a terminal in or shut it out; at once, in every process. Raises TerminalNotFoundError, InvalidIdError."""
    async with open_platform(settings, simulators=False, announce=announce) as platform:
        actor: Actor = _CONSOLE
        for terminal in await terminals.list_terminals(platform.db, _CONSOLE):
            if terminal.id == terminal_id:
                actor = await partners.act_for(platform.db, _CONSOLE, terminal.partner_id, terminal.environment)
        return await terminals.change_terminal(platform.db, actor, terminal_id, status=status)


def _measure(acceptor: Acceptor, registry: CollectorRegistry) -> None:
    for name, text, read in (
        ("connections", "Connections of terminals that are open.", lambda: acceptor.connections),
        ("in_flight", "Messages of terminals that are being answered.", lambda: acceptor.in_flight),
        ("received", "Messages that came from terminals.", lambda: acceptor.received),
        ("unreadable", "Messages of terminals that could not be read.", lambda: acceptor.unreadable),
        ("refused", "Connections that were refused for being too many.", lambda: acceptor.refused),
        ("broken", "Streams of terminals that could not be followed.", lambda: acceptor.broken),
    ):
        Gauge(f"shanraq_switch_{name}", text, registry=registry).set_function(read)


def _tls(settings: SwitchSettings) -> ssl.SSLContext | None:
    if not settings.tls_certificate_file:
        if settings.tls_key_file or settings.tls_ca_file:
            raise InvalidSettingError("is needed for TLS", field=f"{_NAME}.tls_certificate_file")
        return None
    try:
        return tls_context(
            Path(settings.tls_certificate_file),
            Path(settings.tls_key_file or settings.tls_certificate_file),
            Path(settings.tls_ca_file) if settings.tls_ca_file else None,
        )
    except OSError as error:  # ssl.SSLError too
        raise InvalidSettingError(
            f"the TLS files cannot be used: {error}", field=f"{_NAME}.tls_certificate_file"
        ) from None


def _authentication(settings: SwitchSettings) -> MessageAuthentication | None:
    if not settings.mac_keys_file:
        return None
    algorithm = MacAlgorithm(settings.mac_algorithm)
    cipher = Cipher.AES if algorithm is MacAlgorithm.CMAC else Cipher.TDES
    module = SoftwareModule()
    try:
        for number, line in enumerate(Path(settings.mac_keys_file).read_text().splitlines(), 1):
            if line.strip() and not line.startswith("#"):
                name, _, key = line.strip().partition(" ")
                try:
                    module.load(name, cipher, bytes.fromhex(key))
                except (ValueError, SecurityError) as error:
                    raise InvalidSettingError(f"line {number}: {error}", field=f"{_NAME}.mac_keys_file") from None
    except OSError as error:
        raise InvalidSettingError(f"cannot be read: {error.strerror}", field=f"{_NAME}.mac_keys_file") from None
    return MessageAuthentication(module, "", algorithm, size=settings.mac_bytes)
