"""A message that is read piece by piece has the findings of the whole: code, place, line, severity, reason."""

from __future__ import annotations

import io
import random
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree

from shanraq.standards import iso20022
from shanraq.standards.iso20022.rules.check import NAMESPACE
from tests.standards.iso20022.messages import MESSAGES, PAIN_001, PAIN_008, envelope

NOW = datetime(2026, 3, 2, 10, tzinfo=UTC)
PROFILES: list[tuple[str, dict[str, Any]]] = [
    ("iso", {}),
    ("cbpr+", {"charset": "x"}),
    ("kz", {"purpose_code": {"path": ["Purp", "Prtry"], "required": True}, "holidays": ["2026-03-03"]}),
    ("sepa", {"reject_needs_reason": True}),
]
# What repeats in each message: blocks, transactions, details.
REPEATED = (
    "PmtInf", "CdtTrfTxInf", "DrctDbtTxInf", "Stmt", "Ntfctn", "Ntry", "NtryDtls", "TxDtls", "TxInfAndSts", "TxInf",
    "OrgnlPmtInfAndSts", "OrgnlPmtInfAndRvsl", "Undrlyg", "CxlDtls",
)  # fmt: skip
STORE = [envelope(name).encode() for name in ("pain.001.001.09", "pacs.008.001.08", "camt.056.001.08")]


def assert_same(data: bytes, profile: str = "iso", options: dict[str, Any] | None = None) -> None:
    chosen: dict[str, Any] = {"profile": profile, "options": options or {}, "as_of": NOW, "store": STORE}

    whole = iso20022.validate(data, **chosen)
    pieces = iso20022.validate_stream(io.BytesIO(data), **chosen)

    told = set(pieces.findings)
    if "too_many_findings" in {found.code for found in told}:
        assert {found for found in told if found.code != "too_many_findings"} < set(whole.findings)
    else:
        assert told == set(whole.findings)


def mutate(name: str, seed: int) -> bytes:
    """Return a message with parts repeated, values changed, elements dropped, moved, doubled, commented."""
    dice = random.Random(seed)
    root = etree.fromstring(envelope(name))
    for _ in range(dice.randint(1, 6)):
        parts = list(root.iter(*(f"{{*}}{part}" for part in REPEATED)))
        if not parts:
            break
        chosen = dice.choice(parts)
        for _ in range(dice.choice((1, 1, 2, 3, 130 if dice.random() < 0.2 else 2))):
            chosen.addnext(etree.fromstring(etree.tostring(chosen, with_tail=False)))
        if len(list(root.iter("*"))) > 20_000:
            break
    for _ in range(dice.randint(0, 8)):
        elements = list(root.iter("{urn:iso:std:iso:20022:tech:xsd:" + name + "}*"))[2:]
        one, other = dice.choice(elements), dice.choice(elements)
        match dice.randrange(9):
            case 0 if one.text and not len(one):
                one.text = dice.choice(["", "1", "+1", "NARR", "RJCT", "KZ", "2026-03-07", "X" * 300, "Ж", " 5 "])
            case 1 if (parent := one.getparent()) is not None and len(parent) > 1:
                parent.remove(one)
            case 2:
                one.append(etree.fromstring(etree.tostring(one, with_tail=False)))
            case 3 if one.getparent() is not None and one not in other.iterancestors():
                other.addprevious(one)
            case 4:
                one.tail = "text" if dice.random() < 0.3 else "\n\n"
            case 5 if dice.random() < 0.3:
                one.addprevious(etree.Comment("between"))
            case 6 if one.get("Ccy"):
                one.set("Ccy", dice.choice(["USD", "XAU", "QQQ", "BGN"]))
            case 7:
                one.addnext(etree.fromstring(etree.tostring(other, with_tail=False)))
            case 8 if dice.random() < 0.1:
                one.insert(0, etree.ProcessingInstruction("x", "y"))
    return etree.tostring(root)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(sorted(MESSAGES)), st.integers(0, 2**32), st.sampled_from(PROFILES))
