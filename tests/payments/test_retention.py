"""Card numbers that nobody needs any more are destroyed, and only these."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest

from shanraq import payments
from shanraq.core.actor import SYSTEM
from shanraq.core.page import PageRequest
from shanraq.core.secret import Pan
from tests.payments.conftest import Shop

KEEP = payments.CardRetention(after_expiry=None, after_last_use=None)


async def _card(shop: Shop, month: int, year: int) -> str:
    new = payments.NewCard(expiry_month=month, expiry_year=year)
    return (
        await payments.tokenize(shop.bank.db, shop.acquiring.keyring, shop.bank.actor, Pan("4111111111111111"), new)
    ).value.id


async def _sealed(shop: Shop) -> set[str]:
    async with shop.bank.db.begin(SYSTEM) as tx:
        return {row["id"] for row in await tx.rows("SELECT id FROM payment_method WHERE pan_sealed IS NOT NULL")}


async def test_a_number_goes_when_its_card_has_been_expired_for_the_time_set(shop: Shop) -> None:
    now = shop.bank.db.clock()
    soon = await _card(shop, now.month, now.year)
    retention = payments.CardRetention(after_expiry=timedelta(days=90))

    assert await payments.purge_cards(shop.bank.db, retention) == 0
    shop.later(60 * 86400)
    assert await payments.purge_cards(shop.bank.db, retention) == 0
    shop.later(70 * 86400)
    assert await payments.purge_cards(shop.bank.db, KEEP) == 0
    assert await payments.purge_cards(shop.bank.db, retention) == 1

    assert await _sealed(shop) == {shop.card.id}
    gone = await payments.find_payment_method(shop.bank.db, shop.bank.actor, soon)
    assert (gone.status, gone.masked) == ("deleted", "411111xxxxxx1111")
    async with shop.bank.db.begin(SYSTEM) as tx:
        why = await tx.value("SELECT details FROM audit_entry WHERE action = 'payment_method.purged'")
    assert msgspec.json.decode(why) == {"reason": "expired"}
    assert await payments.purge_cards(shop.bank.db, retention) == 0


async def test_a_number_goes_when_it_was_not_used_for_the_time_set(shop: Shop) -> None:
    unused = await _card(shop, 12, 2040)
    retention = payments.CardRetention(after_last_use=timedelta(days=30))
    shop.later(20 * 86400)
    await shop.captured()
    shop.later(15 * 86400)

    assert await payments.purge_cards(shop.bank.db, retention) == 1

    assert await _sealed(shop) == {shop.card.id}
    with pytest.raises(payments.PaymentMethodNotFoundError):
        new = payments.NewPayment(payment_method_id=unused, account_id=shop.account.id, amount=5, currency="KZT")
        await payments.authorize(shop.acquiring, shop.bank.actor, "k", new)


async def test_a_card_with_money_that_can_still_be_captured_stays(shop: Shop) -> None:
    await shop.authorized()
    shop.later(400 * 86400)

    assert await payments.purge_cards(shop.bank.db, payments.CardRetention(after_last_use=timedelta(days=30))) == 0


TEXTS = [
    "4111111111111111", "A4111111111111111Z", "card 4111 1111 1111 1111!", "4111-1111-1111-1111",
    "5555555555554444", "378282246310005",
]  # fmt: skip


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("field", ["reference", "description", "metadata"])
async def test_a_card_number_in_a_text_is_refused_and_nothing_is_sent(shop: Shop, text: str, field: str) -> None:
    plain = payments.NewPayment(payment_method_id=shop.card.id, account_id=shop.account.id, amount=5, currency="KZT")
    new = msgspec.structs.replace(plain, **{field: {"note": text} if field == "metadata" else text})

    with pytest.raises(payments.CardDataInTextError) as caught:
        await payments.authorize(shop.acquiring, shop.bank.actor, "k", new)

    assert (caught.value.field or "").startswith(field)
    assert text not in f"{caught.value} {caught.value.field}"
    assert not (await payments.list_payments(shop.bank.db, shop.bank.actor, PageRequest())).items


async def test_the_key_of_metadata_is_not_repeated_when_it_is_the_number(shop: Shop) -> None:
    new = payments.NewCard(expiry_month=1, expiry_year=2040, metadata={"4111111111111111": "x"})

    with pytest.raises(payments.CardDataInTextError) as caught:
        await payments.tokenize(shop.bank.db, shop.acquiring.keyring, shop.bank.actor, Pan("4111111111111111"), new)

    assert caught.value.field == "metadata"


@pytest.mark.parametrize(
    "text", ["4111111111111112", "1234567890128", "411111.1111111111", "KZ86125KZT5004100100", "9999999999999995"]
)
async def test_other_numbers_are_texts_like_any(shop: Shop, text: str) -> None:
    new = payments.NewPayment(
        payment_method_id=shop.card.id, account_id=shop.account.id, amount=5, currency="KZT", reference=text,
        metadata={"note": text},
    )  # fmt: skip

    assert (await payments.authorize(shop.acquiring, shop.bank.actor, "k", new)).value.reference == text
