"""Sign a request: the value of its Authorization header."""

from __future__ import annotations

import base64
import re
from typing import Final
from urllib.parse import quote

from shanraq.standards.oauth1.base_string import Oauth1Error, base_string, body_hash
from shanraq.standards.oauth1.keys import SigningKey

# Values go into the base string raw, so none may hold what separates parameters there or in the header.
CONSUMER_KEY: Final = re.compile(r"[A-Za-z0-9._~!-]{1,256}")
NONCE: Final = re.compile(r"[A-Za-z0-9._~-]{8,64}")
TIMESTAMP: Final = re.compile(r"[1-9][0-9]{0,11}")
VERSION: Final = "1.0"


def sign(method: str, url: str, body: bytes, key: SigningKey, *, consumer_key: str, nonce: str, timestamp: int) -> str:
    """Return the Authorization header of a request to an absolute URL, its query as it will be sent.

    `timestamp` is in seconds since 1970; `nonce` must be new for every request, 8 to 64 unreserved characters. An absent body
    is an empty one. Raises Oauth1Error for what cannot be signed without doubt.
    """
    for name, value, form in (
        ("consumer key", consumer_key, CONSUMER_KEY),
        ("nonce", nonce, NONCE),
        ("timestamp", str(timestamp), TIMESTAMP),
    ):
        if not form.fullmatch(value):
            raise Oauth1Error(f"the {name} does not have the form of one")
    parameters = {
        "oauth_consumer_key": consumer_key,
        "oauth_nonce": nonce,
        "oauth_timestamp": str(timestamp),
        "oauth_signature_method": key.method.value,
        "oauth_version": VERSION,
        "oauth_body_hash": body_hash(body),
    }
    signature = key.sign(base_string(method, url, parameters).encode("ascii"))
    # Only the signature is percent-encoded: the body hash goes as it is.
    parameters["oauth_signature"] = quote(base64.b64encode(signature).decode("ascii"), safe="")
    return "OAuth " + ",".join(f'{name}="{value}"' for name, value in parameters.items())
