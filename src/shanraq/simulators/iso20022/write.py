"""Write what the clearing system says, each message in an envelope with its header, not signed yet."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, NamedTuple
from xml.sax.saxutils import escape

from shanraq.simulators.iso20022.books import Entry, Payment
from shanraq.simulators.iso20022.read import Named
from shanraq.standards.iso20022.codes import minor_units

STATUS: Final = "pacs.002.001.10"
RETURN: Final = "pacs.004.001.09"
TRANSFER: Final = "pacs.008.001.08"
INTRADAY: Final = "camt.052.001.08"
STATEMENT: Final = "camt.053.001.08"
RESOLUTION: Final = "camt.029.001.09"
CANCELLATION: Final = "camt.056.001.08"
_NAMESPACE: Final = "urn:iso:std:iso:20022:tech:xsd:"
_CONFIRMATIONS: Final = {"ACCR": "CNCL", "RJCR": "RJCR", "PDCR": "PDCR"}


@dataclass(frozen=True, slots=True)
class Incoming:
    """A payment of another bank to a participant's customer."""

    uetr: str
    end_to_end_id: str
    amount: int
    currency: str
    debtor: str
    debtor_account: str
    creditor: str
    creditor_account: str
    remittance: str = ""


class Told(NamedTuple):
    """What a status report says of a payment: a status, a reason and words, "" where there are none."""

    payment: Payment | Named
    status: str
    reason: str = ""
    words: str = ""


