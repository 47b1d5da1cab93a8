"""Small messages of our own, right in every rule, to be changed in one place. They need not be complete for a schema."""

from __future__ import annotations

from lxml import etree

from shanraq.standards.iso20022.rules.check import NAMESPACE

UETR = "11111111-2222-4333-8444-555555555555"
KZ_IBAN = "KZ86125KZT5004100100"
DE_IBAN = "DE89370400440532013000"

PAIN_001 = f"""
<CstmrCdtTrfInitn><GrpHdr><MsgId>M-1</MsgId><CreDtTm>2026-03-02T08:00:00Z</CreDtTm><NbOfTxs>2</NbOfTxs>
<CtrlSum>30.50</CtrlSum>
<InitgPty><Nm>Tester</Nm></InitgPty></GrpHdr>
<PmtInf><PmtInfId>B-1</PmtInfId><PmtMtd>TRF</PmtMtd><NbOfTxs>2</NbOfTxs><CtrlSum>30.5</CtrlSum><ReqdExctnDt>
<Dt>2026-03-03</Dt></ReqdExctnDt>
<Dbtr><Nm>Tester</Nm><Id><OrgId><Othr><Id>500412100219</Id><SchmeNm><Cd>TXID</Cd></SchmeNm></Othr></OrgId></Id></Dbtr>
<DbtrAcct><Id><IBAN>{KZ_IBAN}</IBAN></Id><Ccy>KZT</Ccy></DbtrAcct><DbtrAgt><FinInstnId><BICFI>NBRKKZKX</BICFI>
</FinInstnId></DbtrAgt>
<CdtTrfTxInf><PmtId><InstrId>I-1</InstrId><EndToEndId>E-1</EndToEndId><UETR>{UETR}</UETR></PmtId><Amt>
<InstdAmt Ccy="KZT">10.50</InstdAmt></Amt>
<CdtrAgt><FinInstnId><BICFI>NBRKKZKX</BICFI></FinInstnId></CdtrAgt><Cdtr><Nm>Payee</Nm><PstlAdr><TwnNm>Almaty</TwnNm>
<Ctry>KZ</Ctry></PstlAdr></Cdtr>
<CdtrAcct><Id><IBAN>{KZ_IBAN}</IBAN></Id></CdtrAcct><InstrForCdtrAgt><Cd>PHOB</Cd></InstrForCdtrAgt><Purp>
<Prtry>710</Prtry></Purp>
<RgltryRptg><Dtls><Tp>EKNP</Tp><Cd>1914710</Cd></Dtls></RgltryRptg><RmtInf><Ustrd>Rent</Ustrd></RmtInf></CdtTrfTxInf>
<CdtTrfTxInf><PmtId><InstrId>I-2</InstrId><EndToEndId>E-2</EndToEndId></PmtId><Amt><InstdAmt Ccy="KZT">20</InstdAmt>
</Amt>
<Cdtr><Nm>Other</Nm></Cdtr><CdtrAcct><Id><IBAN>{DE_IBAN}</IBAN></Id></CdtrAcct><Purp><Prtry>710</Prtry></Purp>
</CdtTrfTxInf>
</PmtInf>
<PmtInf><PmtInfId>B-2</PmtInfId><PmtMtd>TRF</PmtMtd></PmtInf></CstmrCdtTrfInitn>
"""

