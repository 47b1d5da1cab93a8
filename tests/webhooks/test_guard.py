"""The guard: what it refuses and why, what an operator can open, and that no spelling of an address gets through."""

from __future__ import annotations

import ipaddress
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shanraq.core.actor import Environment
from shanraq.core.http import SsrfBlockedError, parse_url
from shanraq.core.settings import InvalidSettingError
from shanraq.webhooks.guard import (
    REASONS,
    GuardedResolver,
    GuardPolicy,
    HeaderRefusedError,
    UrlRefusedError,
    address_allowed,
    check_header,
    check_url,
)
from tests.core.http_peers import FixedResolver

LIVE, SANDBOX = Environment.LIVE, Environment.SANDBOX
CLOSED = GuardPolicy()


def reason_of(url: str, environment: Environment = LIVE, policy: GuardPolicy = CLOSED) -> str:
    with pytest.raises(UrlRefusedError) as refused:
        check_url(url, environment, policy)
    return refused.value.reason


# URLs.


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("https://hooks.example.com/" + "a" * 2023, "url_too_long"),
        ("https://hooks.example.com/ ", "url_invalid_char"),
        ("https://hooks.example.com/\u00e9", "url_invalid_char"),
        ("https://hooks.example.com/%zz", "url_invalid_char"),
        ("hooks.example.com", "url_invalid"),
        ("https:hooks.example.com", "url_invalid"),
        ("http://hooks.example.com/", "scheme_not_allowed"),
        ("https://a@hooks.example.com/", "userinfo_not_allowed"),
        ("https://hooks.example.com/#", "fragment_not_allowed"),
        ("https://hooks_.example.com/", "host_invalid"),
        ("https://hooks..example.com/", "host_invalid"),
        ("https:///in", "host_invalid"),
        ("https://1.2.3.4.5/", "ip_literal_noncanonical"),
        ("https://127.1/", "ip_literal_noncanonical"),
        ("https://8.8.8.8/", "ip_literal_not_allowed"),
        ("https://localhost/", "host_not_public"),
        ("https://a.localhost/", "host_not_public"),
        ("https://hooks.example.com:0443/", "port_invalid"),
        ("https://hooks.example.com:5432/", "port_not_allowed"),
    ],
)
def test_each_rule_refuses_with_its_reason(url: str, reason: str) -> None:
    assert reason_of(url) == reason


def test_private_address_is_refused_in_the_sandbox() -> None:
    assert reason_of("http://10.0.0.1/", SANDBOX) == "address_denied"


def test_refusal_says_what_to_change() -> None:
    with pytest.raises(UrlRefusedError) as refused:
        check_url("http://hooks.example.com/", LIVE, CLOSED)

    assert refused.value.field == "url"
    assert str(refused.value) == f"url: {REASONS['scheme_not_allowed']} (scheme_not_allowed)"


def test_longest_url_passes() -> None:
    url = "https://hooks.example.com/" + "a" * 2022

    assert check_url(url, LIVE, CLOSED).target == "/" + "a" * 2022


def test_normalised_url_is_ascii_and_keeps_its_target() -> None:
    found = check_url("HTTPS://B\u00dcCHER.example.com?a=%2f..//", LIVE, CLOSED)

    assert found.url == "https://xn--bcher-kva.example.com:443/?a=%2f..//"


def test_hyphens_in_the_third_and_fourth_place_are_fine_in_plain_names() -> None:
    assert check_url("https://r3---sn.example.com/", LIVE, CLOSED).host == "r3---sn.example.com"


def test_operator_opens_exactly_one_name() -> None:
    policy = GuardPolicy(allow_hosts=("ERP.Bank.Internal",))

    assert check_url("https://erp.bank.internal/", LIVE, policy).host == "erp.bank.internal"
    assert reason_of("https://a.erp.bank.internal/", LIVE, policy) == "host_not_public"


def test_operator_opens_a_port() -> None:
    policy = GuardPolicy(allow_ports=(9443,))

    assert check_url("https://hooks.example.com:9443/", LIVE, policy).port == 9443
    assert reason_of("https://hooks.example.com:9444/", LIVE, policy) == "port_not_allowed"


def test_operator_opens_a_network_for_addresses_in_the_sandbox() -> None:
    policy = GuardPolicy(allow_cidrs=("fd12:3456::/32",))

    assert check_url("http://[fd12:3456:0::1]/", SANDBOX, policy).host == "[fd12:3456::1]"
    assert reason_of("https://[fd12:3456::1]/", LIVE, policy) == "ip_literal_not_allowed"


@pytest.mark.parametrize("text", ["10.0.0.0/33", "10.0.0.1/8", "internal", ""])
def test_network_that_is_none_is_refused_at_start(text: str) -> None:
    with pytest.raises(InvalidSettingError) as refused:
        GuardPolicy(allow_cidrs=(text,))

    assert refused.value.field == "webhook_allow_cidrs"


