"""The merchants a simulator knows: two of them, strictly apart, with their passwords; and the keys of the add-ons."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from shanraq.simulators.visa.credentials import read_object, write_object, write_private
from shanraq.simulators.visa.tls import self_signed

_REQUIRED: Final = ("mpgs_merchant_id", "mpgs_password", "mpgs_other_merchant_id", "mpgs_other_password")
_OPTIONAL: Final = ("mpgs_reporting_password", "mpgs_notification_secret", "mc_consumer_key", "client_cn")
# Each holds PEM: the text itself, or the path of a file, relative to the file of credentials.
_PEM: Final = ("mc_signing_cert", "client_ca")
_BEGIN: Final = "-----BEGIN "
_MERCHANT_ID: Final = frozenset("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_-")


@dataclass(frozen=True, slots=True)
class MastercardCredentials:
    """Passwords of two merchants. Without `reporting_password` the password is also that of the reports.

    `consumer_key` with `signing_cert` (PEM) is a client of the Mastercard Developers add-on; `client_cn` with `client_ca`
    the client certificate that stands for the first merchant instead of its password.
    """

    merchant_id: str
    password: str = field(repr=False)
    other_merchant_id: str
    other_password: str = field(repr=False)
    reporting_password: str = field(default="", repr=False)
    notification_secret: str = field(default="", repr=False)
    consumer_key: str = ""
    signing_cert: str = ""
    client_cn: str = ""
    client_ca: str = ""

    def __post_init__(self) -> None:
        for name in ("merchant_id", "password", "other_merchant_id", "other_password"):
            if not getattr(self, name):
                raise ValueError(f"credentials: mpgs_{name} must be a text that is not empty")
        for name, value in (("merchant_id", self.merchant_id), ("other_merchant_id", self.other_merchant_id)):
            if len(value) > 40 or not set(value) <= _MERCHANT_ID:
                raise ValueError(f"credentials: mpgs_{name} must be 1 to 40 letters, digits, _ and -")
        if self.merchant_id == self.other_merchant_id:
            raise ValueError("credentials: the two merchants must differ in mpgs_merchant_id")
        if bool(self.consumer_key) != bool(self.signing_cert):
            raise ValueError("credentials: mc_consumer_key needs mc_signing_cert, and the other way round")

    def comparison_key(self) -> bytes:
        """Return the key under which requests and cards are compared: who has the journal alone can guess none of them."""
        secret = f"{len(self.password)} {self.password} {self.other_password}".encode()
        return hmac.digest(secret, b"shanraq mastercard simulator: comparison", "sha256")

    @classmethod
    def generate(cls) -> Self:
        """Make a fresh set of merchants with random passwords, without add-ons."""
        made = _made()
        return cls(
            merchant_id=made["mpgs_merchant_id"],
            password=made["mpgs_password"],
            other_merchant_id=made["mpgs_other_merchant_id"],
            other_password=made["mpgs_other_password"],
            notification_secret=made["mpgs_notification_secret"],
        )

    @classmethod
    def of(cls, stored: Mapping[str, Any], folder: Path) -> Self:
        """Read a set from an object; files are relative to `folder`. Raises OSError or ValueError naming the key."""
        lacking = [name for name in _REQUIRED if name not in stored]
        if lacking:
            raise ValueError(f"credentials: {', '.join(lacking)} missing")
        values: dict[str, str] = {}
        for name in (*_REQUIRED, *_OPTIONAL, *_PEM):
            value = stored.get(name, "")
            if not isinstance(value, str):
                raise ValueError(f"credentials: {name} must be a text")  # noqa: TRY004 - like every other mistake here
            if name in _PEM and value and not value.startswith(_BEGIN):
                try:
                    value = (folder / value).read_text("utf-8")
                except (OSError, UnicodeDecodeError):
                    raise ValueError(f"credentials: {name} is neither PEM nor a file that can be read") from None
            values[name.removeprefix("mpgs_").removeprefix("mc_")] = value
        return cls(**values)


def obtain(path: Path) -> MastercardCredentials:
    """Read the file of credentials; a missing one, or one that holds none of our keys, gets a complete set (0600).

    Keys of other simulators in the file stay. Raises OSError or ValueError.
    """
    stored = read_object(path) if path.exists() else {}
    if not any(name in stored for name in (*_REQUIRED, *_OPTIONAL[:3], _PEM[0])):
        made: dict[str, Any] = dict(_made())
        folder = path.parent / f"{path.stem}-keys"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        issued = self_signed("Mastercard Developers client", "")
        (folder / "mc-signing.pem").write_bytes(issued.certificate_pem)
        write_private(folder / "mc-signing-key.pem", issued.key_pem)
        made |= {"mc_consumer_key": f"{secrets.token_hex(24)}!{secrets.token_hex(24)}"}
        made |= {"mc_signing_cert": f"{folder.name}/mc-signing.pem"}
        stored = stored | made
        write_object(path, stored)
    return MastercardCredentials.of(stored, path.parent)


def _made() -> dict[str, str]:
    return {
        "mpgs_merchant_id": f"TEST{secrets.token_hex(4).upper()}",
        "mpgs_password": secrets.token_hex(16),
        "mpgs_other_merchant_id": f"TEST{secrets.token_hex(4).upper()}X",
        "mpgs_other_password": secrets.token_hex(16),
        "mpgs_notification_secret": secrets.token_hex(16),
    }
