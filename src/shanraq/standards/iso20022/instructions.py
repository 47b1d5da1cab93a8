"""One payment of an order or settlement as a compact record: what a platform keeps of it and acts upon.

Which element gives which field is a table; of elements that repeat the first counts, but for remittance lines. Texts are as
they stand in the message, numbers and dates without the blanks around them; "" where there is nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from operator import itemgetter
from typing import Final

import msgspec
from lxml import etree

from shanraq.standards.iso20022.errors import Finding, Severity
from shanraq.standards.iso20022.forms import Form
from shanraq.standards.iso20022.profiles import Profile
from shanraq.standards.iso20022.rules.context import SHAPES

PAYMENTS: Final = frozenset({"pain.001", "pain.008", "pacs.003", "pacs.008", "pacs.009", "pacs.010"})
"""The families whose transactions are read as instructions."""


class Party(msgspec.Struct, frozen=True, gc=False):
    """Debtor or creditor: who it is, its account, and its agent.

    `identifier` is the first of the party's Othr/Id (BIN or IIN in Kazakhstan) and `scheme` its SchmeNm. `account` is an IBAN
    or another number. `ultimate_name` and `ultimate_identifier` are those of UltmtDbtr or UltmtCdtr.
    """

    name: str = ""
    identifier: str = ""
    scheme: str = ""
    bic: str = ""
    lei: str = ""
    country: str = ""
    account: str = ""
    account_currency: str = ""
    agent_bic: str = ""
    agent_member_id: str = ""
    ultimate_name: str = ""
    ultimate_identifier: str = ""


class MessageHead(msgspec.Struct, frozen=True, gc=False):
    """What a message says of itself; `count` and `control_sum` are as written, checked only by the rules of the report.

    `from_bic`, `to_bic` and `business_message_id` are of the business application header.
    """

    definition: str
    message_id: str = ""
    created: str = ""
    count: str = ""
    control_sum: str = ""
    settlement_day: str = ""
    settlement_method: str = ""
    initiating_party: str = ""
    initiating_party_identifier: str = ""
    instructing_bic: str = ""
    instructed_bic: str = ""
    from_bic: str = ""
    to_bic: str = ""
    business_message_id: str = ""


class BlockHead(msgspec.Struct, frozen=True, gc=False):
    """What holds for all transactions of a payment block; `number` counts the blocks of the message from 1.

    `day` is the requested day (or moment) of execution or collection. The party that is not named here stands in each
    transaction.
    """

    number: int
    block_id: str = ""
    method: str = ""
    batch_booking: str = ""
    day: str = ""
    charge_bearer: str = ""
    service_level: str = ""
    local_instrument: str = ""
    category_purpose: str = ""
    priority: str = ""
    sequence_type: str = ""
    debtor: Party = Party()
    creditor: Party = Party()


class Instruction(msgspec.Struct, frozen=True, gc=False):
    """One transaction; `number` counts those of the message from 1, `path` and `line` are its place.

    What the transaction leaves to its block (or, the settlement day, to the group header) is filled in. `amount` is exact
    decimal text in units of `currency`: the ordered amount of a customer's message, the settled one between banks, whose
    `instructed_amount` stands beside it. `day` is when it is to be executed, collected or settled. `purpose_code` (КНП),
    `debtor_code` (КОд) and `creditor_code` (КБе) are read from where the profile places them. `findings` are all that concern
    this transaction alone; those of the message (counts, sums, group) are in the report.
    """

    number: int
    path: str
    line: int
    block: BlockHead | None
    instruction_id: str
    end_to_end_id: str
    transaction_id: str
    uetr: str
    amount: str
    currency: str
    instructed_amount: str
    instructed_currency: str
    day: str
    charge_bearer: str
    service_level: str
    local_instrument: str
    category_purpose: str
    priority: str
    sequence_type: str
    mandate_id: str
    debtor: Party
    creditor: Party
    purpose: str
    purpose_code: str
    debtor_code: str
    creditor_code: str
    reference: str
    remittance: tuple[str, ...]
    findings: tuple[Finding, ...] = ()

    @property
    def valid(self) -> bool:
        """Tell whether there is no error in it."""
        return not any(finding.severity is Severity.ERROR for finding in self.findings)

    @property
    def reason(self) -> str:
        """Return the reason code to reject it with, that of its first error that has one; "" if there is none."""
        return next((f.reason for f in self.findings if f.severity is Severity.ERROR and f.reason), "")


def _table(**fields: str) -> dict[str, str]:
    return {path: field for field, paths in fields.items() for path in paths.split()}


_TYPE: Final = _table(
    service_level="PmtTpInf/SvcLvl/Cd PmtTpInf/SvcLvl/Prtry",
    local_instrument="PmtTpInf/LclInstrm/Cd PmtTpInf/LclInstrm/Prtry",
    category_purpose="PmtTpInf/CtgyPurp/Cd PmtTpInf/CtgyPurp/Prtry",
    priority="PmtTpInf/InstrPrty",
    sequence_type="PmtTpInf/SeqTp",
    charge_bearer="ChrgBr",
)


def _party(prefix: str) -> dict[str, str]:
    """Return the table of one side; fields have its prefix (`Dbtr_name`), to be told from the other's."""
    paths = {
        "name": f"{prefix}/Nm {prefix}/Pty/Nm {prefix}/FinInstnId/Nm",
        "identifier": f"{prefix}/Id/OrgId/Othr/Id {prefix}/Id/PrvtId/Othr/Id {prefix}/FinInstnId/Othr/Id",
        "scheme": " ".join(
            f"{prefix}/Id/{kind}/Othr/SchmeNm/{form}" for kind in ("OrgId", "PrvtId") for form in ("Cd", "Prtry")
        ),
        "bic": f"{prefix}/Id/OrgId/AnyBIC {prefix}/Id/OrgId/BICOrBEI {prefix}/FinInstnId/BICFI {prefix}/FinInstnId/BIC",
        "lei": f"{prefix}/Id/OrgId/LEI {prefix}/FinInstnId/LEI",
        "country": f"{prefix}/CtryOfRes {prefix}/PstlAdr/Ctry",
        "account": f"{prefix}Acct/Id/IBAN {prefix}Acct/Id/Othr/Id",
        "account_currency": f"{prefix}Acct/Ccy",
        "agent_bic": f"{prefix}Agt/FinInstnId/BICFI {prefix}Agt/FinInstnId/BIC",
        "agent_member_id": f"{prefix}Agt/FinInstnId/ClrSysMmbId/MmbId",
        "ultimate_name": f"Ultmt{prefix}/Nm",
        "ultimate_identifier": f"Ultmt{prefix}/Id/OrgId/Othr/Id Ultmt{prefix}/Id/PrvtId/Othr/Id",
    }
    return {path: f"{prefix}_{field}" for field, texts in paths.items() for path in texts.split()}


