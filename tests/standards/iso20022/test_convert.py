"""Another version of a message: every value is kept, moved, changed or dropped, and says so."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from shanraq.standards import iso20022
from shanraq.standards.iso20022.convert import values
from shanraq.standards.iso20022.renamings import REASONS, RENAMINGS, Renaming
from tests.standards.iso20022.instances import content
from tests.standards.iso20022.test_json_form import TX_PATH, change, payment

IDS = iso20022.library().ids()


def convert(
    message_id: str, plain: dict[str, Any], to: str, supply: dict[str, str] | None = None
) -> iso20022.Converted:
    return iso20022.convert(iso20022.from_plain(message_id, plain), to=to, supply=supply or {})


def told(converted: iso20022.Converted, code: str) -> list[tuple[str, str, str]]:
    return [(each.outcome.value, each.path, each.target) for each in converted.traces if each.code == code]


def transfer(**more: Any) -> dict[str, Any]:
    agent = {"FinInstnId": {"BICFI": "NBRKKZKX"}}
    party = {"Nm": "A" * 140, "Id": {"OrgId": {"AnyBIC": "DEUTDEFF"}}}
    transaction = {
        "PmtId": {"EndToEndId": "E1", "TxId": "T1", "UETR": "eb6305c9-1f7f-49de-aed0-16487c27b42d"},
        "IntrBkSttlmAmt": {"value": "100.50", "Ccy": "KZT"},
        "ChrgBr": "DEBT", "Dbtr": party, "DbtrAgt": agent, "CdtrAgt": agent, "Cdtr": party,
    }  # fmt: skip
    head = {"MsgId": "M1", "CreDtTm": "2026-11-23T06:00:00Z", "NbOfTxs": "1", "SttlmInf": {"SttlmMtd": "CLRG"}}
    return {"FIToFICstmrCdtTrf": {"GrpHdr": head, "CdtTrfTxInf": [transaction | more]}}


def test_names_of_earlier_versions_are_found() -> None:
    charges = {"Amt": {"value": "1", "Ccy": "KZT"}, "Agt": {"FinInstnId": {"BICFI": "NBRKKZKX"}}}
    before = transfer(ChrgsInf=[charges], PrvsInstgAgt1={"FinInstnId": {"BICFI": "NBRKKZKX"}})

    converted = convert("pacs.008.001.08", before, "pacs.008.001.02")

    path = "/Document/FIToFICstmrCdtTrf/CdtTrfTxInf"
    assert Counter(told(converted, "renamed")) == Counter(
        [
            ("moved", f"{path}/ChrgsInf/Agt/FinInstnId/BICFI", f"{path}/ChrgsInf/Pty/FinInstnId/BIC"),
            ("moved", f"{path}/PrvsInstgAgt1/FinInstnId/BICFI", f"{path}/PrvsInstgAgt/FinInstnId/BIC"),
            ("moved", f"{path}/Dbtr/Id/OrgId/AnyBIC", f"{path}/Dbtr/Id/OrgId/BICOrBEI"),
            ("moved", f"{path}/DbtrAgt/FinInstnId/BICFI", f"{path}/DbtrAgt/FinInstnId/BIC"),
            ("moved", f"{path}/CdtrAgt/FinInstnId/BICFI", f"{path}/CdtrAgt/FinInstnId/BIC"),
            ("moved", f"{path}/Cdtr/Id/OrgId/AnyBIC", f"{path}/Cdtr/Id/OrgId/BICOrBEI"),
        ]
    )
    assert told(converted, "no_place") == [("dropped", f"{path}/PmtId/UETR", "")]


def test_what_moved_below_another_element_comes_back() -> None:
    before = transfer(AccptncDtTm="2026-11-23T06:00:00Z", PoolgAdjstmntDt="2026-11-23")

    up = convert("pacs.008.001.08", before, "pacs.008.001.13")
    down = iso20022.convert(up.document, to="pacs.008.001.08")

    assert [target.rpartition("CdtTrfTxInf")[2] for _, _, target in told(up, "renamed")] == [
        "/AddtlDtTm/AccptncDtTm",
        "/AddtlDtTm/PoolgAdjstmntDt",
    ]
    assert up.losses == down.losses == ()
    assert iso20022.to_plain(down.document) == before


def test_a_mandatory_element_that_is_not_said_is_named() -> None:
    before = transfer()
    del before["FIToFICstmrCdtTrf"]["CdtTrfTxInf"][0]["PmtId"]["TxId"]

    with pytest.raises(iso20022.ConversionError) as refused:
        convert("pacs.008.001.08", before, "pacs.008.001.07")

    assert refused.value.code == "incomplete"
    assert refused.value.path == "/Document/FIToFICstmrCdtTrf/CdtTrfTxInf/PmtId/TxId"


def test_what_the_message_does_not_say_may_be_supplied() -> None:
    before = transfer()
    before["FIToFICstmrCdtTrf"]["CdtTrfTxInf"][0]["PmtId"] = {"EndToEndId": "E1"}
    document = iso20022.from_plain("pacs.008.001.08", before)

    given_ = {
        "PmtId/TxId": "T1",
        "PmtId/EndToEndId": "OTHER",
        "Cdtr/PstlAdr/Ctry": "KZ",
        "InstdAmt": "5",
        "InstdAmt/@Ccy": "EUR",
    }
    converted = iso20022.convert(document, to="pacs.008.001.07", supply=given_)

    path = "/Document/FIToFICstmrCdtTrf/CdtTrfTxInf"
    told = {each.path.removeprefix(path): (each.value, each.source) for each in converted.supplied}
    payment_ = iso20022.view(converted.document).CdtTrfTxInf[0]
    assert told == {
        "/PmtId/TxId": ("T1", "parameter"), "/Cdtr/PstlAdr/Ctry": ("KZ", "parameter"), "/InstdAmt": ("5", "parameter"),
        "/InstdAmt/@Ccy": ("EUR", "parameter"),
    }  # fmt: skip
    assert (payment_.PmtId.EndToEndId, payment_.PmtId.TxId, payment_.InstdAmt.Ccy) == ("E1", "T1", "EUR")
    assert sum(converted.counts().values()) == len(converted.traces)
    assert "T1" not in repr(converted.supplied)


def test_a_supplied_value_goes_into_each_repetition_and_into_no_second_branch() -> None:
    before = transfer()
    second = before["FIToFICstmrCdtTrf"]["CdtTrfTxInf"][0] | {"PmtId": {"EndToEndId": "E2", "TxId": "T2"}}
    before["FIToFICstmrCdtTrf"]["CdtTrfTxInf"].append(second)

    converted = convert(
        "pacs.008.001.08", before, "pacs.008.001.10", supply={"Purp/Cd": "SALA", "Dbtr/Id/PrvtId/Othr/Id": "1"}
    )

    purposes = [each.Purp.Cd for each in iso20022.view(converted.document).CdtTrfTxInf]
    assert purposes == ["SALA", "SALA"]
    assert iso20022.view(converted.document).CdtTrfTxInf[0].Dbtr.Id.PrvtId is None  # it has OrgId


@pytest.mark.parametrize("key", ["TxId/Nothing", "BICFI", "PmtId", "", "InstdAmt/@Unit"])
def test_a_key_that_is_no_value_or_several_is_refused(key: str) -> None:
    with pytest.raises(iso20022.Iso20022Error) as refused:
        convert("pacs.008.001.08", transfer(), "pacs.008.001.10", supply={key: "X"})

    assert refused.value.code == "supply"


def test_a_date_becomes_a_branch_and_a_moment_loses_its_time() -> None:
    place = "CstmrCdtTrfInitn.PmtInf.0.ReqdExctnDt"
    path = "/Document/CstmrCdtTrfInitn/PmtInf/ReqdExctnDt"

    date = convert("pain.001.001.09", change(place, {"Dt": "2026-11-23"}), "pain.001.001.03")
    moment = convert("pain.001.001.09", change(place, {"DtTm": "2026-11-23T06:00:00Z"}), "pain.001.001.03")
    up = iso20022.convert(moment.document, to="pain.001.001.09")

    assert ("moved", f"{path}/Dt", path) in told(date, "renamed")
    assert told(moment, "time_left_out") == [("changed", f"{path}/DtTm", path)]
    assert moment.losses[0].new_value == "2026-11-23"
    assert moment.losses[0].reason == REASONS["time_left_out"]
    assert ("moved", path, f"{path}/Dt") in told(up, "renamed")


def test_a_long_name_is_shortened_and_a_long_reference_is_dropped() -> None:
    before = transfer()
    before["FIToFICstmrCdtTrf"]["CdtTrfTxInf"][0]["Cdtr"] = {
        "Nm": "B" * 140, "PstlAdr": {"StrtNm": "S" * 140}, "Id": {"OrgId": {"Othr": [{"Id": "9" * 256}]}},
    }  # fmt: skip

    converted = convert("pacs.008.001.12", before, "pacs.008.001.08")

    path = "/Document/FIToFICstmrCdtTrf/CdtTrfTxInf/Cdtr"
    assert told(converted, "shortened") == [("changed", f"{path}/PstlAdr/StrtNm", f"{path}/PstlAdr/StrtNm")]
    assert told(converted, "not_of_type") == [("dropped", f"{path}/Id/OrgId/Othr/Id", "")]
    assert converted.counts()["changed"] == converted.counts()["dropped"] == 1
    assert "9" * 256 not in repr(converted.losses)
    assert converted.losses[-1].to_dict()["value"] == "9" * 256
    party = iso20022.view(converted.document).CdtTrfTxInf[0].Cdtr
    assert party.PstlAdr.StrtNm == "S" * 70
    assert party.Id is None


def test_what_is_left_without_a_mandatory_part_goes_with_it() -> None:
    identification = {"OrgId": {"Othr": [{"Id": "9" * 256, "Issr": "NBK"}, {"Id": "1"}]}}
    before = transfer()
    before["FIToFICstmrCdtTrf"]["CdtTrfTxInf"][0]["Cdtr"] = {"Nm": "B", "Id": identification}

    converted = convert("pacs.008.001.12", before, "pacs.008.001.08")

    path = "/Document/FIToFICstmrCdtTrf/CdtTrfTxInf/Cdtr/Id/OrgId"
    assert told(converted, "incomplete") == [("dropped", f"{path}/Othr[1]/Issr", "")]
    assert [each.lacking for each in converted.losses] == ["", "Othr/Id"]
    assert ("kept", f"{path}/Othr[2]/Id") not in [(each.outcome, each.path) for each in converted.traces]
    assert next(each for each in converted.traces if each.path == f"{path}/Othr[2]/Id").target == f"{path}/Othr/Id"


def test_a_date_that_stood_for_a_year_becomes_one() -> None:
    record = {"Prd": {"Yr": "2026-01-01"}}
    before = transfer(Tax={"Rcrd": [record]})

    converted = convert("pacs.008.001.08", before, "pacs.008.001.12")

    assert [(each.code, each.new_value) for each in converted.losses] == [("year_only", "2026")]


def test_more_than_the_version_takes_is_dropped() -> None:
    levels = [{"Cd": "SEPA"}, {"Cd": "SDVA"}]

    converted = convert("pacs.008.001.08", transfer(PmtTpInf={"SvcLvl": levels}), "pacs.008.001.03")

    assert [path.rpartition("/SvcLvl")[2] for _, path, _ in told(converted, "too_many")] == ["[2]/Cd"]


def test_a_code_the_version_does_not_have_becomes_a_text() -> None:
    reason = [{"Rsn": {"Cd": "AM09"}}]
    assignment = {
        "Id": "1", "Assgnr": {"Pty": {"Nm": "A"}}, "Assgne": {"Pty": {"Nm": "B"}}, "CreDtTm": "2026-11-23T06:00:00Z",
    }  # fmt: skip
    before = {"FIToFIPmtCxlReq": {"Assgnmt": assignment, "Undrlyg": [{"TxInf": [{"CxlRsnInf": reason}]}]}}

    converted = convert("camt.056.001.08", before, "camt.056.001.03")

    path = "/Document/FIToFIPmtCxlReq/Undrlyg/TxInf/CxlRsnInf/Rsn"
    assert told(converted, "not_a_code") == [("moved", f"{path}/Cd", f"{path}/Prtry")]
    assert converted.losses == ()


def test_a_party_becomes_a_branch_and_comes_back() -> None:
    details = {"AmtDtls": {"TxAmt": {"Amt": {"value": "1", "Ccy": "KZT"}}}, "RltdPties": {"Dbtr": {"Nm": "A"}}}
    entry = {
        "Amt": {"value": "1", "Ccy": "KZT"}, "CdtDbtInd": "DBIT", "Sts": "BOOK", "BkTxCd": {},
        "NtryDtls": [{"TxDtls": [details]}],
    }  # fmt: skip
    balance = {
        "Tp": {"CdOrPrtry": {"Cd": "CLBD"}}, "Amt": {"value": "1", "Ccy": "KZT"}, "CdtDbtInd": "CRDT",
        "Dt": {"Dt": "2026-11-23"},
    }  # fmt: skip
    statement = {
        "Id": "S1", "CreDtTm": "2026-11-23T06:00:00Z", "Acct": {"Id": {"IBAN": "KZ86125KZT5004100100"}},
        "Bal": [balance], "Ntry": [entry],
    }  # fmt: skip
    before = {"BkToCstmrStmt": {"GrpHdr": {"MsgId": "M1", "CreDtTm": "2026-11-23T06:00:00Z"}, "Stmt": [statement]}}

    up = convert("camt.053.001.02", before, "camt.053.001.08")
    down = iso20022.convert(up.document, to="camt.053.001.02")

    assert [target.rpartition("Ntry/")[2] for _, _, target in told(up, "renamed")] == [
        "Sts/Cd",
        "NtryDtls/TxDtls/RltdPties/Dbtr/Pty/Nm",
    ]
    assert up.losses == down.losses == ()
    assert iso20022.to_plain(down.document) == before


def test_a_header_says_its_moment_in_utc() -> None:
    side = {"FIId": {"FinInstnId": {"BICFI": "NBRKKZKX"}}}
    header = {
        "Fr": side, "To": side, "BizMsgIdr": "M1", "MsgDefIdr": "pacs.008.001.08", "CreDt": "2026-11-23T11:00:00+05:00",
        "Rltd": [],
    }  # fmt: skip

    converted = convert("head.001.001.02", header, "head.001.001.01")

    assert [(each.code, each.new_value) for each in converted.losses] == [("in_utc", "2026-11-23T06:00:00Z")]
    assert converted.document.tag == "{urn:iso:std:iso:20022:tech:xsd:head.001.001.01}AppHdr"


def test_an_open_slot_is_carried_as_it_is() -> None:
    foreign = '<a:a xmlns:a="urn:x"><a:b c="1"> 2 </a:b></a:a>'
    before = change("CstmrCdtTrfInitn.SplmtryData", [{"Envlp": {"xml": foreign}}])

    up = convert("pain.001.001.09", before, "pain.001.001.12")
    down = convert("pain.001.001.09", before, "pain.001.001.03")

    assert iso20022.to_plain(up.document)["CstmrCdtTrfInitn"]["SplmtryData"] == [{"Envlp": {"xml": foreign}}]
    assert [(each.path, each.code, each.value) for each in down.losses] == [
        ("/Document/CstmrCdtTrfInitn/SplmtryData/Envlp/*any*", "no_place", foreign)
    ]


def test_refusals() -> None:
    document = iso20022.from_plain("pain.001.001.09", payment())

    with pytest.raises(iso20022.ConversionError, match="not versions of one message") as other:
        iso20022.convert(document, to="pacs.008.001.08")
    with pytest.raises(iso20022.Iso20022Error, match=r"of pain\.001 there are"):
        iso20022.convert(document, to="pain.001.001.99")
    next(document.iter("{*}InstdAmt")).text = "-1"
    with pytest.raises(iso20022.Iso20022Error) as invalid:
        iso20022.convert(document, to="pain.001.001.10")

    assert other.value.code == "another_message"
    assert (invalid.value.code, invalid.value.path) == ("too_small", f"{TX_PATH}/Amt/InstdAmt")


def test_the_input_is_left_as_it_is() -> None:
    document = iso20022.from_plain(
        "pain.001.001.09", change("CstmrCdtTrfInitn.SplmtryData", [{"Envlp": {"xml": "<a/>"}}])
    )
    before = iso20022.canonical(document)

    iso20022.convert(document, to="pain.001.001.10")

    assert iso20022.canonical(document) == before


def attempt(document: etree._Element, to: str) -> tuple[iso20022.Converted | None, str]:
    """Return the conversion, or the path of what the version demands and the message does not say."""
    try:
        return iso20022.convert(document, to=to), ""
    except iso20022.ConversionError as error:
        return None, error.path if error.code == "incomplete" else ""


def listed(document: etree._Element, message_id: str) -> Counter[tuple[str, str]]:
    root = iso20022.definition(message_id).root
    return Counter(values(document, root.type, f"/{root.name}"))


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(IDS), st.integers(0, 2**32), st.data())
def test_every_value_is_accounted_for(message_id: str, seed: int, data: st.DataObject) -> None:
    to = data.draw(st.sampled_from(iso20022.library().versions(message_id[:8])))
    document = iso20022.from_plain(message_id, content(message_id, seed))

    converted, lacking = attempt(document, to)
    if converted is None:
        assert lacking
        assert to != message_id
        return

    assert Counter((each.path, each.value) for each in converted.traces) == listed(document, message_id)
    there = [each for each in converted.traces if each.outcome != "dropped"]
    assert Counter((each.target, each.new_value) for each in there) == listed(converted.document, to)
    for each in converted.traces:
        assert (each.value == each.new_value) is (each.outcome in ("kept", "moved"))
        assert (each.path == each.target) or each.outcome != "kept"
        assert bool(each.reason) is (each.outcome != "kept") or each.code
    assert to != message_id or all(each.outcome == "kept" for each in converted.traces)


def has(message_id: str, names: tuple[str, ...], within: str, but: tuple[str, ...] = ()) -> bool:
    paths = {row.path for row in iso20022.definition(message_id).rows()}
    ending, other = f"{within and '/' + within}/{'/'.join(names)}", f"/{'/'.join(but)}"
    return any(path.endswith(ending) and not (but and path.endswith(other)) for path in paths)


@pytest.mark.parametrize("renaming", RENAMINGS, ids=lambda each: "/".join((each.within, *each.newer)))
def test_since_is_the_first_version_with_the_newer_name(renaming: Renaming) -> None:
    assert renaming.since
    for since in renaming.since.split():
        before = f"{since[:-2]}{int(since[-2:]) - 1:02d}"

        assert has(since, renaming.newer, renaming.within)
        assert has(before, renaming.older, renaming.within, but=renaming.newer)
        assert not has(before, renaming.newer, renaming.within)
