"""The merchants a simulator knows: two of them, strictly apart, with their shared secrets and certificates."""

from __future__ import annotations

import base64
import json
import os
import secrets
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import msgspec

_NAMES = ("merchant_id", "key_id", "secret", "other_merchant_id", "other_key_id", "other_secret")


@dataclass(frozen=True, slots=True)
class VisaCredentials:
    """Shared secrets (base64) of two merchants, as a REST client is given them.

    `extra` keeps keys that the file holds beside these six. `certificate` and `other_certificate` in it (PEM) are the
    merchants' certificates for RS256; the key id is then the serialNumber attribute of the certificate's subject.
    """

    merchant_id: str
    key_id: str
    secret: str = field(repr=False)
    other_merchant_id: str
    other_key_id: str
    other_secret: str = field(repr=False)
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        for name in _NAMES:
            value: object = getattr(self, name)
            if not isinstance(value, str) or not value:
                raise ValueError(f"credentials: {name} must be a text that is not empty")
        for name in ("secret", "other_secret"):
            try:
                base64.b64decode(getattr(self, name), validate=True)
            except ValueError:
                # The original error is dropped on purpose: it could show the secret.
                raise ValueError(f"credentials: {name} must be base64") from None
        if self.merchant_id == self.other_merchant_id or self.key_id == self.other_key_id:
            raise ValueError("credentials: the two merchants must differ in merchant id and key id")

    @classmethod
    def generate(cls) -> Self:
        """Make a fresh set with random ids and secrets of 32 bytes."""
        return cls(
            merchant_id=f"merchant_{secrets.token_hex(4)}",
            key_id=str(uuid.uuid4()),
            secret=base64.b64encode(secrets.token_bytes(32)).decode(),
            other_merchant_id=f"other_{secrets.token_hex(4)}",
            other_key_id=str(uuid.uuid4()),
            other_secret=base64.b64encode(secrets.token_bytes(32)).decode(),
        )

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a set from a JSON file; raises OSError or ValueError."""
        try:
            stored = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
        except msgspec.MsgspecError:
            # The original error is dropped on purpose: it could show a secret.
            raise ValueError(f"credentials: {path} is not a JSON object") from None
        missing = [name for name in _NAMES if name not in stored]
        if missing:
            raise ValueError(f"credentials: {path} lacks {', '.join(missing)}")
        known = {name: stored.pop(name) for name in _NAMES}
        return cls(**known, extra=stored)

    def save(self, path: Path) -> None:
        """Write the set to a JSON file that only its owner may read, replacing it as a whole."""
        stored = {name: getattr(self, name) for name in _NAMES} | dict(self.extra)
        beside = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(stored, file, indent=2)
            file.write("\n")
        beside.replace(path)