_SIDES: Final = _party("Dbtr") | _party("Cdtr")
_BLOCK: Final = _SIDES | _TYPE | _table(
    block_id="PmtInfId CdtId",
    method="PmtMtd",
    batch_booking="BtchBookg",
    day="ReqdExctnDt/Dt ReqdExctnDt/DtTm ReqdExctnDt ReqdColltnDt IntrBkSttlmDt",
)  # fmt: skip
_TRANSACTION: Final = _SIDES | _TYPE | _table(
    instruction_id="PmtId/InstrId",
    end_to_end_id="PmtId/EndToEndId",
    transaction_id="PmtId/TxId",
    uetr="PmtId/UETR",
    day="IntrBkSttlmDt ReqdColltnDt",
    mandate_id="DrctDbtTx/MndtRltdInf/MndtId",
    purpose="Purp/Cd Purp/Prtry",
    reference="RmtInf/Strd/CdtrRefInf/Ref",
)  # fmt: skip
_AMOUNTS: Final = {
    "pain.001": ("Amt/InstdAmt", "Amt/EqvtAmt/Amt"),
    "pain.008": ("InstdAmt",),
}
_SETTLED: Final = ("IntrBkSttlmAmt",)
_HEAD: Final = _table(
    message_id="MsgId",
    created="CreDtTm",
    count="NbOfTxs",
    control_sum="CtrlSum",
    settlement_day="IntrBkSttlmDt",
    settlement_method="SttlmInf/SttlmMtd",
    initiating_party="InitgPty/Nm",
    initiating_party_identifier="InitgPty/Id/OrgId/Othr/Id InitgPty/Id/PrvtId/Othr/Id",
    instructing_bic="InstgAgt/FinInstnId/BICFI InstgAgt/FinInstnId/BIC",
    instructed_bic="InstdAgt/FinInstnId/BICFI InstdAgt/FinInstnId/BIC",
)
_PARTY_FIELDS: Final = Party.__struct_fields__
_BLANKS: Final = " \t\r\n"
_REMITTANCE: Final = "RmtInf/Ustrd"
_REPORTING: Final = "RgltryRptg"
Leaf = tuple[str, str, str]
"""Path below the part (with #2, #3 ... where a name repeats), text, currency."""
Make = Callable[[tuple[str, ...], int, str, int], Instruction]
"""Makes a record of the values of a form, given the number of the transaction, its path and its line."""