@dataclass(frozen=True)
class Writer:
    """Writes for the clearing system; `business_id` gives each message its identifier."""

    bic: str
    system: str

    def envelope(self, to: str, business_id: str, definition: str, body: str, now: datetime) -> bytes:
        """Put a body into its document, with a header, into an envelope."""
        header = (
            f'<AppHdr xmlns="{_NAMESPACE}head.001.001.02"><Fr><FIId>{_institution(self.bic)}</FIId></Fr>'
            f"<To><FIId>{_institution(to)}</FIId></To><BizMsgIdr>{business_id}</BizMsgIdr>"
            f"<MsgDefIdr>{definition}</MsgDefIdr><CreDt>{moment(now)}</CreDt></AppHdr>"
        )
        return (f'<Envelope>{header}<Document xmlns="{_NAMESPACE}{definition}">{body}</Document></Envelope>').encode()

    def status(
        self,
        business_id: str,
        original_id: str,
        original: str,
        group: str,
        told: Iterable[Told],
        now: datetime,
    ) -> str:
        """Write the body of a pacs.002.001.10 about payments of one message."""
        listed = "".join([_status(one) for one in told])
        summed = f"<GrpSts>{group}</GrpSts>" if group else ""
        return (
            f"<FIToFIPmtStsRpt><GrpHdr><MsgId>{business_id}</MsgId><CreDtTm>{moment(now)}</CreDtTm></GrpHdr>"
            f"<OrgnlGrpInfAndSts><OrgnlMsgId>{escape(original_id)}</OrgnlMsgId><OrgnlMsgNmId>{original}</OrgnlMsgNmId>"
            f"{summed}</OrgnlGrpInfAndSts>{listed}</FIToFIPmtStsRpt>"
        )

    def unknown(self, business_id: str, named: Sequence[Named], now: datetime) -> str:
        """Write the body of a pacs.002.001.10 that says that nothing is known of payments."""
        listed = "".join(
            f"<TxInfAndSts>{_original_group(one.message_id, one.definition or TRANSFER)}"
            f"{_ids(one.instruction_id, one.end_to_end_id, one.transaction_id, one.uetr)}"
            "<TxSts>RJCT</TxSts><StsRsnInf><Rsn><Cd>NARR</Cd></Rsn><AddtlInf>no such transaction was received</AddtlInf>"
            "</StsRsnInf></TxInfAndSts>"
            for one in named
        )
        return (
            f"<FIToFIPmtStsRpt><GrpHdr><MsgId>{business_id}</MsgId><CreDtTm>{moment(now)}</CreDtTm></GrpHdr>{listed}"
            "</FIToFIPmtStsRpt>"
        )

    def payment_return(self, business_id: str, payment: Payment, reason: str, day: str, now: datetime) -> str:
        """Write the body of a pacs.004.001.09 that brings a payment back whole."""
        amount = decimal(payment.amount, payment.currency)
        return (
            f"<PmtRtr><GrpHdr><MsgId>{business_id}</MsgId><CreDtTm>{moment(now)}</CreDtTm><NbOfTxs>1</NbOfTxs>"
            f"{_settlement(self.system)}</GrpHdr><TxInf><RtrId>{business_id}</RtrId>"
            f"{_original_group(payment.message_id, payment.definition)}{_ids_of(payment)}"
            f'<OrgnlIntrBkSttlmAmt Ccy="{payment.currency}">{amount}</OrgnlIntrBkSttlmAmt>'
            f"<OrgnlIntrBkSttlmDt>{payment.day}</OrgnlIntrBkSttlmDt>"
            f'<RtrdIntrBkSttlmAmt Ccy="{payment.currency}">{amount}</RtrdIntrBkSttlmAmt>'
            f"<IntrBkSttlmDt>{day}</IntrBkSttlmDt><RtrRsnInf><Rsn><Cd>{reason}</Cd></Rsn></RtrRsnInf></TxInf></PmtRtr>"
        )

    def resolution(
        self, business_id: str, to: str, case_id: str, named: Named, status: str, reason: str, now: datetime
    ) -> str:
        """Write the body of a camt.029.001.09: the answer to one recall."""
        why = f"<CxlStsRsnInf><Rsn><Cd>{reason}</Cd></Rsn></CxlStsRsnInf>" if reason else ""
        ours, theirs = f"<Agt>{_institution(self.bic)}</Agt>", f"<Agt>{_institution(to)}</Agt>"
        case = f"<RslvdCase><Id>{escape(case_id)}</Id><Cretr>{theirs}</Cretr></RslvdCase>" if case_id else ""
        return (
            f"<RsltnOfInvstgtn><Assgnmt><Id>{business_id}</Id><Assgnr>{ours}</Assgnr><Assgne>{theirs}</Assgne>"
            f"<CreDtTm>{moment(now)}</CreDtTm></Assgnmt>{case}<Sts><Conf>{_CONFIRMATIONS[status]}</Conf></Sts>"
            f"<CxlDtls><TxInfAndSts>{_original_group(named.message_id, named.definition or TRANSFER)}"
            f"{_ids(named.instruction_id, named.end_to_end_id, named.transaction_id, named.uetr)}"
            f"<TxCxlSts>{status}</TxCxlSts>{why}</TxInfAndSts></CxlDtls></RsltnOfInvstgtn>"
        )

    def transfer(self, business_id: str, to: str, incoming: Incoming, bank: str, day: str, now: datetime) -> str:
        """Write the body of a pacs.008.001.08 of one payment to a participant."""
        amount = decimal(incoming.amount, incoming.currency)
        money = f'Ccy="{incoming.currency}">{amount}'
        remittance = f"<RmtInf><Ustrd>{escape(incoming.remittance)}</Ustrd></RmtInf>" if incoming.remittance else ""
        return (
            f"<FIToFICstmrCdtTrf><GrpHdr><MsgId>{business_id}</MsgId><CreDtTm>{moment(now)}</CreDtTm><NbOfTxs>1</NbOfTxs>"
            f"<CtrlSum>{amount}</CtrlSum><TtlIntrBkSttlmAmt {money}</TtlIntrBkSttlmAmt><IntrBkSttlmDt>{day}</IntrBkSttlmDt>"
            f"{_settlement(self.system)}<InstgAgt>{_institution(self.bic)}</InstgAgt><InstdAgt>{_institution(to)}</InstdAgt>"
            f"</GrpHdr><CdtTrfTxInf><PmtId><EndToEndId>{escape(incoming.end_to_end_id)}</EndToEndId><TxId>{business_id}</TxId>"
            f"<UETR>{incoming.uetr}</UETR></PmtId><IntrBkSttlmAmt {money}</IntrBkSttlmAmt><ChrgBr>SLEV</ChrgBr>"
            f"<Dbtr><Nm>{escape(incoming.debtor)}</Nm></Dbtr>{_account('DbtrAcct', incoming.debtor_account)}"
            f"<DbtrAgt>{_institution(bank)}</DbtrAgt><CdtrAgt>{_institution(to)}</CdtrAgt>"
            f"<Cdtr><Nm>{escape(incoming.creditor)}</Nm></Cdtr>{_account('CdtrAcct', incoming.creditor_account)}{remittance}"
            "</CdtTrfTxInf></FIToFICstmrCdtTrf>"
        )

    def cancellation(self, business_id: str, to: str, payment: Payment, reason: str, now: datetime) -> str:
        """Write the body of a camt.056.001.08 that asks a payment of another bank back."""
        ours, theirs = f"<Agt>{_institution(self.bic)}</Agt>", f"<Agt>{_institution(to)}</Agt>"
        amount = decimal(payment.amount, payment.currency)
        return (
            f"<FIToFIPmtCxlReq><Assgnmt><Id>{business_id}</Id><Assgnr>{ours}</Assgnr><Assgne>{theirs}</Assgne>"
            f"<CreDtTm>{moment(now)}</CreDtTm></Assgnmt><CtrlData><NbOfTxs>1</NbOfTxs></CtrlData>"
            f"<Undrlyg><TxInf><CxlId>{business_id}</CxlId><Case><Id>{business_id}</Id><Cretr>{ours}</Cretr></Case>"
            f"{_original_group(payment.message_id, payment.definition)}{_ids_of(payment)}"
            f'<OrgnlIntrBkSttlmAmt Ccy="{payment.currency}">{amount}</OrgnlIntrBkSttlmAmt>'
            f"<OrgnlIntrBkSttlmDt>{payment.day}</OrgnlIntrBkSttlmDt>"
            f"<CxlRsnInf><Rsn><Cd>{reason}</Cd></Rsn></CxlRsnInf></TxInf></Undrlyg></FIToFIPmtCxlReq>"
        )

    def report(
        self, business_id: str, definition: str, owner: str, currency: str, number: int, opening: int,
        entries: Sequence[Entry], day: str, now: datetime,
    ) -> str:  # fmt: skip
        """Write the body of a camt.052.001.08 (interim) or camt.053.001.08 (closing) of a participant's account."""
        closing = opening + sum(entry.amount for entry in entries)
        is_statement = definition == STATEMENT
        message, part = ("BkToCstmrStmt", "Stmt") if is_statement else ("BkToCstmrAcctRpt", "Rpt")
        kinds = ("OPBD", "CLBD") if is_statement else ("OPBD", "ITBD")
        came = [entry.amount for entry in entries if entry.amount > 0]
        went = [-entry.amount for entry in entries if entry.amount < 0]
        total, net = sum(came) + sum(went), closing - opening
        summary = (
            f"<TxsSummry><TtlNtries><NbOfNtries>{len(entries)}</NbOfNtries><Sum>{decimal(total, currency)}</Sum>"
            f"<TtlNetNtry><Amt>{decimal(abs(net), currency)}</Amt>{_sign(net)}</TtlNetNtry></TtlNtries>"
            f"<TtlCdtNtries><NbOfNtries>{len(came)}</NbOfNtries><Sum>{decimal(sum(came), currency)}</Sum></TtlCdtNtries>"
            f"<TtlDbtNtries><NbOfNtries>{len(went)}</NbOfNtries><Sum>{decimal(sum(went), currency)}</Sum></TtlDbtNtries>"
            "</TxsSummry>"
        )
        balances = "".join(
            f"<Bal><Tp><CdOrPrtry><Cd>{kind}</Cd></CdOrPrtry></Tp>{_money(amount, currency)}<Dt><Dt>{day}</Dt></Dt></Bal>"
            for kind, amount in zip(kinds, (opening, closing), strict=True)
        )
        sequence = f"<ElctrncSeqNb>{number}</ElctrncSeqNb>" if is_statement else ""
        return (
            f"<{message}><GrpHdr><MsgId>{business_id}</MsgId><CreDtTm>{moment(now)}</CreDtTm></GrpHdr>"
            f"<{part}><Id>{business_id}</Id>{sequence}<CreDtTm>{moment(now)}</CreDtTm>"
            f"<Acct><Id><Othr><Id>{owner}-{currency}</Id></Othr></Id><Ccy>{currency}</Ccy>"
            f"<Svcr>{_institution(self.bic)}</Svcr></Acct>{balances}{summary}"
            f"{''.join([_entry(entry, currency) for entry in entries])}</{part}></{message}>"
        )