PAIN_008 = f"""
<CstmrDrctDbtInitn><GrpHdr><MsgId>D-1</MsgId><CreDtTm>2026-03-02T08:00:00Z</CreDtTm><NbOfTxs>2</NbOfTxs></GrpHdr>
<PmtInf><PmtInfId>B-1</PmtInfId><PmtMtd>DD</PmtMtd><PmtTpInf><SeqTp>OOFF</SeqTp></PmtTpInf>
<ReqdColltnDt>2026-03-10</ReqdColltnDt>
<CdtrSchmeId><Id><PrvtId><Othr><Id>DE98ZZZ09999999999</Id><SchmeNm><Prtry>SEPA</Prtry></SchmeNm></Othr></PrvtId></Id>
</CdtrSchmeId>
<ChrgBr>SLEV</ChrgBr>
<DrctDbtTxInf><PmtId><EndToEndId>E-1</EndToEndId></PmtId><InstdAmt Ccy="EUR">5.00</InstdAmt><DrctDbtTx><MndtRltdInf>
<MndtId>N-1</MndtId>
<DtOfSgntr>2026-01-05</DtOfSgntr></MndtRltdInf></DrctDbtTx><DbtrAcct><Id><IBAN>{DE_IBAN}</IBAN></Id></DbtrAcct>
</DrctDbtTxInf>
<DrctDbtTxInf><PmtId><EndToEndId>E-2</EndToEndId></PmtId><InstdAmt Ccy="EUR">6.00</InstdAmt><DrctDbtTx><MndtRltdInf>
<MndtId>N-2</MndtId>
<DtOfSgntr>2026-01-05</DtOfSgntr></MndtRltdInf></DrctDbtTx><DbtrAcct><Id><IBAN>{DE_IBAN}</IBAN></Id></DbtrAcct>
</DrctDbtTxInf></PmtInf></CstmrDrctDbtInitn>
"""

PACS_008 = f"""
<FIToFICstmrCdtTrf><GrpHdr><MsgId>P-1</MsgId><CreDtTm>2026-03-02T08:00:00Z</CreDtTm><NbOfTxs>1</NbOfTxs>
<TtlIntrBkSttlmAmt Ccy="EUR">100.00</TtlIntrBkSttlmAmt><SttlmInf><SttlmMtd>INDA</SttlmMtd></SttlmInf></GrpHdr>
<CdtTrfTxInf><PmtId><InstrId>I-1</InstrId><EndToEndId>E-1</EndToEndId><TxId>T-1</TxId><UETR>{UETR}</UETR></PmtId>
<PmtTpInf><InstrPrty>NORM</InstrPrty><SvcLvl><Cd>G001</Cd></SvcLvl></PmtTpInf>
<IntrBkSttlmAmt Ccy="EUR">100.00</IntrBkSttlmAmt><IntrBkSttlmDt>2026-03-03</IntrBkSttlmDt>
<InstdAmt Ccy="EUR">100.00</InstdAmt>
<ChrgBr>SHAR</ChrgBr><InstgAgt><FinInstnId><BICFI>NBRKKZKX</BICFI></FinInstnId></InstgAgt>
<InstdAgt><FinInstnId><BICFI>COBADEFF</BICFI></FinInstnId></InstdAgt><IntrmyAgt1><FinInstnId><BICFI>DEUTDEFF</BICFI>
</FinInstnId></IntrmyAgt1>
<Dbtr><Nm>Tester</Nm><PstlAdr><StrtNm>Abay</StrtNm><TwnNm>Almaty</TwnNm><Ctry>KZ</Ctry></PstlAdr>
<Id><OrgId><LEI>7LTWFZYICNSX8D621K86</LEI></OrgId></Id></Dbtr><DbtrAgt><FinInstnId><BICFI>NBRKKZKX</BICFI></FinInstnId>
</DbtrAgt>
<CdtrAgt><FinInstnId><BICFI>COBADEFF</BICFI></FinInstnId></CdtrAgt><Cdtr><Nm>Payee</Nm></Cdtr><CdtrAcct><Id>
<IBAN>{DE_IBAN}</IBAN></Id></CdtrAcct>
<Purp><Cd>GDDS</Cd></Purp><RmtInf><Strd><CdtrRefInf><Tp><CdOrPrtry><Cd>SCOR</Cd></CdOrPrtry></Tp>
<Ref>RF18539007547034</Ref></CdtrRefInf></Strd></RmtInf>
</CdtTrfTxInf></FIToFICstmrCdtTrf>
"""

PACS_002 = f"""
<FIToFIPmtStsRpt><GrpHdr><MsgId>S-1</MsgId><CreDtTm>2026-03-02T09:00:00Z</CreDtTm></GrpHdr>
<TxInfAndSts><OrgnlGrpInf><OrgnlMsgId>P-1</OrgnlMsgId><OrgnlMsgNmId>pacs.008.001.08</OrgnlMsgNmId></OrgnlGrpInf>
<OrgnlInstrId>I-1</OrgnlInstrId><OrgnlEndToEndId>E-1</OrgnlEndToEndId><OrgnlUETR>{UETR}</OrgnlUETR><TxSts>RJCT</TxSts>
<StsRsnInf><Rsn><Cd>AC04</Cd></Rsn></StsRsnInf></TxInfAndSts></FIToFIPmtStsRpt>
"""

