"""The guard against recorded URLs, DNS answers and redirects. No connection leaves loopback: the connector is a fake."""

from __future__ import annotations

import asyncio
import csv
import ipaddress
import json
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from shanraq.core.actor import Environment
from shanraq.core.http import Address, HttpClient, HttpError, Request, Response, unmapped
from shanraq.webhooks.guard import (
    GuardedResolver,
    GuardPolicy,
    HeaderRefusedError,
    UrlRefusedError,
    address_allowed,
    check_header,
    check_url,
)
from shanraq.webhooks.outcome import error_of
from tests.conformance.data import conformance_data
from tests.core.http_peers import CLOSED, Authority, answering, serving

Case = dict[str, Any]


def rows(name: str) -> list[Case]:
    return [json.loads(line) for line in conformance_data(f"webhooks/{name}.jsonl").read_text().splitlines()]


def cases(*phases: str) -> list[Any]:
    return [pytest.param(case, id=case["id"]) for case in rows("ssrf_cases") if case["phase"] in phases]


def policy_of(case: Case) -> GuardPolicy:
    return GuardPolicy(
        tuple(case.get("allow_hosts", ())), tuple(case.get("allow_cidrs", ())), tuple(case.get("allow_ports", ()))
    )


@dataclass
class ScriptedResolver:
    """Gives the recorded answers one after the other."""

    answers: Iterator[Any]
    lookups: int = 0

    async def resolve(self, host: str, port: int) -> Sequence[Address]:
        self.lookups += 1
        match next(self.answers):
            case "NXDOMAIN":
                raise socket.gaierror(socket.EAI_NONAME, "no such name")
            case "SERVFAIL":
                raise socket.gaierror(socket.EAI_AGAIN, "try again")
            case "TIMEOUT":
                raise TimeoutError
            case addresses:
                return [ipaddress.ip_address(text) for text in addresses]


@dataclass
class LoopbackConnector:
    """Writes down which address was asked for, and leads to a server on loopback instead."""

    port: int
    peername: str | None = None
    asked: list[Address] = field(default_factory=list)

    async def connect(self, address: Address, port: int) -> tuple[socket.socket, Address]:
        self.asked.append(address)
        connected = socket.socket()
        connected.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connected, ("127.0.0.1", self.port))
        return connected, ipaddress.ip_address(self.peername) if self.peername else address


@dataclass
class Bench:
    """A client under guard, its fakes, and the URL to call."""

    client: HttpClient
    resolver: ScriptedResolver
    connector: LoopbackConnector
    url: str

    async def call(self) -> Response | HttpError:
        try:
            return await self.client.send(Request("POST", self.url, (), b"{}"), timeout_seconds=5)
        except HttpError as error:
            return error


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(Path(tmp_path_factory.mktemp("authority")))


async def bench_of(case: Case, port: int, authority: Authority) -> Bench:
    policy = policy_of(case)
    resolver = ScriptedResolver(iter(case["answers"]))
    connector = LoopbackConnector(port, case.get("peername"))
    client = HttpClient(tls=authority.client_tls(), resolver=GuardedResolver(policy, resolver), connector=connector)
    return Bench(client, resolver, connector, check_url(case["url"], Environment(case["env"]), policy).url)


@pytest.mark.parametrize("case", cases("save"))
def test_url_is_judged_by_its_text(case: Case) -> None:
    environment, policy = Environment(case["env"]), policy_of(case)
    if case["expect"] == "deny":
        with pytest.raises(UrlRefusedError) as refused:
            check_url(case["url"], environment, policy)
        assert (refused.value.reason, refused.value.field) == (case["reason"], "url")
    else:
        found = check_url(case["url"], environment, policy)
        parts = {"scheme": found.scheme, "host": found.host, "port": found.port, "target": found.target}
        assert parts == case["normalized"]


@pytest.mark.parametrize("case", cases("connect", "response"))
async def test_only_permitted_addresses_are_connected_to(case: Case, authority: Authority) -> None:
    answer = CLOSED
    if "response" in case:
        status, location = case["response"]["status"], case["response"]["location"]
        answer = f"HTTP/1.1 {status} X\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()
    host = check_url(case["url"], Environment(case["env"]), policy_of(case)).host
    tls = authority.server_tls(host) if case["url"].startswith("https") else None
    async with serving(answering(answer), tls=tls) as server:
        bench = await bench_of(case, server.port, authority)
        for number, expected in enumerate(case["connections"]):
            bench.connector.asked.clear()
            bench.resolver.lookups = 0

            result = await bench.call()

            assert bench.resolver.lookups == 1
            if expected["expect"] == "allow":
                assert isinstance(result, Response), (number, result)
                permitted = {unmapped(ipaddress.ip_address(text)) for text in expected["connect_any_of"]}
                assert {unmapped(address) for address in bench.connector.asked} <= permitted
                assert len(bench.connector.asked) == 1
            else:
                assert isinstance(result, HttpError), (number, result)
                assert (result.error_code, result.sent) == (expected["reason"], False)
                assert len(bench.connector.asked) == ("peername" in case)
                assert not server.requests
            if "response" in case:
                assert isinstance(result, Response)
                assert error_of(result.status) == case["error_code"]
                assert server.connections == case["max_connections"]
            server.requests.clear()
        await bench.client.close()


def test_denied_networks_are_denied_from_end_to_end() -> None:
    with conformance_data("webhooks/ssrf_deny_networks.csv").open() as file:
        texts = [row["network"] for row in csv.DictReader(file)]
    networks = [ipaddress.ip_network(text) for text in texts if not text.startswith("!")]

    allowed = [
        network
        for network in networks
        if address_allowed(network[0], GuardPolicy()) or address_allowed(network[-1], GuardPolicy())
    ]

    assert len(networks) == len(texts) - 1
    assert allowed == []


@pytest.mark.parametrize("case", [pytest.param(case, id=case["id"]) for case in rows("endpoint_headers")])
def test_own_headers_of_an_endpoint(case: Case) -> None:
    if case["expect"] == "accept":
        check_header(case["name"], case["value"])
    else:
        with pytest.raises(HeaderRefusedError):
            check_header(case["name"], case["value"])
