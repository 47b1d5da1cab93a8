"""Signed and encrypted tokens (RFC 7515, RFC 7516) in the compact form, locked to the algorithms that payment gateways use.

Signatures are HS256 and RS256, encryption is RSA-OAEP-256 with A256GCM, and nothing else is ever negotiated: the algorithm
belongs to the key, and keys come from the caller, never from a token. Every refusal is a `JoseError` whose text holds nothing
of the token, of a key or of the content.
"""

from __future__ import annotations

from shanraq.standards.jose.base64url import JoseError
from shanraq.standards.jose.jwe import DecryptionKey, EncryptionKey, decrypt, encrypt
from shanraq.standards.jose.jws import (
    HmacKey,
    RsaSigningKey,
    RsaVerificationKey,
    SigningKey,
    VerificationKey,
    Verified,
    sign,
    verify,
)

__all__ = [
    "DecryptionKey",
    "EncryptionKey",
    "HmacKey",
    "JoseError",
    "RsaSigningKey",
    "RsaVerificationKey",
    "SigningKey",
    "VerificationKey",
    "Verified",
    "decrypt",
    "encrypt",
    "sign",
    "verify",
]
