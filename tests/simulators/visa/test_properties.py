"""What must hold for any input and any order of operations."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shanraq.simulators.serve import Request
from shanraq.simulators.visa.model import Kind, Refusal
from shanraq.simulators.visa.operate import Gateway
from shanraq.simulators.visa.route import Route, Verb
from shanraq.simulators.visa.store import Journal, Store
from shanraq.simulators.visa.validate import parse_body
from shanraq.simulators.visa.verify import MerchantKey, NotAuthenticError, Verifier
from shanraq.standards.jose import HmacKey
from tests.simulators.visa.client import order, payment, reversal

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)
LEAVES = [
    "clientReferenceInformation.code",
    "clientReferenceInformation.transactionId",
    "clientReferenceInformation",
    "processingInformation.capture",
    "paymentInformation.card.number",
    "paymentInformation.card.expirationMonth",
    "paymentInformation.card.expirationYear",
    "paymentInformation.card.type",
    "paymentInformation.card",
    "paymentInformation",
    "orderInformation.amountDetails.totalAmount",
    "orderInformation.amountDetails.currency",
    "orderInformation.amountDetails",
    "orderInformation.billTo.postalCode",
    "orderInformation",
]


@settings(max_examples=300, deadline=None)
@given(path=st.sampled_from(LEAVES), value=JSON, verb=st.sampled_from([Verb.AUTHORIZE, Verb.CREDIT, Verb.TIMEOUT_VOID]))
def test_any_value_in_any_field_is_accepted_or_refused_but_never_breaks(path: str, value: Any, verb: Verb) -> None:
    store = Store()
    gateway = Gateway(store, store.apply, time.time, seed=0, taken_on_502=())
    body: Any = payment()
    *outer, last = path.split(".")
    inner = body
    for name in outer:
        inner = inner[name]
    inner[last] = value

    try:
        status = gateway.operate("m", Route(verb), parse_body(json.dumps(body).encode())).status
    except Refusal as refusal:
        status = refusal.status

    assert status == 201 or 400 <= status < 500
    assert (status == 201) == bool(store.records)


@settings(max_examples=300, deadline=None)
@given(
    headers=st.dictionaries(
        st.sampled_from(["authorization", "signature", "date", "host", "digest", "v-c-merchant-id"]),
        st.text(st.characters(max_codepoint=255))
        | st.sampled_from(["Bearer a.b.c", 'keyid="k", algorithm="HmacSHA256"']),
    ),
    date=st.text(st.sampled_from("Mon, 0123456789 JanGMT:+-")),
)
def test_any_header_is_refused_but_never_breaks(headers: dict[str, str], date: str) -> None:
    verifier = Verifier([("k", MerchantKey("m", "m", HmacKey(b"secret")))], ["h"], time.time)
    labels = 'headers="host date request-target v-c-merchant-id digest"'
    dated = {
        "host": "h",
        "date": date,
        "v-c-merchant-id": "m",
        "signature": f'keyid="k", algorithm="HmacSHA256", {labels}, signature=""',
    }

    for sent in (headers, dated):
        with pytest.raises(NotAuthenticError):
            verifier.verify(Request("POST", "/", sent, b""))


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["capture", "refund", "reverse", "void", "increment"]), st.integers(0, 20), st.integers(1, 120)
    ),
    max_size=25,
)


@settings(max_examples=150, deadline=None)
@given(sale=st.booleans(), steps=STEPS)
def test_no_order_of_operations_takes_or_gives_too_much(
    tmp_path_factory: pytest.TempPathFactory, sale: bool, steps: Any
) -> None:
    file = tmp_path_factory.mktemp("journal") / "journal.jsonl"
    journal, store = Journal(file), Store()
    journal.read()

    def keep(entry: Any) -> None:
        journal.append(entry)
        store.apply(entry)

    gateway = Gateway(store, keep, time.time, seed=0, taken_on_502=())
    gateway.operate("m", Route(Verb.AUTHORIZE), parse_body(json.dumps(payment("100", sale=sale)).encode()))

    for verb, which, amount in steps:
        records = list(store.records.values())
        target = records[which % len(records)].operation
        body = {"increment": additional, "reverse": reversal}.get(verb, order)(str(amount))
        with suppress(Refusal):
            gateway.operate("m", Route(Verb(verb), target.id, target.kind), body)
        check_limits(store)
    journal.close()

    check_rebuilt(file, store)


def additional(amount: str) -> dict[str, Any]:
    body = order("1")
    body["orderInformation"]["amountDetails"] = {"additionalAmount": amount, "currency": "KZT"}
    return body


def check_limits(store: Store) -> None:
    """Sum the operations that stand, independently of what the records say is left."""
    done: dict[tuple[str, Kind], int] = defaultdict(int)
    for record in store.records.values():
        if not record.voided:
            done[record.operation.target_id, record.operation.kind] += record.operation.amount
    for identifier, record in store.records.items():
        operation = record.operation
        if operation.kind is Kind.AUTHORIZATION:
            held = operation.amount + done[identifier, Kind.INCREMENT]
            sold = operation.amount if operation.sale and not record.voided else 0
            assert sold + done[identifier, Kind.CAPTURE] + done[identifier, Kind.REVERSAL] <= held
            assert done[identifier, Kind.REFUND] <= sold
        elif operation.kind is Kind.CAPTURE:
            assert done[identifier, Kind.REFUND] <= (0 if record.voided else operation.amount)


def check_rebuilt(file: Path, store: Store) -> None:
    rebuilt = Store()
    journal = Journal(file)
    for entry in journal.read():
        rebuilt.apply(entry)
    journal.close()
    for identifier, record in store.records.items():
        other = rebuilt.records[identifier]
        for name in record.__slots__:
            assert getattr(record, name) == getattr(other, name)
