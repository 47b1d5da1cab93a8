"""The text that is signed, and the hash of the body; and the error of the whole package.

It differs from RFC 5849 section 3.4.1 in three ways, all of the gateway: values of `oauth_*` parameters go in raw, the joined
texts `key=value` are sorted and not the pairs, and the query is percent-encoded afresh only if it holds a percent sign.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote, unquote_to_bytes

_LONGEST_URL: Final = 8192
_URL: Final = re.compile(
    r"(?P<scheme>https?)://(?P<host>[a-z0-9.-]+|\[[0-9a-f:.]+\])(?::(?P<port>[0-9]{1,5}))?(?P<path>/[^?#]*)?(?:\?(?P<query>[^#]*))?",
    re.IGNORECASE,
)
_VISIBLE: Final = re.compile(r"[!-~]+")
_METHOD: Final = re.compile(r"[A-Z]{1,16}")
_MALFORMED_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_DEFAULT_PORTS: Final = {"http": "80", "https": "443"}


class Oauth1Error(ValueError):
    """A request that cannot be signed or is not proved to be its consumer's; the text holds nothing of it."""


def body_hash(body: bytes) -> str:
    """Return the base64 of the SHA-256 of a body; an absent body is an empty one."""
    return base64.b64encode(hashlib.sha256(body).digest()).decode("ascii")


def base_string(method: str, url: str, parameters: Mapping[str, str]) -> str:
    """Return the text to sign for an absolute URL and the `oauth_*` parameters without the signature; raises Oauth1Error.

    A method counts as in upper case, as the official signer reads it.
    """
    method = method.upper()
    if not _METHOD.fullmatch(method):
        raise Oauth1Error("the method is not one of HTTP")
    place, query = _place_and_query(url)
    pairs = _query_pairs(query)
    pairs += [f"{name}={value}" for name, value in parameters.items()]
    return f"{method}&{_encoded(place)}&{_encoded('&'.join(sorted(pairs)))}"


def unescaped(text: str) -> str:
    """Undo percent-encoding; raises Oauth1Error where it is malformed or hides what is not UTF-8."""
    if _MALFORMED_ESCAPE.search(text):
        raise Oauth1Error("malformed percent-encoding")
    try:
        return unquote_to_bytes(text).decode("utf-8")
    except UnicodeDecodeError:
        raise Oauth1Error("percent-encoding of what is not UTF-8") from None


def _place_and_query(url: str) -> tuple[str, str]:
    if len(url) > _LONGEST_URL or not _VISIBLE.fullmatch(url):
        raise Oauth1Error("the URL is too long or holds characters that a URL never holds")
    found = _URL.fullmatch(url)
    if found is None:
        raise Oauth1Error("the URL is not an absolute one of http or https without user and fragment")
    scheme, host, port = found["scheme"].lower(), found["host"].lower(), found["port"]
    place = host if port is None or port == _DEFAULT_PORTS[scheme] else f"{host}:{port}"
    return f"{scheme}://{place}{found['path'] or '/'}", found["query"] or ""


def _query_pairs(query: str) -> list[str]:
    again = "%" in query
    pairs = []
    for part in query.split("&"):
        if not part:
            continue
        key, _, value = part.partition("=")
        if again:
            key, value = (_encoded(unescaped(text.replace("+", " "))) for text in (key, value))
        # Otherwise a parameter of the header could be moved into the query, or back, under the same signature.
        if key.startswith("oauth_"):
            raise Oauth1Error("a parameter of OAuth in the query")
        pairs.append(f"{key}={value}")
    return pairs


def _encoded(text: str) -> str:
    return quote(text, safe="")
