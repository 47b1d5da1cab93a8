"""A second ledger, small and slow, written from the rules alone, to compare the real one with.

State is plain dictionaries; a chain works on a deep copy that is kept or thrown away. Statuses are names.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field

from shanraq.ledger import Account, Transfer

MAX = 2**128 - 1
LINKED, PENDING, POST, VOID, BALANCING_DEBIT, BALANCING_CREDIT, CLOSING_DEBIT, CLOSING_CREDIT, IMPORTED = (
    1 << bit for bit in range(9)
)
STICKY = {
    "debit_account_not_found", "credit_account_not_found", "pending_transfer_not_found", "exceeds_credits",
    "exceeds_debits", "debit_account_already_closed", "credit_account_already_closed",
}  # fmt: skip
FIELDS = (
    "debit_account_id", "credit_account_id", "amount", "user_data_128", "user_data_64", "user_data_32", "ledger", "code",
)  # fmt: skip


@dataclass
class Model:
    """A book: `limit` is the largest amount and sum."""

    limit: int = MAX
    accounts: dict[int, dict[str, int]] = field(default_factory=dict)
    transfers: dict[int, dict[str, int]] = field(default_factory=dict)
    fate: dict[int, str] = field(default_factory=dict)
    burnt: set[int] = field(default_factory=set)

    def open(self, account: Account) -> None:
        self.accounts[account.id] = {
            "ledger": account.ledger, "closed": bool(account.flags & 32), "debit_limit": bool(account.flags & 2),
            "credit_limit": bool(account.flags & 4), "dp": 0, "dd": 0, "cp": 0, "cc": 0,
        }  # fmt: skip

    def balances(self) -> dict[int, tuple[int, int, int, int, bool]]:
        return {n: (a["dp"], a["dd"], a["cp"], a["cc"], bool(a["closed"])) for n, a in self.accounts.items()}

    def batch(self, events: Sequence[Transfer], now: int) -> list[str]:
        """Take a batch of transfers that are not imported, committed at `now`; return the names of the statuses."""
        answers: list[str] = []
        position = 0
        while position < len(events):
            length = 1
            while events[position + length - 1].flags & LINKED and position + length < len(events):
                length += 1
            chain = events[position : position + length]
            first = now - len(events) + position + 1
            if length == 1 and not chain[0].flags & LINKED:
                answers.append(self.single(chain[0], first))
            else:
                answers += self.chain(chain, first)
            position += length
        return answers

    def single(self, event: Transfer, now: int) -> str:
        answer = self.judge(event, now)
        if answer in STICKY:
            self.burnt.add(event.id)
        return answer

    def chain(self, chain: Sequence[Transfer], first: int) -> list[str]:
        trial = copy.deepcopy(self)
        open_end = bool(chain[-1].flags & LINKED)
        for index, event in enumerate(chain):
            last_open = open_end and index == len(chain) - 1
            answer = "linked_event_chain_open" if last_open else trial.judge(event, first + index)
            if answer != "created":
                answers = ["linked_event_failed"] * len(chain)
                if open_end:
                    answers[-1] = "linked_event_chain_open"
                answers[index] = answer
                if answer in STICKY:
                    self.burnt.add(event.id)
                return answers
        self.__dict__.update(trial.__dict__)
        return ["created"] * len(chain)

    def judge(self, t: Transfer, now: int) -> str:
        if t.timestamp:
            return "timestamp_must_be_zero"
        if t.flags >= 512:
            return "reserved_flag"
        if t.id in (0, MAX):
            return "id_must_not_be_zero" if t.id == 0 else "id_must_not_be_int_max"
        if t.id in self.transfers:
            return self.same(t, self.transfers[t.id])
        if t.id in self.burnt:
            return "id_already_failed"
        return self.finish(t, now) if t.flags & (POST | VOID) else self.start(t, now)

    def same(self, t: Transfer, old: dict[str, int]) -> str:
        wanted = {name: getattr(t, name) for name in FIELDS}
        if t.flags & (POST | VOID) and (t.flags, t.pending_id) == (old["flags"], old["pending_id"]):
            held = self.transfers[t.pending_id]
            whole = t.amount == (0 if t.flags & VOID else MAX)
            wanted = {name: value or held[name] for name, value in wanted.items()}
            wanted["amount"] = held["amount"] if whole else t.amount
        if t.flags & (BALANCING_DEBIT | BALANCING_CREDIT) and t.amount >= old["amount"]:
            wanted["amount"] = old["amount"]
        wanted |= {"flags": t.flags, "pending_id": t.pending_id, "timeout": t.timeout_seconds}
        for name in ("flags", "pending_id", "timeout", *FIELDS):
            if wanted[name] != old[name]:
                return f"exists_with_different_{name}"
        return "exists"

    def start(self, t: Transfer, now: int) -> str:
        for side, number in (("debit", t.debit_account_id), ("credit", t.credit_account_id)):
            if number == 0:
                return f"{side}_account_id_must_not_be_zero"
            if number == MAX:
                return f"{side}_account_id_must_not_be_int_max"
        pending = bool(t.flags & PENDING)
        for wrong, answer in (
            (t.debit_account_id == t.credit_account_id, "accounts_must_be_different"),
            (t.pending_id, "pending_id_must_be_zero"),
            (t.timeout_seconds and not pending, "timeout_reserved_for_pending_transfer"),
            (t.flags & (CLOSING_DEBIT | CLOSING_CREDIT) and not pending, "closing_transfer_must_be_pending"),
            (t.ledger == 0, "ledger_must_not_be_zero"),
            (t.code == 0, "code_must_not_be_zero"),
            (t.debit_account_id not in self.accounts, "debit_account_not_found"),
            (t.credit_account_id not in self.accounts, "credit_account_not_found"),
        ):
            if wrong:
                return answer
        d, c = self.accounts[t.debit_account_id], self.accounts[t.credit_account_id]
        amount = t.amount
        if t.flags & BALANCING_DEBIT:
            amount = min(amount, max(0, d["cc"] - d["dd"] - d["dp"]))
        if t.flags & BALANCING_CREDIT:
            amount = min(amount, max(0, c["dd"] - c["cc"] - c["cp"]))
        for wrong, answer in (
            (d["ledger"] != c["ledger"], "accounts_must_have_the_same_ledger"),
            (t.ledger != d["ledger"], "transfer_must_have_the_same_ledger_as_accounts"),
            (d["closed"], "debit_account_already_closed"),
            (c["closed"], "credit_account_already_closed"),
            (pending and d["dp"] + amount > self.limit, "overflows_debits_pending"),
            (pending and c["cp"] + amount > self.limit, "overflows_credits_pending"),
            (d["dd"] + amount > self.limit, "overflows_debits_posted"),
            (c["cc"] + amount > self.limit, "overflows_credits_posted"),
            (d["dp"] + d["dd"] + amount > self.limit, "overflows_debits"),
            (c["cp"] + c["cc"] + amount > self.limit, "overflows_credits"),
            (now + t.timeout_seconds * 10**9 >= 2**63, "overflows_timeout"),
            (d["debit_limit"] and d["dp"] + d["dd"] + amount > d["cc"], "exceeds_credits"),
            (c["credit_limit"] and c["cp"] + c["cc"] + amount > c["dd"], "exceeds_debits"),
        ):
            if wrong:
                return answer
        d["dp" if pending else "dd"] += amount
        c["cp" if pending else "cc"] += amount
        d["closed"] = d["closed"] or bool(t.flags & CLOSING_DEBIT)
        c["closed"] = c["closed"] or bool(t.flags & CLOSING_CREDIT)
        self.store(t, now, amount=amount)
        return "created"

    def finish(self, t: Transfer, now: int) -> str:
        if t.flags & ~(POST | VOID | LINKED) or t.flags & (POST | VOID) == POST | VOID:
            return "flags_are_mutually_exclusive"
        for wrong, answer in (
            (t.pending_id == 0, "pending_id_must_not_be_zero"),
            (t.pending_id == MAX, "pending_id_must_not_be_int_max"),
            (t.pending_id == t.id, "pending_id_must_be_different"),
            (t.timeout_seconds, "timeout_reserved_for_pending_transfer"),
            (t.pending_id not in self.transfers, "pending_transfer_not_found"),
        ):
            if wrong:
                return answer
        held = self.transfers[t.pending_id]
        if not held["flags"] & PENDING:
            return "pending_transfer_not_pending"
        for name in ("debit_account_id", "credit_account_id", "ledger", "code"):
            if getattr(t, name) not in (0, held[name]):
                return f"pending_transfer_has_different_{name}"
        amount = held["amount"] if t.amount == (0 if t.flags & VOID else MAX) else t.amount
        d, c = self.accounts[held["debit_account_id"]], self.accounts[held["credit_account_id"]]
        for wrong, answer in (
            (amount > held["amount"], "exceeds_pending_transfer_amount"),
            (t.flags & VOID and amount < held["amount"], "pending_transfer_has_different_amount"),
            (t.pending_id in self.fate, f"pending_transfer_{self.fate.get(t.pending_id)}"),
            (self.is_late(held, now), "pending_transfer_expired"),
            (t.flags & POST and d["closed"], "debit_account_already_closed"),
            (t.flags & POST and c["closed"], "credit_account_already_closed"),
        ):
            if wrong:
                return answer
        self.release(held)
        if t.flags & POST:
            d["dd"] += amount
            c["cc"] += amount
        else:
            self.reopen(held)
        self.fate[t.pending_id] = "already_posted" if t.flags & POST else "already_voided"
        inherited = {name: getattr(t, name) or held[name] for name in FIELDS}
        self.store(t, now, **{**inherited, "amount": amount})
        return "created"

    def expire(self, now: int) -> None:
        for number, held in self.transfers.items():
            if held["flags"] & PENDING and number not in self.fate and self.is_late(held, now):
                self.release(held)
                self.reopen(held)
                self.fate[number] = "expired"

    def is_late(self, held: dict[str, int], now: int) -> bool:
        return held["timeout"] > 0 and held["timestamp"] + held["timeout"] * 10**9 <= now

    def release(self, held: dict[str, int]) -> None:
        self.accounts[held["debit_account_id"]]["dp"] -= held["amount"]
        self.accounts[held["credit_account_id"]]["cp"] -= held["amount"]

    def reopen(self, held: dict[str, int]) -> None:
        for side, flag in (("debit", CLOSING_DEBIT), ("credit", CLOSING_CREDIT)):
            if held["flags"] & flag:
                self.accounts[held[f"{side}_account_id"]]["closed"] = False

    def store(self, t: Transfer, now: int, **changed: int) -> None:
        self.transfers[t.id] = {
            **{name: getattr(t, name) for name in FIELDS}, "pending_id": t.pending_id, "flags": t.flags,
            "timeout": t.timeout_seconds, "timestamp": now, **changed,
        }  # fmt: skip
