"""The benchmark of ISO 20022 measures right messages, and says what is not installed."""

from __future__ import annotations

import shutil

from shanraq.ops.bench.iso20022 import NO_XMLLINT, bench_iso20022, iban
from shanraq.standards.iso20022.identifiers import iban_fault


def test_a_run_has_figures_for_all_that_is_installed() -> None:
    lines: list[str] = []

    figures = bench_iso20022(rounds=1, small=20, large=300, report=lines.append)

    assert (figures["small"]["transactions"], figures["large"]["transactions"]) == (20, 300)
    assert figures["small"]["seconds"]["shanraq"] > 0
    assert figures["large"]["peak_mib"]["shanraq"] > 10
    has_xmllint = shutil.which("xmllint") is not None
    assert (figures["large"]["times_xmllint"] is not None) == has_xmllint
    assert (NO_XMLLINT in lines) != has_xmllint


def test_accounts_are_right() -> None:
    assert all(iban_fault(iban(number)) is None for number in (0, 1, 99_999))
