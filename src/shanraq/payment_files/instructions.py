"""Read the transactions of a validated pain.001, batch by batch, in bounded memory.

Every version is read in the form of pain.001.001.09: others are converted, a group of transactions at a time, and what the
conversion left out or changed is counted.
"""

from __future__ import annotations

import re
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import date
from typing import Any, BinaryIO, Final, cast
from xml.sax.saxutils import escape, quoteattr

from lxml import etree

from shanraq.core.ids import derived_number
from shanraq.core.money import MAX_MINOR, Currency, UnknownCurrencyError
from shanraq.credit_transfers import Details, NewTransfer, Rejection
from shanraq.payment_files.model import REASON_TEXT_LENGTH
from shanraq.standards import iso20022
from shanraq.standards.iso20022.amounts import SCALE, exact
from shanraq.standards.iso20022.paths import local_name
from shanraq.standards.iso20022.tree import child, children, text

FORM: Final = "pain.001.001.09"
BATCH: Final = 1000
_GROUP: Final = 100  # transactions that are converted together
_NAMESPACE: Final = "urn:iso:std:iso:20022:tech:xsd:"
_INDEX: Final = re.compile(r"\[[0-9]+\]")
_LOSSES_KEPT: Final = 50  # paths
_OTHER_LOSSES: Final = "other values"

_OF_BLOCK: Final = ("Dbtr", "DbtrAcct", "DbtrAgt", "DbtrAgtAcct")
_OF_EITHER: Final = ("ChrgBr", "UltmtDbtr", "InstrForDbtrAgt")
_OF_TRANSACTION: Final = (
    "IntrmyAgt1", "IntrmyAgt1Acct", "IntrmyAgt2", "IntrmyAgt2Acct", "IntrmyAgt3", "IntrmyAgt3Acct", "CdtrAgt",
    "CdtrAgtAcct", "Cdtr", "CdtrAcct", "UltmtCdtr", "InstrForCdtrAgt", "Purp", "RgltryRptg", "Tax", "RltdRmtInf", "RmtInf",
)  # fmt: skip
_PAYMENT_TYPE: Final = ("InstrPrty", "SvcLvl", "LclInstrm", "CtgyPurp")


@dataclass(slots=True)
class Batch:
    """Transactions in their order, and how many values their conversion left out or changed, by path without numbers."""

    transfers: list[NewTransfer] = field(default_factory=list)
    losses: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class File:
    """What is known of a file before its transactions are read; `received_on` stands in for dates that cannot be read."""

    id: str
    definition: str
    received_on: date
    rejections: Mapping[tuple[int, int], Rejection]


@dataclass(frozen=True, slots=True)
class _Block:
    """What the transactions of a block share."""

    id: str
    day: date | None
    rejection: Rejection | None
    debtor_name: str
    debtor_account: str
    carried: dict[str, str]
    payment_type: dict[str, str]

    @classmethod
    def of(cls, element: etree._Element) -> _Block:
        method = text(element, "PmtMtd") or ""
        return cls(
            id=text(element, "PmtInfId") or "",
            day=_day(child(element, "ReqdExctnDt")),
            rejection=None
            if method == "TRF"
            else Rejection("AG03", f"the payment method {method[:3]} is not offered, only TRF"),
            debtor_name=text(element, "Dbtr", "Nm") or "",
            debtor_account=_account(child(element, "DbtrAcct")),
            carried=_texts(element, (*_OF_BLOCK, *_OF_EITHER)),
            payment_type=_texts(child(element, "PmtTpInf"), _PAYMENT_TYPE),
        )


@dataclass(slots=True)
class _Group:
    """Transactions of one block that follow each other: `number` is that of the block, `first` of the first in it."""

    block: etree._Element
    number: int
    first: int
    position: int
    elements: list[etree._Element] = field(default_factory=list)


def read_batches(source: BinaryIO, file: File, *, after: int = 0, size: int = BATCH) -> Iterator[Batch]:
    """Yield the transactions of a file after a position, in batches of `size`; only the last is shorter.

    The file has been validated: what its schema promises is there.
    """
    batch = Batch()
    for group in _groups(source, file.definition, after):
        for transfer in _read(group, file, batch.losses):
            batch.transfers.append(transfer)
            if len(batch.transfers) == size:
                yield batch
                batch = Batch()
    if batch.transfers:
        yield batch


