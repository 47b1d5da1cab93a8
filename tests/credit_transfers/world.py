"""A bank with a clearing system whose answers a test writes."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import date, timedelta

from lxml import etree

from shanraq import accounts, credit_transfers
from shanraq.core.actor import Environment
from shanraq.core.crypto import Keyring
from shanraq.core.db import Database, utc_now
from shanraq.credit_transfers import (
    Arrived,
    CreditTransfer,
    Details,
    Distrusted,
    Interbank,
    NewTransfer,
    Rejection,
    Sent,
    Taken,
    Terms,
)
from shanraq.standards.iso20022 import cut_out, parse, validate
from tests.money_world import Bank

OURS, THEIRS = "SHRQKZKX", "KISCKZKX"
FILE = "pmf_00000000000000000000000001"
OTHER_BANK = "HSBKKZKX"
NAMESPACE = "urn:iso:std:iso:20022:tech:xsd:"
TERMS = Terms("test clearing", OURS, THEIRS, "ICS", frozenset({"KZT", "USD"}), transactions_per_message=3)


def iban(bank_code: str, number: int) -> str:
    """Make a Kazakh IBAN with right check digits."""
    body = f"{bank_code}{number:013d}"
    return f"KZ{98 - int(body + '203500') % 97:02d}{body}"


class ScriptedClearing:
    """The port's shape: what is sent is kept, what arrives is what the test puts there."""

    def __init__(self, terms: Terms = TERMS) -> None:
        self.terms = terms
        self.sent: list[bytes] = []
        self.answers: list[Sent] = []
        self.mailbox: list[Arrived | Distrusted] = []

    async def send(self, content: bytes) -> Sent:
        self.sent.append(content)
        return self.answers.pop(0) if self.answers else Taken()

    async def fetch(self, after: str, *, limit: int, wait_seconds: float) -> list[Arrived | Distrusted]:
        return self.mailbox[int(after or 0) : int(after or 0) + limit]

    async def close(self) -> None:
        pass

    def say(self, definition: str, body: str, *, business_id: str | None = None) -> str:
        """Put a message into the mailbox; returns its business message identifier."""
        name = business_id or f"M{len(self.mailbox) + 1}"
        content = (
            f'<Envelope><AppHdr xmlns="{NAMESPACE}head.001.001.02"><Fr><FIId><FinInstnId><BICFI>{THEIRS}</BICFI></FinInstnId>'
            f"</FIId></Fr><To><FIId><FinInstnId><BICFI>{OURS}</BICFI></FinInstnId></FIId></To><BizMsgIdr>{name}</BizMsgIdr>"
            f"<MsgDefIdr>{definition}</MsgDefIdr><CreDt>2026-11-26T08:00:00Z</CreDt></AppHdr>"
            f'<Document xmlns="{NAMESPACE}{definition}">{body.replace("MSGID", name)}</Document></Envelope>'
        ).encode()
        report = validate(content)
        assert report.valid, [finding for finding in report.findings if finding.severity == "error"]
        self.mailbox.append(
            Arrived(str(len(self.mailbox) + 1), name, definition, THEIRS, OURS, content, document_of(content))
        )
        return name


def document_of(content: bytes) -> etree._Element:
    """Return the Document of a message in an envelope."""
    root = parse(content)
    return cut_out(next(child for child in root if etree.QName(child).localname == "Document"))


@dataclass
class InterbankWorld:
    """A partner with a rich account, another account of his, and the clearing."""

    bank: Bank
    keyring: Keyring = field(default_factory=Keyring.generate)
    clearing: ScriptedClearing = field(default_factory=ScriptedClearing)
    waited: float = 0.0

    def __post_init__(self) -> None:
        self.interbank = Interbank(self.bank.db, self.keyring, {Environment.SANDBOX: self.clearing})

    @property
    def db(self) -> Database:
        return self.bank.db

    async def account(self, balance: int, number: int) -> accounts.Account:
        account = await self.bank.account(balance)
        change = accounts.AccountChange(version=account.version, iban=iban("125", number))
        return await accounts.update_account(self.db, self.bank.actor, account.id, change)

    async def add(self, *new: NewTransfer, file: str = "") -> list[CreditTransfer]:
        async with self.db.begin(self.bank.actor) as tx:
            return await credit_transfers.add_transfers(
                tx, self.keyring, file or FILE + self.bank.actor.partner_id, new
            )

    async def find(self, transfer: CreditTransfer) -> CreditTransfer:
        return await credit_transfers.find_transfer(self.db, self.bank.actor, transfer.id)

    async def submit(self, *new: NewTransfer) -> list[CreditTransfer]:
        """Add transfers, carry them out, and hand their messages in."""
        added = await self.add(*new)
        while await credit_transfers.execute(self.interbank):
            pass
        while await credit_transfers.send_queued(self.interbank, Environment.SANDBOX):
            pass
        return [await self.find(one) for one in added]

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.waited += seconds
        waited = timedelta(seconds=self.waited)
        self.db.clock = lambda: utc_now() + waited

    async def listen(self) -> int:
        return await credit_transfers.take_news(self.interbank, Environment.SANDBOX)


