"""Rules about one element: identifiers, amounts, codes, character sets, addresses, remittance, reasons."""

from __future__ import annotations

import re
from typing import Final

from lxml import etree

from shanraq.standards.iso20022.amounts import AmountFault, amount_fault, decimals, exact
from shanraq.standards.iso20022.codes import (
    CurrencyFault,
    code_set_of,
    countries,
    currency_fault,
    is_commodity,
    minor_units,
)
from shanraq.standards.iso20022.errors import Layer, Severity
from shanraq.standards.iso20022.identifiers import (
    bic_fault,
    creditor_id_fault,
    creditor_reference_fault,
    iban_fault,
    kz_number_fault,
    lei_fault,
    uetr_fault,
)
from shanraq.standards.iso20022.paths import local_name
from shanraq.standards.iso20022.rules.context import Context, role_of
from shanraq.standards.iso20022.rules.registry import Fault, Faults, Scope, rule
from shanraq.standards.iso20022.tree import child, children, text

_CODE_NAMES: Final = (
    "Cd GrpSts DtldSts PmtInfSts TxSts Sts Conf InstrForCdtrAgt SubTp Tp TxCxlSts GrpCxlSts PmtInfCxlSts EvtCd StsCd "
    "RjctdMod SubFmlyCd"
)
_REFERENCES: Final = (
    "MsgId BizMsgIdr PmtInfId InstrId EndToEndId TxId ClrSysRef RtrId RvslId CxlId StsId OrgnlMsgId OrgnlPmtInfId OrgnlInstrId "
    "OrgnlEndToEndId OrgnlTxId CxlStsId"
)
# The amounts that are moved; others (charges, taxes, reports) are told in finer units than money is moved in.
_MOVED: Final = frozenset({
    "InstdAmt", "IntrBkSttlmAmt", "RtrdIntrBkSttlmAmt", "RtrdInstdAmt", "RvsdInstdAmt", "RvsdIntrBkSttlmAmt",
    "TtlIntrBkSttlmAmt",     "TtlRtrdIntrBkSttlmAmt", "TtlRvsdIntrBkSttlmAmt", "OrgnlIntrBkSttlmAmt",
})  # fmt: skip
_ORDERS: Final = frozenset({"pain.001", "pain.008", "pacs.003", "pacs.008", "pacs.009", "pacs.010"})
_X: Final = re.compile(r"[A-Za-z0-9/\-?:().,'+ ]*")
_X_EXTENDED: Final = re.compile(r"""[A-Za-z0-9/\-?:().,'+ !#&%*=^_`{|}~";@\[\]\\$><]*""")
_LATIN1_SEPA: Final = re.compile(r"[A-Za-z0-9/\-?:().,'+ &*$%\u00a0-\u00ff]*")
_EXTENDED_PLACES: Final = frozenset({
    "Nm", "PstlAdr", "RmtInf", "RltdRmtInf", "BirthCity", "CityOfBirth", "PrvcOfBirth", "EmailAdr", "Prxy", "CtctDtls",
})  # fmt: skip
_CODE_REASONS: Final = {
    "ExternalPurpose1Code": "FF07",
    "ExternalCategoryPurpose1Code": "FF06",
    "ExternalServiceLevel1Code": "FF04",
    "ExternalLocalInstrument1Code": "FF05",
    "ExternalClearingSystemIdentification1Code": "RC08",
}
_STRUCTURED: Final = ("StrtNm", "BldgNb", "BldgNm", "PstCd", "PstBx", "Flr", "Room", "Dept", "SubDept", "UnitNb", "CareOf",
                      "TwnLctnNm", "DstrctNm", "CtrySubDvsn")  # fmt: skip
_KZ_SECTOR: Final = re.compile(r"[12][1-9]")
_KZ_PURPOSE: Final = re.compile(r"[0-9]{3}")


@rule("iban", Scope.ELEMENT, Layer.IDENTIFIERS, "AC01", names="IBAN")
def iban(element: etree._Element, value: str, _: Context) -> Faults:
    """An IBAN has the length, structure and check digits of its country."""
    if (fault := iban_fault(value)) is not None:
        reason = "AC03" if role_of(element) == "creditor" else "AC01"
        yield Fault(element, f"the IBAN is wrong: {fault}", reason)


