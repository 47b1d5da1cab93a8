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
