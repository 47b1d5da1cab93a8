"""The guard against server-side request forgery: which URLs a partner may register, which addresses we connect to.

The text of a URL is judged when it is saved (`check_url`), without DNS. The addresses are judged at every new connection
(`GuardedResolver`): the client connects to one of the addresses that passed, and looks nothing up again, so a name that
changes its mind in between (DNS rebinding) gains nothing. The operator may open names, networks and ports.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

import idna

from shanraq.core.actor import Environment
from shanraq.core.errors import RefusedError
from shanraq.core.http import (
    Address,
    InvalidRequestError,
    Resolver,
    SsrfBlockedError,
    SystemResolver,
    check_headers,
    unmapped,
)
from shanraq.core.settings import InvalidSettingError

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

URL_LIMIT: Final = 2048

REASONS: Final = {
    "url_too_long": f"must be at most {URL_LIMIT} characters",
    "url_invalid_char": "must hold only the characters of RFC 3986: no space, control character or backslash",
    "url_invalid": "must be an absolute URL",
    "scheme_not_allowed": "must begin with https:// (in the sandbox also http://)",
    "userinfo_not_allowed": "must not hold a user name or password",
    "fragment_not_allowed": "must not hold a fragment (#)",
    "host_invalid": "must name a host: letters, digits, hyphens and dots, without a dot at the end",
    "ip_literal_noncanonical": "must not hold an address in an unusual form",
    "ip_literal_not_allowed": "must hold a host name, not an address",
    "address_denied": "must not point to a private or reserved address",
    "host_not_public": "must hold a public host name",
    "port_invalid": "must hold a port from 1 to 65535, or none",
    "port_not_allowed": "must use port 443 or 8443 (in the sandbox also 80 or 8080)",
}


class UrlRefusedError(RefusedError, code="webhook_url_refused", status=422):
    """The URL may not be called; `reason` says why, as a code of REASONS."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"{REASONS[reason]} ({reason})", field="url")
        self.reason = reason


class HeaderRefusedError(RefusedError, code="webhook_header_refused", status=422):
    """An endpoint may not set this header: the name is reserved, or name or value are not well-formed."""