def _groups(source: BinaryIO, definition: str, after: int) -> Iterator[_Group]:
    """Walk over the file; what has been read is taken out of the tree as soon as the next one has ended."""
    tags = [f"{{{_NAMESPACE}{definition}}}{name}" for name in ("PmtInf", "CdtTrfTxInf")]
    position = blocks = inside = 0
    group: _Group | None = None
    last: etree._Element | None = None
    walk = etree.iterparse(
        source, events=("end",), tag=tags, encoding="utf-8", resolve_entities=False, no_network=True, load_dtd=False,
        huge_tree=False, remove_comments=True, remove_pis=True, collect_ids=False,
    )  # fmt: skip
    for _, found in cast(Iterable[tuple[str, Any]], walk):
        if found.tag == tags[0]:
            if group is not None:
                yield group
            group = last = None
            inside = 0
            for before in list(found.itersiblings(tags[0], preceding=True)):
                before.getparent().remove(before)
            found.clear()
            continue
        block = found.getparent()
        if block is None or block.tag != tags[0]:
            continue
        if last is not None:
            block.remove(last)
        last = found
        position += 1
        inside += 1
        if inside == 1:
            blocks += 1
        if position <= after:
            continue
        if group is None:
            group = _Group(block, blocks, inside, position)
        group.elements.append(found)
        if len(group.elements) == _GROUP:
            yield group
            group = None


def _read(group: _Group, file: File, losses: Counter[str]) -> Iterator[NewTransfer]:
    if file.definition == FORM:
        block = _Block.of(group.block)
        for offset, element in enumerate(group.elements):
            yield _transfer(file, group, offset, block, element)
        return
    for offset, converted in enumerate(_converted(group, file.definition, losses)):
        if isinstance(converted, Rejection):
            # It has no place in the form of transfers, but must be told of: by what the older form has in common.
            element = group.elements[offset]
            yield _transfer(file, group, offset, _Block.of(group.block), element, converted)
        else:
            element = converted
            parent = element.getparent()
            assert parent is not None, "a transaction stands in a block"
            yield _transfer(file, group, offset, _Block.of(parent), element)


def _converted(group: _Group, definition: str, losses: Counter[str]) -> list[etree._Element | Rejection]:
    """Return the transactions of a group in the form they are read in, or why one has none."""
    try:
        found = _convert(group, group.elements, definition, losses)
    except iso20022.Iso20022Error as error:
        if len(group.elements) == 1:
            return [Rejection(error.reason or "FF01", error.message[:REASON_TEXT_LENGTH])]
    else:
        if len(found) == len(group.elements):
            return [*found]
    # One of them cannot be converted: each for itself tells which.
    return [
        converted
        for offset, element in enumerate(group.elements)
        for converted in _converted(
            _Group(group.block, group.number, group.first + offset, group.position + offset, [element]),
            definition,
            losses,
        )
    ]


def _convert(
    group: _Group, elements: Sequence[etree._Element], definition: str, losses: Counter[str]
) -> list[etree._Element]:
    """Convert a message of one block with some transactions."""
    message = group.block.getparent()
    assert message is not None, "a block stands in a message"
    namespace = f"{_NAMESPACE}{definition}"
    document = etree.Element(f"{{{namespace}}}Document", nsmap={None: namespace})  # type: ignore[dict-item]
    body = etree.SubElement(document, message.tag)
    body.extend([deepcopy(each) for each in children(message, "GrpHdr")])
    block = etree.SubElement(body, group.block.tag)
    block.extend([deepcopy(each) for each in group.block.iterchildren("*") if local_name(each) != "CdtTrfTxInf"])
    block.extend([deepcopy(each) for each in elements])
    found = _renamed(document, namespace)
    if found is None:
        converted = iso20022.convert(document, to=FORM)
        for loss in converted.losses:
            # What all transactions of a block share is told once.
            if "/CdtTrfTxInf" in loss.path or group.first == 1:
                path = _INDEX.sub("", loss.path)
                losses[path if path in losses or len(losses) < _LOSSES_KEPT else _OTHER_LOSSES] += 1
        found = converted.document
    return children(child(found, "CstmrCdtTrfInitn", "PmtInf"), "CdtTrfTxInf")


def _renamed(document: etree._Element, namespace: str) -> etree._Element | None:
    """Return a document in the namespace of the form it is read in, if it is valid there as it is.

    Neighbouring versions mostly differ in what a message does not use; this is much faster than a conversion.
    """
    renamed = deepcopy(document)
    before, after = f"{{{namespace}}}", f"{{{_NAMESPACE}{FORM}}}"
    for element in renamed.iter(f"{before}*"):
        element.tag = after + element.tag.removeprefix(before)
    return renamed if iso20022.library().schema(FORM).validate(renamed) else None


