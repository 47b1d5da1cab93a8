"""Random scripts for a ledger: few ids, few accounts and small amounts, so that everything collides."""

from __future__ import annotations

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
_accounts = st.sampled_from([1, 1, 2, 2, 3, 3, 4, 4, 5, 6, 77, 0, MAX])
_amounts = st.one_of(st.integers(0, 30), st.sampled_from([0, 2**62, 2**63 - 1, 2**63, MAX]))
_extra = st.sampled_from([0, 0, 0, 0, F.BALANCING_DEBIT, F.BALANCING_CREDIT, F.BALANCING_DEBIT | F.BALANCING_CREDIT])
_closing = st.sampled_from([0, 0, 0, 0, 0, F.CLOSING_DEBIT, F.CLOSING_CREDIT])
_linked = st.sampled_from([0, 0, F.LINKED])
_ids = st.integers(0, 25)


@st.composite
def moves(draw: st.DrawFn) -> Transfer:
    """A plain or pending transfer, seldom with a fault."""
    pending = draw(st.sampled_from([0, F.PENDING]))
    flags = pending | draw(_extra) | draw(_linked) | (draw(_closing) if pending or draw(_ids) == 0 else 0)
    return Transfer(
        draw(_ids),
        draw(_accounts),
        draw(_accounts),
        draw(_amounts),
        pending_id=draw(st.sampled_from([0] * 12 + [3])),
        user_data_128=draw(st.sampled_from([0, 0, 0, 9])),
        user_data_64=draw(st.sampled_from([0, 0, 0, 2**64 - 1])),
        user_data_32=draw(st.sampled_from([0, 0, 0, 2**32 - 1])),
        timeout_seconds=draw(st.sampled_from([0, 0, 1, 3])) if pending or draw(_ids) == 0 else 0,
        ledger=draw(st.sampled_from([1] * 10 + [2, 0])),
        code=draw(st.sampled_from([1] * 10 + [2, 0])),
        flags=int(flags),
    )


@st.composite
def resolutions(draw: st.DrawFn) -> Transfer:
    """A post or void, mostly "as held"."""
    kind = draw(st.sampled_from([F.POST_PENDING_TRANSFER, F.VOID_PENDING_TRANSFER]))
    odd = draw(
        st.sampled_from([0] * 20 + [F.POST_PENDING_TRANSFER, F.VOID_PENDING_TRANSFER, F.PENDING, F.CLOSING_DEBIT])
    )
    return Transfer(
        draw(_ids),
        draw(st.sampled_from([0] * 8 + [1, 2])),
        draw(st.sampled_from([0] * 8 + [3, 4])),
        draw(st.one_of(st.sampled_from([0, MAX, MAX]), st.integers(0, 30))),
        pending_id=draw(_ids),
        user_data_64=draw(st.sampled_from([0, 0, 0, 5])),
        timeout_seconds=draw(st.sampled_from([0] * 20 + [1])),
        ledger=draw(st.sampled_from([0] * 8 + [1, 2])),
        code=draw(st.sampled_from([0] * 8 + [1, 2])),
        flags=int(kind | odd | draw(_linked)),
    )


batches = st.lists(st.one_of(moves(), moves(), resolutions()), min_size=1, max_size=8)
sleeps = st.integers(0, 4)
scripts = st.lists(st.one_of(batches, batches, batches, sleeps), max_size=12)
"""Steps of a script: a batch of transfers, or seconds to sleep."""