@given(st.text(max_size=60) | st.from_regex(r"https?://[^/]{0,20}(/.*)?", fullmatch=True))
def test_url_is_judged_or_refused_and_what_passes_can_be_sent(url: str) -> None:
    try:
        found = check_url(url, SANDBOX, CLOSED)
    except UrlRefusedError:
        return
    target = parse_url(found.url)

    assert (target.scheme, target.host, target.port, target.target) == (
        found.scheme, found.host, found.port, found.target,
    )  # fmt: skip
    assert check_url(found.url, SANDBOX, CLOSED) == found


@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from(
        ["{0}", "{0:#x}", "0{0:o}", "{1}.{2}", "{1:#x}.{2}", "0{1:o}.{3}.{4}", "{1}.{3}.{5}.{6:#x}", "{7}."]
    ),
)
def test_no_unusual_spelling_of_an_address_passes(number: int, spelling: str) -> None:
    address = ipaddress.IPv4Address(number)
    first, second, third, fourth = address.packed
    rest = number % 2**24
    host = spelling.format(number, first, rest, second, rest % 2**16, third, fourth, address)

    with pytest.raises(UrlRefusedError):
        check_url(f"http://{host}/", SANDBOX, GuardPolicy(allow_cidrs=("0.0.0.0/0",)))


# Addresses.


@given(st.integers(0, 2**32 - 1).map(ipaddress.IPv4Address))
def test_mapped_address_is_judged_as_ipv4(address: ipaddress.IPv4Address) -> None:
    mapped = ipaddress.IPv6Address(f"::ffff:{address}")

    assert address_allowed(mapped, CLOSED) == address_allowed(address, CLOSED)


@given(st.integers(0, 2**128 - 1).map(ipaddress.IPv6Address))
def test_only_global_unicast_ipv6_passes(address: ipaddress.IPv6Address) -> None:
    if address_allowed(address, CLOSED):
        assert address.ipv4_mapped or address in ipaddress.IPv6Network("2000::/3")


@given(st.integers(0, 2**32 - 1).map(ipaddress.IPv4Address))
def test_what_the_standard_library_calls_private_never_passes(address: ipaddress.IPv4Address) -> None:
    if address.is_private or address.is_loopback or address.is_link_local or address.is_multicast:
        assert not address_allowed(address, CLOSED)


def test_scope_does_not_change_the_verdict() -> None:
    assert not address_allowed(ipaddress.ip_address("fe80::1%eth0"), CLOSED)
    assert not address_allowed(ipaddress.ip_address("fd00:ec2::254%eth0"), GuardPolicy(allow_cidrs=("::/0",)))


@pytest.mark.parametrize(
    "text",
    [
        "169.254.169.254", "fd00:ec2::254", "169.254.170.2", "169.254.170.23", "fd00:ec2::23", "fd20:ce::254",
        "100.100.100.200", "192.0.0.192", "168.63.129.16", "::ffff:169.254.169.254",
    ],
)  # fmt: skip
def test_nothing_opens_a_metadata_address(text: str) -> None:
    assert not address_allowed(ipaddress.ip_address(text), GuardPolicy(allow_cidrs=("0.0.0.0/0", "::/0")))


# Names.


async def test_denied_addresses_are_left_out_in_order() -> None:
    resolver = GuardedResolver(CLOSED, FixedResolver(["10.0.0.1", "8.8.8.8", "::ffff:1.1.1.1", "::1"]))

    assert await resolver.resolve("h", 443) == [ipaddress.ip_address("8.8.8.8"), ipaddress.ip_address("1.1.1.1")]


async def test_name_with_only_denied_addresses_is_blocked() -> None:
    with pytest.raises(SsrfBlockedError) as blocked:
        await GuardedResolver(CLOSED, FixedResolver(["127.0.0.1"])).resolve("h", 443)

    assert not blocked.value.sent


async def test_name_without_addresses_is_not_a_block() -> None:
    assert await GuardedResolver(CLOSED, FixedResolver([])).resolve("h", 443) == []


async def test_failed_lookup_stays_a_failed_lookup() -> None:
    with pytest.raises(socket.gaierror):
        await GuardedResolver(CLOSED, FixedResolver(socket.gaierror())).resolve("h", 443)


async def test_system_resolver_is_guarded_too() -> None:
    with pytest.raises(SsrfBlockedError):
        await GuardedResolver(CLOSED).resolve("localhost", 443)


# Headers.


@pytest.mark.parametrize(
    "name",
    ["Host", "Content-Type", "TRANSFER-encoding", "te", "Cookie", "Webhook-Id", "ce-type", "x y", "", "X:", "\u00e9"],
)
def test_reserved_or_malformed_header_names_are_refused(name: str) -> None:
    with pytest.raises(HeaderRefusedError) as refused:
        check_header(name, "v")

    assert refused.value.field == "headers"


@pytest.mark.parametrize("value", ["a\r\nb", "a\nb", "a\rb", "a\0b", "a\x7fb", "\u00e9"])
def test_malformed_header_values_are_refused(value: str) -> None:
    with pytest.raises(HeaderRefusedError):
        check_header("X-A", value)


@pytest.mark.parametrize("name", ["Authorization", "X-Host", "Contents", "User-Agent"])
def test_other_headers_are_free(name: str) -> None:
    check_header(name, 'a\tb; c="d"')