@rule("bic", Scope.ELEMENT, Layer.IDENTIFIERS, "RC05", names="BIC BICFI AnyBIC BICOrBEI")
def bic(element: etree._Element, value: str, _: Context) -> Faults:
    """A BIC has 8 or 11 characters, and its country exists."""
    if (fault := bic_fault(value)) is not None:
        reason = {"debtor": "RC06", "creditor": "RC07"}.get(role_of(element), "RC05")
        if local_name(element) in ("AnyBIC", "BICOrBEI"):
            reason = {"debtor": "BE16", "creditor": "BE17"}.get(role_of(element), "RC05")
        yield Fault(element, f"the BIC is wrong: {fault}", reason)


@rule("lei", Scope.ELEMENT, Layer.IDENTIFIERS, "CH16", names="LEI")
def lei(element: etree._Element, value: str, _: Context) -> Faults:
    """A legal entity identifier has right check digits."""
    if (fault := lei_fault(value)) is not None:
        reason = {"debtor": "BE16", "creditor": "BE17"}.get(role_of(element), "CH16")
        yield Fault(element, f"the LEI is wrong: {fault}", reason)


@rule("uetr", Scope.ELEMENT, Layer.IDENTIFIERS, "CH16", names="UETR OrgnlUETR")
def uetr(element: etree._Element, value: str, _: Context) -> Faults:
    """A UETR is a UUID of version 4 in small letters."""
    if uetr_fault(value) is not None:
        yield Fault(element, "the UETR is no UUID of version 4 in small letters")


@rule("country", Scope.ELEMENT, Layer.IDENTIFIERS, "BE09", names="Ctry CtryOfRes CtryOfBirth RegnCtry")
def country(element: etree._Element, value: str, _: Context) -> Faults:
    """A country is a code of ISO 3166."""
    if value not in countries() and value != "XK":
        yield Fault(
            element, "no country of ISO 3166", {"debtor": "BE10", "creditor": "BE11"}.get(role_of(element), "BE09")
        )


@rule("creditor_id", Scope.ELEMENT, Layer.IDENTIFIERS, "RC12", names="CdtrSchmeId OrgnlCdtrSchmeId")
def creditor_id(element: etree._Element, _: str, __: Context) -> Faults:
    """A creditor identifier of the SEPA scheme has right check digits."""
    for other in element.iter("{*}Othr"):
        number = child(other, "Id")
        if (
            number is not None
            and text(other, "SchmeNm", "Prtry") == "SEPA"
            and (fault := creditor_id_fault(number.text or ""))
        ):
            yield Fault(number, f"the creditor identifier is wrong: {fault}")


@rule("creditor_reference", Scope.ELEMENT, Layer.IDENTIFIERS, "RR09", names="CdtrRefInf")
def creditor_reference(element: etree._Element, _: str, __: Context) -> Faults:
    """A structured creditor reference that begins with RF has right check digits (ISO 11649)."""
    reference = child(element, "Ref")
    issuer = text(element, "Tp", "Issr")
    if reference is None or text(element, "Tp", "CdOrPrtry", "Cd") != "SCOR" or issuer not in (None, "ISO"):
        return
    value = reference.text or ""
    if value.startswith("RF") and (fault := creditor_reference_fault(value)) is not None:
        yield Fault(reference, f"the creditor reference is wrong: {fault}")


@rule("national_id", Scope.ELEMENT, Layer.IDENTIFIERS, "BE16", names="Othr", setting="national_ids")
def national_id(element: etree._Element, _: str, context: Context) -> Faults:
    """A party's national number (BIN or IIN) has a right control digit, where the profile says which scheme it is."""
    number = child(element, "Id")
    scheme = text(element, "SchmeNm", "Cd") or text(element, "SchmeNm", "Prtry") or ""
    parent = element.getparent()
    if number is None or parent is None or local_name(parent) not in ("OrgId", "PrvtId"):
        return
    if scheme in context.profile.national_ids and (fault := kz_number_fault(number.text or "")) is not None:
        reason = "BE17" if role_of(element) == "creditor" else "BE16"
        yield Fault(number, f"the BIN or IIN is wrong: {fault}", reason)


@rule("amount_form", Scope.AMOUNT, Layer.LEXICAL, "AM12", reads="@Ccy decimals")
def amount_form(element: etree._Element, value: str, _: Context) -> Faults:
    """An amount is digits, optionally a point and digits; what else the schema allows (`+1`, `1.`, `.5`) is a warning."""
    if (fault := amount_fault(value)) is not None:
        yield Fault(
            element,
            f"the amount is wrong: {fault}",
            severity=Severity.WARNING if fault is AmountFault.FORM else Severity.ERROR,
        )


