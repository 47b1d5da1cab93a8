"""IP allow lists."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

from shanraq.partners.errors import InvalidNetworkError

Networks = tuple[IPv4Network | IPv6Network, ...]
NETWORK_LIMIT: Final = 50


def read_networks(texts: Iterable[str]) -> Networks:
    """Read addresses and networks; raise InvalidNetworkError naming `allowed_ips` and the place."""
    networks: list[IPv4Network | IPv6Network] = []
    for place, text in enumerate(texts):
        try:
            networks.append(ip_network(text))
        except ValueError:
            raise InvalidNetworkError(
                "must be an IP address or a network such as 192.0.2.0/24", field=f"allowed_ips[{place}]"
            ) from None
    if len(networks) > NETWORK_LIMIT:
        raise InvalidNetworkError(f"must be at most {NETWORK_LIMIT}", field="allowed_ips")
    return tuple(networks)


def allows(networks: Networks, address: str) -> bool:
    """Tell whether an address is in the networks; no networks allow all, an address that is not one is in none."""
    if not networks:
        return True
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    return any(parsed in network for network in networks)