PAIN_002 = """
<CstmrPmtStsRpt><GrpHdr><MsgId>S-2</MsgId><CreDtTm>2026-03-02T09:00:00Z</CreDtTm></GrpHdr>
<OrgnlGrpInfAndSts><OrgnlMsgId>M-1</OrgnlMsgId><OrgnlMsgNmId>pain.001.001.09</OrgnlMsgNmId>
<OrgnlNbOfTxs>2</OrgnlNbOfTxs>
<OrgnlCtrlSum>30.5</OrgnlCtrlSum><GrpSts>PART</GrpSts>
<NbOfTxsPerSts><DtldNbOfTxs>1</DtldNbOfTxs><DtldSts>ACSP</DtldSts><DtldCtrlSum>10.5</DtldCtrlSum></NbOfTxsPerSts>
<NbOfTxsPerSts><DtldNbOfTxs>1</DtldNbOfTxs><DtldSts>RJCT</DtldSts><DtldCtrlSum>20</DtldCtrlSum></NbOfTxsPerSts>
</OrgnlGrpInfAndSts>
<OrgnlPmtInfAndSts><OrgnlPmtInfId>B-1</OrgnlPmtInfId><OrgnlNbOfTxs>2</OrgnlNbOfTxs><PmtInfSts>PART</PmtInfSts>
<NbOfTxsPerSts><DtldNbOfTxs>1</DtldNbOfTxs><DtldSts>RJCT</DtldSts><DtldCtrlSum>20</DtldCtrlSum></NbOfTxsPerSts>
<TxInfAndSts><OrgnlInstrId>I-1</OrgnlInstrId><OrgnlEndToEndId>E-1</OrgnlEndToEndId><TxSts>ACSP</TxSts></TxInfAndSts>
<TxInfAndSts><OrgnlInstrId>I-2</OrgnlInstrId><OrgnlEndToEndId>E-2</OrgnlEndToEndId><TxSts>RJCT</TxSts>
<StsRsnInf><Rsn><Cd>NARR</Cd></Rsn><AddtlInf>why</AddtlInf></StsRsnInf></TxInfAndSts></OrgnlPmtInfAndSts>
</CstmrPmtStsRpt>
"""

PAIN_002_GROUP = """
<CstmrPmtStsRpt><GrpHdr><MsgId>S-3</MsgId></GrpHdr><OrgnlGrpInfAndSts><OrgnlMsgId>M-1</OrgnlMsgId>
<OrgnlMsgNmId>pain.001.001.09</OrgnlMsgNmId><GrpSts>RJCT</GrpSts><StsRsnInf><Rsn><Cd>AM05</Cd></Rsn></StsRsnInf>
</OrgnlGrpInfAndSts></CstmrPmtStsRpt>
"""

PACS_004 = f"""
<PmtRtr><GrpHdr><MsgId>R-1</MsgId><CreDtTm>2026-03-02T09:00:00Z</CreDtTm><NbOfTxs>1</NbOfTxs><GrpRtr>false</GrpRtr>
<TtlRtrdIntrBkSttlmAmt Ccy="EUR">100.00</TtlRtrdIntrBkSttlmAmt><SttlmInf><SttlmMtd>INDA</SttlmMtd></SttlmInf></GrpHdr>
<TxInf><RtrId>X-1</RtrId><OrgnlGrpInf><OrgnlMsgId>P-1</OrgnlMsgId><OrgnlMsgNmId>pacs.008.001.08</OrgnlMsgNmId>
</OrgnlGrpInf>
<OrgnlEndToEndId>E-1</OrgnlEndToEndId><OrgnlUETR>{UETR}</OrgnlUETR>
<OrgnlIntrBkSttlmAmt Ccy="EUR">100.00</OrgnlIntrBkSttlmAmt>
<RtrdIntrBkSttlmAmt Ccy="EUR">100.00</RtrdIntrBkSttlmAmt><RtrdInstdAmt Ccy="EUR">100.00</RtrdInstdAmt>
<RtrRsnInf><Rsn><Cd>AC04</Cd></Rsn></RtrRsnInf></TxInf></PmtRtr>
"""