@rule("currency", Scope.AMOUNT, Layer.CODES, "AM11", reads="@Ccy")
def currency(element: etree._Element, _: str, context: Context) -> Faults:
    """A currency is one of ISO 4217; in an order it is in use on the day."""
    fault = currency_fault(element.get("Ccy") or "", context.day)
    if fault is CurrencyFault.UNKNOWN:
        yield Fault(element, f"the currency is {fault}", attribute="Ccy")
    elif fault is not None:
        grave = context.message.family in _ORDERS and local_name(element) in _MOVED
        yield Fault(
            element, f"the currency is {fault}", attribute="Ccy", severity=Severity.ERROR if grave else Severity.WARNING
        )


@rule("account_currency_code", Scope.ELEMENT, Layer.CODES, "AM11", names="Ccy CcyOfTrf SrcCcy TrgtCcy UnitCcy QtdCcy")
def account_currency_code(element: etree._Element, value: str, _: Context) -> Faults:
    """A currency named in an element of its own is one of ISO 4217."""
    if currency_fault(value) is not None:
        yield Fault(element, "no currency of ISO 4217")


@rule("commodity", Scope.AMOUNT, Layer.PROFILE, "AM03", setting="commodities_forbidden", reads="@Ccy")
def commodity(element: etree._Element, _: str, __: Context) -> Faults:
    """Precious metals are no currency of a payment."""
    if is_commodity(element.get("Ccy") or ""):
        yield Fault(element, "a precious metal is no currency of a payment", attribute="Ccy")


@rule("minor_units", Scope.AMOUNT, Layer.CROSS, "CH20", reads="@Ccy decimals")
def amount_minor_units(element: etree._Element, value: str, _: Context) -> Faults:
    """An amount has no more decimals than its currency; a warning where the amount is told and not moved."""
    units = minor_units(element.get("Ccy") or "")
    if units is not None and "." in value and decimals(value) > units:
        moved = local_name(element) in _MOVED
        yield Fault(
            element, f"the currency has {units} decimals, the amount more", severity=None if moved else Severity.WARNING
        )


@rule(
    "amount_zero", Scope.AMOUNT, Layer.CROSS, "AM01", reads="@Ccy decimals",
    messages="pain.001 pain.008 pacs.003 pacs.008 pacs.009 pacs.010",
)  # fmt: skip
def amount_zero(element: etree._Element, value: str, _: Context) -> Faults:
    """An ordered or settled amount is more than zero."""
    if local_name(element) in ("InstdAmt", "IntrBkSttlmAmt") and exact(value) == 0:
        yield Fault(element, "the amount is zero")


@rule("amount_limit", Scope.AMOUNT, Layer.PROFILE, "AM02", setting="amount_limit")
def amount_limit(element: etree._Element, value: str, context: Context) -> Faults:
    """An amount is not above the limit of the profile."""
    limit, amount = exact(context.profile.amount_limit), exact(value)
    if local_name(element) in _MOVED and limit is not None and amount is not None and amount > limit:
        yield Fault(element, "the amount is above the limit of the scheme")


@rule("allowed_currency", Scope.AMOUNT, Layer.PROFILE, "AM03", setting="currencies", reads="@Ccy")
def allowed_currency(element: etree._Element, _: str, context: Context) -> Faults:
    """The currency is one of the profile."""
    if local_name(element) in _MOVED and element.get("Ccy") not in context.profile.currencies:
        yield Fault(element, f"the scheme pays in {', '.join(context.profile.currencies)} only", attribute="Ccy")


@rule("external_code", Scope.ELEMENT, Layer.CODES, "CH16", names=_CODE_NAMES)
def external_code(element: etree._Element, value: str, context: Context) -> Faults:
    """A code is one of its external set, in the edition of the day."""
    names = [local_name(element)]
    current = element.getparent()
    while current is not None and len(names) < 5:
        names.append(local_name(current))
        current = current.getparent()
    name = code_set_of(tuple(reversed(names)))
    if name is not None and (codes := context.edition.sets.get(name)) is not None and value not in codes:
        reason = _CODE_REASONS.get(name, "CH16")
        yield Fault(element, f"the code is not in {name}, edition {context.edition.edition}", reason)


