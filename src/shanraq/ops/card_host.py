"""Card hosts from settings."""

from __future__ import annotations

import ssl
from datetime import timedelta
from pathlib import Path
from typing import Final

import msgspec

from shanraq.adapters.cardhost import (
    CardHostAdapter,
    CardHostConfiguration,
    Choice,
    Link,
    LinkConfiguration,
    Merchant,
    MessageAuthentication,
    Session,
    Wording,
)
from shanraq.adapters.cardhost.matching import InvalidMatchingKeyError
from shanraq.core.crypto import Keyring
from shanraq.core.db import Database
from shanraq.core.errors import InvalidInputError
from shanraq.core.settings import CardHostSettings, InvalidSettingError
from shanraq.simulators.iso8583 import Iso8583Host
from shanraq.standards.iso8583 import Codec, FramingError, Layout, LayoutError, framing, layout, layout_names
from shanraq.standards.iso8583.security import Cipher, MacAlgorithm, SecurityError, SoftwareModule

_KEY_NAME: Final = "mac"


def card_host(name: str, settings: CardHostSettings, db: Database, keyring: Keyring) -> CardHostAdapter:
    """Return the adapter of a host; its link is not open yet. `name` is that of the settings, for errors.

    Raises InvalidSettingError naming the setting.
    """
    wire_layout = _layout(name, settings.layout)
    merchant = Merchant(
        terminal_id=settings.terminal_id,
        acceptor_id=settings.acceptor_id,
        acquirer_id=settings.acquirer_id,
        category_code=settings.category_code,
        name_location=settings.name_location,
        entry_mode=settings.entry_mode,
        condition=settings.condition,
        security_code_at=settings.security_code_at,
        header=settings.header,
        utc_offset_minutes=settings.utc_offset_minutes,
    )
    try:
        wording = Wording(wire_layout, merchant)
        configuration = LinkConfiguration(
            name=name,
            addresses=tuple(_address(name, text) for text in settings.addresses),
            framing=framing(settings.framing, tpdu=_hex(name, "tpdu", settings.tpdu)),
            connections=settings.connections,
            choice=Choice(settings.choice),
            matching_key=settings.matching_key,
            session=_session(name, settings, wire_layout),
            timeout_seconds=settings.timeout_seconds,
            echo_after_seconds=settings.echo_after_seconds or None,
            tls=_tls(name, settings),
            server_name=settings.tls_server_name or None,
        )
        link = Link(
            configuration, Codec(wire_layout), finish=wording.header_of, authentication=_authentication(name, settings)
        )
    except InvalidSettingError:
        raise
    except FramingError as error:
        raise InvalidSettingError(error.message, field=f"{name}.framing") from None
    except InvalidMatchingKeyError as error:
        raise InvalidSettingError(str(error), field=f"{name}.matching_key") from None
    except InvalidInputError as error:
        raise InvalidSettingError(str(error), field=f"{name}.{error.field}") from None
    behaviour = CardHostConfiguration(attempts=settings.attempts, keep_cards=timedelta(days=settings.keep_cards_days))
    return CardHostAdapter(behaviour, link, wording, db, keyring)


def simulated(settings: CardHostSettings, host: Iso8583Host) -> CardHostSettings:
    """Return the settings of the link to the built-in simulator."""
    return msgspec.structs.replace(
        settings, addresses=(f"127.0.0.1:{host.port}",), layout=host.layout, framing=host.framing
    )


def _layout(name: str, text: str) -> Layout:
    try:
        if text in layout_names():
            return layout(text)
        return Layout.from_json(Path(text).read_bytes())
    except OSError:
        raise InvalidSettingError(
            f"{text!r} is neither a layout (see `shanraq iso8583 specs`) nor a file", field=f"{name}.layout"
        ) from None
    except LayoutError as error:
        raise InvalidSettingError(str(error), field=f"{name}.layout") from None


def _session(name: str, settings: CardHostSettings, wire_layout: Layout) -> Session:
    usual = Session.usual(wire_layout.iso_version)

    def code(setting: str) -> str | None:
        text: str = getattr(settings, setting)
        if text == "usual":
            found: str | None = getattr(usual, setting)
            return found
        if text != "none" and not (len(text) == 3 and text.isascii() and text.isdigit()):
            raise InvalidSettingError("must be usual, none or three digits", field=f"{name}.{setting}")
        return None if text == "none" else text

    return Session(code("sign_on"), code("sign_off"), code("echo"))


def _address(name: str, text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not (port.isascii() and port.isdigit()) or not 0 < int(port) < 65536:
        raise InvalidSettingError(f"{text!r} is not host:port", field=f"{name}.addresses")
    return host.strip("[]"), int(port)


def _hex(name: str, setting: str, text: str) -> bytes | None:
    try:
        return bytes.fromhex(text) if text else None
    except ValueError:
        raise InvalidSettingError("must be hex", field=f"{name}.{setting}") from None


def _tls(name: str, settings: CardHostSettings) -> ssl.SSLContext | None:
    if not settings.tls:
        return None
    try:
        context = ssl.create_default_context(cafile=settings.tls_ca_file or None)
        if settings.tls_certificate_file:
            context.load_cert_chain(settings.tls_certificate_file, settings.tls_key_file or None)
    except (OSError, ssl.SSLError) as error:
        raise InvalidSettingError(f"the TLS files cannot be used: {error}", field=f"{name}.tls") from None
    return context


def _authentication(name: str, settings: CardHostSettings) -> MessageAuthentication | None:
    if not settings.mac_key_file:
        return None
    algorithm = MacAlgorithm(settings.mac_algorithm)
    module = SoftwareModule()
    try:
        key = bytes.fromhex(Path(settings.mac_key_file).read_text().strip())
        module.load(_KEY_NAME, Cipher.AES if algorithm is MacAlgorithm.CMAC else Cipher.TDES, key)
    except (OSError, ValueError, SecurityError) as error:
        raise InvalidSettingError(f"holds no key: {error}", field=f"{name}.mac_key_file") from None
    return MessageAuthentication(module, _KEY_NAME, algorithm, size=settings.mac_bytes)
