"""A participant of the clearing simulator: writes messages, signs them, hands them in and reads the mailbox."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx
from lxml import etree

from shanraq.simulators.iso20022 import ClearingSimulator, Member
from shanraq.standards.iso20022 import validate
from shanraq.standards.iso20022.signatures import SHANRAQ, TrustStore, sign, verify

NAMESPACE = "urn:iso:std:iso:20022:tech:xsd:"
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Order:
    """One payment to hand in."""

    end_to_end_id: str = "E1"
    amount: str = "10.00"
    currency: str = "KZT"
    bank: str = "HSBKKZKX"
    uetr: str = ""


class Participant:
    """Our side of the wire."""

    def __init__(self, simulator: ClearingSimulator, bic: str = "SHRQKZKX", base_url: str = "") -> None:
        self.member: Member = simulator.credentials.participants[bic]
        self.clearing = simulator.credentials.clearing.bic
        self.trust: TrustStore = simulator.credentials.trust_of_participant()
        self.http = httpx.AsyncClient(base_url=base_url or simulator.base_url, timeout=30, trust_env=False)
        self.headers = {"Authorization": f"Bearer {self.member.token}"}
        self.control_headers = {"Authorization": f"Bearer {simulator.configuration.control_token}"}
        self.cursor = ""

    def envelope(self, definition: str, body: str, business_id: str, sender: str = "") -> bytes:
        """Put a body into an envelope."""
        return (
            f'<Envelope><AppHdr xmlns="{NAMESPACE}head.001.001.02"><Fr><FIId><FinInstnId><BICFI>{sender or self.member.bic}'
            f"</BICFI></FinInstnId></FIId></Fr><To><FIId><FinInstnId><BICFI>{self.clearing}</BICFI></FinInstnId></FIId></To>"
            f"<BizMsgIdr>{business_id}</BizMsgIdr><MsgDefIdr>{definition}</MsgDefIdr>"
            f"<CreDt>{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}</CreDt></AppHdr>"
            f'<Document xmlns="{NAMESPACE}{definition}">{body.replace("MSGID", business_id)}</Document></Envelope>'
        ).encode()

    def sign(self, envelope: bytes) -> bytes:
        """Sign a message with our key."""
        return sign(envelope, signer=self.member.signer, profile=SHANRAQ)

    async def post(self, content: bytes, **headers: str) -> httpx.Response:
        """Hand bytes in."""
        return await self.http.post("/v1/messages", content=content, headers=self.headers | headers)

    async def say(self, definition: str, body: str, business_id: str = "") -> httpx.Response:
        """Write, sign and hand in a message."""
        return await self.post(self.sign(self.envelope(definition, body, business_id or f"P{next(_numbers)}")))

    async def pay(self, *orders: Order, business_id: str = "", definition: str = "pacs.008.001.08") -> httpx.Response:
        """Hand in a pacs.008 or pacs.009."""
        return await self.say(definition, transfers(orders, definition), business_id)

    async def hear(self, wait: float = 0, limit: int = 100) -> list[etree._Element]:
        """Read the mailbox on; every message is verified, valid by schema and rules. Returns their documents."""
        answer = await self.http.get(
            "/v1/messages", params={"after": self.cursor, "wait": wait, "limit": limit}, headers=self.headers
        )
        assert answer.status_code == 200, answer.text
        self.cursor = answer.json()["next"]
        return [self.read(letter) for letter in answer.json()["messages"]]

    def read(self, letter: dict[str, Any]) -> etree._Element:
        """Verify and validate a message of the mailbox."""
        content = letter["content"].encode()
        report = validate(content)
        assert report.valid, (letter["content"], report.findings)
        return verify(content, trust=self.trust, profile=SHANRAQ, as_of=datetime.now(UTC)).document

    async def control(self, name: str, body: dict[str, Any] | None = None) -> httpx.Response:
        """Use the control interface."""
        if body is None:
            return await self.http.get(f"/control/{name}", headers=self.control_headers)
        return await self.http.post(f"/control/{name}", json=body, headers=self.control_headers)


def transfers(orders: Sequence[Order], definition: str = "pacs.008.001.08") -> str:
    """Write the body of a pacs.008 or pacs.009."""
    total = sum(round(float(order.amount) * 100) for order in orders) / 100
    currency = orders[0].currency
    of_customers = definition.startswith("pacs.008")
    body = "".join(
        f"<CdtTrfTxInf><PmtId><InstrId>I{number}</InstrId><EndToEndId>{order.end_to_end_id}</EndToEndId><TxId>T{number}</TxId>"
        f"<UETR>{order.uetr or uuid.uuid4()}</UETR></PmtId>"
        f'<IntrBkSttlmAmt Ccy="{order.currency}">{order.amount}</IntrBkSttlmAmt>{_parties(order, of_customers=of_customers)}'
        "</CdtTrfTxInf>"
        for number, order in enumerate(orders)
    )
    name = "FIToFICstmrCdtTrf" if of_customers else "FICdtTrf"
    return (
        f"<{name}><GrpHdr><MsgId>MSGID</MsgId><CreDtTm>{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}</CreDtTm><NbOfTxs>{len(orders)}"
        f'</NbOfTxs><TtlIntrBkSttlmAmt Ccy="{currency}">{total:.2f}</TtlIntrBkSttlmAmt>'
        f"<IntrBkSttlmDt>{datetime.now(UTC):%Y-%m-%d}</IntrBkSttlmDt><SttlmInf><SttlmMtd>CLRG</SttlmMtd><ClrSys><Prtry>ICS</Prtry>"
        f"</ClrSys></SttlmInf></GrpHdr>{body}</{name}>"
    )


def _parties(order: Order, *, of_customers: bool) -> str:
    named = f"<BICFI>{order.bank}</BICFI>" if order.bank else "<Nm>A bank without a code</Nm>"
    bank = f"<FinInstnId>{named}</FinInstnId>"
    ours = "<FinInstnId><BICFI>SHRQKZKX</BICFI></FinInstnId>"
    if not of_customers:
        return f"<Dbtr>{ours}</Dbtr><Cdtr>{bank}</Cdtr>"
    agents = f"<DbtrAgt>{ours}</DbtrAgt><CdtrAgt>{bank}</CdtrAgt>"
    return f"<ChrgBr>SLEV</ChrgBr><Dbtr><Nm>D</Nm></Dbtr>{agents}<Cdtr><Nm>C</Nm></Cdtr>"


def statuses(*documents: etree._Element) -> list[tuple[str, str, str]]:
    """Return (end-to-end id, status, reason) of everything pacs.002 messages say."""
    return [
        (
            each.findtext("{*}OrgnlEndToEndId") or "",
            each.findtext("{*}TxSts") or "",
            each.findtext("{*}StsRsnInf/{*}Rsn/{*}Cd") or "",
        )
        for document in documents
        for each in document.iter("{*}TxInfAndSts")
    ]


def name_of(document: etree._Element) -> str:
    """Return the definition of a document."""
    return str(etree.QName(document).namespace).rpartition(":")[2][:8]


def inquiry(business_id: str, *uetrs: str) -> str:
    """Write the body of a pacs.028."""
    listed = "".join(
        f"<TxInf><OrgnlGrpInf><OrgnlMsgId>{business_id}</OrgnlMsgId><OrgnlMsgNmId>pacs.008.001.08</OrgnlMsgNmId></OrgnlGrpInf>"
        f"<OrgnlUETR>{uetr}</OrgnlUETR></TxInf>"
        for uetr in uetrs
    )
    now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    return f"<FIToFIPmtStsReq><GrpHdr><MsgId>MSGID</MsgId><CreDtTm>{now}</CreDtTm></GrpHdr>{listed}</FIToFIPmtStsReq>"


def recall(business_id: str, uetr: str = "", case: str = "CASE1", definition: str = "pacs.008.001.08") -> str:
    """Write the body of a camt.056: of one payment, or without a UETR of a whole message."""
    agent = "<Agt><FinInstnId><BICFI>{}</BICFI></FinInstnId></Agt>"
    return (
        f"<FIToFIPmtCxlReq><Assgnmt><Id>MSGID</Id><Assgnr>{agent.format('SHRQKZKX')}</Assgnr>"
        f"<Assgne>{agent.format('CLRGKZKX')}</Assgne><CreDtTm>{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}</CreDtTm></Assgnmt>"
        f"<Undrlyg>{_recalled(business_id, uetr, case, definition)}</Undrlyg></FIToFIPmtCxlReq>"
    )


def _recalled(business_id: str, uetr: str, case: str, definition: str) -> str:
    creator = "<Cretr><Agt><FinInstnId><BICFI>SHRQKZKX</BICFI></FinInstnId></Agt></Cretr>"
    opened = f"<Case><Id>{case}</Id>{creator}</Case>"
    original = f"<OrgnlMsgId>{business_id}</OrgnlMsgId><OrgnlMsgNmId>{definition}</OrgnlMsgNmId>"
    reason = "<CxlRsnInf><Rsn><Cd>DUPL</Cd></Rsn></CxlRsnInf>"
    if not uetr:
        return f"<OrgnlGrpInfAndCxl>{opened}{original}<GrpCxl>true</GrpCxl>{reason}</OrgnlGrpInfAndCxl>"
    return f"<TxInf>{opened}<OrgnlGrpInf>{original}</OrgnlGrpInf><OrgnlUETR>{uetr}</OrgnlUETR>{reason}</TxInf>"


def give_back(uetr: str, amount: str, currency: str = "KZT") -> str:
    """Write the body of a pacs.004 of a participant."""
    return (
        f"<PmtRtr><GrpHdr><MsgId>MSGID</MsgId><CreDtTm>{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}</CreDtTm><NbOfTxs>1</NbOfTxs>"
        f"<SttlmInf><SttlmMtd>CLRG</SttlmMtd></SttlmInf></GrpHdr><TxInf><OrgnlUETR>{uetr}</OrgnlUETR>"
        f'<RtrdIntrBkSttlmAmt Ccy="{currency}">{amount}</RtrdIntrBkSttlmAmt><RtrRsnInf><Rsn><Cd>AC04</Cd></Rsn></RtrRsnInf>'
        "</TxInf></PmtRtr>"
    )


def status_of(uetr: str, status: str, reason: str) -> str:
    """Write the body of a pacs.002 of a participant."""
    return (
        f"<FIToFIPmtStsRpt><GrpHdr><MsgId>MSGID</MsgId><CreDtTm>{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}</CreDtTm></GrpHdr>"
        f"<TxInfAndSts><OrgnlUETR>{uetr}</OrgnlUETR><TxSts>{status}</TxSts><StsRsnInf><Rsn><Cd>{reason}</Cd></Rsn></StsRsnInf>"
        "</TxInfAndSts></FIToFIPmtStsRpt>"
    )


def report_request(owner: str = "SHRQKZKX", definition: str = "camt.052.001.08", currency: str = "KZT") -> str:
    """Write the body of a camt.060."""
    now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    return (
        f"<AcctRptgReq><GrpHdr><MsgId>MSGID</MsgId><CreDtTm>{now}</CreDtTm></GrpHdr><RptgReq>"
        f"<ReqdMsgNmId>{definition}</ReqdMsgNmId><Acct><Id><Othr><Id>A</Id></Othr></Id><Ccy>{currency}</Ccy></Acct>"
        f"<AcctOwnr><Agt><FinInstnId><BICFI>{owner}</BICFI></FinInstnId></Agt></AcctOwnr></RptgReq></AcctRptgReq>"
    )