@rule("service_level", Scope.ELEMENT, Layer.PROFILE, "FF04", names="SvcLvl", setting="service_levels")
def service_level(element: etree._Element, _: str, context: Context) -> Faults:
    """A tracked payment (G001 and the like) has the service level of its message."""
    allowed = context.profile.service_levels.get(context.message.family)
    code = child(element, "Cd")
    if allowed and code is not None and re.fullmatch(r"G[0-9]{3}", code.text or "") and code.text not in allowed:
        yield Fault(code, f"of the tracked service levels only {', '.join(allowed)} fits this message")


@rule("character_set", Scope.TEXT, Layer.PROFILE, "RR10", setting="charset")
def character_set(element: etree._Element, value: str, context: Context) -> Faults:
    """Text keeps to the character set of the profile; names, addresses and remittance may have a wider one."""
    profile = context.profile
    pattern = {"x": _X, "x+": _X_EXTENDED, "latin1-sepa": _LATIN1_SEPA}[profile.charset]
    if pattern.fullmatch(value) is not None:
        return
    if profile.charset_extended and _X_EXTENDED.fullmatch(value) is not None:
        current: etree._Element | None = element
        while current is not None:
            if local_name(current) in _EXTENDED_PLACES:
                return
            current = current.getparent()
    yield Fault(element, f"a character that is not in the set {profile.charset}")


@rule(
    "reference_slashes", Scope.ELEMENT, Layer.PROFILE, "CH16", names=_REFERENCES, setting="references_without_slashes"
)
def reference_slashes(element: etree._Element, value: str, _: Context) -> Faults:
    """A reference neither begins nor ends with a slash nor has two in a row."""
    if value.startswith("/") or value.endswith("/") or "//" in value:
        yield Fault(element, "a reference must not begin or end with a slash, nor have two in a row")


@rule("instruction_id_length", Scope.ELEMENT, Layer.PROFILE, "CH16", names="InstrId", setting="instruction_id_length")
def instruction_id_length(element: etree._Element, value: str, context: Context) -> Faults:
    """An InstrId is no longer than the profile allows."""
    limit = context.profile.instruction_id_length
    if limit is not None and len(value) > limit:
        yield Fault(element, f"at most {limit} characters")


@rule("remittance", Scope.ELEMENT, Layer.PROFILE, "RR07", names="RmtInf", setting="remittance")
def remittance(element: etree._Element, _: str, __: Context) -> Faults:
    """Remittance information is structured or unstructured, not both."""
    if child(element, "Strd") is not None and child(element, "Ustrd") is not None:
        yield Fault(element, "structured and unstructured remittance information exclude each other")


@rule("remittance_length", Scope.ELEMENT, Layer.PROFILE, "RR07", names="RmtInf", setting="remittance_length")
def remittance_length(element: etree._Element, _: str, context: Context) -> Faults:
    """All structured remittance information together is no longer than the profile allows."""
    limit = context.profile.remittance_length
    length = sum(
        len(found.text or "") for part in children(element, "Strd") for found in part.iter("*") if not len(found)
    )
    if limit is not None and length > limit:
        yield Fault(element, f"structured remittance information of more than {limit} characters")


@rule("narrative", Scope.ELEMENT, Layer.CROSS, "NARR", names="StsRsnInf RtrRsnInf CxlRsnInf RvslRsnInf CxlStsRsnInf")
def narrative(element: etree._Element, _: str, __: Context) -> Faults:
    """The reason NARR comes with a narrative in AddtlInf."""
    if text(element, "Rsn", "Cd") == "NARR" and child(element, "AddtlInf") is None:
        yield Fault(element, "the reason NARR needs AddtlInf")


@rule("address", Scope.ELEMENT, Layer.PROFILE, "BE04", names="PstlAdr", setting="structured_address")
def address(element: etree._Element, _: str, context: Context) -> Faults:
    """A structured or hybrid address has town and country, and lines do not repeat its elements."""
    lines = children(element, "AdrLine")
    names = {local_name(found) for found in element}
    has_elements = not names.isdisjoint(_STRUCTURED) or bool(names & {"TwnNm", "Ctry"})
    reason = {"debtor": "BE07", "creditor": "BE04"}.get(role_of(element), "CH21")
    hybrid_from = context.profile.hybrid_address_from
    structured = not lines or not names.isdisjoint((*_STRUCTURED, "TwnNm"))
    if structured and has_elements and not names >= {"TwnNm", "Ctry"}:
        yield Fault(element, "an address with elements needs TwnNm and Ctry", reason)
    if not lines or not has_elements:
        return
    if hybrid_from is not None and context.day is not None and context.day < hybrid_from:
        yield Fault(element, f"elements and lines together are allowed from {hybrid_from}", "CH16")
    if "TwnNm" in names and len(lines) > context.profile.hybrid_lines:
        yield Fault(element, f"at most {context.profile.hybrid_lines} AdrLine beside elements", "CH16")
    written = {
        (found.text or "").strip().casefold()
        for found in element
        if local_name(found) not in ("AdrLine", "Ctry", "AdrTp")
    }
    for line in lines:
        if (line.text or "").strip().casefold() in written:
            yield Fault(line, "an address line repeats what an element says", "CH16")


