"""The merchants a simulator knows: two of them, strictly apart, with their shared secrets, certificates and OAuth client."""

from __future__ import annotations

import base64
import json
import os
import secrets
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509 import Certificate, load_pem_x509_certificates
from cryptography.x509.oid import NameOID

_REQUIRED: Final = ("merchant_id", "key_id", "secret", "other_merchant_id", "other_key_id", "other_secret")
_OPTIONAL: Final = (
    "p12_serial",
    "mle_serial",
    "resp_mle_kid",
    "client_cn",
    "oauth_client_id",
    "oauth_client_secret",
    "oauth_refresh_token",
    "portfolio_id",
    "portfolio_key_id",
    "portfolio_secret",
)
# Each holds PEM: the text itself, or the path of a file, relative to the file of credentials.
_PEM: Final = (
    "merchant_cert",
    "other_merchant_cert",
    "mle_request_key",
    "mle_request_cert",
    "mle_response_cert",
    "client_ca",
)
_SECRETS: Final = ("secret", "other_secret", "portfolio_secret")
# A part of a scheme without the rest of it is a mistake; a scheme of which nothing is there is not offered.
_NEEDS: Final = (
    ("p12_serial", "merchant_cert"),
    ("mle_serial", "mle_request_key"),
    ("mle_request_cert", "mle_request_key"),
    ("resp_mle_kid", "mle_response_cert"),
    ("mle_response_cert", "resp_mle_kid"),
    ("client_cn", "client_ca"),
    ("oauth_client_id", "oauth_client_secret"),
    ("oauth_client_secret", "oauth_client_id"),
    ("oauth_client_id", "client_cn"),
    ("portfolio_id", "portfolio_key_id"),
    ("portfolio_key_id", "portfolio_secret"),
    ("portfolio_secret", "portfolio_id"),
)
_BEGIN: Final = "-----BEGIN "


@dataclass(frozen=True, slots=True)
class VisaCredentials:
    """What two merchants and the gateway share. Secrets are base64, certificates and keys PEM, what is empty is not there.

    `merchant_cert` verifies RS256 under the serialNumber of its subject (`p12_serial`); `mle_request_key` opens encrypted
    requests (`mle_serial`); `mle_response_cert` is what replies are encrypted to (`resp_mle_kid`); `client_ca` and
    `client_cn` are who may use OAuth. The `portfolio_…` key (MetaKey) signs for the first merchant in the portfolio's name.
    `extra` keeps what else the file holds, such as keys of other simulators.
    """

    merchant_id: str
    key_id: str
    secret: str = field(repr=False)
    other_merchant_id: str
    other_key_id: str
    other_secret: str = field(repr=False)
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False)
    p12_serial: str = ""
    merchant_cert: str = field(default="", repr=False)
    other_merchant_cert: str = field(default="", repr=False)
    mle_serial: str = ""
    mle_request_key: str = field(default="", repr=False)
    mle_request_cert: str = field(default="", repr=False)
    resp_mle_kid: str = ""
    mle_response_cert: str = field(default="", repr=False)
    client_ca: str = field(default="", repr=False)
    client_cn: str = ""
    oauth_client_id: str = ""
    oauth_client_secret: str = field(default="", repr=False)
    oauth_refresh_token: str = field(default="", repr=False)
    portfolio_id: str = ""
    portfolio_key_id: str = ""
    portfolio_secret: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        for name in (*_REQUIRED, *_OPTIONAL, *_PEM):
            value: object = getattr(self, name)
            if not isinstance(value, str) or (name in _REQUIRED and not value):
                raise ValueError(f"credentials: {name} must be a text that is not empty")
        for name in _SECRETS:
            try:
                base64.b64decode(getattr(self, name), validate=True)
            except ValueError:
                # The original error is dropped on purpose: it could show the secret.
                raise ValueError(f"credentials: {name} must be base64") from None
        if self.merchant_id == self.other_merchant_id or self.key_id == self.other_key_id:
            raise ValueError("credentials: the two merchants must differ in merchant id and key id")
        for name, needed in _NEEDS:
            if getattr(self, name) and not getattr(self, needed):
                raise ValueError(f"credentials: {name} needs {needed}")

    @classmethod
    def generate(cls) -> Self:
        """Make a fresh set of shared secrets, with random ids and 32 bytes each; no certificates."""
        made: dict[str, Any] = {**shared_secrets()}
        return cls(**made)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a set from a JSON file and the files it names, relative to it; raises OSError or ValueError."""
        stored = read_object(path)
        missing = [name for name in _REQUIRED if name not in stored]
        if missing:
            raise ValueError(f"credentials: {path} lacks {', '.join(missing)}")
        known = {name: stored.pop(name) for name in _REQUIRED}
        # A scheme may also be switched off by null.
        known |= {name: stored.pop(name) or "" for name in (*_OPTIONAL, *_PEM) if name in stored}
        known |= {name: _read_pem(name, known[name], path.parent) for name in _PEM if known.get(name)}
        return cls(**known, extra=stored)

    def save(self, path: Path) -> None:
        """Write the set to a JSON file that only its owner may read, replacing it as a whole."""
        named = {name: getattr(self, name) for name in (*_REQUIRED, *_OPTIONAL, *_PEM)}
        write_object(path, {name: value for name, value in named.items() if value} | dict(self.extra))


def shared_secrets() -> dict[str, str]:
    """Make ids and secrets of two merchants."""
    return {
        "merchant_id": f"merchant_{secrets.token_hex(4)}",
        "key_id": str(uuid.uuid4()),
        "secret": base64.b64encode(secrets.token_bytes(32)).decode(),
        "other_merchant_id": f"other_{secrets.token_hex(4)}",
        "other_key_id": str(uuid.uuid4()),
        "other_secret": base64.b64encode(secrets.token_bytes(32)).decode(),
    }


def knows_merchants(stored: Mapping[str, Any]) -> bool:
    """Tell whether an object read from a file holds any key of this simulator."""
    return any(name in stored for name in (*_REQUIRED, *_OPTIONAL, *_PEM))


def read_object(path: Path) -> dict[str, Any]:
    """Read a JSON object from a file; raises OSError or ValueError."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        # The original error is dropped on purpose: it could show a secret.
        raise ValueError(f"credentials: {path} is not a JSON object") from None


