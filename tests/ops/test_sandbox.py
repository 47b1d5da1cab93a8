"""The sandbox as it comes: both simulators run in the process, and rules may send payments to either."""

from __future__ import annotations

from pathlib import Path

import pytest

from shanraq.core.actor import Environment
from shanraq.core.ids import new_id
from shanraq.core.money import Money
from shanraq.core.secret import Pan
from shanraq.core.settings import MastercardSettings, Settings
from shanraq.ops.app import open_platform
from shanraq.payments.adapter import Approved, Authorize, Capture, Card, Declined


@pytest.fixture
def settings(owner_dsn: str, tmp_path: Path) -> Settings:
    return Settings(database_url=owner_dsn, data_dir=str(tmp_path), unsafe=True, log_level="error")


async def test_both_simulators_take_payments_and_keep_them_over_a_restart(settings: Settings) -> None:
    amount, order = Money.of(10_000, "KZT"), new_id("pay")
    async with open_platform(settings) as platform:
        adapters = platform.acquiring.gateways.adapters[Environment.SANDBOX]
        assert list(adapters) == ["visa", "mastercard"]
        good, bad = (Card(Pan("5123450000000008"), month, 2039) for month in (1, 5))
        declined = await adapters["mastercard"].authorize(Authorize(new_id("att"), new_id("pay"), amount, bad))
        approved = await adapters["mastercard"].authorize(Authorize("held", order, amount, good))
        assert [type(one) for one in (declined, approved)] == [Declined, Approved]
    async with open_platform(settings) as platform:
        gateway = platform.acquiring.gateways.named(Environment.SANDBOX, "mastercard")
        captured = await gateway.capture(Capture("taken", order, "held", amount))
        assert isinstance(captured, Approved)
        assert platform.mastercard_simulator is not None
        (kept, *_) = [one for one in platform.mastercard_simulator.orders() if one["order_id"] == order]
        assert kept["captured_minor"] == amount.minor


async def test_a_merchant_that_is_set_takes_the_place_of_the_simulator(settings: Settings, tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("secret")
    merchant = MastercardSettings(url="http://127.0.0.1:9", merchant_id="TESTSHOP", password_file=str(password))
    from_settings = Settings(
        database_url=settings.database_url, data_dir=settings.data_dir, unsafe=True, log_level="error",
        mastercard_sandbox=merchant,
    )  # fmt: skip
    async with open_platform(from_settings) as platform:
        assert platform.mastercard_simulator is None
        assert platform.acquiring.gateways.named(Environment.SANDBOX, "mastercard").name == "mastercard"