@rule("unstructured_address", Scope.ELEMENT, Layer.PROFILE, "BE04", names="PstlAdr", setting="unstructured_address_end")
def unstructured_address(element: etree._Element, _: str, context: Context) -> Faults:
    """An address of lines alone ends on the day the profile names."""
    end = context.profile.unstructured_address_end
    if end is None or context.day is None or context.day < end or child(element, "AdrLine") is None:
        return
    if child(element, "TwnNm") is None or child(element, "Ctry") is None:
        reason = {"debtor": "BE07", "creditor": "BE04"}.get(role_of(element), "CH16")
        yield Fault(element, f"addresses of lines alone ended on {end}: TwnNm and Ctry are needed", reason)


@rule("agent_name_and_address", Scope.ELEMENT, Layer.PROFILE, "CH21", names="FinInstnId", setting="name_with_address")
def agent_name_and_address(element: etree._Element, _: str, __: Context) -> Faults:
    """Name and address of an agent come together, and one of BIC, clearing code, LEI or name is there."""
    named, placed = child(element, "Nm") is not None, child(element, "PstlAdr") is not None
    if named != placed:
        yield Fault(element, "name and address of an agent come only together")


@rule(
    "party_name",
    Scope.ELEMENT,
    Layer.PROFILE,
    "CH21",
    names="Dbtr Cdtr UltmtDbtr UltmtCdtr",
    setting="name_with_address",
)
def party_name(element: etree._Element, _: str, __: Context) -> Faults:
    """A party has a name, or a BIC and then neither name nor address; an address needs the name."""
    if (
        child(element, "FinInstnId") is not None
        or child(element, "Pty") is not None
        or child(element, "Agt") is not None
    ):
        return
    named, placed = child(element, "Nm") is not None, child(element, "PstlAdr") is not None
    if child(element, "Id", "OrgId", "AnyBIC") is not None:
        if named or placed:
            yield Fault(element, "a party with a BIC has neither name nor address", "CH17")
    elif not named:
        yield Fault(element, "a party needs its name", {"debtor": "BE08", "creditor": "BE22"}[role_of(element)])


@rule(
    "page_number",
    Scope.ELEMENT,
    Layer.PROFILE,
    "CH16",
    messages="camt.052 camt.053 camt.054",
    names="PgNb",
    setting="booked_entry_dated",
)
def page_number(element: etree._Element, value: str, _: Context) -> Faults:
    """Pages are counted from 1."""
    if not value.strip("0"):
        yield Fault(element, "a page number is more than zero")


@rule("residency_and_sector", Scope.ELEMENT, Layer.PROFILE, "RR05", names="RgltryRptg", setting="residency_and_sector")
def residency_and_sector(element: etree._Element, _: str, context: Context) -> Faults:
    """КОд and КБе are residency (1, 2) and sector (1 to 9), КНП three digits, in the detail that the profile names."""
    wanted = context.profile.residency_and_sector
    for details in children(element, "Dtls"):
        code = child(details, "Cd")
        if code is None:
            code = child(details, "RptgCd")
        if wanted is None or code is None or (text(details, "Tp") or text(details, "Tp", "Prtry")) != wanted.type:
            continue
        value = code.text or ""
        if not (
            _KZ_SECTOR.fullmatch(value[:2]) and _KZ_SECTOR.fullmatch(value[2:4]) and _KZ_PURPOSE.fullmatch(value[4:])
        ):
            yield Fault(code, "not КОд, КБе (residency 1 or 2, sector 1 to 9) and КНП (three digits) in a row")


def is_kz_purpose(value: str) -> bool:
    """Tell whether a text has the form of a КНП."""
    return _KZ_PURPOSE.fullmatch(value) is not None
