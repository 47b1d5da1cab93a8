"""Requests and responses, and how a request is written."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

import msgspec

METHODS: Final = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE"})
"""HEAD and CONNECT change how a response is framed, and nobody here needs them."""

OWN_HEADERS: Final = frozenset({"host", "content-length", "transfer-encoding", "connection", "te", "upgrade", "expect"})
"""The headers that say where a message goes and where it ends: written by the client alone."""

_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE: Final = re.compile(r"[\t\x20-\x7e]*")
_URL: Final = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z._-]+)(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<target>(?:[/?][!-\"$-~]*)?)",
    re.IGNORECASE | re.ASCII,
)
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


class InvalidRequestError(ValueError):
    """The request cannot be written: its method, URL or a header is not well-formed."""


class Request(msgspec.Struct, frozen=True):
    """What to send. Header names are written as they are given; `Host` and the framing headers are the client's own.

    `replay_on_stale` allows to send the request a second time, as part of the same attempt, when a reused connection ends
    before the first byte of the response. It is off by default: the server may have processed the first one, so a
    request that moves money must not be repeated unless the receiver recognises it (RFC 9110, 9.2.2; RFC 9112, 9.3.1).
    """

    method: str
    url: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    replay_on_stale: bool = False

    def __repr__(self) -> str:
        return f"Request({self.method}, {len(self.headers)} headers, body of {len(self.body)} bytes)"


class Headers(tuple[tuple[str, str], ...]):
    """The headers of a response in order of arrival."""

    __slots__ = ()

    def get(self, name: str, default: str | None = None) -> str | None:
        """Return the value of the first header of that name, in any case."""
        wanted = name.lower()
        return next((value for present, value in self if present.lower() == wanted), default)


class Timings(msgspec.Struct, frozen=True):
    """How long the phases took, in microseconds; None for those a reused connection did not need.

    `first_byte_us` and `total_us` count from the call of `send`.
    """

    dns_us: int | None
    connect_us: int | None
    tls_us: int | None
    first_byte_us: int
    total_us: int


class Response(msgspec.Struct, frozen=True):
    """An answer. `truncated` means that the body is incomplete: over the limit, not whole in time, or cut off."""

    status: int
    headers: Headers
    body: bytes
    truncated: bool
    timings: Timings
    remote_address: str
    http_version: str

    def __repr__(self) -> str:
        cut = ", truncated" if self.truncated else ""
        return f"Response({self.status}, {len(self.headers)} headers, body of {len(self.body)} bytes{cut})"


class Target(msgspec.Struct, frozen=True):
    """Where a URL points: the origin, and `target` as it stands in the request line (never decoded or normalised)."""

    scheme: str
    host: str
    port: int
    target: str

    @property
    def origin(self) -> tuple[str, str, int]:
        """Return what connections are shared by."""
        return self.scheme, self.host, self.port

    @property
    def authority(self) -> str:
        """Return the value of the Host header: the port only where it is not the scheme's own (RFC 9110, 7.2)."""
        return self.host if self.port == _DEFAULT_PORTS[self.scheme] else f"{self.host}:{self.port}"

    @property
    def name(self) -> str:
        """Return the host as resolvers and certificates know it: an IPv6 address without its brackets."""
        return self.host.strip("[]")


@lru_cache(maxsize=4096)
def parse_url(url: str) -> Target:
    """Split an absolute http or https URL of ASCII characters, without userinfo and fragment.

    Raises InvalidRequestError.
    """
    match = _URL.fullmatch(url)
    if match is None:
        raise InvalidRequestError("not an absolute http or https URL in ASCII without userinfo and fragment")
    scheme = match["scheme"].lower()
    port = int(match["port"] or _DEFAULT_PORTS[scheme])
    if not 1 <= port <= 65535:
        raise InvalidRequestError("the port is not 1 to 65535")
    target = match["target"]
    return Target(scheme, match["host"].lower(), port, target if target.startswith("/") else f"/{target}")


def check_headers(headers: Iterable[tuple[str, str]]) -> None:
    """Raise InvalidRequestError unless names are tokens and values hold only printable ASCII, spaces and tabs.

    RFC 9110, 5.1 and 5.5; a value that kept CR, LF or NUL could end the message and begin another.
    """
    pairs = tuple(headers)
    _check_names(tuple(name for name, _ in pairs))
    _check_values(pairs)


def encode(request: Request, target: Target, user_agent: str) -> bytes:
    """Write a request as one piece, Host first. Raises InvalidRequestError."""
    if request.method not in METHODS:
        raise InvalidRequestError("the method is not one of GET, POST, PUT, PATCH, DELETE")
    headers = request.headers
    names = _check_names(tuple([name for name, _ in headers]))
    _check_values(headers)
    if not names.isdisjoint(OWN_HEADERS):
        raise InvalidRequestError(f"the client writes these headers itself: {', '.join(sorted(names & OWN_HEADERS))}")
    lines = [f"{request.method} {target.target} HTTP/1.1", f"Host: {target.authority}"]
    lines += [f"{name}: {value}" for name, value in headers]
    if "user-agent" not in names:
        lines.append(f"User-Agent: {user_agent}")
    if "accept-encoding" not in names:
        lines.append("Accept-Encoding: identity")
    if request.body or request.method not in ("GET", "DELETE"):
        lines.append(f"Content-Length: {len(request.body)}")
    lines.append("\r\n")
    return "\r\n".join(lines).encode("ascii") + request.body


@lru_cache(maxsize=1024)
def _check_names(names: tuple[str, ...]) -> frozenset[str]:
    if not all(_TOKEN.fullmatch(name) for name in names):
        raise InvalidRequestError("a header name is not a token")
    return frozenset(name.lower() for name in names)


def _check_values(headers: Iterable[tuple[str, str]]) -> None:
    # The rule is about single characters, so it holds for all values together.
    if _VALUE.fullmatch("".join([value for _, value in headers])) is None:
        raise InvalidRequestError("a header value has a character other than printable ASCII, space and tab")
