"""Status reports: valid in every version, true to the transfers, short where only rejections are asked for."""

from __future__ import annotations

import re
from decimal import Decimal

import pytest
from lxml import etree

from shanraq import payment_files
from shanraq.core.actor import SYSTEM
from shanraq.payment_files import VERSIONS, Detail
from shanraq.standards import iso20022
from tests.payment_files.files import Office, Order, transaction

UNREADABLE = transaction(3, currency="KZT", amount="1.001")


def mixed() -> Order:
    """Return an order of two blocks, in which one transaction of the first is refused."""
    return Order(
        [[transaction(1), UNREADABLE, transaction(2, amount="50")], [transaction(4, amount="0.5")]],
        message_id="M&1", total="151.501",
    )  # fmt: skip


async def written(office: Office, file_id: str, version: str | None = None, detail: Detail = Detail.ALL) -> bytes:
    report = await payment_files.report(office.db, office.actor, file_id, version=version, detail=detail)
    return b"".join(report.chunks())


@pytest.mark.parametrize("version", VERSIONS)
async def test_every_version_is_valid_and_says_the_same(office: Office, version: str) -> None:
    order = mixed()
    order.message_id = "M-1"
    original = order.xml()
    file = await office.loaded(original)
    async with office.db.begin(SYSTEM) as tx:
        await tx.execute(
            """UPDATE credit_transfer SET status = 'settled', route = 'book', transaction_id = 'x', settled_at = $1
                WHERE position = 1""",
            tx.now,
        )

    report = await written(office, file.id, version)

    verdict = iso20022.validate(report, store=[original])
    assert verdict.message == version
    assert [found for found in verdict.findings if found.severity != "info"] == []
    root = etree.fromstring(report)
    expected = ["ACSC" if int(version[-2:]) < 8 else "ACCC", "RJCT", "ACTC", "ACTC"]
    assert [each.text for each in root.iter("{*}TxSts")] == expected
    assert [each.text for each in root.iter("{*}OrgnlEndToEndId")] == ["E1", "E3", "E2", "E4"]
    assert [each.text for each in root.iter("{*}PmtInfSts")] == ["PART", "ACTC"]
    assert len(list(root.iter("{*}OrgnlUETR"))) == (4 if int(version[-2:]) >= 10 else 0)
    assert root.findtext(".//{*}GrpSts") == "PART"


async def test_numbers_and_sums_are_those_of_the_transactions(office: Office) -> None:
    order = mixed()
    order.message_id = "M-1"
    file = await office.loaded(order.xml())

    root = etree.fromstring(await written(office, file.id))

    group = root.find(".//{*}OrgnlGrpInfAndSts")
    assert group is not None
    assert group.findtext("{*}OrgnlMsgId") == "M-1"
    assert (group.findtext("{*}OrgnlNbOfTxs"), group.findtext("{*}OrgnlCtrlSum")) == ("4", "151.501")
    numbers = {
        each.findtext("{*}DtldSts"): (each.findtext("{*}DtldNbOfTxs"), each.findtext("{*}DtldCtrlSum"))
        for each in group.iter("{*}NbOfTxsPerSts")
    }
    # The amount that cannot be in this currency has no sum.
    assert numbers == {"ACTC": ("3", str(Decimal("150.50"))), "RJCT": ("1", None)}


async def test_only_rejections_are_told_one_by_one_when_asked(office: Office) -> None:
    order = mixed()
    order.message_id = "M-1"
    file = await office.loaded(order.xml())

    report = await written(office, file.id, detail=Detail.REJECTED)

    assert iso20022.validate(report).valid
    root = etree.fromstring(report)
    assert [each.text for each in root.iter("{*}OrgnlEndToEndId")] == ["E3"]
    assert [each.text for each in root.iter("{*}OrgnlPmtInfId")] == ["BLOCK-1"]
    assert root.findtext(".//{*}GrpSts") == "PART"
    assert len(list(root.iter("{*}Cd"))) == 1


async def test_texts_of_the_order_are_escaped(office: Office) -> None:
    made = transaction(1, end_to_end_id="A&amp;B&lt;").replace("I1", "&gt;1")
    file = await office.loaded(Order([[made]], message_id="M&amp;1").xml())

    report = await written(office, file.id)

    root = etree.fromstring(report)
    assert [root.findtext(f".//{{*}}{name}") for name in ("OrgnlMsgId", "OrgnlEndToEndId", "OrgnlInstrId")] == [
        "M&1", "A&B<", ">1",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("order", "report"),
    [
        ("pain.001.001.03", "pain.002.001.03"),
        ("pain.001.001.09", "pain.002.001.10"),
        ("pain.001.001.12", "pain.002.001.14"),
        ("pain.001.001.02", "pain.002.001.03"),
        ("pacs.008.001.08", "pain.002.001.10"),
        ("", "pain.002.001.10"),
    ],
)
def test_a_report_is_of_the_generation_of_the_order(order: str, report: str) -> None:
    assert payment_files.default_version(order) == report


async def test_a_long_report_is_written_piece_by_piece(office: Office) -> None:
    file = await office.loaded(Order([[transaction(n) for n in range(1, 3001)]]).xml())

    report = await payment_files.report(office.db, office.actor, file.id)
    chunks = list(report.chunks())

    assert max(len(chunk) for chunk in chunks) < 400_000
    assert len(chunks) > 4
    found = re.findall(rb"<OrgnlEndToEndId>E(\d+)<", b"".join(chunks))
    assert [int(number) for number in found] == list(range(1, 3001))