def test_a_changed_message_has_the_same_findings(name: str, seed: int, setting: tuple[str, dict[str, Any]]) -> None:
    assert_same(mutate(name, seed), *setting)


@pytest.mark.parametrize("name", sorted(MESSAGES))
def test_several_blocks_and_statements_have_the_same_findings(name: str) -> None:
    root = etree.fromstring(envelope(name))
    for part in reversed([each for each in root.iter("*") if etree.QName(each).localname in REPEATED]):
        for _ in range(3):
            part.addnext(etree.fromstring(etree.tostring(part, with_tail=False)))

    assert_same(etree.tostring(root))


def test_an_index_stands_in_the_path_of_the_first_block_only_when_a_second_comes() -> None:
    block = PAIN_001[PAIN_001.index("<PmtInf>") : PAIN_001.index("</PmtInf>") + len("</PmtInf>")]
    one = PAIN_001[: PAIN_001.rindex("<PmtInf>")] + "</CstmrCdtTrfInitn>"
    for body in (one, one.replace(block, block * 2)):
        text = f'<Document xmlns="{NAMESPACE}pain.001.001.09">{body.strip()}</Document>'.replace("KZT", "KZZ")

        assert_same(text.encode())


def test_an_entry_of_many_details_is_summed_while_they_go_by() -> None:
    def entry(sum_: str) -> str:
        details = "".join(f'<TxDtls><Amt Ccy="KZT">{number}</Amt></TxDtls>' for number in range(1, 2001))
        return envelope("camt.053.001.08").replace("130.00</Amt>", f"{sum_}</Amt>").replace(
            '<NtryDtls><Btch><NbOfTxs>2</NbOfTxs><TtlAmt Ccy="KZT">130.00</TtlAmt></Btch>',
            f"<NtryDtls><Btch><NbOfTxs>2002</NbOfTxs></Btch>{details}",
        )  # fmt: skip

    for sum_, codes in (("2001130", set()), ("2001131", {"entry_details"})):
        data = entry(sum_).encode()
        report = iso20022.validate_stream(io.BytesIO(data), as_of=NOW)

        assert {found.code for found in report.findings} & {"entry_details", "batch_count"} == codes
        assert_same(data)


def test_duplicates_are_found_over_blocks_and_batches() -> None:
    transaction = PAIN_008[
        PAIN_008.index("<DrctDbtTxInf>") : PAIN_008.index("</DrctDbtTxInf>") + len("</DrctDbtTxInf>")
    ]
    many = "".join(transaction.replace("E-1", f"E-{number}") for number in (*range(3, 400), 250))
    text = envelope("pain.008.001.08").replace(transaction, many, 1)

    report = iso20022.validate_stream(io.BytesIO(text.encode()), as_of=NOW)

    assert "/Document/CstmrDrctDbtInitn/PmtInf/DrctDbtTxInf[398]/PmtId/EndToEndId" in {
        found.path for found in report.findings if found.code == "duplicate_id"
    }
    assert_same(text.encode())


def test_a_grave_error_after_many_findings_is_not_lost() -> None:
    transaction = PAIN_001[PAIN_001.index("<CdtTrfTxInf>") : PAIN_001.index("</CdtTrfTxInf>") + len("</CdtTrfTxInf>")]
    warned = (
        transaction.replace('Ccy="KZT"', 'Ccy="USD"')
        .replace("10.50", "1")
        .replace("<EndToEndId>E-1", "<EndToEndId>NOTPROVIDED")
    )
    text = envelope("pain.001.001.09").replace("</PmtInf>", warned * 1500 + "</PmtInf>", 1)

    report = iso20022.validate_stream(
        io.BytesIO(text.encode()),
        as_of=NOW,
        options={
            "severities": {
                "account_currency": "warning",
                "duplicate_id": "warning",
                "minor_units": "warning",
            }
        },
    )

    assert "too_many_findings" in {found.code for found in report.findings}
    assert {"count_group", "count_block"} <= {found.code for found in report.findings}
    assert not report.valid