def instruction(
    debtor: str,
    creditor: str,
    amount: int = 10_00,
    *,
    position: int = 1,
    agent: str = "",
    end_to_end_id: str = "",
    uetr: str = "",
    currency: str = "KZT",
    day: date = date(2026, 1, 1),
    rejection: Rejection | None = None,
    name: str = "Азамат & Co <ТОО>",
) -> NewTransfer:
    """Make an instruction of a payment file."""
    return NewTransfer(
        position=position,
        block=1,
        block_id="B1",
        instruction_id=f"I{position}",
        end_to_end_id=end_to_end_id or f"E{position}",
        uetr=uetr or str(uuid.uuid4()),
        amount=amount,
        currency=currency,
        execution_date=day,
        details=Details(
            debtor_name="Payer",
            debtor_account=debtor,
            creditor_name=name,
            creditor_account=creditor,
            creditor_agent=agent,
            carried={
                "DbtrAcct": f"<DbtrAcct><Id><IBAN>{debtor}</IBAN></Id></DbtrAcct>",
                "CdtrAcct": f"<CdtrAcct><Id><IBAN>{creditor}</IBAN></Id></CdtrAcct>",
                "RmtInf": "<RmtInf><Ustrd>Invoice 7</Ustrd></RmtInf>",
            },
        ),
        rejection=rejection,
    )


def status_report(transfers: list[CreditTransfer], status: str, reason: str = "", *, group: str = "") -> str:
    """Write the body of a pacs.002 about transfers of one message."""
    message_id = str(transfers[0].message_id).partition("_")[2]
    why = f"<StsRsnInf><Rsn><Cd>{reason}</Cd></Rsn></StsRsnInf>" if reason else ""
    listed = "".join(
        f"<TxInfAndSts><OrgnlEndToEndId>{one.end_to_end_id}</OrgnlEndToEndId><OrgnlTxId>{one.id[4:]}</OrgnlTxId>"
        f"<OrgnlUETR>{one.uetr}</OrgnlUETR><TxSts>{status}</TxSts>{why}</TxInfAndSts>"
        for one in transfers
    )
    return (
        "<FIToFIPmtStsRpt><GrpHdr><MsgId>MSGID</MsgId><CreDtTm>2026-11-26T08:00:00Z</CreDtTm></GrpHdr>"
        f"<OrgnlGrpInfAndSts><OrgnlMsgId>{message_id}</OrgnlMsgId><OrgnlMsgNmId>pacs.008.001.08</OrgnlMsgNmId>"
        f"{f'<GrpSts>{group}</GrpSts>' if group else ''}{why if group == 'RJCT' else ''}</OrgnlGrpInfAndSts>"
        f"{'' if group else listed}"
        "</FIToFIPmtStsRpt>"
    )


def payment_return(transfer: CreditTransfer, amount: str, reason: str = "AC04") -> str:
    """Write the body of a pacs.004 of one transfer."""
    currency = transfer.currency
    original = transfer.money.decimal_text()
    return (
        "<PmtRtr><GrpHdr><MsgId>MSGID</MsgId><CreDtTm>2026-11-26T08:00:00Z</CreDtTm><NbOfTxs>1</NbOfTxs>"
        "<SttlmInf><SttlmMtd>CLRG</SttlmMtd><ClrSys><Prtry>ICS</Prtry></ClrSys></SttlmInf></GrpHdr>"
        f"<TxInf><RtrId>R1</RtrId><OrgnlGrpInf><OrgnlMsgId>{str(transfer.message_id)[4:]}</OrgnlMsgId>"
        "<OrgnlMsgNmId>pacs.008.001.08</OrgnlMsgNmId></OrgnlGrpInf>"
        f"<OrgnlEndToEndId>{transfer.end_to_end_id}</OrgnlEndToEndId><OrgnlTxId>{transfer.id[4:]}</OrgnlTxId>"
        f"<OrgnlUETR>{transfer.uetr}</OrgnlUETR>"
        f'<OrgnlIntrBkSttlmAmt Ccy="{currency}">{original}</OrgnlIntrBkSttlmAmt>'
        f'<RtrdIntrBkSttlmAmt Ccy="{currency}">{amount}</RtrdIntrBkSttlmAmt>'
        "<IntrBkSttlmDt>2026-11-26</IntrBkSttlmDt>"
        f"<RtrRsnInf><Rsn><Cd>{reason}</Cd></Rsn>"
        f"{'' if amount == original else '<AddtlInf>PART</AddtlInf>'}</RtrRsnInf></TxInf></PmtRtr>"
    )


def resolution(transfer: CreditTransfer, recall_id: str, status: str, reason: str = "") -> str:
    """Write the body of a camt.029 about the recall of one transfer."""
    agent = "<Agt><FinInstnId><BICFI>{}</BICFI></FinInstnId></Agt>"
    confirmation = {"ACCR": "CNCL", "RJCR": "RJCR", "PDCR": "PDCR"}[status]
    why = f"<CxlStsRsnInf><Rsn><Cd>{reason}</Cd></Rsn></CxlStsRsnInf>" if reason else ""
    return (
        f"<RsltnOfInvstgtn><Assgnmt><Id>MSGID</Id><Assgnr>{agent.format(THEIRS)}</Assgnr><Assgne>{agent.format(OURS)}</Assgne>"
        "<CreDtTm>2026-11-26T08:00:00Z</CreDtTm></Assgnmt>"
        f"<RslvdCase><Id>{recall_id[4:]}</Id><Cretr>{agent.format(OURS)}</Cretr></RslvdCase>"
        f"<Sts><Conf>{confirmation}</Conf></Sts><CxlDtls><TxInfAndSts>"
        f"<OrgnlGrpInf><OrgnlMsgId>{str(transfer.message_id)[4:]}</OrgnlMsgId><OrgnlMsgNmId>pacs.008.001.08</OrgnlMsgNmId>"
        f"</OrgnlGrpInf><OrgnlEndToEndId>{transfer.end_to_end_id}</OrgnlEndToEndId><OrgnlTxId>{transfer.id[4:]}</OrgnlTxId>"
        f"<OrgnlUETR>{transfer.uetr}</OrgnlUETR><TxCxlSts>{status}</TxCxlSts>{why}</TxInfAndSts></CxlDtls></RsltnOfInvstgtn>"
    )