PAIN_007 = """
<CstmrPmtRvsl><GrpHdr><MsgId>V-1</MsgId><NbOfTxs>1</NbOfTxs><CtrlSum>5.00</CtrlSum></GrpHdr>
<OrgnlGrpInf><OrgnlMsgId>D-1</OrgnlMsgId><OrgnlMsgNmId>pain.008.001.08</OrgnlMsgNmId></OrgnlGrpInf>
<OrgnlPmtInfAndRvsl><OrgnlPmtInfId>B-1</OrgnlPmtInfId><PmtInfRvsl>false</PmtInfRvsl>
<TxInf><OrgnlEndToEndId>E-1</OrgnlEndToEndId><OrgnlInstdAmt Ccy="EUR">5.00</OrgnlInstdAmt>
<RvsdInstdAmt Ccy="EUR">5.00</RvsdInstdAmt>
<RvslRsnInf><Rsn><Cd>AM05</Cd></Rsn></RvslRsnInf></TxInf></OrgnlPmtInfAndRvsl></CstmrPmtRvsl>
"""

CAMT_056 = f"""
<FIToFIPmtCxlReq><Assgnmt><Id>C-1</Id><Assgnr><Agt><FinInstnId><BICFI>NBRKKZKX</BICFI></FinInstnId></Agt></Assgnr>
<Assgne><Agt><FinInstnId><BICFI>COBADEFF</BICFI></FinInstnId></Agt></Assgne><CreDtTm>2026-03-02T09:00:00Z</CreDtTm>
</Assgnmt>
<CtrlData><NbOfTxs>1</NbOfTxs><CtrlSum>100</CtrlSum></CtrlData><Undrlyg><TxInf><Case><Id>CASE-1</Id></Case>
<OrgnlGrpInf><OrgnlMsgId>P-1</OrgnlMsgId></OrgnlGrpInf><OrgnlUETR>{UETR}</OrgnlUETR>
<OrgnlIntrBkSttlmAmt Ccy="EUR">100.00</OrgnlIntrBkSttlmAmt><CxlRsnInf><Rsn><Cd>DUPL</Cd></Rsn></CxlRsnInf></TxInf>
</Undrlyg></FIToFIPmtCxlReq>
"""

CAMT_029 = f"""
<RsltnOfInvstgtn><Assgnmt><Id>A-1</Id></Assgnmt><Sts><Conf>RJCR</Conf></Sts><CxlDtls><TxInfAndSts><RslvdCase>
<Id>CASE-1</Id></RslvdCase>
<OrgnlUETR>{UETR}</OrgnlUETR><TxCxlSts>RJCR</TxCxlSts><CxlStsRsnInf><Rsn><Cd>CUST</Cd></Rsn></CxlStsRsnInf>
</TxInfAndSts></CxlDtls></RsltnOfInvstgtn>
"""

CAMT_053 = f"""
<BkToCstmrStmt><GrpHdr><MsgId>T-1</MsgId></GrpHdr><Stmt><Id>T-1</Id><StmtPgntn><PgNb>1</PgNb>
<LastPgInd>true</LastPgInd></StmtPgntn>
<ElctrncSeqNb>7</ElctrncSeqNb><CpyDplctInd>DUPL</CpyDplctInd><Acct><Id><IBAN>{KZ_IBAN}</IBAN></Id><Ccy>KZT</Ccy></Acct>
<Bal><Tp><CdOrPrtry><Cd>OPBD</Cd></CdOrPrtry></Tp><Amt Ccy="KZT">100.00</Amt><CdtDbtInd>CRDT</CdtDbtInd></Bal>
<Bal><Tp><CdOrPrtry><Cd>CLBD</Cd></CdOrPrtry></Tp><Amt Ccy="KZT">20.00</Amt><CdtDbtInd>DBIT</CdtDbtInd></Bal>
<TxsSummry><TtlNtries><NbOfNtries>3</NbOfNtries><Sum>160</Sum><TtlNetNtry><Amt>100</Amt><CdtDbtInd>DBIT</CdtDbtInd>
</TtlNetNtry></TtlNtries></TxsSummry>
<Ntry><Amt Ccy="KZT">130.00</Amt><CdtDbtInd>DBIT</CdtDbtInd><Sts><Cd>BOOK</Cd></Sts><BookgDt><Dt>2026-03-02</Dt>
</BookgDt>
<Chrgs><TtlChrgsAndTaxAmt Ccy="KZT">3</TtlChrgsAndTaxAmt><Rcrd><Amt Ccy="KZT">1</Amt></Rcrd><Rcrd>
<Amt Ccy="KZT">2</Amt></Rcrd></Chrgs>
<NtryDtls><Btch><NbOfTxs>2</NbOfTxs><TtlAmt Ccy="KZT">130.00</TtlAmt></Btch><TxDtls><Amt Ccy="KZT">60</Amt></TxDtls>
<TxDtls><Amt Ccy="KZT">70</Amt></TxDtls></NtryDtls></Ntry>
<Ntry><Amt Ccy="KZT">10.00</Amt><CdtDbtInd>CRDT</CdtDbtInd><RvslInd>true</RvslInd><Sts><Cd>BOOK</Cd></Sts><ValDt>
<Dt>2026-03-02</Dt></ValDt></Ntry>
<Ntry><Amt Ccy="KZT">20.00</Amt><CdtDbtInd>CRDT</CdtDbtInd><Sts><Cd>PDNG</Cd></Sts></Ntry></Stmt></BkToCstmrStmt>
"""

