"""Messages made for these tests."""

from __future__ import annotations

HEADER = (
    '<AppHdr xmlns="urn:iso:std:iso:20022:tech:xsd:head.001.001.02">'
    "<Fr><FIId><FinInstnId><BICFI>HSBKKZKX</BICFI></FinInstnId></FIId></Fr>"
    "<To><FIId><FinInstnId><BICFI>KCJBKZKX</BICFI></FinInstnId></FIId></To>"
    "<BizMsgIdr>M1</BizMsgIdr><MsgDefIdr>pacs.008.001.08</MsgDefIdr><CreDt>2026-11-23T10:00:00+05:00</CreDt></AppHdr>"
)
AGENT = "<FinInstnId><BICFI>HSBKKZKX</BICFI></FinInstnId>"


def transfer(number: int = 1, amount: str = "100.00") -> str:
    """Return one transaction of a pacs.008."""
    return (
        f"<CdtTrfTxInf><PmtId><EndToEndId>E{number}</EndToEndId></PmtId>"
        f'<IntrBkSttlmAmt Ccy="KZT">{amount}</IntrBkSttlmAmt><ChrgBr>SHAR</ChrgBr><Dbtr><Nm>Aigerim</Nm></Dbtr>'
        f"<DbtrAgt>{AGENT}</DbtrAgt><CdtrAgt>{AGENT}</CdtrAgt><Cdtr><Nm>Baurzhan</Nm></Cdtr></CdtTrfTxInf>"
    )


def document(*transfers: str) -> str:
    """Return a pacs.008.001.08 of transactions; one when none is given."""
    inside = "".join(transfers or (transfer(),))
    return (
        '<Document xmlns="urn:iso:std:iso:20022:tech:xsd:pacs.008.001.08"><FIToFICstmrCdtTrf><GrpHdr><MsgId>M1</MsgId>'
        f"<CreDtTm>2026-11-23T10:00:00+05:00</CreDtTm><NbOfTxs>{len(transfers) or 1}</NbOfTxs><SttlmInf>"
        f"<SttlmMtd>CLRG</SttlmMtd></SttlmInf></GrpHdr>{inside}</FIToFICstmrCdtTrf></Document>"
    )


def envelope(*parts: str) -> str:
    """Return parts inside of an envelope without a namespace."""
    return f"<Envelope>{''.join(parts)}</Envelope>"


def payment(number: int = 1, amount: str = "10.50", *, more: str = "") -> str:
    """Return one transaction of a pain.001, right in all rules of its own."""
    return (
        f"<CdtTrfTxInf><PmtId><InstrId>I-{number}</InstrId><EndToEndId>E-{number}</EndToEndId>"
        f"<UETR>11111111-2222-4333-8444-{number:012d}</UETR></PmtId>"
        f'<Amt><InstdAmt Ccy="KZT">{amount}</InstdAmt></Amt>{more}'
        "<CdtrAgt><FinInstnId><BICFI>NBRKKZKX</BICFI></FinInstnId></CdtrAgt>"
        f"<Cdtr><Nm>Получатель {number}</Nm><PstlAdr><TwnNm>Almaty</TwnNm><Ctry>KZ</Ctry></PstlAdr><Id><PrvtId><Othr>"
        "<Id>500101100000</Id><SchmeNm><Cd>NIDN</Cd></SchmeNm></Othr></PrvtId></Id></Cdtr>"
        "<CdtrAcct><Id><IBAN>KZ86125KZT5004100100</IBAN></Id></CdtrAcct><Purp><Cd>SALA</Cd></Purp>"
        f"<RgltryRptg><Dtls><Tp>EKNP</Tp><Cd>1914710</Cd></Dtls></RgltryRptg><RmtInf><Ustrd>Pay {number}</Ustrd>"
        "<Ustrd>again</Ustrd></RmtInf></CdtTrfTxInf>"
    )


def order(*blocks: str, name: str = "pain.001.001.09", gap: str = "") -> str:
    """Return a pain.001 of blocks, each the text of its transactions; counts and sums are left out where they may be."""
    inside = "".join(
        f"<PmtInf><PmtInfId>B-{number}</PmtInfId><PmtMtd>TRF</PmtMtd><ReqdExctnDt><Dt>2026-03-03</Dt></ReqdExctnDt>"
        "<Dbtr><Nm>Tester</Nm></Dbtr><DbtrAcct><Id><IBAN>KZ86125KZT5004100100</IBAN></Id><Ccy>KZT</Ccy></DbtrAcct>"
        f"<DbtrAgt><FinInstnId><BICFI>NBRKKZKX</BICFI></FinInstnId></DbtrAgt>{gap}{block}{gap}</PmtInf>{gap}"
        for number, block in enumerate(blocks, 1)
    )
    count = inside.count("<CdtTrfTxInf>")
    return (
        f'<Document xmlns="urn:iso:std:iso:20022:tech:xsd:{name}"><CstmrCdtTrfInitn><GrpHdr><MsgId>M-1</MsgId>'
        f"<CreDtTm>2026-03-02T08:00:00Z</CreDtTm><NbOfTxs>{count}</NbOfTxs><InitgPty><Nm>Tester</Nm></InitgPty></GrpHdr>"
        f"{gap}{inside}</CstmrCdtTrfInitn></Document>"
    )
