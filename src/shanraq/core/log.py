"""Structured logs with redaction: one JSON object (or a readable line) an event; card data and secrets cannot get out."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any, Final, TextIO

import structlog

from shanraq.core.secret import Secret, luhn_valid

_SECRET_NAMES: Final = frozenset(
    {
        "authorization", "secret", "signing_secret", "password", "token", "api_key", "pan", "number", "card_number",
        "security_code", "cvv", "cvc", "pin", "track", "name", "first_name", "last_name", "email", "phone", "address",
    }
)  # fmt: skip
_DIGITS: Final = re.compile(r"(?<![0-9A-Za-z])[0-9](?:[ -]?[0-9]){11,18}(?![0-9A-Za-z])")
_CREDENTIALS: Final = re.compile(
    r"(?i)\b(bearer|basic)\s+[A-Za-z0-9+/=._-]{8,}|\bwhsec_[A-Za-z0-9+/=]+|\bshq_[A-Za-z0-9_-]{8,}"
)


def configure(level: str = "info", *, json: bool = True, stream: TextIO | None = None) -> None:
    """Set up logging once for the process; libraries' records go the same way."""
    output = stream or sys.stderr
    renderer: Any = (
        structlog.processors.JSONRenderer() if json else structlog.dev.ConsoleRenderer(colors=output.isatty())
    )
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        redact,
    ]
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.WriteLoggerFactory(file=output),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(output)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING if level.lower() == "info" else level.upper())


def redact(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replace secrets, names and anything that passes for a card number, at any depth."""
    for key, value in event.items():
        event[key] = "****" if key.lower() in _SECRET_NAMES and value else _clean(value)
    return event


def redacted(text: str) -> str:
    """Return a text without card numbers (kept: first six, last four) and credentials."""
    return _DIGITS.sub(_mask, _CREDENTIALS.sub("****", text))


def _clean(value: Any) -> Any:
    match value:
        case str():
            return redacted(value)
        case bytes():
            return redacted(value.decode("utf-8", "backslashreplace"))
        case int() if not isinstance(value, bool) and value >= 10**11:
            return redacted(str(value)) if _DIGITS.fullmatch(str(value)) else value
        case dict():
            return {
                key: "****" if str(key).lower() in _SECRET_NAMES and item else _clean(item)
                for key, item in value.items()
            }
        case list() | tuple() | set() | frozenset():
            return [_clean(item) for item in value]
        case Secret() | BaseException():
            return redacted(str(value))
        case _:
            return value


def _mask(match: re.Match[str]) -> str:
    digits = re.sub(r"[ -]", "", match[0])
    if not luhn_valid(digits):
        return match[0]
    return digits[:6] + "x" * (len(digits) - 10) + digits[-4:]
