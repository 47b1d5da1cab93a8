"""Random scripts for a ledger: few ids, few accounts and small amounts, so that everything collides."""

from __future__ import annotations

import msgspec
from hypothesis import strategies as st

from shanraq.ledger import Account, AccountFlags, Transfer
from shanraq.ledger import TransferFlags as F

ACCOUNTS = (
    Account(id=1, ledger=1, code=1),
    Account(id=2, ledger=1, code=1, flags=AccountFlags.DEBITS_MUST_NOT_EXCEED_CREDITS.value),
    Account(id=3, ledger=1, code=1, flags=AccountFlags.CREDITS_MUST_NOT_EXCEED_DEBITS.value),
    Account(id=4, ledger=1, code=1),
    Account(id=5, ledger=2, code=1),
    Account(id=6, ledger=1, code=1, flags=AccountFlags.CLOSED.value),
)

MAX = 2**128 - 1
_HOLDS = st.integers(1, 6)
_ANY_ID = st.integers(0, 40)
_PAIRS = st.sampled_from([(a, b) for a in (1, 2, 3, 4) for b in (1, 2, 3, 4) if a != b])
_LINKED = st.sampled_from([0, 0, 0, 0, 0, F.LINKED])
FUNDING = (Transfer(90, 1, 2, 100, ledger=1, code=1), Transfer(91, 3, 1, 100, ledger=1, code=1))

# One field of an otherwise sensible transfer, spoilt or at least unusual.
_ODDITIES: dict[str, st.SearchStrategy[int]] = {
    "id": st.one_of(_ANY_ID, st.just(MAX)),
    "debit_account_id": st.sampled_from([0, MAX, 77, 1, 2, 5, 6]),
    "credit_account_id": st.sampled_from([0, MAX, 77, 1, 3, 5, 6]),
    "amount": st.sampled_from([0, 1, 2**62, 2**63 - 1, 2**63, MAX - 1, MAX]),
    "pending_id": st.one_of(_ANY_ID, st.just(MAX)),
    "user_data_128": st.sampled_from([0, 9]),
    "user_data_64": st.sampled_from([0, 2**64 - 1]),
    "user_data_32": st.sampled_from([0, 2**32 - 1]),
    "timeout_seconds": st.sampled_from([1, 2]),
    "ledger": st.sampled_from([0, 1, 2]),
    "code": st.sampled_from([0, 1, 2]),
    "flags": st.integers(0, 1023).map(lambda flags: flags & ~F.IMPORTED),
    "timestamp": st.just(1),
}


@st.composite
def _odd(draw: st.DrawFn, sensible: Transfer) -> Transfer:
    if draw(st.integers(0, 4)):
        return sensible
    field = draw(st.sampled_from(sorted(_ODDITIES)))
    return msgspec.structs.replace(sensible, **{field: draw(_ODDITIES[field])})


@st.composite
def _moves(draw: st.DrawFn) -> Transfer:
    """A plain transfer, seldom a balancing one."""
    extra = draw(
        st.sampled_from([0] * 4 + [F.BALANCING_DEBIT, F.BALANCING_CREDIT, F.BALANCING_DEBIT | F.BALANCING_CREDIT])
    )
    amount = draw(st.one_of(st.integers(0, 30), st.just(MAX))) if extra else draw(st.integers(0, 30))
    debit, credit = draw(_PAIRS)
    flags = int(extra | draw(_LINKED))
    return draw(_odd(Transfer(draw(st.integers(10, 25)), debit, credit, amount, ledger=1, code=1, flags=flags)))


@st.composite
def _holds(draw: st.DrawFn) -> Transfer:
    """A pending transfer, seldom one that closes or balances."""
    extra = draw(st.sampled_from([0] * 6 + [F.CLOSING_DEBIT, F.CLOSING_CREDIT, F.BALANCING_DEBIT]))
    hold = Transfer(
        draw(_HOLDS),
        *draw(_PAIRS),
        draw(st.integers(0, 20)),
        timeout_seconds=draw(st.sampled_from([0, 0, 1, 3])),
        user_data_64=draw(st.sampled_from([0, 7])),
        ledger=1,
        code=1,
        flags=int(F.PENDING | extra | draw(_LINKED)),
    )
    return draw(_odd(hold))


@st.composite
def _resolutions(draw: st.DrawFn) -> Transfer:
    """A post or void, mostly of the whole amount and "as held"."""
    kind = draw(st.sampled_from([F.POST_PENDING_TRANSFER, F.VOID_PENDING_TRANSFER]))
    whole = 0 if kind is F.VOID_PENDING_TRANSFER else MAX
    resolution = Transfer(
        draw(st.integers(26, 40)),
        amount=draw(st.one_of(st.just(whole), st.just(whole), st.integers(0, 20))),
        pending_id=draw(_HOLDS),
        flags=int(kind | draw(_LINKED)),
    )
    return draw(_odd(resolution))


batches = st.lists(st.one_of(_moves(), _holds(), _resolutions()), min_size=2, max_size=8)
scripts = st.lists(st.one_of(batches, batches, batches, batches, st.integers(0, 4)), min_size=3, max_size=14).map(
    lambda steps: [list(FUNDING), *steps]
)
"""Steps of a script: a batch of transfers, or seconds to sleep."""
