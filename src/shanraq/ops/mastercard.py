"""Mastercard from settings."""

from __future__ import annotations

import re
import ssl
from pathlib import Path
from typing import Final

from shanraq.adapters.endpoints import Endpoints, Policy
from shanraq.adapters.mastercard import MastercardAdapter, MastercardConfiguration
from shanraq.core.http import HttpClient, InvalidRequestError, parse_url
from shanraq.core.secret import Secret
from shanraq.core.settings import InvalidSettingError, MastercardSettings
from shanraq.simulators.mastercard import MastercardSimulator

_MERCHANT_ID: Final = re.compile(r"[0-9A-Za-z_-]{1,40}")
_SECRET: Final = re.compile(r"[!-~]{1,200}")
_TEST: Final = "TEST"
# Reports are long; everything else is a few kilobytes.
_RESPONSE_LIMIT_BYTES: Final = 32 * 1024 * 1024
# Shorter than gateways keep idle connections: a request on a dead one would be an unknown outcome.
_IDLE_SECONDS: Final = 15.0


def mastercard(name: str, settings: MastercardSettings, *, live: bool) -> MastercardAdapter:
    """Return the adapter of a merchant. `name` is that of the settings, for errors. Raises InvalidSettingError."""
    urls = _urls(name, settings, live=live)
    if not _MERCHANT_ID.fullmatch(settings.merchant_id):
        raise InvalidSettingError(
            "is needed with a url: up to 40 letters, digits, - and _", field=f"{name}.merchant_id"
        )
    if live and settings.merchant_id.upper().startswith(_TEST):
        raise InvalidSettingError("is a test merchant (TEST...)", field=f"{name}.merchant_id")
    password = _secret(name, "password_file", settings.password_file)
    if password is None and not settings.certificate_file:
        raise InvalidSettingError("is needed with a url, or certificate_file", field=f"{name}.password_file")
    if not 1 <= settings.version <= 999:
        raise InvalidSettingError("must be 1 to 999", field=f"{name}.version")
    for field_name in ("timeout_seconds", "settle_seconds", "undecided_seconds"):
        if not 0 < getattr(settings, field_name) <= 900:
            raise InvalidSettingError("must be above 0, and 900 at most", field=f"{name}.{field_name}")
    if settings.notification_url and not settings.notification_url.lower().startswith("https://"):
        raise InvalidSettingError("must be https: the secret is shown to it", field=f"{name}.notification_url")
    configuration = MastercardConfiguration(
        merchant_id=settings.merchant_id,
        password=password,
        reporting_password=_secret(name, "reporting_password_file", settings.reporting_password_file),
        notification_secret=_secret(name, "notification_secret_file", settings.notification_secret_file),
        notification_url=settings.notification_url,
        version=settings.version,
        timeout_seconds=settings.timeout_seconds,
        settle_seconds=settings.settle_seconds,
        undecided_seconds=settings.undecided_seconds,
        statement=settings.settlement == "statement",
    )
    client = HttpClient(
        tls=_tls(name, settings), idle_seconds=_IDLE_SECONDS, response_limit_bytes=_RESPONSE_LIMIT_BYTES
    )
    return MastercardAdapter(configuration, Endpoints(client, urls, policy=Policy(settings.policy)))


def simulated_mastercard(settings: MastercardSettings, simulator: MastercardSimulator) -> MastercardAdapter:
    """Return the adapter to the simulator of this process."""
    credentials = simulator.credentials
    configuration = MastercardConfiguration(
        merchant_id=credentials.merchant_id,
        password=Secret(credentials.password),
        reporting_password=Secret(credentials.reporting_password or credentials.password),
        notification_secret=Secret(credentials.notification_secret) if credentials.notification_secret else None,
        version=settings.version,
        timeout_seconds=settings.timeout_seconds,
        settle_seconds=settings.settle_seconds,
        undecided_seconds=settings.undecided_seconds,
        # The simulator is the acquirer too.
        statement=True,
    )
    client = HttpClient(idle_seconds=_IDLE_SECONDS, response_limit_bytes=_RESPONSE_LIMIT_BYTES)
    return MastercardAdapter(configuration, Endpoints(client, (simulator.base_url,), policy=Policy(settings.policy)))


def _urls(name: str, settings: MastercardSettings, *, live: bool) -> tuple[str, ...]:
    urls = []
    for field_name, url in (("url", settings.url), *(("more_urls", url) for url in settings.more_urls)):
        try:
            target = parse_url(url)
        except InvalidRequestError as error:
            raise InvalidSettingError(str(error), field=f"{name}.{field_name}") from None
        if target.target != "/":
            raise InvalidSettingError(
                "must be a host alone (https://...): the adapter knows the path", field=f"{name}.{field_name}"
            )
        if live and target.scheme != "https":
            raise InvalidSettingError("must be https", field=f"{name}.{field_name}")
        urls.append(url.rstrip("/"))
    if len(set(urls)) != len(urls):
        raise InvalidSettingError("names an address twice", field=f"{name}.more_urls")
    return tuple(urls)


def _secret(name: str, field_name: str, path: str) -> Secret | None:
    if not path:
        return None
    try:
        text = Path(path).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise InvalidSettingError(f"cannot be read: {reason}", field=f"{name}.{field_name}") from None
    if not _SECRET.fullmatch(text):
        raise InvalidSettingError("must hold one word of printable ASCII", field=f"{name}.{field_name}")
    return Secret(text)


def _tls(name: str, settings: MastercardSettings) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=settings.ca_file or None)
    except (OSError, ssl.SSLError) as error:
        raise InvalidSettingError(f"cannot be used: {error}", field=f"{name}.ca_file") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    if settings.key_file and not settings.certificate_file:
        raise InvalidSettingError("is needed with a key_file", field=f"{name}.certificate_file")
    if settings.certificate_file:
        try:
            context.load_cert_chain(settings.certificate_file, settings.key_file or None, password="")
        except (OSError, ssl.SSLError) as error:
            raise InvalidSettingError(f"cannot be used: {error}", field=f"{name}.certificate_file") from None
    return context