@dataclass(frozen=True, slots=True)
class GuardPolicy:
    """What the operator opens beyond the rules: exact host names, networks (CIDR) and ports.

    Raises InvalidSettingError when a network is not one.
    """

    allow_hosts: tuple[str, ...] = ()
    allow_cidrs: tuple[str, ...] = ()
    allow_ports: tuple[int, ...] = ()
    networks: tuple[Network, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        try:
            networks = tuple(ipaddress.ip_network(text) for text in self.allow_cidrs)
        except ValueError as error:
            raise InvalidSettingError(str(error), field="webhook_allow_cidrs") from None
        object.__setattr__(self, "networks", networks)
        object.__setattr__(self, "allow_hosts", tuple(name.lower() for name in self.allow_hosts))


@dataclass(frozen=True, slots=True)
class TargetUrl:
    """A URL that passed: host in lower case (A-labels, or a bracketed IPv6 address), `target` unchanged."""

    scheme: str
    host: str
    port: int
    target: str

    @property
    def url(self) -> str:
        """Return the normalised URL, ASCII only: the one to send to."""
        return f"{self.scheme}://{self.host}:{self.port}{self.target}"


# Rules for URLs.

_FORBIDDEN_CHARACTER: Final = re.compile(r"[\x00-\x20\x7f\\]")
_SCHEME: Final = re.compile(r"([A-Za-z0-9+.-]+):")
_TARGET: Final = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*")  # RFC 3986, 3.3 and 3.4
_LABEL: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")
_OCTET: Final = r"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_IPV4: Final = re.compile(rf"{_OCTET}(?:\.{_OCTET}){{3}}")
_IPV6: Final = re.compile(r"[0-9A-Fa-f:.]+")
_PORT: Final = re.compile(r"[1-9][0-9]{0,4}")

_DEFAULT_PORTS: Final = {"https": 443, "http": 80}
_SCHEMES: Final = {Environment.LIVE: ("https",), Environment.SANDBOX: ("https", "http")}
_PORTS: Final = {Environment.LIVE: (443, 8443), Environment.SANDBOX: (443, 8443, 80, 8080)}

_NOT_PUBLIC: Final = (
    "localhost", "local", "localdomain", "internal", "intranet", "lan", "home", "corp", "private", "invalid", "onion",
    "alt", "home.arpa", "svc",
)  # fmt: skip
"""RFC 6761, 6762, 7686, 8375, 9476, and names that are common inside of companies and clusters."""


@lru_cache(maxsize=4096)
def check_url(url: str, environment: Environment, policy: GuardPolicy) -> TargetUrl:
    """Judge the text of an endpoint's URL and return it in pieces; nothing is looked up, stripped or repaired.

    Raises UrlRefusedError.
    """
    if len(url) > URL_LIMIT:
        raise UrlRefusedError("url_too_long")
    if _FORBIDDEN_CHARACTER.search(url):
        raise UrlRefusedError("url_invalid_char")
    match = _SCHEME.match(url)
    if match is None:
        raise UrlRefusedError("url_invalid")
    scheme, rest = match[1].lower(), url[match.end() :]
    if scheme not in _SCHEMES[environment]:
        raise UrlRefusedError("scheme_not_allowed")
    if not rest.startswith("//"):
        raise UrlRefusedError("url_invalid")
    authority = re.split(r"[/?#]", rest[2:], maxsplit=1)[0]
    target = rest[2 + len(authority) :]
    if "@" in authority:
        raise UrlRefusedError("userinfo_not_allowed")
    if "#" in target:
        raise UrlRefusedError("fragment_not_allowed")
    if _TARGET.fullmatch(target) is None:
        raise UrlRefusedError("url_invalid_char")
    host, port_text = _split_authority(authority)
    host = _check_host(host, environment, policy)
    port = _check_port(port_text, scheme, environment, policy)
    return TargetUrl(scheme, host, port, target if target.startswith("/") else f"/{target}")


def _split_authority(authority: str) -> tuple[str, str | None]:
    """Return host and port; None is no port, the empty text one that was forgotten behind the colon."""
    if authority.startswith("["):
        literal, bracket, rest = authority.partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise UrlRefusedError("host_invalid")
        return literal + bracket, rest[1:] if rest else None
    host, colon, port = authority.partition(":")
    if ":" in port:
        raise UrlRefusedError("host_invalid")
    return host, port if colon else None


def _check_host(host: str, environment: Environment, policy: GuardPolicy) -> str:
    if host.startswith("["):
        return _check_literal(_ipv6(host[1:-1]), environment, policy)
    name = _ascii_name(host)
    labels = name.removesuffix(".").split(".")
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise UrlRefusedError("host_invalid")
    # WHATWG URL readers and getaddrinfo() take every name that ends in a number for an IPv4 address.
    if _NUMBER.fullmatch(labels[-1]):
        if _IPV4.fullmatch(name) is None:
            raise UrlRefusedError("ip_literal_noncanonical")
        return _check_literal(ipaddress.IPv4Address(name), environment, policy)
    if name.endswith("."):
        raise UrlRefusedError("host_invalid")
    if name not in policy.allow_hosts and _is_not_public(name):
        raise UrlRefusedError("host_not_public")
    return name


def _ascii_name(host: str) -> str:
    """Return the name as browsers read it: UTS #46 (non-transitional, STD3 rules), then IDNA 2008 A-labels."""
    name = host.lower()
    if host.isascii() and not name.startswith("xn--") and ".xn--" not in name:
        return name
    try:
        return idna.encode(host, uts46=True, std3_rules=True).decode("ascii")
    except UnicodeError:
        raise UrlRefusedError("host_invalid") from None


def _ipv6(text: str) -> ipaddress.IPv6Address:
    if _IPV6.fullmatch(text) is None:
        raise UrlRefusedError("host_invalid")
    try:
        return ipaddress.IPv6Address(text)
    except ValueError:
        raise UrlRefusedError("host_invalid") from None


def _check_literal(address: Address, environment: Environment, policy: GuardPolicy) -> str:
    if environment is Environment.LIVE:
        raise UrlRefusedError("ip_literal_not_allowed")
    if not address_allowed(address, policy):
        raise UrlRefusedError("address_denied")
    return str(address) if address.version == 4 else f"[{address.compressed}]"


def _is_not_public(name: str) -> bool:
    return "." not in name or any(name == suffix or name.endswith(f".{suffix}") for suffix in _NOT_PUBLIC)


def _check_port(text: str | None, scheme: str, environment: Environment, policy: GuardPolicy) -> int:
    if text is not None and (_PORT.fullmatch(text) is None or int(text) > 65535):
        raise UrlRefusedError("port_invalid")
    port = _DEFAULT_PORTS[scheme] if text is None else int(text)
    if port not in _PORTS[environment] and port not in policy.allow_ports:
        raise UrlRefusedError("port_not_allowed")
    return port


# Rules for addresses. The tables are our own: those of the standard library change between its patch releases and take
# several of these networks for public.

_DENIED: Final[tuple[Network, ...]] = tuple(
    ipaddress.ip_network(network)
    for network in (
        "0.0.0.0/8",  # this network, reaches the local host on Linux (RFC 1122)
        "10.0.0.0/8",  # private (RFC 1918)
        "100.64.0.0/10",  # shared address space of carriers (RFC 6598)
        "127.0.0.0/8",  # loopback (RFC 1122)
        "168.63.129.16/32",  # platform address of Azure, in public space
        "169.254.0.0/16",  # link-local and cloud metadata (RFC 3927)
        "172.16.0.0/12",  # private (RFC 1918)
        "192.0.0.0/24",  # protocol assignments (RFC 6890)
        "192.0.2.0/24",  # documentation (RFC 5737)
        "192.88.99.0/24",  # 6to4 relays (RFC 7526)
        "192.168.0.0/16",  # private (RFC 1918)
        "198.18.0.0/15",  # benchmarking (RFC 2544)
        "198.51.100.0/24",  # documentation (RFC 5737)
        "203.0.113.0/24",  # documentation (RFC 5737)
        "224.0.0.0/4",  # multicast (RFC 5771)
        "240.0.0.0/4",  # reserved, and limited broadcast (RFC 1112, 919)
        "2001::/23",  # protocol assignments: Teredo, benchmarking, ORCHID (RFC 2928)
        "2001:db8::/32",  # documentation (RFC 3849)
        "2002::/16",  # 6to4: embeds any IPv4 address (RFC 3056)
        "3fff::/20",  # documentation (RFC 9637)
    )
)

_GLOBAL_UNICAST: Final = ipaddress.IPv6Network("2000::/3")
"""All that IPv6 has assigned (RFC 4291, 2.4). Outside lie loopback, IPv4-compatible and IPv4-translated addresses,
NAT64, unique local, link-local, site-local, multicast, segment routing and discard-only ones."""

_METADATA: Final[frozenset[Address]] = frozenset(
    ipaddress.ip_address(address)
    for address in (
        "169.254.169.254", "fd00:ec2::254",  # most clouds
        "169.254.170.2", "169.254.170.23", "fd00:ec2::23",  # credentials of containers
        "fd20:ce::254", "100.100.100.200", "192.0.0.192", "168.63.129.16",
    )
)  # fmt: skip
"""Addresses that hand out credentials of the machine: no setting opens them."""


def address_allowed(address: Address, policy: GuardPolicy) -> bool:
    """Tell whether deliveries may connect to an address; an IPv4-mapped one is judged as IPv4, a scope is ignored."""
    address = unmapped(address)
    if address in _METADATA:
        return False
    if any(address in network for network in policy.networks):
        return True
    if address.version == 6 and address not in _GLOBAL_UNICAST:
        return False
    return not any(address in network for network in _DENIED)


class GuardedResolver:
    """Resolve names and leave out the addresses that deliveries may not reach."""

    def __init__(self, policy: GuardPolicy, resolver: Resolver | None = None) -> None:
        self._policy = policy
        self._resolver = resolver or SystemResolver()

    async def resolve(self, host: str, port: int) -> Sequence[Address]:
        """Return the permitted addresses in their order; raise SsrfBlockedError if there are only others."""
        found = await self._resolver.resolve(host, port)
        allowed = [unmapped(address) for address in found if address_allowed(address, self._policy)]
        if found and not allowed:
            raise SsrfBlockedError("the name leads only to addresses that may not be reached", sent=False)
        return allowed


# Rules for an endpoint's own headers.

_RESERVED_NAMES: Final = frozenset({"host", "transfer-encoding", "connection", "te", "upgrade", "expect", "cookie"})
_RESERVED_PREFIXES: Final = ("content-", "webhook-", "ce-")


def check_header(name: str, value: str) -> None:
    """Raise HeaderRefusedError unless an endpoint may add this header to its deliveries; nothing is trimmed.

    Reserved are the headers that frame a message (RFC 9110, 9112), describe it (Standard Webhooks, CloudEvents), or carry
    a session.
    """
    try:
        check_headers([(name, value)])
    except InvalidRequestError as error:
        raise HeaderRefusedError(str(error), field="headers") from None
    if name.lower() in _RESERVED_NAMES or name.lower().startswith(_RESERVED_PREFIXES):
        raise HeaderRefusedError(f"the header {name} is reserved", field="headers")
