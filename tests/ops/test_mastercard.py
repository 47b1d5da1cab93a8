"""Mastercard from settings: what cannot be is refused by name, and sandbox and live differ by url and credentials only."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from shanraq.core.settings import InvalidSettingError, MastercardSettings, Settings, load
from shanraq.ops.mastercard import mastercard
from shanraq.ops.role import USUAL_ROLES
from shanraq.ops.serve import running
from tests.adapters.scripted import scripted
from tests.adapters.small_gateway import SmallGateway, lose
from tests.certificates import certificate
from tests.flows.platform import Client, onboard


@pytest.fixture
def good(tmp_path: Path) -> MastercardSettings:
    (tmp_path / "password").write_text("f00dfeedf00dfeedf00dfeedf00dfeed\n")
    return MastercardSettings(
        url="https://eu-gateway.example", merchant_id="SHANRAQ1", password_file=str(tmp_path / "password")
    )


async def test_good_settings_make_an_adapter_that_shows_no_secret(good: MastercardSettings) -> None:
    adapter = mastercard("mastercard_live", good, live=True)
    shown = repr(adapter)
    await adapter.close()

    assert shown == "MastercardAdapter(Gateway(Endpoints(https://eu-gateway.example), SHANRAQ1))"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"url": "eu-gateway.example"}, "url"),
        ({"url": "http://eu-gateway.example"}, "url"),
        ({"url": "https://eu-gateway.example/api/rest"}, "url"),
        ({"url": "https://user:pass@eu-gateway.example"}, "url"),
        ({"more_urls": ("https://eu-gateway.example",)}, "more_urls"),
        ({"more_urls": ("ftp://x",)}, "more_urls"),
        ({"merchant_id": ""}, "merchant_id"),
        ({"merchant_id": "a/b"}, "merchant_id"),
        ({"merchant_id": "TESTSHANRAQ1"}, "merchant_id"),
        ({"password_file": ""}, "password_file"),
        ({"password_file": "/nowhere/password"}, "password_file"),
        ({"reporting_password_file": "/nowhere/password"}, "reporting_password_file"),
        ({"notification_secret_file": "/nowhere/secret"}, "notification_secret_file"),
        ({"notification_url": "http://shanraq.example/notices"}, "notification_url"),
        ({"certificate_file": "/nowhere/merchant.pem"}, "certificate_file"),
        ({"key_file": "/nowhere/merchant.key"}, "certificate_file"),
        ({"ca_file": "/nowhere/ca.pem"}, "ca_file"),
        ({"version": 0}, "version"),
        ({"timeout_seconds": 0.0}, "timeout_seconds"),
        ({"settle_seconds": 901.0}, "settle_seconds"),
        ({"undecided_seconds": -1.0}, "undecided_seconds"),
    ],
)
def test_a_setting_that_cannot_be_is_named(good: MastercardSettings, changes: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidSettingError) as refused:
        mastercard("mastercard_live", msgspec.structs.replace(good, **changes), live=True)

    assert refused.value.field == f"mastercard_live.{field}"


@pytest.mark.parametrize("content", [b"", b"two words", b"\xff\xfe", b"a\nb"])
def test_a_file_that_holds_no_secret_is_refused_without_being_shown(
    good: MastercardSettings, tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "password").write_bytes(content)
    with pytest.raises(InvalidSettingError) as refused:
        mastercard("mastercard_live", good, live=True)

    assert refused.value.field == "mastercard_live.password_file"
    assert "two words" not in str(refused.value)


async def test_a_sandbox_takes_test_merchants_and_plain_http(good: MastercardSettings) -> None:
    settings = msgspec.structs.replace(good, url="http://127.0.0.1:20443/", merchant_id="TESTSHANRAQ1")

    await mastercard("mastercard_sandbox", settings, live=False).close()


async def test_a_certificate_stands_for_the_password(good: MastercardSettings, tmp_path: Path) -> None:
    authority = certificate(tmp_path, "authority")
    ours = certificate(tmp_path, "merchant", authority)
    settings = msgspec.structs.replace(
        good,
        password_file="",
        certificate_file=str(ours.file),
        key_file=str(ours.key_file),
        ca_file=str(authority.file),
    )

    await mastercard("mastercard_live", settings, live=True).close()


def test_settings_come_from_the_environment() -> None:
    settings = load(
        None,
        {
            "SHANRAQ_CARD_GATEWAY": "mastercard",
            "SHANRAQ_MASTERCARD_LIVE_URL": "https://eu-gateway.example",
            "SHANRAQ_MASTERCARD_LIVE_MORE_URLS": "https://na-gateway.example, https://ap-gateway.example",
            "SHANRAQ_MASTERCARD_LIVE_MERCHANT_ID": "SHANRAQ1",
            "SHANRAQ_MASTERCARD_LIVE_POLICY": "least_connections",
            "SHANRAQ_MASTERCARD_LIVE_SETTLEMENT": "statement",
        },
    )

    assert settings.mastercard_live.more_urls == ("https://na-gateway.example", "https://ap-gateway.example")
    assert (settings.mastercard_live.policy, settings.mastercard_live.version) == ("least_connections", 100)
    assert (settings.mastercard_live.settlement, settings.mastercard_sandbox.settlement) == ("statement", "history")
    with pytest.raises(InvalidSettingError, match="settlement"):
        load(None, {"SHANRAQ_MASTERCARD_LIVE_SETTLEMENT": "paper"})
    assert settings.card_gateway == "mastercard"


async def test_a_sandbox_pays_over_mastercard_and_leaves_nothing_unknown(owner_dsn: str, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("f00dfeed")
    gateway = SmallGateway("TESTMID")
    async with scripted(gateway.answer) as server:
        settings = Settings(
            database_url=owner_dsn,
            data_dir=str(tmp_path),
            port=0,
            unsafe=True,
            log_level="error",
            card_gateway="mastercard",
            recover_after_seconds=1.0,
            recover_interval_seconds=0.1,
            mastercard_sandbox=MastercardSettings(
                url=server.base_url,
                merchant_id="TESTMID",
                password_file=str(tmp_path / "password"),
                timeout_seconds=0.5,
                settle_seconds=0.1,
                undecided_seconds=0.2,
            ),
        )
        async with running(settings, USUAL_ROLES) as now:
            client = Client.of(now.url, await onboard(now.platform.db, now.platform.keyring))
            _, account = await client.call("POST", "/v1/accounts", {"currency": "KZT"})

            async def pay(key: str, month: int, year: int, *, capture: bool = False) -> dict[str, Any]:
                _, card = await client.call(
                    "POST",
                    "/v1/payment-methods",
                    {"number": "5123450000000008", "expiry_month": month, "expiry_year": year},
                    f"card-{key}",
                )
                body = {"payment_method_id": card["id"], "account_id": account["id"], "amount": 12_345}
                _, payment = await client.call(
                    "POST", "/v1/payments", body | {"currency": "KZT", "capture": capture}, key
                )
                return dict(payment)

            async def later(payment_id: str, *statuses: str) -> dict[str, Any]:
                async with asyncio.timeout(30):
                    while True:
                        _, payment = await client.call("GET", f"/v1/payments/{payment_id}")
                        if payment["status"] in statuses:
                            return dict(payment)
                        await asyncio.sleep(0.1)

            payment = await pay("pay", 1, 2039)
            _, captured = await client.call("POST", f"/v1/payments/{payment['id']}/capture", {"amount": 10_000}, "c")
            _, refunded = await client.call("POST", f"/v1/payments/{payment['id']}/refund", {"amount": 1_000}, "r")
            sale = await pay("sale", 1, 2039, capture=True)
            _, voided = await client.call("POST", f"/v1/payments/{sale['id']}/void", {}, "v")
            async with asyncio.timeout(30):
                while (released := await later(sale["id"], "voided"))["operation"]["status"] != "succeeded":
                    await asyncio.sleep(0.1)
            declined = await pay("declined", 5, 2039)
            undecided = await pay("undecided", 5, 2037)
            gateway.troubles.append(lose(processed=True))
            answer_lost = await pay("lost", 1, 2039)
            gateway.troubles.append(lose(processed=False))
            never_arrived = await pay("never", 1, 2039)
            ended = [await later(one["id"], "authorized", "failed") for one in (undecided, answer_lost, never_arrived)]

    assert (payment["status"], captured["status"], refunded["status"]) == (
        "authorized",
        "captured",
        "partially_refunded",
    )
    assert (sale["status"], voided["status"], declined["status"]) == ("captured", "voided", "failed")
    assert [one["status"] for one in (undecided, answer_lost, never_arrived)] == ["authorizing"] * 3
    assert [one["status"] for one in ended] == ["failed", "authorized", "failed"]
    assert (released["operation"]["kind"], gateway.orders[sale["id"]].status) == ("reverse", "CANCELLED")
    assert gateway.orders[answer_lost["id"]].status == "AUTHORIZED"
    assert gateway.orders[payment["id"]].total("CAPTURE") == Decimal("100.00")
    assert gateway.orders[payment["id"]].total("REFUND") == Decimal("10.00")
