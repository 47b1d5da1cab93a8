"""A payment that is forestalled is never made, and one that was made is found."""

from __future__ import annotations

import asyncio

import pytest

from shanraq import payments
from shanraq.core.errors import ShanraqError
from tests.payments.conftest import Shop


async def test_what_is_forestalled_is_refused_whenever_it_comes(shop: Shop) -> None:
    forestalled = await payments.forestall(shop.bank.db, shop.bank.actor, "auth")
    refusals = []
    for _ in range(2):
        with pytest.raises(ShanraqError) as refused:
            await shop.authorize()
        refusals.append(refused.value.status)

    assert forestalled is None
    assert refusals == [422, 422]
    assert await payments.forestall(shop.bank.db, shop.bank.actor, "auth") is None
    assert await shop.balance() == (0, 0, 0)


async def test_what_was_made_already_is_found(shop: Shop) -> None:
    payment = await shop.authorized()

    assert await payments.forestall(shop.bank.db, shop.bank.actor, "auth") == payment.id


async def test_at_the_same_time_one_of_them_wins(shop: Shop) -> None:
    for number in range(20):
        key = f"race-{number}"
        made, forestalled = await asyncio.gather(
            shop.authorize(key=key),
            payments.forestall(shop.bank.db, shop.bank.actor, key),
            return_exceptions=True,
        )

        assert not isinstance(forestalled, BaseException)
        if isinstance(made, BaseException):
            assert isinstance(made, ShanraqError)
            assert forestalled is None
        else:
            assert forestalled == made.value.id
