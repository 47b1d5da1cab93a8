"""MT103 and pacs.008, MT202 COV and pacs.009: every value is accounted for, and what is kept comes back."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shanraq.standards import iso20022, mt, translate
from shanraq.standards.iso20022 import Outcome
from shanraq.standards.iso20022.convert import values
from tests.standards.iso20022.instances import content as content_of
from tests.standards.mt.samples import MT103, MT202COV, MT900, MT940, UETR
from tests.standards.translate.samples import CREATED, agent, payment

VERSIONS = [each for each in iso20022.library().ids() if each.startswith("pacs.008.")]


def to_mx(text: str, **more: Any) -> translate.Translation[translate.Parts]:
    return translate.mt103_to_pacs008(mt.read(text), created=CREATED, **more)


def at(done: translate.Translation[Any], path: str) -> tuple[str, str, str]:
    found = next(trace for trace in done.traces if trace.path == path)
    return found.outcome.value, found.target.rpartition("CdtTrfTxInf")[2] or found.target, found.code


def changed(old: str, new: str) -> str:
    assert old in MT103
    return MT103.replace(old, new.replace("\n", "\r\n"))


def to_mt(**more: Any) -> translate.Translation[tuple[mt.Message, ...]]:
    supply = more.pop("supply", {})
    flag = more.pop("flag", "")
    document = iso20022.from_plain("pacs.008.001.08", payment(**more))
    return translate.pacs008_to_mt103(document, flag=flag, supply=supply)


def field(done: translate.Translation[tuple[mt.Message, ...]], tag: str) -> str:
    found = done.result[0].find(tag)
    return "" if found is None else found.text


def test_every_value_of_a_mt103_is_accounted_for_once() -> None:
    message = mt.read(MT103)

    done = to_mx(MT103)

    assert [(trace.path, trace.value) for trace in done.traces] == list(mt.values(message))
    assert sum(done.counts().values()) == len(list(mt.values(message)))
    assert [loss.path for loss in done.losses] == ["{1:}/session", "{1:}/sequence", "{3:}/108", "{5:}/CHK", "{5:}/TNG"]


def test_a_mt103_stands_in_the_places_of_a_pacs_008() -> None:
    done = to_mx(MT103)

    payment_ = iso20022.view(done.result.document)
    transfer = payment_.CdtTrfTxInf[0]
    assert transfer.PmtId.InstrId == payment_.GrpHdr.MsgId == "REF-1"
    assert (transfer.PmtId.EndToEndId, transfer.PmtId.UETR) == ("E2E-1", UETR)
    assert (str(transfer.IntrBkSttlmAmt.value), transfer.IntrBkSttlmAmt.Ccy) == ("1234.5", "EUR")
    assert str(transfer.IntrBkSttlmDt) == "2026-11-23"
    assert str(transfer.XchgRate) == "0.95"
    assert transfer.Dbtr.Nm == "TEST PAYER"
    assert transfer.DbtrAcct.Id.IBAN == "KZ86125KZT5004100100"
    assert (transfer.Cdtr.PstlAdr.Ctry, transfer.Cdtr.PstlAdr.TwnNm) == ("DE", "BERLIN")
    assert transfer.IntrmyAgt1.FinInstnId.ClrSysMmbId.MmbId == "021000021"
    assert transfer.RmtInf.Ustrd == ("INVOICE 12",)
    assert [each.InstrInf for each in transfer.InstrForCdtrAgt] == ["+7-701", "CALL FIRSTTHEN PAY"]
    assert payment_.GrpHdr.SttlmInf.SttlmMtd == "INDA"
    assert at(done, "71A/code") == ("kept", "/ChrgBr", "notation")


@pytest.mark.parametrize("version", VERSIONS)
def test_a_mt103_becomes_a_valid_pacs_008_of_any_version_with_its_header(version: str) -> None:
    done = to_mx(MT103, to=version, supply={"PmtId/TxId": "T1"})

    report = iso20022.validate(done.result.to_xml(), as_of=CREATED, layers=())
    assert report.valid, report.findings
    assert report.message == version
    header = iso20022.identify(iso20022.parse(done.result.to_xml())).header
    assert header is not None
    assert (header.message_definition_id, header.business_message_id) == (version, "REF-1")
    targets = {trace.target for trace in done.traces if trace.target}
    there = {path for part in (done.result.document, done.result.header) if part is not None for path in paths_of(part)}
    assert targets <= there
    assert {each.path for each in done.supplied} <= there


def paths_of(element: Any) -> set[str]:
    definition = iso20022.definition(element.tag.partition("}")[0].rpartition(":")[2])
    return {path for path, _ in values(element, definition.root.type, f"/{definition.root.name}")}


def test_what_an_older_version_does_not_take_is_lost() -> None:
    done = to_mx(MT103, to="pacs.008.001.02", supply={"PmtId/TxId": "T1"})

    assert at(done, "{3:}/121") == ("dropped", "", "no_place")
    assert at(done, "57A/bic") == ("kept", "/CdtrAgt/FinInstnId/BIC", "")


def test_what_was_not_said_is_told_with_its_source() -> None:
    done = to_mx(
        changed(":70:/ROC/E2E-1///INVOICE 12\r\n", "").replace(":52A:NBRKKZKX\r\n", ""),
        supply={"PmtId/TxId": "T1", "AppHdr/BizSvc": "swift.cbprplus.02"},
    )

    told = {each.path.rpartition("CdtTrfTxInf")[2]: (each.value, each.source) for each in done.supplied}
    assert told["/PmtId/EndToEndId"] == ("NOTPROVIDED", "default")
    assert told["/PmtId/TxId"] == ("T1", "parameter")
    assert told["/DbtrAgt/FinInstnId/BICFI"] == ("NBRKKZKX", "derived")
    assert told["/AppHdr/BizSvc"] == ("swift.cbprplus.02", "parameter")
    assert told["/Document/FIToFICstmrCdtTrf/GrpHdr/CreDtTm"] == ("2026-11-23T06:00:00+00:00", "default")
    assert "T1" not in repr(done.supplied)


def test_what_cannot_be_derived_is_an_error_that_names_the_key() -> None:
    bare = MT103[MT103.index(":20:") : MT103.index("-}")].replace(":52A:NBRKKZKX\r\n", "")

    supply: dict[str, str] = {}
    for _ in range(4):
        with pytest.raises(translate.TranslationError) as error:
            to_mx(bare, supply=supply)
        assert error.value.code == "incomplete"
        supply[error.value.supply] = "NBRKKZKX"
    done = to_mx(bare, supply=supply)

    assert set(supply) == {
        "CdtTrfTxInf/DbtrAgt/FinInstnId/BICFI", "CdtTrfTxInf/ChrgsInf/Agt/FinInstnId/BICFI",
        "AppHdr/Fr/FIId/FinInstnId/BICFI", "AppHdr/To/FIId/FinInstnId/BICFI",
    }  # fmt: skip
    assert iso20022.validate(done.result.to_xml(), as_of=CREATED, layers=()).valid
    assert to_mx(bare, header="", supply={key: supply[key] for key in supply if key[0] == "C"}).result.header is None


def test_an_older_version_may_ask_for_more() -> None:
    with pytest.raises(translate.TranslationError) as error:
        to_mx(MT103, to="pacs.008.001.07")

    assert (error.value.code, error.value.supply) == ("incomplete", "CdtTrfTxInf/PmtId/TxId")


@pytest.mark.parametrize(
    ("to", "supply", "code"),
    [
        ("pacs.009.001.08", {}, "another_message"),
        ("pacs.008.001.08", {"PmtId/Nothing": "X"}, "supply"),
        ("pacs.008.001.08", {"Dbtr/CtctDtls/EmailAdr": "x" * 3000}, "too_long"),
        ("pacs.008.001.08", {"FinInstnId/BICFI": "NBRKKZKX"}, "supply"),
    ],
)
def test_a_wrong_wish_is_refused(to: str, supply: dict[str, str], code: str) -> None:
    with pytest.raises(translate.TranslationError) as error:
        to_mx(MT103, to=to, supply=supply)

    assert error.value.code == code


def test_messages_of_other_kinds_are_refused() -> None:
    statement = iso20022.from_plain("pacs.008.001.08", payment())
    for wrong in (
        lambda: translate.mt103_to_pacs008(mt.read(MT202COV)),
        lambda: translate.mt202cov_to_pacs009(mt.read(MT103)),
        lambda: translate.mt940_to_camt053([mt.read(MT900)]),
        lambda: translate.mt942_to_camt052(mt.read_all(MT940)),
        lambda: translate.mt940_to_camt053([]),
        lambda: translate.camt053_to_mt940(statement),
        lambda: translate.camt052_to_mt942(statement),
    ):
        with pytest.raises(translate.TranslationError) as error:
            wrong()
        assert error.value.code == "another_message"


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("EUR1234,5", "EUR1234,555", "decimals"),
        ("261123EUR1234,5", "261123JPY1234,5", "decimals"),
        ("261123EUR1234,5", "261123KWD1,2345", "decimals"),
        ("261123EUR1234,5", "261123XQQ1,", "currency"),
    ],
)
def test_an_amount_fits_its_currency(old: str, new: str, code: str) -> None:
    with pytest.raises(translate.TranslationError) as error:
        to_mx(changed(old, new))

    assert (error.value.code, error.value.place) == (code, "32A")


def test_currencies_without_and_with_three_decimals_pass() -> None:
    yen = to_mx(changed("261123EUR1234,5", "261123JPY1234,"))
    dinar = to_mx(changed("261123EUR1234,5", "261123KWD1,234"))

    assert str(iso20022.view(yen.result.document).CdtTrfTxInf[0].IntrBkSttlmAmt.value) == "1234"
    assert str(iso20022.view(dinar.result.document).CdtTrfTxInf[0].IntrBkSttlmAmt.value) == "1.234"


def test_a_delivered_message_brings_its_moment_along() -> None:
    text = MT103.replace("{2:I103DEUTDEFFXXXXN}", "{2:O1031234261122DEUTDEFFAXXX00010000012611230801U}")

    done = to_mx(text)

    payment_ = iso20022.view(done.result.document)
    assert str(payment_.GrpHdr.CreDtTm) == "2026-11-22 12:34:00"
    assert payment_.CdtTrfTxInf[0].InstgAgt.FinInstnId.BICFI == "DEUTDEFF"
    assert payment_.CdtTrfTxInf[0].PmtTpInf.InstrPrty == "HIGH"
    assert at(done, "{2:}/input_date")[0] == "kept"


def test_structured_parties_keep_birth_and_identifications() -> None:
    party = ":50F:/KZ86125KZT5004100100\n1/TEST PAYER\n3/KZ/ALMATY\n4/19800229\n5/KZ/ASTANA"
    named = ":50F:CUST/KZ/BANK/123456\n1/TEST PAYER\n2/STREET\n3/KZ\n7/KZ/900101300123"
    old = MT103[MT103.index(":50K:") : MT103.index(":52A:")].rstrip()

    born = iso20022.view(to_mx(changed(old, party)).result.document).CdtTrfTxInf[0].Dbtr
    known = iso20022.view(to_mx(changed(old, named)).result.document).CdtTrfTxInf[0].Dbtr

    assert str(born.Id.PrvtId.DtAndPlcOfBirth.BirthDt) == "1980-02-29"
    assert born.Id.PrvtId.DtAndPlcOfBirth.CityOfBirth == "ASTANA"
    assert [(each.Id, each.SchmeNm.Cd, each.Issr) for each in known.Id.PrvtId.Othr] == [
        ("123456", "CUST", "KZ/BANK"), ("900101300123", "NIDN", "KZ"),
    ]  # fmt: skip


def test_correspondents_make_a_cover_of_it() -> None:
    done = to_mx(changed(":53B:/D/12345", ":53A:DEUTDEFF\n:54D:/999\nCORRESPONDENT\nTOWN"))

    settlement = iso20022.view(done.result.document).GrpHdr.SttlmInf
    assert settlement.SttlmMtd == "COVE"
    assert settlement.InstgRmbrsmntAgt.FinInstnId.BICFI == "DEUTDEFF"
    assert settlement.InstdRmbrsmntAgt.FinInstnId.PstlAdr.AdrLine == ("TOWN",)
    assert settlement.InstdRmbrsmntAgtAcct.Id.Othr.Id == "999"


def test_a_cover_keeps_its_underlying_transfer() -> None:
    message = mt.read(MT202COV)

    done = translate.mt202cov_to_pacs009(message, created=CREATED)

    transfer = iso20022.view(done.result.document).CdtTrfTxInf[0]
    assert [(trace.path, trace.value) for trace in done.traces] == list(mt.values(message))
    assert transfer.PmtId.EndToEndId == "REF-1"
    assert transfer.UndrlygCstmrCdtTrf.Dbtr.Nm == "TEST PAYER"
    assert transfer.UndrlygCstmrCdtTrf.CdtrAgt.FinInstnId.BICFI == "DEUTDEFFXXX"
    assert [loss.path for loss in done.losses] == ["{1:}/session", "{1:}/sequence"]
    assert iso20022.validate(done.result.to_xml(), as_of=CREATED, layers=()).valid


def test_a_mt103_comes_back_whole() -> None:
    forth = to_mx(MT103)

    back = translate.pacs008_to_mt103(forth.result.document, forth.result.header)

    before, after = dict(mt.values(mt.read(MT103))), dict(mt.values(back.result[0]))
    assert {path: after.get(path) for path in before if after.get(path) != before[path]} == {
        "{1:}/session": "0000", "{1:}/sequence": "000000", "{3:}/108": None, "72/line[1]": "/ACC/CALL FIRSTTHEN PAY",
        "72/line[2]": None, "{5:}/CHK": None, "{5:}/TNG": None,
    }  # fmt: skip
    leaves = paths_of(forth.result.document) | paths_of(forth.result.header)
    assert {trace.path for trace in back.traces} == leaves
    assert len(back.traces) == len(leaves)


@pytest.mark.parametrize("version", ["pacs.008.001.02", "pacs.008.001.12"])
def test_the_account_of_another_version_names_its_own_paths(version: str) -> None:
    forth = to_mx(MT103, to=version, supply={"PmtId/TxId": "T1"})

    back = translate.pacs008_to_mt103(forth.result.document)

    assert {trace.path for trace in back.traces} == paths_of(forth.result.document)
    assert back.source == version
    assert mt.read(mt.write(back.result[0])).find("59F") is not None


def test_long_texts_are_cut_with_a_sign_and_others_written_in_latin() -> None:
    done = to_mt(
        Dbtr={"Nm": "Тест " + "А" * 100, "PstlAdr": {"AdrLine": ["Улица 1", "Город"]}},
        RmtInf={"Ustrd": ["X" * 140]},
    )

    assert field(done, "50K").split("\n")[1:] == ["Test " + "A" * 30, "A" * 34 + "+", "Ulitsa 1", "Gorod"]
    assert field(done, "70").endswith("X+")
    outcomes = {trace.path.rpartition("CdtTrfTxInf/")[2]: (trace.outcome, trace.code) for trace in done.losses}
    assert outcomes["Dbtr/Nm"] == (Outcome.CHANGED, "shortened")
    assert outcomes["Dbtr/PstlAdr/AdrLine[1]"] == (Outcome.CHANGED, "transliterated")
    assert outcomes["RmtInf/Ustrd"] == (Outcome.CHANGED, "shortened")
    name = next(trace for trace in done.losses if trace.path.endswith("Dbtr/Nm"))
    assert name.reason == "the other standard takes a shorter text; a plus sign marks the end"
    assert "Тест" not in repr(name)


def test_signs_that_are_not_in_the_set_become_full_stops() -> None:
    done = to_mt(
        Cdtr={"Nm": "漢 PAYEE"}, RmtInf={"Ustrd": [":20:HIDDEN"]}, PmtId={"InstrId": "I1", "EndToEndId": "NOTPROVIDED"}
    )

    assert field(done, "59") == "/DE89370400440532013000\n. PAYEE"
    assert field(done, "70") == ".20:HIDDEN"
    codes = {trace.path.rpartition("/")[2]: trace.code for trace in done.losses}
    assert codes["Nm"] == "replaced"


@pytest.mark.parametrize(
    ("more", "place", "key"),
    [
        ({"IntrBkSttlmDt": None}, "32A/date", "date"),
        ({"Dbtr": {}}, "50a", "50K"),
        ({"Cdtr": {}}, "59a", "59"),
        ({"InstdAmt": {"value": "5", "Ccy": "USD"}}, "36", "36"),
        ({"InstgAgt": None}, "{1:}/address", "sender"),
        ({"ChrgBr": "CRED"}, "71F", "71F"),
    ],
)
def test_what_a_mt103_must_have_is_named(more: dict[str, Any], place: str, key: str) -> None:
    with pytest.raises(translate.TranslationError) as error:
        to_mt(**more)
    given_ = {"date": "261124", "50K": "SUPPLIED", "59": "SUPPLIED", "36": "2,", "sender": "NBRKKZKX", "71F": "EUR1,"}
    extra = {"InstdAmt": {"value": "5", "Ccy": "EUR"}} if key == "71F" else {}
    done = to_mt(**more, **extra, supply={key: given_[key]})

    assert (error.value.code, error.value.place, error.value.supply) == ("incomplete", place, key)
    assert given_[key] in mt.write(done.result[0])
    assert ("parameter", given_[key]) in [(each.source, each.value) for each in done.supplied]


@pytest.mark.parametrize(
    ("amount", "code"),
    [
        ({"value": "1234567890123.45", "Ccy": "EUR"}, "amount"),
        ({"value": "1.234", "Ccy": "EUR"}, "decimals"),
        ({"value": "1.5", "Ccy": "JPY"}, "decimals"),
        ({"value": "1", "Ccy": "XQQ"}, "currency"),
        ({"value": "+1", "Ccy": "EUR"}, "amount"),
    ],
)
def test_an_amount_that_fin_cannot_write_is_refused(amount: dict[str, str], code: str) -> None:
    with pytest.raises(translate.TranslationError) as error:
        to_mt(IntrBkSttlmAmt=amount)

    assert error.value.code == code
    assert error.value.place.endswith("CdtTrfTxInf/IntrBkSttlmAmt")


def test_a_field_that_is_no_field_of_a_mt103_is_not_supplied() -> None:
    for supply, flag in (({"99": "X"}, ""), ({}, "REMIT")):
        with pytest.raises(translate.TranslationError) as error:
            to_mt(supply=supply, flag=flag)
        assert error.value.code == "supply"
    with pytest.raises(mt.MtError):
        to_mt(supply={"77B": "X" * 36})


def test_straight_through_processing_is_a_flag() -> None:
    done = to_mt(flag="STP")

    assert done.result[0].user_value("119") == "STP"
    with pytest.raises(mt.MtError, match="MT103 STP"):
        to_mt(flag="STP", InstrForCdtrAgt=[{"Cd": "PHOB"}])


def test_several_transfers_become_several_messages() -> None:
    plain = payment()
    transfers = plain["FIToFICstmrCdtTrf"]["CdtTrfTxInf"]
    transfers.append(transfers[0] | {"PmtId": {"InstrId": "I2", "EndToEndId": "E2"}})
    plain["FIToFICstmrCdtTrf"]["GrpHdr"]["NbOfTxs"] = "2"
    document = iso20022.from_plain("pacs.008.001.08", plain)

    done = translate.pacs008_to_mt103(document)

    assert [message.fields[0].text for message in done.result] == ["I1", "I2"]
    assert any(trace.target == "message[2]/20/reference" for trace in done.traces)
    assert {trace.path for trace in done.traces} == paths_of(document)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(["pacs.008.001.08", "pacs.008.001.12"]))
def test_any_transfer_becomes_a_mt103_that_can_be_read_and_is_accounted_for(seed: int, version: str) -> None:
    plain = content_of(version, seed)
    top = plain["FIToFICstmrCdtTrf"]
    for name in ("InstgAgt", "InstdAgt"):
        top["GrpHdr"].pop(name, None)
    for transfer in top["CdtTrfTxInf"]:
        amount = {"value": "12.50", "Ccy": "EUR"}
        transfer |= {"InstgAgt": agent("NBRKKZKX"), "InstdAgt": agent("DEUTDEFF"), "IntrBkSttlmAmt": amount}
        transfer |= {"IntrBkSttlmDt": "2026-11-23", "ChrgBr": "SHAR"}
        transfer["ChrgsInf"] = [each | {"Amt": amount} for each in transfer.get("ChrgsInf", [])] or None
        for name in ("InstdAmt", "XchgRate", *(["ChrgsInf"] if transfer["ChrgsInf"] is None else [])):
            transfer.pop(name, None)
    document = iso20022.from_plain(version, plain)
    supply = {"20": "R", "50K": "X", "59": "Y", "57A": "DEUTDEFF", "53A": "DEUTDEFF", "54A": "DEUTDEFF"}

    done = translate.pacs008_to_mt103(document, supply=supply)

    for message in done.result:
        assert mt.write(mt.read(mt.write(message))) == mt.write(message)
    assert sorted(trace.path for trace in done.traces) == sorted(paths_of(document))


X = "ABCXYZabcxyz0189.,' "
line = st.text(X, min_size=1, max_size=35).map(str.strip).filter(bool)
amount = st.tuples(st.integers(0, 10**11), st.integers(0, 99)).map(lambda pair: f"{pair[0]},{pair[1]:02d}")
structured = st.tuples(st.lists(line, min_size=1, max_size=2), line, line).map(
    lambda each: "\n".join(
        [*(f"1/{text[:33]}" for text in each[0]), f"2/{each[1][:33]}", f"3/KZ/{each[2][:30].strip() or 'T'}"]
    )
)


@settings(max_examples=60, deadline=None)
@given(
    amount=amount, payer=st.lists(line, min_size=1, max_size=4), payee=structured,
    reference=st.from_regex(r"[A-Z0-9][A-Z0-9.]{0,14}[A-Z0-9]", fullmatch=True), remittance=line,
    bearer=st.sampled_from(["SHA", "OUR"]),
    day=st.dates(dt.date(1980, 1, 1), dt.date(2079, 12, 31)),
)  # fmt: skip
def test_what_the_account_calls_kept_comes_back(
    amount: str, payer: list[str], payee: str, reference: str, remittance: str, bearer: str, day: dt.date
) -> None:
    text = (
        MT103.replace(":20:REF-1", f":20:{reference}")
        .replace("261123EUR1234,5", f"{day:%y%m%d}EUR{amount}")
        .replace("TEST PAYER\r\nTEST STREET 1", "\r\n".join(payer))
        .replace("1/TEST PAYEE\r\n2/TEST STREET 2\r\n3/DE/BERLIN", payee.replace("\n", "\r\n"))
        .replace("/ROC/E2E-1///INVOICE 12", remittance)
    )
    if bearer == "OUR":
        text = text.replace(":71A:SHA\r\n:71F:", ":71A:OUR\r\n:71G:")
    message = mt.read(text)

    forth = translate.mt103_to_pacs008(message, created=CREATED)
    back = translate.pacs008_to_mt103(forth.result.document, forth.result.header)

    assert [(trace.path, trace.value) for trace in forth.traces] == list(mt.values(message))
    assert {trace.path for trace in back.traces} == paths_of(forth.result.document) | paths_of(forth.result.header)
    after = dict(mt.values(back.result[0]))
    joined = {"59F/line", "72/line"}  # names and instructions of several lines become one text, and new lines
    for trace in forth.traces:
        if trace.outcome is Outcome.KEPT and trace.path.partition("[")[0] not in joined:
            assert after[trace.path] == trace.value, trace.path
    assert content(back.result[0], "59F") == content(message, "59F")


def content(message: mt.Message, tag: str) -> str:
    """Return the letters of a party: where a name goes on in a second line is the writer's choice."""
    found = message.find(tag)
    assert found is not None
    return "".join(line[2:].replace(" ", "") for line in found.lines)
