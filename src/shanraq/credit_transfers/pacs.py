"""Write the messages that go to a clearing system: pacs.008, pacs.028, camt.056, each in an envelope with its header.

Texts are put together, not trees: a message has a thousand transfers, and what is carried on is XML already.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Final
from xml.sax.saxutils import escape

from shanraq.core.money import Currency, Money
from shanraq.credit_transfers.clearing import Terms
from shanraq.credit_transfers.model import CreditTransfer, Details

CREDIT_TRANSFER: Final = "pacs.008.001.08"
STATUS_REQUEST: Final = "pacs.028.001.03"
CANCELLATION_REQUEST: Final = "camt.056.001.08"
_NAMESPACE: Final = "urn:iso:std:iso:20022:tech:xsd:"
_BEFORE_AGENTS: Final = (
    "IntrmyAgt1",
    "IntrmyAgt1Acct",
    "IntrmyAgt2",
    "IntrmyAgt2Acct",
    "IntrmyAgt3",
    "IntrmyAgt3Acct",
    "UltmtDbtr",
)
_AFTER_CREDITOR: Final = ("UltmtCdtr", "InstrForCdtrAgt")
_LAST: Final = ("Purp", "RgltryRptg", "Tax", "RltdRmtInf", "RmtInf")


@dataclass(frozen=True, slots=True)
class Written:
    """A business message, not signed yet."""

    definition: str
    message_id: str
    content: bytes


def message_id_of(row_id: str) -> str:
    """Return the message identifier of a row of the message store: its id without the prefix, 26 characters."""
    return row_id.partition("_")[2]


def credit_transfer(
    terms: Terms, row_id: str, transfers: Sequence[tuple[CreditTransfer, Details, str]], *, day: date, now: datetime
) -> Written:
    """Write a pacs.008.001.08 of transfers of one currency, each with its details and the creditor's agent (BIC).

    Settlement is by the clearing system (CLRG), on one day for all.
    """
    currency = transfers[0][0].currency
    total = sum(transfer.amount for transfer, _, _ in transfers)
    amount = _decimal(total, currency)
    message_id = message_id_of(row_id)
    head = (
        f"<GrpHdr><MsgId>{message_id}</MsgId><CreDtTm>{_moment(now)}</CreDtTm><NbOfTxs>{len(transfers)}</NbOfTxs>"
        f"<CtrlSum>{amount}</CtrlSum>"
        f'<TtlIntrBkSttlmAmt Ccy="{currency}">{amount}</TtlIntrBkSttlmAmt><IntrBkSttlmDt>{day.isoformat()}</IntrBkSttlmDt>'
        f"<SttlmInf><SttlmMtd>CLRG</SttlmMtd><ClrSys><Prtry>{escape(terms.system)}</Prtry></ClrSys></SttlmInf>"
        f"<InstgAgt>{_institution(terms.bic)}</InstgAgt><InstdAgt>{_institution(terms.clearing_bic)}</InstdAgt></GrpHdr>"
    )
    body = "".join([_transfer(terms, transfer, details, agent) for transfer, details, agent in transfers])
    return _written(terms, CREDIT_TRANSFER, message_id, f"<FIToFICstmrCdtTrf>{head}{body}</FIToFICstmrCdtTrf>", now)


def status_request(
    terms: Terms, row_id: str, asked: Mapping[str, Sequence[CreditTransfer]], *, now: datetime
) -> Written:
    """Write a pacs.028.001.03 that asks for transfers, given by the row of the pacs.008 they went out with."""
    message_id = message_id_of(row_id)
    body = "".join(
        f"<TxInf>{_original_group(original)}{_original_ids(transfer)}</TxInf>"
        for original, transfers in asked.items()
        for transfer in transfers
    )
    head = (
        f"<GrpHdr><MsgId>{message_id}</MsgId><CreDtTm>{_moment(now)}</CreDtTm>"
        f"<InstgAgt>{_institution(terms.bic)}</InstgAgt><InstdAgt>{_institution(terms.clearing_bic)}</InstdAgt></GrpHdr>"
    )
    return _written(terms, STATUS_REQUEST, message_id, f"<FIToFIPmtStsReq>{head}{body}</FIToFIPmtStsReq>", now)


def cancellation_request(
    terms: Terms,
    row_id: str,
    case_id: str,
    transfer: CreditTransfer,
    original_row_id: str,
    *,
    day: date,
    reason: str,
    text: str,
    now: datetime,
) -> Written:
    """Write a camt.056.001.08 that asks for a transfer back; `day` is the settlement date of the original."""
    message_id = message_id_of(row_id)
    agent = f"<Agt>{_institution(terms.bic)}</Agt>"
    words = f"<AddtlInf>{escape(text)}</AddtlInf>" if text else ""
    body = (
        f"<Assgnmt><Id>{message_id}</Id><Assgnr>{agent}</Assgnr><Assgne><Agt>{_institution(terms.clearing_bic)}</Agt></Assgne>"
        f"<CreDtTm>{_moment(now)}</CreDtTm></Assgnmt>"
        "<CtrlData><NbOfTxs>1</NbOfTxs></CtrlData>"
        f"<Undrlyg><TxInf><CxlId>{message_id_of(case_id)}</CxlId>"
        f"<Case><Id>{message_id_of(case_id)}</Id><Cretr>{agent}</Cretr></Case>"
        f"{_original_group(original_row_id)}{_original_ids(transfer)}"
        f'<OrgnlIntrBkSttlmAmt Ccy="{transfer.currency}">{_decimal(transfer.amount, transfer.currency)}</OrgnlIntrBkSttlmAmt>'
        f"<OrgnlIntrBkSttlmDt>{day.isoformat()}</OrgnlIntrBkSttlmDt>"
        f"<CxlRsnInf><Rsn><Cd>{reason}</Cd></Rsn>{words}</CxlRsnInf></TxInf></Undrlyg>"
    )
    return _written(terms, CANCELLATION_REQUEST, message_id, f"<FIToFIPmtCxlReq>{body}</FIToFIPmtCxlReq>", now)


def _transfer(terms: Terms, transfer: CreditTransfer, details: Details, agent: str) -> str:
    carried = details.carried
    instruction = f"<InstrId>{escape(transfer.instruction_id)}</InstrId>" if transfer.instruction_id else ""
    ids = f"<EndToEndId>{escape(transfer.end_to_end_id)}</EndToEndId><TxId>{message_id_of(transfer.id)}</TxId>"
    return "".join((
        f"<CdtTrfTxInf><PmtId>{instruction}{ids}<UETR>{transfer.uetr}</UETR></PmtId>",
        carried.get("PmtTpInf", ""),
        f'<IntrBkSttlmAmt Ccy="{transfer.currency}">{_decimal(transfer.amount, transfer.currency)}</IntrBkSttlmAmt>',
        carried.get("ChrgBr", "<ChrgBr>SLEV</ChrgBr>"),
        *(carried.get(name, "") for name in _BEFORE_AGENTS),
        carried.get("Dbtr", "") or f"<Dbtr><Nm>{escape(details.debtor_name)}</Nm></Dbtr>",
        carried.get("DbtrAcct", ""),
        f"<DbtrAgt>{_institution(terms.bic)}</DbtrAgt>",
        carried.get("CdtrAgt", "") or f"<CdtrAgt>{_institution(agent)}</CdtrAgt>",
        carried.get("CdtrAgtAcct", ""),
        carried.get("Cdtr", "") or f"<Cdtr><Nm>{escape(details.creditor_name)}</Nm></Cdtr>",
        carried.get("CdtrAcct", ""),
        *(carried.get(name, "") for name in _AFTER_CREDITOR),
        *(carried.get(name, "") for name in _LAST),
        "</CdtTrfTxInf>",
    ))  # fmt: skip


def _original_group(row_id: str) -> str:
    return (
        f"<OrgnlGrpInf><OrgnlMsgId>{message_id_of(row_id)}</OrgnlMsgId><OrgnlMsgNmId>{CREDIT_TRANSFER}</OrgnlMsgNmId>"
        "</OrgnlGrpInf>"
    )


def _original_ids(transfer: CreditTransfer) -> str:
    instruction = f"<OrgnlInstrId>{escape(transfer.instruction_id)}</OrgnlInstrId>" if transfer.instruction_id else ""
    return (
        f"{instruction}<OrgnlEndToEndId>{escape(transfer.end_to_end_id)}</OrgnlEndToEndId>"
        f"<OrgnlTxId>{message_id_of(transfer.id)}</OrgnlTxId><OrgnlUETR>{transfer.uetr}</OrgnlUETR>"
    )


def _written(terms: Terms, definition: str, message_id: str, body: str, now: datetime) -> Written:
    header = (
        f'<AppHdr xmlns="{_NAMESPACE}head.001.001.02"><Fr><FIId>{_institution(terms.bic)}</FIId></Fr>'
        f"<To><FIId>{_institution(terms.clearing_bic)}</FIId></To><BizMsgIdr>{message_id}</BizMsgIdr>"
        f"<MsgDefIdr>{definition}</MsgDefIdr><CreDt>{_moment(now)}</CreDt></AppHdr>"
    )
    document = f'<Document xmlns="{_NAMESPACE}{definition}">{body}</Document>'
    return Written(definition, message_id, f"<Envelope>{header}{document}</Envelope>".encode())


def _institution(bic: str) -> str:
    return f"<FinInstnId><BICFI>{bic}</BICFI></FinInstnId>"


def _decimal(minor: int, currency: str) -> str:
    return Money(minor, Currency.historic(currency)).decimal_text()


def _moment(now: datetime) -> str:
    return now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
