"""Card hosts from settings: what cannot be is refused by name, and the sandbox pays over the built-in host."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from shanraq.core.crypto import Keyring
from shanraq.core.db import Database
from shanraq.core.http import Request
from shanraq.core.settings import CardHostSettings, InvalidSettingError, Settings, load
from shanraq.ops.card_host import card_host
from shanraq.ops.host_queue import read_queue, retry_queued
from shanraq.ops.role import Role
from shanraq.ops.serve import running
from tests.flows.platform import Client, onboard


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"addresses": ("localhost",)}, "addresses"),
        ({"addresses": (":1",)}, "addresses"),
        ({"addresses": ("localhost:0",)}, "addresses"),
        ({"addresses": ("localhost:x",)}, "addresses"),
        ({"layout": "no such layout"}, "layout"),
        ({"layout": "ipm_ascii"}, "layout"),
        ({"layout": "unionpay_pos"}, "header"),
        ({"framing": "morse"}, "framing"),
        ({"tpdu": "6000"}, "framing"),
        ({"tpdu": "zz"}, "tpdu"),
        ({"matching_key": (11,)}, "matching_key"),
        ({"matching_key": (2, 11)}, "matching_key"),
        ({"sign_on": "1"}, "sign_on"),
        ({"echo": "abc"}, "echo"),
        ({"tls": True, "tls_ca_file": "nowhere.pem"}, "tls"),
        ({"mac_key_file": "nowhere.key"}, "mac_key_file"),
    ],
)
async def test_a_setting_that_cannot_be_is_named(database: Database, changes: dict[str, Any], field: str) -> None:
    settings = msgspec.structs.replace(CardHostSettings(addresses=("127.0.0.1:9",)), **changes)

    with pytest.raises(InvalidSettingError) as refused:
        card_host("card_host_sandbox", settings, database, Keyring.generate())

    assert refused.value.field == f"card_host_sandbox.{field}"


async def test_a_key_that_is_none_is_refused(database: Database, tmp_path: Path) -> None:
    for text in ("", "zz", "00" * 5):
        (tmp_path / "mac.key").write_text(text)
        settings = CardHostSettings(addresses=("127.0.0.1:9",), mac_key_file=str(tmp_path / "mac.key"))

        with pytest.raises(InvalidSettingError) as refused:
            card_host("card_host_live", settings, database, Keyring.generate())

        assert refused.value.field == "card_host_live.mac_key_file"


def test_settings_come_from_the_environment() -> None:
    settings = load(
        None,
        {
            "SHANRAQ_CARD_GATEWAY": "card_host",
            "SHANRAQ_CARD_HOST_LIVE_ADDRESSES": "one.example:8583, two.example:8583",
            "SHANRAQ_CARD_HOST_LIVE_MATCHING_KEY": "11,41,42",
            "SHANRAQ_CARD_HOST_LIVE_TLS": "true",
        },
    )

    assert settings.card_host_live.addresses == ("one.example:8583", "two.example:8583")
    assert settings.card_host_live.matching_key == (11, 41, 42)
    assert settings.card_host_live.tls


async def test_a_sandbox_pays_over_the_built_in_host(owner_dsn: str, tmp_path: Path) -> None:
    settings = Settings(
        database_url=owner_dsn, data_dir=str(tmp_path), port=0, unsafe=True, log_level="error", card_gateway="card_host"
    )
    async with running(settings, frozenset(Role)) as now:
        assert now.platform.host_simulator is not None
        client = Client.of(now.url, await onboard(now.platform.db, now.platform.keyring))
        _, account = await client.call("POST", "/v1/accounts", {"currency": "KZT"})
        _, card = await client.call(
            "POST",
            "/v1/payment-methods",
            {"number": "5555555555554444", "expiry_month": 12, "expiry_year": 2031},
            "card",
        )
        body = {"payment_method_id": card["id"], "account_id": account["id"], "amount": 12_345, "currency": "KZT"}
        _, payment = await client.call("POST", "/v1/payments", body, "pay")
        _, captured = await client.call("POST", f"/v1/payments/{payment['id']}/capture", {"amount": 10_000}, "capture")
        _, refunded = await client.call("POST", f"/v1/payments/{payment['id']}/refund", {"amount": 1_000}, "refund")
        (host,) = now.platform.card_hosts
        while (await host.backlog()).waiting:
            await host.forward()
        standings = list(now.platform.host_simulator.standings().values())
        metrics = (await client.http.send(Request("GET", f"{now.url}/metrics"), 5.0)).body.decode()

    assert (payment["status"], captured["status"], refunded["status"]) == (
        "authorized",
        "captured",
        "partially_refunded",
    )
    assert [(one.captured, one.refunded, one.held) for one in standings] == [(10_000, 1_000, 0)]
    assert "shanraq_card_host_connections" in metrics
    assert "5555555555554444" not in (tmp_path / "simulators" / "card-host.jsonl").read_text()


async def test_the_queue_is_read_and_an_unknown_number_is_told(owner_dsn: str, tmp_path: Path) -> None:
    settings = Settings(database_url=owner_dsn, data_dir=str(tmp_path), unsafe=True)

    assert await read_queue(settings, 10, lambda _: None) == []
    assert not await retry_queued(settings, 1, lambda _: None)
