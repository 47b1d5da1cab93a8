"""OAuth 1.0a as Mastercard Developers uses it: requests signed with RSA-SHA256 or RSA-PSS, and their strict verification.

Nothing else is ever negotiated: which methods a key may be used with is the caller's word, never the request's. The base string
is Mastercard's and not that of RFC 5849: values of `oauth_*` parameters go in raw. Every refusal is an `Oauth1Error` whose
text holds nothing of the request.
"""

from __future__ import annotations

from shanraq.standards.oauth1.base_string import Oauth1Error, base_string, body_hash
from shanraq.standards.oauth1.keys import SignatureMethod, SigningKey, VerificationKey
from shanraq.standards.oauth1.sign import sign
from shanraq.standards.oauth1.verify import FirstUse, Verified, verify

__all__ = [
    "FirstUse",
    "Oauth1Error",
    "SignatureMethod",
    "SigningKey",
    "VerificationKey",
    "Verified",
    "base_string",
    "body_hash",
    "sign",
    "verify",
]