HEADER = """
<AppHdr xmlns="urn:iso:std:iso:20022:tech:xsd:head.001.001.02"><Fr><FIId><FinInstnId><BICFI>{fr}</BICFI></FinInstnId>
</FIId></Fr>
<To><FIId><FinInstnId><BICFI>{to}</BICFI></FinInstnId></FIId></To><BizMsgIdr>{number}</BizMsgIdr>
<MsgDefIdr>{definition}</MsgDefIdr>
<BizSvc>swift.cbprplus.03</BizSvc><CreDt>2026-03-02T08:00:00Z</CreDt><Prty>NORM</Prty>{more}</AppHdr>
"""
RELATED = """<Rltd><Fr><FIId><FinInstnId><BICFI>NBRKKZKX</BICFI></FinInstnId></FIId></Fr><BizMsgIdr>P-1</BizMsgIdr>
<MsgDefIdr>pacs.008.001.08</MsgDefIdr></Rltd>"""

PACS_009 = PACS_008.replace("FIToFICstmrCdtTrf", "FICdtTrf")

MESSAGES = {
    "pain.001.001.09": (PAIN_001, None),
    "pain.008.001.08": (PAIN_008, None),
    "pacs.008.001.08": (PACS_008, ("NBRKKZKX", "COBADEFF", "P-1", "")),
    "pacs.009.001.08": (PACS_009, None),
    "pacs.002.001.10": (PACS_002, ("COBADEFF", "NBRKKZKX", "S-1", RELATED)),
    "pain.002.001.10": (PAIN_002, None),
    "pain.002.001.11": (PAIN_002_GROUP, None),
    "pacs.004.001.09": (PACS_004, None),
    "pain.007.001.09": (PAIN_007, None),
    "camt.056.001.08": (CAMT_056, None),
    "camt.029.001.09": (CAMT_029, None),
    "camt.053.001.08": (CAMT_053, None),
    "camt.054.001.08": (CAMT_053.replace("BkToCstmrStmt", "BkToCstmrDbtCdtNtfctn").replace("Stmt>", "Ntfctn>"),
                        ("COBADEFF", "NBRKKZKX", "T-1", "<CpyDplct>DUPL</CpyDplct>")),
}  # fmt: skip


def envelope(definition: str) -> str:
    """Return a message, with its header if it has one, as the text of an envelope."""
    body, header = MESSAGES[definition]
    top = ""
    if header is not None:
        fr, to, number, more = header
        top = HEADER.format(fr=fr, to=to, number=number, more=more, definition=definition)
    return f'<Envelope>{top}<Document xmlns="{NAMESPACE}{definition}">{body.strip()}</Document></Envelope>'


def parts(text: str) -> tuple[etree._Element, etree._Element | None]:
    """Return the Document and the header of an envelope."""
    root = etree.fromstring(text.replace("\n", ""))
    return next(root.iter("{*}Document")), next(root.iter("{*}AppHdr"), None)