def leaves(element: etree._Element, *, without: frozenset[str] = frozenset()) -> Iterator[Leaf]:
    """Yield the values of a part in their order; children of the names `without` are left out."""
    waiting: list[tuple[etree._Element, str]] = [(element, "")]
    while waiting:
        current, path = waiting.pop()
        if path and not len(current):
            yield path, current.text or "", current.get("Ccy") or ""
            continue
        below: list[tuple[etree._Element, str]] = []
        seen: dict[str, int] = {}
        for child in current.iterchildren("*"):
            name = child.tag.rpartition("}")[2]
            if not path and name in without:
                continue
            number = seen[name] = seen.get(name, 0) + 1
            step = name if number == 1 else f"{name}#{number}"
            below.append((child, f"{path}/{step}" if path else step))
        waiting.extend(reversed(below))


class Reader:
    """Read the parts of one message into records, by the tables above and the placements of a profile."""

    def __init__(self, definition: str, profile: Profile) -> None:
        self.family = definition[:8]
        self.definition = definition
        self.shape = SHAPES[self.family]
        self._amounts = _AMOUNTS.get(self.family, _SETTLED)
        self._purpose = "/".join(profile.purpose_code.path) if profile.purpose_code is not None else ""
        self._reporting = profile.residency_and_sector.type if profile.residency_and_sector is not None else ""

    def head(self, group: Iterable[Leaf], header: etree._Element | None) -> MessageHead:
        """Return the head of a message, given the leaves of its group header and the business application header."""
        found = _pick(group, _HEAD)
        top = {} if header is None else {path: text for path, text, _ in leaves(header)}
        return MessageHead(
            self.definition,
            from_bic=top.get("Fr/FIId/FinInstnId/BICFI") or top.get("Fr/FIId/FinInstnId/BIC") or "",
            to_bic=top.get("To/FIId/FinInstnId/BICFI") or top.get("To/FIId/FinInstnId/BIC") or "",
            business_message_id=top.get("BizMsgIdr", ""),
            **found,
        )

    def block(self, number: int, values: Iterable[Leaf]) -> BlockHead:
        """Return the head of a block, given its leaves but for those of its transactions."""
        found = _pick(values, _BLOCK)
        debtor, creditor = _side(found, "Dbtr", Party()), _side(found, "Cdtr", Party())
        fields = {name: text for name, text in found.items() if name in BlockHead.__struct_fields__}
        return BlockHead(number, debtor=debtor, creditor=creditor, **fields)

    def transaction(
        self, values: Iterable[Leaf], *, number: int, path: str, line: int,
        head: MessageHead, block: BlockHead | None, findings: tuple[Finding, ...] = (),
    ) -> Instruction:  # fmt: skip
        """Return a transaction, given its leaves."""
        known = tuple(values)
        found = _pick(known, _TRANSACTION)
        amounts = {place: (text.strip(_BLANKS), currency) for place, text, currency in known if currency}
        amount = next((amounts[place] for place in self._amounts if place in amounts), ("", ""))
        instructed = amounts.get("InstdAmt", ("", "")) if self._amounts is _SETTLED else ("", "")
        outer = block or _NO_BLOCK
        codes = self._codes(known)
        purpose_code = next((text for place, text, _ in known if place == self._purpose), "") or codes[4:7]
        text = found.get
        return Instruction(
            number, path, line, block,
            text("instruction_id", ""), text("end_to_end_id", ""), text("transaction_id", ""), text("uetr", ""),
            *amount, *instructed,
            text("day", "") or outer.day or head.settlement_day,
            text("charge_bearer", "") or outer.charge_bearer,
            text("service_level", "") or outer.service_level,
            text("local_instrument", "") or outer.local_instrument,
            text("category_purpose", "") or outer.category_purpose,
            text("priority", "") or outer.priority,
            text("sequence_type", "") or outer.sequence_type,
            text("mandate_id", ""),
            _side(found, "Dbtr", outer.debtor), _side(found, "Cdtr", outer.creditor),
            text("purpose", ""), purpose_code, codes[:2], codes[2:4], text("reference", ""),
            tuple(line for place, line, _ in known if place.partition("#")[0] == _REMITTANCE),
            findings,
        )  # fmt: skip

    def maker(self, form: Form, head: MessageHead, block: BlockHead | None) -> Make:
        """Return what makes records of transactions of a form in one block: as `transaction` does, and faster."""
        own: dict[str, int] = {}
        for leaf in form.leaves:
            field = _TRANSACTION.get(leaf.place)
            if field is not None:
                own.setdefault(field, leaf.value)
        size = 1 + max(leaf.value for leaf in form.leaves)
        outer = block or _NO_BLOCK
        constants: list[str] = []

        def index(field: str, constant: str = "") -> int:
            if field in own:
                return own[field]
            constants.append(constant)
            return size + len(constants) - 1

        amounts = {leaf.place: leaf for leaf in form.leaves if leaf.currency is not None}
        amount = next((amounts[place] for place in self._amounts if place in amounts), None)
        instructed = amounts.get("InstdAmt") if self._amounts is _SETTLED else None
        for name, found in (("amount", amount), ("instructed", instructed)):
            if found is not None and found.currency is not None:
                own[name], own[f"{name}@Ccy"] = found.value, found.currency
        wanted = [index(name) for name in ("instruction_id", "end_to_end_id", "transaction_id", "uetr")]
        wanted += [index(name) for name in ("amount", "amount@Ccy", "instructed", "instructed@Ccy")]
        wanted.append(index("day", outer.day or head.settlement_day))
        wanted += [index(name, getattr(outer, name)) for name in _SHARED]
        wanted.append(index("mandate_id"))
        first = itemgetter(*wanted)
        sides = [_side_maker(own, prefix, outer_side, constants, size) for prefix, outer_side in (
            ("Dbtr", outer.debtor), ("Cdtr", outer.creditor),
        )]  # fmt: skip
        purpose, reference = index("purpose"), index("reference")
        code = next((leaf.value for leaf in form.leaves if leaf.place == self._purpose), None)
        lines = [leaf.value for leaf in form.leaves if leaf.place.partition("#")[0] == _REMITTANCE]
        reported = [leaf for leaf in form.leaves if self._reporting and leaf.place.startswith(_REPORTING)]
        rest = tuple(constants)

        def make(values: tuple[str, ...], number: int, path: str, line: int) -> Instruction:
            if "" in values:
                # An empty text counts as none, and gives way to what the block says.
                known = [
                    (leaf.place, values[leaf.value], "" if leaf.currency is None else values[leaf.currency])
                    for leaf in form.leaves
                ]
                return self.transaction(known, number=number, path=path, line=line, head=head, block=block)
            every = values + rest
            codes = self._codes(tuple((leaf.place, values[leaf.value], "") for leaf in reported)) if reported else ""
            return Instruction(  # type: ignore[call-arg]  # how many fields `first` fills is not seen
                number, path, line, block, *first(every), sides[0](every), sides[1](every), every[purpose],
                codes[4:7] if code is None else values[code], codes[:2], codes[2:4], every[reference],
                tuple([values[each] for each in lines]),
            )  # fmt: skip

        return make

    def _codes(self, values: tuple[Leaf, ...]) -> str:
        """Return КОд, КБе and КНП in a row from the regulatory reporting of the type the profile names."""
        details = ""
        for place, text, _ in values if self._reporting else ():
            if not place.startswith(_REPORTING):
                continue
            above, _, name = place.rpartition("/")
            if name in ("Tp", "Prtry") and text == self._reporting:
                details = above.removesuffix("/Tp")
            elif name in ("Cd", "RptgCd") and above == details:
                return text
        return ""