def write_object(path: Path, value: Mapping[str, Any]) -> None:
    """Write a JSON object to a file that only its owner may read, replacing it as a whole."""
    write_private(path, (json.dumps(value, indent=2) + "\n").encode())


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner may read (0600), replacing it as a whole."""
    beside = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    beside.replace(path)


def _read_pem(name: str, value: object, folder: Path) -> str:
    if not isinstance(value, str):
        raise ValueError(f"credentials: {name} must be a path or PEM")  # noqa: TRY004 - what a file holds is a value
    if _BEGIN in value:
        return value
    try:
        # What stands around the blocks of PEM may be in any encoding.
        text = (folder / Path(value).expanduser()).read_text(encoding="latin-1")
    except OSError as error:
        raise ValueError(f"credentials: {name}: {value} cannot be read ({error.strerror})") from None
    except ValueError:
        raise ValueError(f"credentials: {name}: {value} is not PEM") from None
    if _BEGIN not in text:
        raise ValueError(f"credentials: {name}: {value} is not PEM")
    return text


def certificates_in(name: str, pem: str) -> list[Certificate]:
    """Return the certificates of a text; raises ValueError naming the key of the credentials."""
    try:
        return load_pem_x509_certificates(pem.encode())
    except ValueError:
        raise ValueError(f"credentials: {name} is not a certificate in PEM") from None


def certificate_in(name: str, pem: str, common_name: str) -> Certificate:
    """Return the certificate with a common name (in any case), else the first one."""
    certificates = certificates_in(name, pem)
    for certificate in certificates:
        names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        if any(str(attribute.value).lower() == common_name.lower() for attribute in names):
            return certificate
    return certificates[0]


def serial_number_of(certificate: Certificate) -> str:
    """Return the serialNumber attribute of a certificate's subject, empty when there is none."""
    attributes = certificate.subject.get_attributes_for_oid(NameOID.SERIAL_NUMBER)
    return str(attributes[0].value) if attributes else ""


def rsa_public_key_of(name: str, certificate: Certificate) -> RSAPublicKey:
    """Return the RSA key of a certificate; raises ValueError naming the key of the credentials."""
    key = certificate.public_key()
    if not isinstance(key, RSAPublicKey):
        raise ValueError(f"credentials: {name} needs an RSA key")  # noqa: TRY004 - what a file holds is a value
    return key


def rsa_private_key_in(name: str, pem: str) -> RSAPrivateKey:
    """Return the RSA key of a text; raises ValueError naming the key of the credentials, and showing nothing of it."""
    try:
        key = load_pem_private_key(pem.encode(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ValueError(f"credentials: {name} is not a private key in PEM without a password") from None
    if not isinstance(key, RSAPrivateKey):
        raise ValueError(f"credentials: {name} needs an RSA key")  # noqa: TRY004 - what a file holds is a value
    return key