def moment(now: datetime) -> str:
    """Write a moment as ISODateTime in UTC."""
    return now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def decimal(amount: int, currency: str) -> str:
    """Write minor units as a decimal with the digits of the currency."""
    exponent = minor_units(currency) or 0
    digits = str(amount).rjust(exponent + 1, "0")
    return f"{digits[:-exponent]}.{digits[-exponent:]}" if exponent else digits


def _status(told: Told) -> str:
    words = f"<AddtlInf>{told.words}</AddtlInf>" if told.words else ""
    why = f"<StsRsnInf><Rsn><Cd>{told.reason}</Cd></Rsn>{words}</StsRsnInf>" if told.reason else ""
    return f"<TxInfAndSts>{_ids_of(told.payment)}<TxSts>{told.status}</TxSts>{why}</TxInfAndSts>"


def _ids_of(payment: Payment | Named) -> str:
    return _ids(payment.instruction_id, payment.end_to_end_id, payment.transaction_id, payment.uetr)


def _ids(instruction_id: str, end_to_end_id: str, transaction_id: str, uetr: str) -> str:
    named = (
        ("OrgnlInstrId", instruction_id),
        ("OrgnlEndToEndId", end_to_end_id),
        ("OrgnlTxId", transaction_id),
        ("OrgnlUETR", uetr),
    )
    return "".join([f"<{name}>{escape(value)}</{name}>" for name, value in named if value])