def _transfer(
    file: File, group: _Group, offset: int, block: _Block, element: etree._Element, rejection: Rejection | None = None
) -> NewTransfer:
    number, position = group.first + offset, group.position + offset
    amount, currency, wrong = _amount(element)
    rejection = (
        file.rejections.get((group.number, number))
        or file.rejections.get((group.number, 0))
        or rejection
        or block.rejection
        or wrong
        or (Rejection("DT01", "the requested execution date cannot be read") if block.day is None else None)
    )
    return NewTransfer(
        position=position,
        block=group.number,
        block_id=block.id,
        instruction_id=text(element, "PmtId", "InstrId") or "",
        end_to_end_id=text(element, "PmtId", "EndToEndId") or "",
        uetr=(text(element, "PmtId", "UETR") or "").strip() or _uetr(file.id, position),
        amount=amount,
        currency=currency,
        execution_date=block.day or file.received_on,
        details=_details(block, element),
        rejection=rejection,
    )


def _details(block: _Block, element: etree._Element) -> Details:
    carried = block.carried | _texts(element, (*_OF_EITHER, *_OF_TRANSACTION))
    payment_type = block.payment_type | _texts(child(element, "PmtTpInf"), _PAYMENT_TYPE)
    if payment_type:
        inner = "".join([payment_type[name] for name in _PAYMENT_TYPE if name in payment_type])
        carried["PmtTpInf"] = f"<PmtTpInf>{inner}</PmtTpInf>"
    institution = child(element, "CdtrAgt", "FinInstnId")
    purpose = child(element, "Purp")
    return Details(
        debtor_name=block.debtor_name,
        debtor_account=block.debtor_account,
        creditor_name=text(element, "Cdtr", "Nm") or "",
        creditor_account=_account(child(element, "CdtrAcct")),
        creditor_agent=text(institution, "BICFI") or text(institution, "ClrSysMmbId", "MmbId") or "",
        remittance=" ".join([each.text or "" for each in children(child(element, "RmtInf"), "Ustrd")]),
        purpose=text(purpose, "Cd") or text(purpose, "Prtry") or "",
        carried=carried,
    )


def _amount(element: etree._Element) -> tuple[int, str, Rejection | None]:
    """Return amount in minor units (0 when it cannot be told), currency as written, and why it is refused."""
    instructed = child(element, "Amt", "InstdAmt")
    refused: Rejection | None = None
    if instructed is None:
        instructed = child(element, "Amt", "EqvtAmt", "Amt")
        refused = Rejection("CH17", "an equivalent amount is not exchanged here: give the instructed amount")
        if instructed is None:
            return 0, "XXX", Rejection("AM12", "there is no amount")
    code = instructed.get("Ccy") or "XXX"
    value = exact(instructed.text)
    try:
        currency = Currency.of(code)
    except UnknownCurrencyError:
        return 0, code, refused or Rejection("AM11", "no currency with minor units")
    minor, rest = divmod((value or 0) * 10**currency.exponent, SCALE)
    if value is None or minor > MAX_MINOR:
        return 0, code, refused or Rejection("AM12", "the amount cannot be read")
    if rest:
        return 0, code, refused or Rejection("CH20", f"{code} has {currency.exponent} decimals")
    if not minor:
        return 0, code, refused or Rejection("AM01", "the amount is zero")
    return minor, code, refused


def _day(element: etree._Element | None) -> date | None:
    """Read a requested execution date: the day of Dt, or of DtTm as it is written there."""
    written = text(element, "Dt") or text(element, "DtTm") or (None if element is None else element.text) or ""
    try:
        return date.fromisoformat(written.strip()[:10])
    except ValueError:
        return None


def _account(element: etree._Element | None) -> str:
    return (text(element, "Id", "IBAN") or text(element, "Id", "Othr", "Id") or "").strip()


def _uetr(file_id: str, position: int) -> str:
    """Return the UETR of a transaction without one: always the same, in the form of a UUID of version 4."""
    number = derived_number("payment file", file_id, position)
    return str(uuid.UUID(int=number & ~(0xF << 76) | 0x4 << 76))


def _texts(element: etree._Element | None, names: tuple[str, ...]) -> dict[str, str]:
    """Return children of an element as XML without namespace, by name; several of a name one after the other."""
    found: dict[str, str] = {}
    if element is not None:
        for each in element.iterchildren("*"):
            name = local_name(each)
            if name in names:
                found[name] = found.get(name, "") + _xml(each)
    return found


def _xml(element: etree._Element) -> str:
    """Write an element without namespace and white space between elements."""
    name = element.tag.rpartition("}")[2]
    attributes = "".join([f" {key!s}={quoteattr(str(value))}" for key, value in element.items()])
    # Comments and processing instructions were left out by the parser.
    content = "".join([_xml(each) for each in element]) if len(element) else escape(element.text or "")
    return f"<{name}{attributes}>{content}</{name}>"