_NO_BLOCK: Final = BlockHead(0)
_SHARED: Final = (
    "charge_bearer", "service_level", "local_instrument", "category_purpose", "priority", "sequence_type",
)  # fmt: skip


def _side_maker(
    own: dict[str, int], prefix: str, outer: Party, constants: list[str], size: int
) -> Callable[[tuple[str, ...]], Party]:
    if not any(f"{prefix}_{field}" in own for field in _PARTY_FIELDS):
        return lambda _: outer
    indices = []
    for field in _PARTY_FIELDS:
        if (found := own.get(f"{prefix}_{field}")) is None:
            found = size + len(constants)
            constants.append(getattr(outer, field))
        indices.append(found)
    pick = itemgetter(*indices)
    return lambda every: Party(*pick(every))


def _pick(values: Iterable[Leaf], table: dict[str, str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for place, text, _ in values:
        field = table.get(place)
        if field is not None and field not in found:
            found[field] = text
    return found


def _side(found: dict[str, str], prefix: str, outer: Party) -> Party:
    """Return one side of a transaction: its own, with the block's where it says nothing of it."""
    own = {field: text for field in _PARTY_FIELDS if (text := found.get(f"{prefix}_{field}"))}
    if not own:
        return outer
    return msgspec.structs.replace(outer, **own)
