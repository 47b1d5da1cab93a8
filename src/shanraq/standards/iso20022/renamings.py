"""What ISO 20022 called otherwise in earlier versions: data for the conversion between versions.

The definitions decide: a renaming counts where the one version has the older place and not the newer, and the other the newer.
`since` tells the first version with the newer name, for some messages of each; computed from the official schemas.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Final


@dataclass(frozen=True, slots=True)
class Renaming:
    """Paths below one parent, older and newer; `within` names the parent element where the path alone would say too little."""

    older: tuple[str, ...]
    newer: tuple[str, ...]
    since: str = ""
    within: str = ""


def _renaming(older: str, newer: str, since: str = "", within: str = "") -> Renaming:
    return Renaming(tuple(older.split("/")), tuple(newer.split("/")), since, within)


RENAMINGS: Final = (
    _renaming("BIC", "BICFI", "pain.001.001.04 pacs.008.001.03 camt.053.001.03"),
    _renaming("BICOrBEI", "AnyBIC", "pain.001.001.04 pacs.008.001.03 camt.053.001.03"),
    _renaming("BIC", "BICOrBEI", "pain.001.001.03 pacs.008.001.02", within="OrgId"),
    _renaming("PrtryId", "Othr", "pain.001.001.03 pacs.008.001.02", within="OrgId"),
    _renaming("Pty", "Agt", "pacs.008.001.03", within="ChrgsInf"),
    _renaming("PrvsInstgAgt", "PrvsInstgAgt1", "pacs.008.001.07"),
    _renaming("PrvsInstgAgtAcct", "PrvsInstgAgt1Acct", "pacs.008.001.07"),
    _renaming("AccptncDtTm", "AddtlDtTm/AccptncDtTm", "pacs.008.001.13"),
    _renaming("PoolgAdjstmntDt", "AddtlDtTm/PoolgAdjstmntDt", "pacs.008.001.13"),
    _renaming("AdmstnZn", "AdmstnZone", "pain.001.001.06 camt.053.001.05"),
    _renaming("RmtLctnMtd", "RmtLctnDtls/Mtd", "pain.001.001.06 camt.053.001.05"),
    _renaming("RmtLctnElctrncAdr", "RmtLctnDtls/ElctrncAdr", "pain.001.001.06 camt.053.001.05"),
    _renaming("RmtLctnPstlAdr", "RmtLctnDtls/PstlAdr", "pain.001.001.06 camt.053.001.05"),
    _renaming("Cd", "RptgCd", "pain.001.001.13", within="Dtls"),
    _renaming("TtlNetNtryAmt", "TtlNetNtry/Amt", "camt.053.001.04"),
    _renaming("CdtDbtInd", "TtlNetNtry/CdtDbtInd", "camt.053.001.04", within="TtlNtries"),
    _renaming("Cd", "CdOrPrtry/Cd", "camt.053.001.02", within="Tp"),
    _renaming("Prtry", "CdOrPrtry/Prtry", "camt.053.001.02", within="Tp"),
)

# A value that became one branch of several is put into the first of these that takes it, and taken out of them again.
WRAPPERS: Final = ("Cd", "Dt", "DtTm", "Amt", "Prtry", "Tp")

# Elements that became one branch of a choice as a whole: a party (or agent), a mandate of a direct debit (or credit transfer).
BRANCHES: Final = ("Pty", "DrctDbtMndt")

# Texts for people, which may be shortened; a reference or an account that is cut off would be another one, and is dropped.
SHORTENED: Final = frozenset(
    {"Nm", "StrtNm", "TwnNm", "AdrLine", "BldgNm", "Dept", "SubDept", "CtrySubDvsn", "TwnLctnNm", "DstrctNm",
     "AddtlInf", "AddtlNtryInf", "AddtlTxInf", "AddtlStmtInf", "AddtlRptInf", "AddtlNtfctnInf", "AddtlRmtInf", "Ustrd",
     "InstrInf", "Inf"}
)  # fmt: skip

# For people who read a report: what the outcomes of a value are called for.
REASONS: Final = MappingProxyType(
    {
        "no_place": "the version has no such element",
        "too_many": "the version takes fewer of them",
        "one_of": "the version takes only one of several elements here",
        "incomplete": "what is left would lack a mandatory element",
        "not_of_type": "the version does not take this value",
        "shortened": "the version takes a shorter text",
        "time_left_out": "the version takes a date without time",
        "year_only": "the version takes a year only",
        "in_utc": "the version takes a moment in UTC only",
        "renamed": "the version has another name or place for it",
        "not_a_code": "the version does not have this code, and takes it as a text of one's own",
    }
)
