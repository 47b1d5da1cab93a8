"""Credentials as they are shown to `authenticate`, whatever protocol carried them; how their secrets are made and kept."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Final

from shanraq.core.crypto import Keyring, equal
from shanraq.core.ids import InvalidIdError, number_of, text_of
from shanraq.core.secret import ApiSecret, Secret

# No HMAC-SHA-256 that anybody can find a text for.
_NOTHING: Final = bytes(32)


@dataclass(frozen=True, slots=True)
class BasicCredentials:
    """An API key shown whole: its id and secret (RFC 7617)."""

    key_id: str
    secret: ApiSecret


@dataclass(frozen=True, slots=True)
class SignedCredentials:
    """A request signed with an API key's signing secret: HMAC-SHA-256 over `signed_text`.

    `timestamp` is Unix seconds; `nonce` 16 to 64 of A-Z a-z 0-9 _ -; `signature` 32 bytes; `method` in capitals; `target`
    path and query as sent (RFC 9112, 3.2.1); `body_sha256` 64 hexadecimal digits in lower case.
    """

    key_id: str
    timestamp: int
    nonce: str
    signature: bytes
    method: str
    target: str
    body_sha256: str

    @property
    def signed_text(self) -> bytes:
        """Return the bytes the signature is made over."""
        return signed_text(self.timestamp, self.nonce, self.method, self.target, self.body_sha256)


@dataclass(frozen=True, slots=True)
class OperatorToken:
    """An operator's token (a bearer token, RFC 6750)."""

    token: Secret


Credentials = BasicCredentials | SignedCredentials | OperatorToken


def signed_text(timestamp: int, nonce: str, method: str, target: str, body_sha256: str) -> bytes:
    r"""Return the bytes that a client signs: six lines joined by `\n`, none at the end; a character is one byte as sent.

    v1
    {timestamp}
    {nonce}
    {METHOD}
    {path?query}
    {hexadecimal SHA-256 of the body}
    """
    return f"v1\n{timestamp}\n{nonce}\n{method}\n{target}\n{body_sha256}".encode("latin-1")


def new_secret() -> str:
    """Return 256 random bits as 43 characters of base64url: too many to guess, so that a keyed hash protects them."""
    return secrets.token_urlsafe(32)


def hash_secret(keyring: Keyring, subject_id: str, secret: Secret) -> bytes:
    """Return the keyed hash that is stored in a secret's place, bound to the row it belongs to.

    A slow password hash (argon2) would make every request slow and nothing safer: no list of 256-bit secrets can be tried.
    """
    return keyring.fingerprint(f"{subject_id}\x00{secret.reveal()}".encode(), purpose="credential")


def matches(keyring: Keyring, subject_id: str, secret: Secret, stored: bytes | None) -> bool:
    """Tell whether a secret is the one stored, in the same time whether it is, is not, or nothing is stored."""
    shown = hash_secret(keyring, subject_id, secret)
    return equal(shown, _NOTHING if stored is None else stored)


def write_token(prefix: str, number: int, secret: str) -> Secret:
    """Write a token: an id with this prefix, a dot and a secret."""
    return Secret(f"{text_of(prefix, number)}.{secret}")


def read_token(prefix: str, token: Secret) -> tuple[int, Secret] | None:
    """Read a token back into the number of its id and its secret; None if it is not one of this prefix."""
    token_id, _, secret = token.reveal().partition(".")
    try:
        return number_of(prefix, token_id), Secret(secret)
    except InvalidIdError:
        return None
