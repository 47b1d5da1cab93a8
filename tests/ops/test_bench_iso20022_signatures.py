"""The benchmark of signatures has a row for each message, key and operation, and its messages are what they are called."""

from __future__ import annotations

from shanraq.ops.bench.iso20022_signatures import bench_signatures, message
from shanraq.standards import iso20022
from shanraq.standards.iso20022.signatures.body import is_canonical


def test_a_run_has_a_row_for_each_thing_with_a_ratio() -> None:
    rows = bench_signatures(rounds=1, transactions=3)

    assert {(row.key, row.operation) for row in rows} == {
        (key, operation)
        for key in ("RSA-2048", "P-256")
        for operation in ("sign", "verify", "verify what xmlsec signed")
    }
    assert len(rows) == 4 * 2 * 3
    assert all(row.times_xmlsec is not None and row.milliseconds > 0 for row in rows)


def test_the_message_is_a_canonical_pacs_008() -> None:
    data = message(2)

    assert is_canonical(data)
    assert str(iso20022.identify(iso20022.parse(data)).message_id) == "pacs.008.001.08"
