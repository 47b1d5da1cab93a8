"""Each rule finds what it is for, at its place and with its reason, and nothing in a message that is right."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

import pytest
from lxml import etree

from shanraq.standards.iso20022 import Finding
from shanraq.standards.iso20022.errors import Severity
from shanraq.standards.iso20022.paths import path_of
from shanraq.standards.iso20022.profiles import UnknownProfileError, load_profile, profile_evidence, profile_names
from shanraq.standards.iso20022.rules import RuleCheck, all_rules, check_rules
from shanraq.standards.iso20022.store import MemoryStore, record
from tests.standards.iso20022.messages import KZ_IBAN, MESSAGES, UETR, envelope, parts

NOW = datetime(2026, 3, 2, 10, tzinfo=UTC)
Setting = tuple[str, dict[str, Any]]
CBPR: Setting = ("cbpr+", {"charset": "unicode", "uetr_required": True})
PLAIN: Setting = ("iso", {})


@dataclass(frozen=True)
class Case:
    """A rule, the message it is tried on, what is changed in it, and where the finding must be."""

    rule: str
    message: str
    old: str
    new: str
    path: str
    reason: str
    profile: Setting = PLAIN
    store: tuple[str, ...] = ()
    severity: str = "error"
    at: datetime = field(default=NOW)


def case(rule: str, message: str, old: str, new: str, path: str, reason: str, **more: Any) -> Case:
    return Case(rule, message, old, new, path, reason, **more)


P001, P008, C008, C009, C002, P002, P002G = (
    "pain.001.001.09", "pain.008.001.08", "pacs.008.001.08", "pacs.009.001.08", "pacs.002.001.10", "pain.002.001.10",
    "pain.002.001.11",
)  # fmt: skip
C004, P007, X056, X029, X053, X054 = (
    "pacs.004.001.09", "pain.007.001.09", "camt.056.001.08", "camt.029.001.09", "camt.053.001.08", "camt.054.001.08",
)  # fmt: skip
GROUP = "/Document/FIToFICstmrCdtTrf/GrpHdr"
BLOCK = "/Document/CstmrCdtTrfInitn/PmtInf[1]"
DEBIT = "/Document/CstmrDrctDbtInitn/PmtInf"
REPORT = "/Document/CstmrPmtStsRpt"
STATUS = "/Document/FIToFIPmtStsRpt/TxInfAndSts"
TX, TX8 = "/Document/CstmrCdtTrfInitn/PmtInf[1]/CdtTrfTxInf", "/Document/FIToFICstmrCdtTrf/CdtTrfTxInf"
STMT = "/Document/BkToCstmrStmt/Stmt"
KZ: Setting = ("kz", {})
SEPA: Setting = ("sepa", {})

CASES = [
    case(
        "iban",
        P001,
        f"{KZ_IBAN}</IBAN></Id></CdtrAcct>",
        "KZ00125KZT5004100100</IBAN></Id></CdtrAcct>",
        f"{TX}[1]/CdtrAcct/Id/IBAN",
        "AC03",
    ),
    case(
        "iban",
        P001,
        f"{KZ_IBAN}</IBAN></Id><Ccy>",
        "KZ86125KZT500410010</IBAN></Id><Ccy>",
        f"{BLOCK}/DbtrAcct/Id/IBAN",
        "AC01",
    ),
    case(
        "bic",
        C008,
        "<CdtrAgt><FinInstnId><BICFI>COBADEFF",
        "<CdtrAgt><FinInstnId><BICFI>COBAZZFF",
        f"{TX8}/CdtrAgt/FinInstnId/BICFI",
        "RC07",
    ),
    case("lei", C008, "7LTWFZYICNSX8D621K86", "7LTWFZYICNSX8D621K87", f"{TX8}/Dbtr/Id/OrgId/LEI", "BE16"),
    case("uetr", C008, UETR, UETR.replace("-4", "-1"), f"{TX8}/PmtId/UETR", "CH16"),
    case("country", C008, "<Ctry>KZ", "<Ctry>UK", f"{TX8}/Dbtr/PstlAdr/Ctry", "BE10"),
    case("creditor_id", P008, "DE98ZZZ", "DE97ZZZ", f"{DEBIT}/CdtrSchmeId/Id/PrvtId/Othr/Id", "RC12"),
    case("creditor_reference", C008, "RF18539", "RF19539", f"{TX8}/RmtInf/Strd/CdtrRefInf/Ref", "RR09"),
    case("national_id", P001, "500412100219", "500412100218", f"{BLOCK}/Dbtr/Id/OrgId/Othr/Id", "BE16", profile=KZ),
    case("amount_form", P001, ">10.50<", ">+10.50<", f"{TX}[1]/Amt/InstdAmt", "AM12", severity="warning"),
    case("amount_form", P001, ">10.50<", ">1e1<", f"{TX}[1]/Amt/InstdAmt", "AM12"),
    case("currency", P001, 'Ccy="KZT">20<', 'Ccy="KZZ">20<', f"{TX}[2]/Amt/InstdAmt/@Ccy", "AM11"),
    case("currency", P001, 'Ccy="KZT">20<', 'Ccy="BGN">20<', f"{TX}[2]/Amt/InstdAmt/@Ccy", "AM11"),
    case("account_currency_code", P001, "<Ccy>KZT", "<Ccy>KZZ", f"{BLOCK}/DbtrAcct/Ccy", "AM11"),
    case("commodity", C008, '<InstdAmt Ccy="EUR"', '<InstdAmt Ccy="XAU"', f"{TX8}/InstdAmt/@Ccy", "AM03", profile=CBPR),
    case("minor_units", P001, ">20<", ">20.001<", f"{TX}[2]/Amt/InstdAmt", "CH20"),
    case("amount_zero", P001, ">20<", ">0.00<", f"{TX}[2]/Amt/InstdAmt", "AM01"),
    case("amount_limit", P008, ">5.00<", ">1000000000<", f"{DEBIT}/DrctDbtTxInf[1]/InstdAmt", "AM02", profile=SEPA),
    case(
        "allowed_currency",
        P008,
        'Ccy="EUR">5.00<',
        'Ccy="USD">5.00<',
        f"{DEBIT}/DrctDbtTxInf[1]/InstdAmt/@Ccy",
        "AM03",
        profile=SEPA,
    ),
    case("external_code", C008, "GDDS", "QQQQ", f"{TX8}/Purp/Cd", "FF07"),
    case("external_code", C002, "AC04", "NOOR", f"{STATUS}/StsRsnInf/Rsn/Cd", "CH16"),
    case("service_level", C008, "G001", "G004", f"{TX8}/PmtTpInf/SvcLvl/Cd", "FF04", profile=CBPR),
    case("character_set", P001, "Rent", "Рента", f"{TX}[1]/RmtInf/Ustrd", "RR10", profile=("iso", {"charset": "x"})),
    case("character_set", C008, "E-1", "E_1", f"{TX8}/PmtId/EndToEndId", "RR10", profile=("cbpr+", {})),
    case("reference_slashes", C008, "I-1", "I//1", f"{TX8}/PmtId/InstrId", "CH16", profile=CBPR),
    case("instruction_id_length", C008, "I-1", "I-1234567890123456", f"{TX8}/PmtId/InstrId", "CH16", profile=CBPR),
    case("remittance", C008, "<RmtInf>", "<RmtInf><Ustrd>Rent</Ustrd>", f"{TX8}/RmtInf", "RR07", profile=CBPR),
    case(
        "remittance_length",
        C008,
        "RF18539007547034",
        "RF18539007547034" + "A" * 9000,
        f"{TX8}/RmtInf",
        "RR07",
        profile=CBPR,
    ),
    case(
        "narrative",
        P002,
        "<AddtlInf>why</AddtlInf>",
        "",
        f"{REPORT}/OrgnlPmtInfAndSts/TxInfAndSts[2]/StsRsnInf",
        "NARR",
    ),
    case("address", C008, "<TwnNm>Almaty</TwnNm>", "", f"{TX8}/Dbtr/PstlAdr", "BE07", profile=CBPR),
    case(
        "address",
        C008,
        "<Ctry>KZ</Ctry>",
        "<Ctry>KZ</Ctry><AdrLine>ALMATY</AdrLine>",
        f"{TX8}/Dbtr/PstlAdr/AdrLine",
        "CH16",
        profile=CBPR,
    ),
    case(
        "address",
        C008,
        "<Ctry>KZ</Ctry>",
        "<Ctry>KZ</Ctry><AdrLine>1</AdrLine><AdrLine>2</AdrLine><AdrLine>3</AdrLine>",
        f"{TX8}/Dbtr/PstlAdr",
        "CH16",
        profile=CBPR,
    ),
    case(
        "address",
        C008,
        "<Ctry>KZ</Ctry>",
        "<Ctry>KZ</Ctry><AdrLine>1</AdrLine>",
        f"{TX8}/Dbtr/PstlAdr",
        "CH16",
        profile=("cbpr+", {"hybrid_address_from": "2026-04-01"}),
    ),
    case(
        "unstructured_address",
        C008,
        "<StrtNm>Abay</StrtNm><TwnNm>Almaty</TwnNm><Ctry>KZ</Ctry>",
        "<AdrLine>Abay 1 Almaty</AdrLine>",
        f"{TX8}/Dbtr/PstlAdr",
        "BE07",
        profile=("cbpr+", {"unstructured_address_end": "2026-03-01"}),
    ),
    case(
        "agent_name_and_address",
        C008,
        "<BICFI>DEUTDEFF</BICFI>",
        "<BICFI>DEUTDEFF</BICFI><Nm>Bank</Nm>",
        f"{TX8}/IntrmyAgt1/FinInstnId",
        "CH21",
        profile=CBPR,
    ),
    case(
        "clearing_code_country",
        C008,
        "<BICFI>DEUTDEFF</BICFI>",
        "<ClrSysMmbId><ClrSysId><Cd>DEBLZ</Cd></ClrSysId><MmbId>37040044</MmbId></ClrSysMmbId>",
        f"{TX8}/IntrmyAgt1/FinInstnId",
        "CH21",
        profile=CBPR,
    ),
    case("party_name", C008, "<Nm>Payee</Nm>", "", f"{TX8}/Cdtr", "BE22", profile=CBPR),
    case(
        "party_name",
        C008,
        "<LEI>7LTWFZYICNSX8D621K86</LEI>",
        "<AnyBIC>NBRKKZKX</AnyBIC>",
        f"{TX8}/Dbtr",
        "CH17",
        profile=CBPR,
    ),
    case("page_number", X053, "<PgNb>1<", "<PgNb>0<", f"{STMT}/StmtPgntn/PgNb", "CH16", profile=CBPR),
    case("residency_and_sector", P001, "1914710", "3914710", f"{TX}[1]/RgltryRptg/Dtls/Cd", "RR05", profile=KZ),
    case("duplicate_id", P001, "E-2", "E-1", f"{TX}[2]/PmtId/EndToEndId", "DU04"),
    case("duplicate_id", P001, "I-2", "I-1", f"{TX}[2]/PmtId/InstrId", "DU05"),
    case("duplicate_block_id", P001, "B-2", "B-1", "/Document/CstmrCdtTrfInitn/PmtInf[2]/PmtInfId", "DU02"),
    case(
        "two_levels",
        C008,
        "<SttlmInf>",
        "<IntrBkSttlmDt>2026-03-03</IntrBkSttlmDt><SttlmInf>",
        f"{TX8}/IntrBkSttlmDt",
        "CH07",
    ),
    case(
        "two_levels",
        P001,
        "<PmtMtd>TRF</PmtMtd><NbOfTxs>",
        "<PmtMtd>TRF</PmtMtd><InstrForCdtrAgt/><UltmtDbtr/><NbOfTxs>",
        "",
        "",
        severity="none",
    ),
    case("settlement_date", C008, "<IntrBkSttlmDt>2026-03-03</IntrBkSttlmDt>", "", TX8, "CH21", severity="warning"),
    case("cred_charges", C008, "SHAR", "CRED", f"{TX8}/ChrgBr", "CH21"),
    case(
        "debt_charges",
        C008,
        "<ChrgBr>SHAR</ChrgBr>",
        "<ChrgBr>DEBT</ChrgBr><ChrgsInf/><ChrgsInf/>",
        f"{TX8}/ChrgsInf[2]",
        "CH16",
    ),
    case("exchange_rate", C008, '<InstdAmt Ccy="EUR"', '<InstdAmt Ccy="USD"', f"{TX8}/InstdAmt", "CH21"),
    case(
        "exchange_rate",
        C008,
        '<InstdAmt Ccy="EUR">100.00</InstdAmt>',
        "<XchgRate>2</XchgRate>",
        f"{TX8}/XchgRate",
        "CH16",
    ),
    case("agent_order", C008, "<IntrmyAgt1>", "<IntrmyAgt3/><IntrmyAgt1>", f"{TX8}/IntrmyAgt3", "RC11"),
    case("agent_account", C008, "<CdtrAgt>", "<IntrmyAgt2Acct/><CdtrAgt>", f"{TX8}/IntrmyAgt2Acct", "CH17"),
    case(
        "creditor_instructions",
        P001,
        "<InstrForCdtrAgt>",
        "<InstrForCdtrAgt><Cd>TELB</Cd></InstrForCdtrAgt><InstrForCdtrAgt>",
        f"{TX}[1]/InstrForCdtrAgt[1]",
        "CH16",
    ),
    case(
        "creditor_instructions",
        P001,
        "<InstrForCdtrAgt>",
        "<InstrForCdtrAgt><Cd>PHOB</Cd></InstrForCdtrAgt><InstrForCdtrAgt>",
        f"{TX}[1]/InstrForCdtrAgt[2]",
        "CH16",
    ),
    case("creditor_instructions", P001, "<Cd>PHOB</Cd>", "<Cd>CHQB</Cd>", f"{TX}[1]/CdtrAcct", "CH17"),
    case("settlement_method", C008, "INDA", "COVE", f"{GROUP}/SttlmInf", "CH21"),
    case(
        "settlement_method",
        C008,
        "<SttlmMtd>INDA</SttlmMtd>",
        "<SttlmMtd>CLRG</SttlmMtd><ClrSys/><InstgRmbrsmntAgt/>",
        f"{GROUP}/SttlmInf/InstgRmbrsmntAgt",
        "CH17",
    ),
    case("requested_date", P001, "2026-03-03", "2026-02-28", f"{BLOCK}/ReqdExctnDt/Dt", "CH04"),
    case(
        "requested_date",
        P001,
        "2026-03-03",
        "2026-05-01",
        f"{BLOCK}/ReqdExctnDt/Dt",
        "CH03",
        profile=("iso", {"max_days_ahead": 30}),
    ),
    case(
        "settlement_day",
        C008,
        "2026-03-03",
        "2026-03-07",
        f"{TX8}/IntrBkSttlmDt",
        "DT01",
        profile=("iso", {"closed_weekdays": [5, 6]}),
        severity="warning",
    ),
    case(
        "settlement_day",
        C008,
        "2026-03-03",
        "2026-03-09",
        f"{TX8}/IntrBkSttlmDt",
        "DT01",
        profile=("iso", {"holidays": ["2026-03-09"]}),
        severity="warning",
    ),
    case(
        "settlement_day_of_group",
        C008,
        "</NbOfTxs>",
        "</NbOfTxs><IntrBkSttlmDt>2026-03-07</IntrBkSttlmDt>",
        f"{GROUP}/IntrBkSttlmDt",
        "DT01",
        profile=("iso", {"holidays": {"": ["2026-01-01"]}}),
        severity="warning",
    ),
    case(
        "requested_date",
        P001,
        "2026-03-03",
        "2026-03-09",
        f"{BLOCK}/ReqdExctnDt/Dt",
        "DT01",
        profile=("iso", {"holidays": ["2026-03-09"]}),
        severity="warning",
    ),
    case("creation_time", C008, "<CreDtTm>2026-03-02", "<CreDtTm>2001-03-02", f"{GROUP}/CreDtTm", "DT02"),
    case("creation_time", C008, "<CreDtTm>2026-03-02", "<CreDtTm>2026-03-04", f"{GROUP}/CreDtTm", "DT02"),
    case("one_transaction", C008, "</CdtTrfTxInf>", "</CdtTrfTxInf><CdtTrfTxInf/>", GROUP, "AM18", profile=CBPR),
    case("uetr_required", C008, f"<UETR>{UETR}</UETR>", "", f"{TX8}/PmtId", "CH21", profile=CBPR),
    case("remittance_place", C008, "<RmtInf>", "<RltdRmtInf/><RmtInf>", f"{TX8}/RltdRmtInf", "RR07", profile=CBPR),
    case("charge_bearer", P008, "SLEV", "SHAR", f"{DEBIT}/ChrgBr", "CH16", profile=SEPA),
    case(
        "iban_required",
        P008,
        "<IBAN>DE89370400440532013000</IBAN>",
        "<Othr><Id>1</Id></Othr>",
        f"{DEBIT}/DrctDbtTxInf[1]/DbtrAcct",
        "AC01",
        profile=SEPA,
    ),
    case(
        "mandate", P008, "2026-01-05", "2026-03-11", f"{DEBIT}/DrctDbtTxInf[1]/DrctDbtTx/MndtRltdInf/DtOfSgntr", "DT01"
    ),
    case("mandate", P008, "N-2", "N-1", f"{DEBIT}/DrctDbtTxInf[2]/DrctDbtTx/MndtRltdInf/MndtId", "MD01"),
    case(
        "mandate",
        P008,
        "</MndtRltdInf>",
        "<AmdmntInfDtls/></MndtRltdInf>",
        f"{DEBIT}/DrctDbtTxInf[1]/DrctDbtTx/MndtRltdInf/AmdmntInfDtls",
        "MD02",
    ),
    case(
        "mandate_required",
        P008,
        "<MndtId>N-2</MndtId>",
        "",
        f"{DEBIT}/DrctDbtTxInf[2]/DrctDbtTx/MndtRltdInf",
        "MD02",
        profile=SEPA,
    ),
    case("mandate_required", P008, "<SeqTp>OOFF</SeqTp>", "", f"{DEBIT}/DrctDbtTxInf[1]", "MD02", profile=SEPA),
    case(
        "bank_of_account",
        P001,
        "<CdtrAgt><FinInstnId><BICFI>NBRK",
        "<CdtrAgt><FinInstnId><BICFI>HSBK",
        f"{TX}[1]/CdtrAcct/Id/IBAN",
        "RC04",
        profile=KZ,
        severity="warning",
    ),
    case(
        "bank_of_debtor",
        P001,
        "<DbtrAgt><FinInstnId><BICFI>NBRK",
        "<DbtrAgt><FinInstnId><BICFI>HSBK",
        f"{BLOCK}/DbtrAcct/Id/IBAN",
        "RC03",
        profile=KZ,
        severity="warning",
    ),
    case(
        "account_currency",
        P001,
        'Ccy="KZT">20<',
        'Ccy="USD">20<',
        f"{TX}[2]/Amt/InstdAmt/@Ccy",
        "AM03",
        severity="warning",
    ),
    case("purpose_code", P001, ">710<", ">71<", f"{TX}[1]/Purp/Prtry", "FF07", profile=KZ),
    case(
        "purpose_code",
        P001,
        "<Purp><Prtry>710</Prtry></Purp>",
        "",
        f"{TX}[1]",
        "FF07",
        profile=("kz", {"purpose_code": {"path": ["Purp", "Prtry"], "required": True}}),
    ),
    case("grouped_whole", C004, "<GrpRtr>false", "<GrpRtr>true", "/Document/PmtRtr/GrpHdr/GrpRtr", "CH17"),
    case(
        "block_whole",
        X056,
        "<Undrlyg>",
        "<Undrlyg><OrgnlGrpInfAndCxl><GrpCxl>true</GrpCxl></OrgnlGrpInfAndCxl>",
        "/Document/FIToFIPmtCxlReq/Undrlyg/OrgnlGrpInfAndCxl/GrpCxl",
        "CH17",
    ),
    case(
        "block_whole",
        P007,
        "<PmtInfRvsl>false",
        "<PmtInfRvsl>true",
        "/Document/CstmrPmtRvsl/OrgnlPmtInfAndRvsl/PmtInfRvsl",
        "CH17",
    ),
    case(
        "count_group",
        P001,
        "<NbOfTxs>2</NbOfTxs><CtrlSum>30.50",
        "<NbOfTxs>3</NbOfTxs><CtrlSum>30.50",
        "/Document/CstmrCdtTrfInitn/GrpHdr/NbOfTxs",
        "AM18",
    ),
    case("sum_group", P001, "<CtrlSum>30.50", "<CtrlSum>30.51", "/Document/CstmrCdtTrfInitn/GrpHdr/CtrlSum", "AM10"),
    case(
        "count_block",
        P001,
        "<NbOfTxs>2</NbOfTxs><CtrlSum>30.5<",
        "<NbOfTxs>1</NbOfTxs><CtrlSum>30.5<",
        f"{BLOCK}/NbOfTxs",
        "AM18",
    ),
    case("sum_block", P001, "<CtrlSum>30.5<", "<CtrlSum>30.4<", f"{BLOCK}/CtrlSum", "AM10"),
    case(
        "total_settled",
        C008,
        '<TtlIntrBkSttlmAmt Ccy="EUR">100.00',
        '<TtlIntrBkSttlmAmt Ccy="EUR">100.01',
        f"{GROUP}/TtlIntrBkSttlmAmt",
        "AM10",
    ),
    case(
        "total_settled",
        C008,
        '<TtlIntrBkSttlmAmt Ccy="EUR"',
        '<TtlIntrBkSttlmAmt Ccy="USD"',
        f"{GROUP}/TtlIntrBkSttlmAmt/@Ccy",
        "AM03",
    ),
    case("control_data", X056, "<NbOfTxs>1", "<NbOfTxs>2", "/Document/FIToFIPmtCxlReq/CtrlData/NbOfTxs", "AM18"),
    case("control_data", X056, "<CtrlSum>100", "<CtrlSum>101", "/Document/FIToFIPmtCxlReq/CtrlData/CtrlSum", "AM10"),
    case(
        "reversed_amount",
        C004,
        '<RtrdIntrBkSttlmAmt Ccy="EUR"',
        '<RtrdIntrBkSttlmAmt Ccy="USD"',
        "/Document/PmtRtr/TxInf/RtrdIntrBkSttlmAmt/@Ccy",
        "AM03",
    ),
    case(
        "reversed_amount",
        P007,
        '<RvsdInstdAmt Ccy="EUR">5.00',
        '<RvsdInstdAmt Ccy="EUR">5.01',
        "/Document/CstmrPmtRvsl/OrgnlPmtInfAndRvsl/TxInf/RvsdInstdAmt",
        "AM09",
    ),
    case(
        "reversed_amount",
        P007,
        '<OrgnlInstdAmt Ccy="EUR">5.00</OrgnlInstdAmt><RvsdInstdAmt Ccy="EUR">5.00',
        '<RvsdInstdAmt Ccy="EUR">5.01',
        "/Document/CstmrPmtRvsl/OrgnlPmtInfAndRvsl/TxInf/RvsdInstdAmt",
        "AM09",
        store=(P008,),
    ),
    case(
        "returned_rate",
        C004,
        '<RtrdInstdAmt Ccy="EUR"',
        '<RtrdInstdAmt Ccy="USD"',
        "/Document/PmtRtr/TxInf/RtrdInstdAmt",
        "CH21",
    ),
    case(
        "header_definition",
        C008,
        "<MsgDefIdr>pacs.008.001.08",
        "<MsgDefIdr>pacs.008.001.09",
        "/AppHdr/MsgDefIdr",
        "FF01",
    ),
    case(
        "header_message_id", C008, "<BizMsgIdr>P-1", "<BizMsgIdr>Q-1", "/AppHdr/BizMsgIdr", "CH16", severity="warning"
    ),
    case("header_same_id", C008, "<BizMsgIdr>P-1", "<BizMsgIdr>XP-1", "/AppHdr/BizMsgIdr", "CH16", profile=CBPR),
    case(
        "header_offset",
        C008,
        "<CreDt>2026-03-02T08:00:00Z",
        "<CreDt>2026-03-02T08:00:00",
        "/AppHdr/CreDt",
        "DT02",
        profile=CBPR,
    ),
    case(
        "header_agents",
        C008,
        "<Fr><FIId><FinInstnId><BICFI>NBRK",
        "<Fr><FIId><FinInstnId><BICFI>HSBK",
        "/AppHdr/Fr/FIId/FinInstnId/BICFI",
        "CH16",
        profile=CBPR,
    ),
    case(
        "header_agents",
        C008,
        "<To><FIId><FinInstnId><BICFI>COBA",
        "<To><FIId><FinInstnId><BICFI>DEUT",
        "/AppHdr/To/FIId/FinInstnId/BICFI",
        "CH16",
        profile=CBPR,
    ),
    case("header_priority", C008, "<Prty>NORM", "<Prty>HIGH", "/AppHdr/Prty", "CH16", profile=CBPR),
    case("header_service", C008, "swift.cbprplus.03", "swift.cbprplus.02", "/AppHdr/BizSvc", "CH16", profile=CBPR),
    case("header_service", C008, "swift.cbprplus.03", "swift.cbprplus.cov.03", "/AppHdr/BizSvc", "CH16", profile=CBPR),
    case("header_service", C008, "<BizSvc>swift.cbprplus.03</BizSvc>", "", "/AppHdr", "CH21", profile=CBPR),
    case("header_copy", X054, "<CpyDplct>DUPL", "<CpyDplct>COPY", "/AppHdr/CpyDplct", "CH16", profile=CBPR),
    case("group_status_of_transaction", C002, "<TxSts>RJCT", "<TxSts>PART", f"{STATUS}/TxSts", "CH16"),
    case("group_status", P002, "<GrpSts>PART", "<GrpSts>RJCT", f"{REPORT}/OrgnlGrpInfAndSts/GrpSts", "CH16"),
    case("group_status", P002, "<GrpSts>PART", "<GrpSts>ACSP", f"{REPORT}/OrgnlGrpInfAndSts/GrpSts", "CH16"),
    case("group_status", P002, "<TxSts>ACSP", "<TxSts>RJCT", f"{REPORT}/OrgnlGrpInfAndSts/GrpSts", "CH16"),
    case("block_status", P002, "<PmtInfSts>PART", "<PmtInfSts>ACCP", f"{REPORT}/OrgnlPmtInfAndSts/PmtInfSts", "CH16"),
    case(
        "status_count",
        P002,
        "<DtldNbOfTxs>1</DtldNbOfTxs><DtldSts>ACSP",
        "<DtldNbOfTxs>2</DtldNbOfTxs><DtldSts>ACSP",
        f"{REPORT}/OrgnlGrpInfAndSts/NbOfTxsPerSts[1]/DtldNbOfTxs",
        "AM18",
    ),
    case(
        "status_count_block",
        P002,
        "</PmtInfSts><NbOfTxsPerSts><DtldNbOfTxs>1",
        "</PmtInfSts><NbOfTxsPerSts><DtldNbOfTxs>0",
        f"{REPORT}/OrgnlPmtInfAndSts/NbOfTxsPerSts/DtldNbOfTxs",
        "AM18",
    ),
    case("rejection_reason", C002, "<StsRsnInf><Rsn><Cd>AC04</Cd></Rsn></StsRsnInf>", "", STATUS, "CH21", profile=CBPR),
    case(
        "group_rejection_reason",
        P002G,
        "<StsRsnInf><Rsn><Cd>AM05</Cd></Rsn></StsRsnInf>",
        "",
        f"{REPORT}/OrgnlGrpInfAndSts",
        "CH21",
        profile=("iso", {"reject_needs_reason": True}),
    ),
    case(
        "rejected_settlement",
        C002,
        "<StsRsnInf>",
        "<FctvIntrBkSttlmDt/><StsRsnInf>",
        f"{STATUS}/FctvIntrBkSttlmDt",
        "CH17",
        profile=CBPR,
    ),
    case(
        "cancellation_reason",
        X029,
        "<CxlStsRsnInf><Rsn><Cd>CUST</Cd></Rsn></CxlStsRsnInf>",
        "",
        "/Document/RsltnOfInvstgtn/CxlDtls/TxInfAndSts",
        "CH21",
        profile=CBPR,
    ),
    case(
        "return_reason",
        C004,
        "<RtrRsnInf><Rsn><Cd>AC04</Cd></Rsn></RtrRsnInf>",
        "",
        "/Document/PmtRtr/TxInf",
        "CH21",
        profile=CBPR,
    ),
    case(
        "resolution", X029, "<Conf>RJCR", "<Conf>CNCL", "/Document/RsltnOfInvstgtn/CxlDtls/TxInfAndSts/TxCxlSts", "CH16"
    ),
    case(
        "assignment", X056, "COBADEFF", "NBRKKZKXXXX", "/Document/FIToFIPmtCxlReq/Assgnmt/Assgne/Agt/FinInstnId", "CH16"
    ),
    case("repeated_message", C008, "T-1", "T-9", f"{GROUP}/MsgId", "DU01", store=(C008,)),
    case("repeated_payment", C008, "<MsgId>P-1", "<MsgId>P-9", f"{TX8}/PmtId/UETR", "DU03", store=(C008,)),
    case("original", C002, "<OrgnlInstrId>I-1", "<OrgnlInstrId>I-9", f"{STATUS}/OrgnlInstrId", "CH16", store=(C008,)),
    case(
        "original",
        C002,
        "<OrgnlMsgId>P-1",
        "<OrgnlMsgId>P-9",
        f"{STATUS}/OrgnlGrpInf/OrgnlMsgId",
        "CH16",
        store=(C008,),
    ),
    case(
        "original",
        C002,
        "<OrgnlMsgNmId>pacs.008",
        "<OrgnlMsgNmId>pacs.003",
        f"{STATUS}/OrgnlGrpInf/OrgnlMsgNmId",
        "CH16",
        store=(C008,),
    ),
    case(
        "original",
        C004,
        '<OrgnlIntrBkSttlmAmt Ccy="EUR">100.00',
        '<OrgnlIntrBkSttlmAmt Ccy="EUR">100.02',
        "/Document/PmtRtr/TxInf/OrgnlIntrBkSttlmAmt",
        "AM09",
        store=(C008,),
    ),
    case(
        "original", X056, UETR, UETR.replace("1", "2"), "/Document/FIToFIPmtCxlReq/Undrlyg/TxInf", "CH16", store=(C008,)
    ),
    case(
        "original_group",
        P002,
        "<OrgnlCtrlSum>30.5",
        "<OrgnlCtrlSum>30.6",
        f"{REPORT}/OrgnlGrpInfAndSts/OrgnlCtrlSum",
        "AM10",
        store=(P001,),
    ),
    case(
        "original_group",
        P002,
        "<OrgnlMsgId>M-1",
        "<OrgnlMsgId>M-9",
        f"{REPORT}/OrgnlGrpInfAndSts/OrgnlMsgId",
        "CH16",
        store=(P001,),
    ),
    case("status_after_final", C002, "<TxSts>RJCT", "<TxSts>ACSP", f"{STATUS}/TxSts", "CH16", store=(C008, C002)),
    case(
        "resolved_case",
        X029,
        "CASE-1",
        "CASE-2",
        "/Document/RsltnOfInvstgtn/CxlDtls/TxInfAndSts/RslvdCase/Id",
        "CH16",
        store=(C008, X056),
    ),
    case(
        "reply_to_sender",
        C002,
        "<To><FIId><FinInstnId><BICFI>NBRK",
        "<To><FIId><FinInstnId><BICFI>HSBK",
        "/AppHdr/To/FIId/FinInstnId/BICFI",
        "CH16",
        profile=CBPR,
    ),
    case(
        "related_header",
        C002,
        "<MsgDefIdr>pacs.008.001.08</MsgDefIdr></Rltd>",
        "<MsgDefIdr>pacs.009.001.08</MsgDefIdr></Rltd>",
        "/AppHdr/Rltd/MsgDefIdr",
        "CH16",
        store=(C008,),
    ),
    case(
        "partial_return",
        C004,
        '<RtrdIntrBkSttlmAmt Ccy="EUR">100.00',
        '<RtrdIntrBkSttlmAmt Ccy="EUR">99.00',
        "/Document/PmtRtr/TxInf/RtrRsnInf",
        "CH21",
        profile=CBPR,
    ),
    case(
        "status_sum",
        P002,
        "<DtldCtrlSum>10.5",
        "<DtldCtrlSum>10.6",
        f"{REPORT}/OrgnlGrpInfAndSts/NbOfTxsPerSts[1]/DtldCtrlSum",
        "AM10",
        store=(P001,),
    ),
    case(
        "status_sum_block",
        P002,
        "<PmtInfSts>PART</PmtInfSts><NbOfTxsPerSts><DtldNbOfTxs>1</DtldNbOfTxs><DtldSts>RJCT</DtldSts><DtldCtrlSum>20",
        "<PmtInfSts>PART</PmtInfSts><NbOfTxsPerSts><DtldNbOfTxs>1</DtldNbOfTxs><DtldSts>RJCT</DtldSts><DtldCtrlSum>21",
        f"{REPORT}/OrgnlPmtInfAndSts/NbOfTxsPerSts/DtldCtrlSum",
        "AM10",
        store=(P001,),
    ),
    case("statement_chain", X053, "<ElctrncSeqNb>7", "<ElctrncSeqNb>9", f"{STMT}/ElctrncSeqNb", "", store=(X053,)),
    case("statement_chain", X053, "<ElctrncSeqNb>7", "<ElctrncSeqNb>8", f"{STMT}/Bal[1]", "", store=(X053,)),
    case(
        "closing_balance",
        X053,
        '<Amt Ccy="KZT">20.00</Amt><CdtDbtInd>DBIT',
        '<Amt Ccy="KZT">20.00</Amt><CdtDbtInd>CRDT',
        f"{STMT}/Bal[2]",
        "",
    ),
    case("entries_summary", X053, "<Sum>160", "<Sum>161", f"{STMT}/TxsSummry/TtlNtries/Sum", "AM10"),
    case("entries_summary", X053, "<NbOfNtries>3", "<NbOfNtries>2", f"{STMT}/TxsSummry/TtlNtries/NbOfNtries", "AM18"),
    case(
        "entries_summary",
        X053,
        "<Amt>100</Amt><CdtDbtInd>DBIT",
        "<Amt>100</Amt><CdtDbtInd>CRDT",
        f"{STMT}/TxsSummry/TtlNtries/TtlNetNtry",
        "AM10",
    ),
    case(
        "entry_currency",
        X053,
        '<Ntry><Amt Ccy="KZT">10.00',
        '<Ntry><Amt Ccy="USD">10.00',
        f"{STMT}/Ntry[2]/Amt/@Ccy",
        "CURR",
    ),
    case(
        "entry_details", X053, '<TxDtls><Amt Ccy="KZT">70', '<TxDtls><Amt Ccy="KZT">71', f"{STMT}/Ntry[1]/Amt", "AM09"
    ),
    case("entry_details", X053, '<TtlAmt Ccy="KZT">130.00', '<TtlAmt Ccy="KZT">131.00', f"{STMT}/Ntry[1]/Amt", "AM09"),
    case(
        "batch_count",
        X053,
        "<NbOfTxs>2",
        "<NbOfTxs>3",
        f"{STMT}/Ntry[1]/NtryDtls/Btch/NbOfTxs",
        "AM18",
        severity="warning",
    ),
    case(
        "entry_charges",
        X053,
        '<Rcrd><Amt Ccy="KZT">2',
        '<Rcrd><Amt Ccy="KZT">1',
        f"{STMT}/Ntry[1]/Chrgs/TtlChrgsAndTaxAmt",
        "AM10",
        severity="warning",
    ),
    case(
        "booked_entry",
        X054,
        "<BookgDt><Dt>2026-03-02</Dt></BookgDt>",
        "",
        "/Document/BkToCstmrDbtCdtNtfctn/Ntfctn/Ntry[1]",
        "CH21",
        profile=CBPR,
    ),
]


# Just allowed, or for another rule: no finding of the rule.
RIGHT = [
    case("debt_charges", C008, "<ChrgBr>SHAR</ChrgBr>", "<ChrgBr>DEBT</ChrgBr><ChrgsInf/>", "", ""),
    case("settlement_method", C008, "INDA</SttlmMtd>", "CLRG</SttlmMtd><ClrSys/>", "", ""),
    case("requested_date", P001, "2026-03-03", "2026-03-31", "", "", profile=("iso", {"max_days_ahead": 30})),
    case("settlement_day", C008, "2026-03-03", "2026-03-07", "", ""),
    case(
        "settlement_day",
        C008,
        "2026-03-03",
        "2026-03-09",
        "",
        "",
        profile=("iso", {"holidays": {"ICS": ["2026-03-09"]}}),
    ),
    case(
        "settlement_day",
        C008,
        "2026-03-03",
        "2026-03-07",
        "",
        "",
        profile=("iso", {"holidays": ["2026-03-09"], "closed_weekdays": []}),
    ),
    case(
        "clearing_code_country",
        C009,
        "<BICFI>DEUTDEFF</BICFI>",
        "<ClrSysMmbId><ClrSysId><Cd>DEBLZ</Cd></ClrSysId><MmbId>37040044</MmbId></ClrSysMmbId><Nm>Bank</Nm>",
        "",
        "",
        profile=CBPR,
    ),
    case("creation_time", C008, "<CreDtTm>2026-03-02T08", "<CreDtTm>2026-03-03T10", "", ""),
    case("creation_time", C008, "<CreDtTm>2026-03-02T08", "<CreDtTm>2025-12-02T10", "", ""),
    case("national_id", P001, "<Cd>TXID", "<Cd>CUST", "", "", profile=KZ),
    case("amount_limit", P008, ">5.00<", ">999999999.99<", "", "", profile=SEPA),
    case("instruction_id_length", C008, "I-1", "I" * 16, "", "", profile=CBPR),
    case("remittance_length", C008, "RF18539007547034", "A" * 8996, "", "", profile=CBPR),
    case("character_set", C008, "<Nm>Payee", "<Nm>Payee &amp; Co", "", "", profile=("cbpr+", {})),
    case("character_set", C008, ">Abay<", ">Abay #1<", "", "", profile=("cbpr+", {})),
    case("address", C008, "<StrtNm>Abay</StrtNm>", "", "", "", profile=CBPR),
    case(
        "address",
        C008,
        "<Ctry>KZ</Ctry>",
        "<Ctry>KZ</Ctry><AdrLine>1</AdrLine><AdrLine>KZ</AdrLine>",
        "",
        "",
        profile=CBPR,
    ),
    case(
        "address",
        C008,
        "<StrtNm>Abay</StrtNm><TwnNm>Almaty</TwnNm><Ctry>KZ</Ctry>",
        "<Ctry>KZ</Ctry><AdrLine>1</AdrLine><AdrLine>2</AdrLine><AdrLine>3</AdrLine>",
        "",
        "",
        profile=CBPR,
    ),
    case(
        "address",
        C008,
        "<Ctry>KZ</Ctry>",
        "<Ctry>KZ</Ctry><AdrLine>1</AdrLine>",
        "",
        "",
        profile=("cbpr+", {"hybrid_address_from": "2026-03-01"}),
    ),
    case("unstructured_address", C008, "<StrtNm>Abay</StrtNm>", "", "", "", profile=("cbpr+", {"year": 2026})),
    case(
        "unstructured_address",
        C008,
        "<StrtNm>Abay</StrtNm><TwnNm>Almaty</TwnNm><Ctry>KZ</Ctry>",
        "<AdrLine>Abay 1 Almaty</AdrLine>",
        "",
        "",
        profile=("cbpr+", {"unstructured_address_end": "2026-03-03"}),
    ),
    case(
        "unstructured_address",
        C008,
        "<StrtNm>Abay</StrtNm>",
        "<AdrLine>Abay</AdrLine>",
        "",
        "",
        profile=("cbpr+", {"unstructured_address_end": "2026-03-01"}),
    ),
    case("reversed_amount", P007, '<RvsdInstdAmt Ccy="EUR">5.00', '<RvsdInstdAmt Ccy="EUR">4.99', "", ""),
    case("closing_balance", X053, "<LastPgInd>true", "<LastPgInd>false", "", ""),
    case("entries_summary", X053, "<NbOfNtries>3</NbOfNtries>", "", "", ""),
    case("mandate", P008, "2026-01-05", "2026-03-10", "", "", store=()),
    case("statement_chain", X053, "<ElctrncSeqNb>7</ElctrncSeqNb>", "<ElctrncSeqNb>1</ElctrncSeqNb>", "", ""),
    case("status_count", P002, "<OrgnlNbOfTxs>2</OrgnlNbOfTxs>", "", "", ""),
]


@pytest.mark.parametrize("case", RIGHT, ids=lambda case: f"{case.rule}-{case.message}-{case.new[:20]}")
def test_what_is_just_allowed_is_not_told(case: Case) -> None:
    text = envelope(case.message).replace("\n", "").replace(case.old, case.new, 1)

    assert [found for found in found_in(text, case.profile, case.store) if found.code == case.rule] == []


def test_a_missing_town_or_country_alone_is_told_when_lines_ended() -> None:
    profile: Setting = ("cbpr+", {"unstructured_address_end": "2026-03-01"})
    for gone in ("<TwnNm>Almaty</TwnNm>", "<Ctry>KZ</Ctry>"):
        text = envelope(C008).replace("<StrtNm>Abay</StrtNm>", "<AdrLine>Abay</AdrLine>").replace(gone, "")

        assert "unstructured_address" in {found.code for found in found_in(text, profile)}


def test_a_withdrawn_currency_is_an_error_in_orders_and_a_warning_in_reports() -> None:
    order = found_in(envelope(P001).replace('Ccy="KZT"', 'Ccy="BGN"'), PLAIN)
    report = found_in(envelope(X053).replace('Ccy="KZT"', 'Ccy="BGN"'), PLAIN)

    assert {found.severity for found in order if found.code == "currency"} == {Severity.ERROR}
    assert {found.severity for found in report if found.code == "currency"} == {Severity.WARNING}


def test_amounts_that_are_only_told_may_have_finer_units() -> None:
    told = found_in(envelope(X053).replace(">130.00<", ">130.001<"), PLAIN)

    assert {found.severity for found in told if found.code == "minor_units"} == {Severity.WARNING}


def found_in(text: str, profile: Setting, store: tuple[str, ...] = (), at: datetime = NOW) -> list[Finding]:
    earlier = MemoryStore()
    for definition in store:
        earlier.add(record(*parts(envelope(definition))))
    document, header = parts(text)
    settings = load_profile(profile[0], day=at.date(), options=profile[1])
    return check_rules(document, profile=settings, header=header, as_of=at, store=earlier if store else None)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.rule}-{case.message}-{case.reason}")
def test_a_rule_finds_what_breaks_it_and_only_then(case: Case) -> None:
    right = envelope(case.message).replace("\n", "")
    assert case.old in right, "the message has changed"
    wrong = right.replace(case.old, case.new, 1)

    findings = [found for found in found_in(wrong, case.profile, case.store, case.at) if found.code == case.rule]

    if case.severity == "none":
        assert findings == []
        return
    # What a message says against itself as an earlier one (its own identifier) is the one thing a right one may show.
    own = case.store and case.message in case.store
    if not own:
        assert [found for found in found_in(right, case.profile, case.store, case.at) if found.code == case.rule] == []
    assert (case.path, case.reason, case.severity) in {
        (found.path, found.reason, str(found.severity)) for found in findings
    }
    assert all(found.line == 1 for found in findings)


def test_every_rule_has_a_case() -> None:
    assert {case.rule for case in CASES} == {rule.code for rule in all_rules()}


@pytest.mark.parametrize("definition", sorted(MESSAGES))
def test_a_right_message_is_clean_in_the_base_profile(definition: str) -> None:
    assert [found for found in found_in(envelope(definition), PLAIN) if found.severity is Severity.ERROR] == []


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.rule}-{case.message}-{case.reason}")
def test_a_finding_never_shows_a_personal_value(case: Case) -> None:
    wrong = envelope(case.message).replace("\n", "").replace(case.old, case.new, 1)
    document, _ = parts(wrong)
    values = {
        e.text
        for e in document.iter("{*}IBAN", "{*}Nm", "{*}Ustrd", "{*}Id", "{*}InstdAmt", "{*}EndToEndId")
        if e.text and len(e.text) > 3
    }

    findings = found_in(wrong, case.profile, case.store, case.at)

    assert not any(value in found.message for value in values for found in findings)


def test_a_profile_softens_and_switches_off_rules() -> None:
    wrong = envelope(P001).replace("<CtrlSum>30.50", "<CtrlSum>30.51")

    softened = found_in(wrong, ("iso", {"severities": {"sum_group": "warning"}}))
    off = found_in(wrong, ("iso", {"severities": {"sum_group": "off"}}))

    assert [(found.code, found.severity) for found in softened] == [("sum_group", Severity.WARNING)]
    assert off == []


def test_not_provided_may_repeat() -> None:
    assert found_in(envelope(P001).replace("E-1", "NOTPROVIDED").replace("E-2", "NOTPROVIDED"), PLAIN) == []


def test_a_copy_may_go_to_another_bank() -> None:
    copy = (
        envelope(C008)
        .replace("<To><FIId><FinInstnId><BICFI>COBA", "<To><FIId><FinInstnId><BICFI>DEUT")
        .replace("</Prty>", "</Prty><CpyDplct>COPY</CpyDplct>")
    )

    assert "header_agents" not in {found.code for found in found_in(copy.replace("\n", ""), CBPR)}


def test_a_marked_partial_return_is_right() -> None:
    partial = (
        envelope(C004)
        .replace('<RtrdIntrBkSttlmAmt Ccy="EUR">100.00', '<RtrdIntrBkSttlmAmt Ccy="EUR">99.00')
        .replace("</RtrRsnInf>", "<AddtlInf>PART</AddtlInf></RtrRsnInf>")
    )

    assert "partial_return" not in {found.code for found in found_in(partial, CBPR)}


def test_today_is_today_everywhere_on_earth() -> None:
    today = envelope(P001).replace("2026-03-03", "2026-03-01")

    codes = {found.code for found in found_in(today, PLAIN, at=datetime(2026, 3, 2, 3, tzinfo=UTC))}

    assert "requested_date" not in codes
    assert "requested_date" in {found.code for found in found_in(today, KZ, at=datetime(2026, 3, 2, 3, tzinfo=UTC))}


def test_pieces_of_a_file_give_the_findings_of_the_whole_with_places_in_the_file() -> None:
    wrong = envelope(P001).replace("E-2", "E-1").replace("<CtrlSum>30.5<", "<CtrlSum>30.4<")
    document, _ = parts(wrong)
    body = document[0]
    whole = check_rules(document)

    def path(element: etree._Element) -> str:
        return path_of(element).replace("/CdtTrfTxInf[", "/CdtTrfTxInf[100")

    run = RuleCheck(P001, body, profile=load_profile("iso"), path=path)
    run.note(body[0])
    run.piece(body[0])
    for block in body.findall("{*}PmtInf"):
        run.note(block)
        run.open_block(block)
        for element in block:
            run.note(element)
            run.transaction(element) if element.tag.endswith("CdtTrfTxInf") else run.piece(element)
        run.close_block()
    pieces = run.close()

    assert {found.code for found in whole} == {found.code for found in pieces} == {"duplicate_id", "sum_block"}
    duplicate = next(found for found in pieces if found.code == "duplicate_id")
    assert duplicate.path == "/Document/CstmrCdtTrfInitn/PmtInf[1]/CdtTrfTxInf[1002]/PmtId/EndToEndId"


def test_a_repeated_content_is_a_warning() -> None:
    again = envelope(P001).replace("<MsgId>M-1", "<MsgId>M-2").replace(f"<UETR>{UETR}</UETR>", "")

    findings = [found for found in found_in(again, PLAIN, (P001,)) if found.code == "repeated_payment"]

    assert [found.severity for found in findings] == [Severity.WARNING, Severity.WARNING]


def test_editions_of_a_profile_go_by_the_day_or_the_year() -> None:
    before, after = load_profile("cbpr+", day=date(2026, 11, 13)), load_profile("cbpr+", day=date(2026, 11, 14))

    assert (before.unstructured_address_end, after.unstructured_address_end) == (None, date(2026, 11, 14))
    assert load_profile("cbpr+", options={"year": 2025}).unstructured_address_end is None
    assert load_profile("cbpr+", day=date(2024, 1, 1)).business_services[0].endswith(".02")
    assert load_profile("kz") is load_profile("kz")


def test_an_unknown_profile_or_setting_is_refused() -> None:
    with pytest.raises(UnknownProfileError):
        load_profile("nope")
    with pytest.raises(UnknownProfileError):
        load_profile("iso", options={"charsets": "x"})
    with pytest.raises(UnknownProfileError):
        load_profile("iso", options={"max_days_ahead": "many"})
    assert profile_names() == ("cbpr+", "iso", "kz", "sepa")
    assert "unverified" in profile_evidence("kz")