def _original_group(message_id: str, definition: str) -> str:
    if not message_id:
        return ""
    original = f"<OrgnlMsgId>{escape(message_id)}</OrgnlMsgId><OrgnlMsgNmId>{escape(definition)}</OrgnlMsgNmId>"
    return f"<OrgnlGrpInf>{original}</OrgnlGrpInf>"


def _settlement(system: str) -> str:
    return f"<SttlmInf><SttlmMtd>CLRG</SttlmMtd><ClrSys><Prtry>{escape(system)}</Prtry></ClrSys></SttlmInf>"


def _account(name: str, number: str) -> str:
    kind = f"<IBAN>{number}</IBAN>" if number[:2].isalpha() else f"<Othr><Id>{escape(number)}</Id></Othr>"
    return f"<{name}><Id>{kind}</Id></{name}>"


def _institution(bic: str) -> str:
    return f"<FinInstnId><BICFI>{bic}</BICFI></FinInstnId>"


def _sign(amount: int) -> str:
    return f"<CdtDbtInd>{'DBIT' if amount < 0 else 'CRDT'}</CdtDbtInd>"


def _money(amount: int, currency: str) -> str:
    return f'<Amt Ccy="{currency}">{decimal(abs(amount), currency)}</Amt>{_sign(amount)}'


def _entry(entry: Entry, currency: str) -> str:
    payment = entry.payment
    family = "RCDT" if entry.amount > 0 else "ICDT"
    sub = "RRTN" if entry.kind == "return" else "DMCT"
    ids = "".join(
        f"<{name}>{escape(value)}</{name}>"
        for name, value in (
            ("MsgId", payment.message_id), ("InstrId", payment.instruction_id), ("EndToEndId", payment.end_to_end_id),
            ("UETR", payment.uetr), ("TxId", payment.transaction_id),
        )
        if value
    )  # fmt: skip
    return (
        f"<Ntry><NtryRef>{entry.id}</NtryRef>{_money(entry.amount, currency)}<Sts><Cd>BOOK</Cd></Sts>"
        f"<BookgDt><Dt>{entry.day}</Dt></BookgDt><ValDt><Dt>{entry.day}</Dt></ValDt>"
        f"<BkTxCd><Domn><Cd>PMNT</Cd><Fmly><Cd>{family}</Cd><SubFmlyCd>{sub}</SubFmlyCd></Fmly></Domn></BkTxCd>"
        f"<NtryDtls><TxDtls><Refs>{ids}</Refs>{_money(entry.amount, currency)}</TxDtls></NtryDtls></Ntry>"
    )
