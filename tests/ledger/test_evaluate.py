"""The evaluator against the model, and the rules that the recorded scenarios do not reach."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from shanraq.ledger import Account, AccountFlags, AccountStatus, Transfer, TransferFlags, TransferStatus
from shanraq.ledger.evaluate import EXPIRY, Book, due_holds, evaluate_accounts, evaluate_transfers, expire
from tests.ledger.model import Model
from tests.ledger.scripts import ACCOUNTS, scripts

SECOND = 10**9
START = 10**18
IMPORTED = TransferFlags.IMPORTED.value


def opened(width_bits: int = 128) -> Book:
    book = Book(width_bits)
    results, _ = evaluate_accounts(book, ACCOUNTS, START)
    assert all(result.status is AccountStatus.CREATED for result in results)
    return book


def run(script: list[list[Transfer] | int], width_bits: int) -> tuple[Book, Model]:
    book, model, now = opened(width_bits), Model((1 << width_bits) - 1), START
    for account in ACCOUNTS:
        model.open(account)
    for step in script:
        now += SECOND // 1000
        if isinstance(step, int):
            now += step * SECOND
            due = due_holds(book, now)
            expire(book, due, range(1000 + now, 1000 + now + len(due)), now)
            model.expire(now)
        else:
            answers = [r.status.name.lower() for r in evaluate_transfers(book, step, now).results]
            assert answers == model.batch(step, now)
    return book, model


@pytest.mark.parametrize("width_bits", [128, 63])
@given(script=scripts)
@settings(max_examples=200, deadline=None)
def test_answers_and_balances_are_those_of_the_model(width_bits: int, script: list[list[Transfer] | int]) -> None:
    book, model = run(script, width_bits)

    balances = {
        n: (p.debits_pending, p.debits_posted, p.credits_pending, p.credits_posted, bool(p.flags & AccountFlags.CLOSED))
        for n, p in book.accounts.items()
    }
    assert balances == model.balances()
    assert {n for n, t in book.transfers.items() if not t.flags & EXPIRY} == model.transfers.keys()
    assert book.failed == model.burnt


@given(script=scripts)
@settings(max_examples=200, deadline=None)
def test_debits_equal_credits_and_no_limit_is_broken_whatever_happens(script: list[list[Transfer] | int]) -> None:
    book, _ = run(script, 63)

    positions = book.accounts.values()
    assert sum(p.debits_pending for p in positions) == sum(p.credits_pending for p in positions)
    assert sum(p.debits_posted for p in positions) == sum(p.credits_posted for p in positions)
    limited, loan = book.accounts[2], book.accounts[3]
    assert limited.debits_pending + limited.debits_posted <= limited.credits_posted
    assert loan.credits_pending + loan.credits_posted <= loan.debits_posted
    assert min(min(p.debits_pending, p.credits_pending) for p in positions) >= 0


def one(book: Book, transfer: Transfer, now: int = START + SECOND) -> TransferStatus:
    return evaluate_transfers(book, [transfer], now).results[0].status


def imported(transfer_id: int, timestamp: int, **fields: int) -> Transfer:
    flags = IMPORTED | fields.pop("flags", 0)
    return Transfer(transfer_id, 1, 4, 5, ledger=1, code=1, flags=flags, timestamp=timestamp, **fields)


def test_an_imported_transfer_keeps_its_own_time() -> None:
    book = opened()

    (result,) = evaluate_transfers(book, [imported(1, START + 5)], START + SECOND).results

    assert (result.status, result.timestamp) == (TransferStatus.CREATED, START + 5)
    assert book.transfers[1].timestamp == START + 5


def test_an_imported_transfer_must_be_newer_than_every_transfer() -> None:
    book = opened()
    assert one(book, imported(1, START + 5)) is TransferStatus.CREATED

    assert one(book, imported(2, START + 5)) is TransferStatus.IMPORTED_EVENT_TIMESTAMP_MUST_NOT_REGRESS
    assert one(book, imported(3, START + 6)) is TransferStatus.CREATED


def test_an_imported_transfer_must_not_share_the_time_of_an_account() -> None:
    book = opened()

    # The last of the six accounts was opened at START itself.
    assert one(book, imported(1, START)) is TransferStatus.IMPORTED_EVENT_TIMESTAMP_MUST_NOT_REGRESS


@pytest.mark.parametrize(
    ("debit", "credit", "status"),
    [
        (11, 12, TransferStatus.IMPORTED_EVENT_TIMESTAMP_MUST_POSTDATE_DEBIT_ACCOUNT),
        (10, 12, TransferStatus.IMPORTED_EVENT_TIMESTAMP_MUST_POSTDATE_CREDIT_ACCOUNT),
        (10, 11, TransferStatus.CREATED),
    ],
)
def test_an_imported_transfer_must_be_newer_than_its_accounts(debit: int, credit: int, status: TransferStatus) -> None:
    book = Book()
    old = [
        Account(id=n, ledger=1, code=1, flags=AccountFlags.IMPORTED.value, timestamp=at)
        for n, at in ((10, 100), (11, 200), (12, 300))
    ]
    evaluate_accounts(book, old, START)

    at = 250 if status is TransferStatus.CREATED else 150 if debit == 11 else 250
    transfer = Transfer(1, debit, credit, 5, ledger=1, code=1, flags=IMPORTED, timestamp=at)

    assert one(book, transfer) is status


def test_an_imported_hold_cannot_have_a_timeout() -> None:
    transfer = imported(1, START + 5, timeout_seconds=1, flags=TransferFlags.PENDING.value)

    assert one(opened(), transfer) is TransferStatus.IMPORTED_EVENT_TIMEOUT_MUST_BE_ZERO


def test_an_imported_post_must_not_be_older_than_the_newest_transfer() -> None:
    book = opened()
    assert one(book, imported(1, START + 5, flags=TransferFlags.PENDING.value)) is TransferStatus.CREATED
    posting = TransferFlags.POST_PENDING_TRANSFER.value | IMPORTED

    status = one(book, Transfer(2, amount=5, pending_id=1, flags=posting, timestamp=START + 5))

    assert status is TransferStatus.IMPORTED_EVENT_TIMESTAMP_MUST_NOT_REGRESS
    assert one(book, Transfer(2, amount=5, pending_id=1, flags=posting, timestamp=START + 6)) is TransferStatus.CREATED


def test_a_broken_chain_of_imports_takes_its_times_back() -> None:
    book = opened()
    linked = imported(1, START + 50, flags=TransferFlags.LINKED.value)
    broken = imported(2, START + 60, pending_id=1)
    evaluate_transfers(book, [linked, broken], START + SECOND)

    assert one(book, imported(3, START + 40)) is TransferStatus.CREATED


def test_imported_accounts_must_be_newer_than_the_accounts_before_them() -> None:
    book = Book()
    make = {n: Account(id=n, ledger=1, code=1, flags=AccountFlags.IMPORTED.value, timestamp=n * 10) for n in (1, 2, 3)}

    results, opened_now = evaluate_accounts(book, [make[2], make[1], make[3]], START)

    assert [r.status for r in results] == [
        AccountStatus.CREATED,
        AccountStatus.IMPORTED_EVENT_TIMESTAMP_MUST_NOT_REGRESS,
        AccountStatus.CREATED,
    ]
    assert [p.timestamp for p in opened_now] == [20, 30]


def test_a_timeout_beyond_the_end_of_time_is_refused() -> None:
    late = (1 << 63) - SECOND
    hold = Transfer(1, 1, 4, 5, timeout_seconds=2, ledger=1, code=1, flags=TransferFlags.PENDING.value)

    assert one(opened(), hold, late) is TransferStatus.OVERFLOWS_TIMEOUT


def test_an_account_closed_meanwhile_differs_from_the_request_that_opened_it() -> None:
    book = opened()
    closing = TransferFlags.PENDING | TransferFlags.CLOSING_DEBIT
    assert one(book, Transfer(1, 1, 4, 0, ledger=1, code=1, flags=closing.value)) is TransferStatus.CREATED

    results, _ = evaluate_accounts(book, ACCOUNTS[:1], START + 2 * SECOND)

    assert results[0].status is AccountStatus.EXISTS_WITH_DIFFERENT_FLAGS


def test_exists_carries_the_time_of_the_stored_transfer() -> None:
    book = opened()
    transfer = Transfer(1, 1, 4, 5, ledger=1, code=1)
    (created,) = evaluate_transfers(book, [transfer], START + SECOND).results

    (again,) = evaluate_transfers(book, [transfer], START + 2 * SECOND).results

    assert (again.status, again.timestamp) == (TransferStatus.EXISTS, created.timestamp)


def test_holds_expire_in_order_of_expiry_then_creation() -> None:
    book = opened()
    holds = [
        Transfer(n, 1, 4, n, timeout_seconds=timeout, ledger=1, code=1, flags=TransferFlags.PENDING.value)
        for n, timeout in ((1, 3), (2, 1), (3, 1), (4, 9))
    ]
    evaluate_transfers(book, holds, START + SECOND)

    due = due_holds(book, START + 5 * SECOND)
    entries = expire(book, due, [101, 102, 103], START + 5 * SECOND)

    assert [entry.transfer.pending_id for entry in entries] == [2, 3, 1]
    assert [entry.debit_debits_pending for entry in entries] == [8, 5, 4]


def test_only_the_seven_failures_that_depend_on_state_are_sticky() -> None:
    assert {status.value for status in TransferStatus if status.sticky} == {21, 22, 25, 54, 55, 65, 66}
    assert not any(status.retry_may_differ for status in TransferStatus if status.sticky or status.succeeded)
