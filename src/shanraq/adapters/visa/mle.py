"""Message-level encryption: requests encrypted to the gateway, replies encrypted to us (RSA-OAEP-256 with A256GCM)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import msgspec

from shanraq.standards import jose

GATEWAY_NAME: Final = "CyberSource_SJC_US"

# Operations whose requests may be encrypted. Reports, Decision Manager and subscriptions have no encryption.
_OFFERED: Final = ("/pts/v2/", "/tss/v2/", "/risk/v1/authentication")
# The front of the gateway refuses with these before it knows whose key to encrypt to.
_CLEAR: Final = frozenset({401, 403, 429})

_encode = msgspec.json.Encoder().encode


class UndecryptableError(Exception):
    """A reply is in the clear though encryption was asked for, or cannot be decrypted."""


class _Encrypted(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    encrypted_response: str


_decode = msgspec.json.Decoder(_Encrypted).decode


@dataclass(frozen=True, slots=True)
class Envelopes:
    """The keys of both ways; either may be absent. `reply_key_id` is the id we ask replies to be encrypted under."""

    request_key: jose.EncryptionKey | None = None
    reply_key: jose.DecryptionKey | None = None
    reply_key_id: str = ""

    def seal(self, path: str, body: bytes, *, now: int) -> bytes:
        """Encrypt a body where its operation allows that, else return it as it is."""
        if self.request_key is None or not body or not path.startswith(_OFFERED):
            return body
        return _encode({"encryptedRequest": jose.encrypt(body, self.request_key, iat=now)})

    def asks(self, path: str) -> str:
        """Return the key id that the reply shall be encrypted under, empty for none."""
        return self.reply_key_id if self.reply_key is not None and path.startswith(_OFFERED) else ""

    def open(self, status: int, body: bytes) -> bytes:
        """Return what a reply holds to which encryption was asked for; raises UndecryptableError.

        A reply in the clear is not believed, but for the refusals that come before the gateway knows who asks, and failures
        of servers on the way, whose content decides nothing.
        """
        try:
            token = _decode(body).encrypted_response
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            if status in _CLEAR or status >= 500:
                return body
            raise UndecryptableError("the reply is not encrypted") from None
        key = self.reply_key
        try:
            return jose.decrypt(token, lambda key_id: key if key_id == self.reply_key_id else None)
        except jose.JoseError:
            raise UndecryptableError("the reply cannot be decrypted") from None
