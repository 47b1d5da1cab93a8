"""MT940 and camt.053, MT942 and camt.052: entries, balances, pages, and the account of every value."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shanraq.standards import iso20022, mt, translate
from shanraq.standards.iso20022 import Outcome
from shanraq.standards.translate.information import Information, read_information, write_information
from shanraq.standards.translate.texts import wrap
from tests.standards.iso20022.instances import content as content_of
from tests.standards.mt.samples import MT940, MT942
from tests.standards.translate.samples import CREATED
from tests.standards.translate.test_payments import paths_of

ENDS = {"AppHdr/Fr/FIId/FinInstnId/BICFI": "NBRKKZKX", "AppHdr/To/FIId/FinInstnId/BICFI": "DEUTDEFF"}
VERSIONS = [each for each in iso20022.library().ids() if each.startswith("camt.053.")]


def statement(text: str = MT940, **more: Any) -> translate.Translation[translate.Parts]:
    return translate.mt940_to_camt053(mt.read_all(text), created=CREATED, header="", **more)


def one(*entries: str, opening: str = "C261120EUR100,", closing: str = "C261120EUR100,") -> str:
    fields = [":20:S1", ":25:KZ86125KZT5004100100", ":28C:1", f":60F:{opening}", *entries, f":62F:{closing}"]
    return "\n".join(fields)


def back(done: translate.Translation[translate.Parts], **more: Any) -> translate.Translation[tuple[mt.Message, ...]]:
    return translate.camt053_to_mt940(done.result.document, done.result.header, **more)


def entries_of(done: translate.Translation[translate.Parts]) -> Any:
    return iso20022.view(done.result.document).Stmt[0].Ntry


def test_pages_of_one_statement_are_joined_and_every_value_is_accounted_for() -> None:
    done = statement()

    given_ = [
        (f"message[{number}]/{path}", value)
        for number, message in enumerate(mt.read_all(MT940), 1)
        for path, value in mt.values(message)
    ]
    found = iso20022.view(done.result.document)
    assert [(trace.path, trace.value) for trace in done.traces] == given_
    assert (done.losses, done.notes) == ((), ())
    assert len(found.Stmt) == 1
    assert [balance.Tp.CdOrPrtry.Cd for balance in found.Stmt[0].Bal] == ["OPBD", "CLBD", "CLAV", "FWAV"]
    assert [entry.CdtDbtInd for entry in found.Stmt[0].Ntry] == ["CRDT", "DBIT", "DBIT"]
    assert found.Stmt[0].AddtlStmtInf == "ALL IS WELL"


@pytest.mark.parametrize("version", VERSIONS)
def test_a_statement_is_valid_in_every_version(version: str) -> None:
    done = translate.mt940_to_camt053(mt.read_all(MT940), to=version, created=CREATED, supply=ENDS)

    report = iso20022.validate(done.result.to_xml(), as_of=CREATED, layers=())
    assert report.valid, report.findings
    there = paths_of(done.result.document) | paths_of(done.result.header)
    assert {trace.target for trace in done.traces if trace.target} <= there
    assert {each.path for each in done.supplied} <= there


def test_a_page_without_the_others_is_a_statement_of_its_own() -> None:
    second = MT940[MT940.index("-\n:20:") + 2 :]

    done = statement(second)

    found = iso20022.view(done.result.document).Stmt[0]
    assert (found.StmtPgntn.PgNb, found.StmtPgntn.LastPgInd) == ("2", True)
    assert (found.Bal[0].Tp.CdOrPrtry.Cd, found.Bal[0].Tp.SubTp.Cd) == ("OPBD", "INTM")
    assert back(done).result[0].find("60M") is not None


def test_pages_that_do_not_go_on_are_told_of() -> None:
    done = statement(MT940.replace(":60M:C261120EUR110,50", ":60M:C261120EUR110,51"))

    assert done.notes == ("statement 5: a page does not open with the balance the page before closed with",)


def test_the_balance_equation_is_checked_again() -> None:
    right = statement(one(":61:261120C0,50NTRFNONREF", closing="C261120EUR100,5"))
    wrong = statement(one(":61:261120C0,50NTRFNONREF", closing="C261120EUR100,51"))
    overdrawn = statement(one(":61:261120D100,01NTRFNONREF", closing="D261120EUR0,01"))

    note = "statement 1: opening balance and entries do not give the closing balance"
    assert (right.notes, wrong.notes, overdrawn.notes) == ((), (note,), ())
    assert back(wrong).notes == ("opening balance and booked entries do not give the closing balance",)


@pytest.mark.parametrize(
    ("mark", "side", "reversal", "closing"),
    [
        ("C", "CRDT", None, "101,"),
        ("D", "DBIT", None, "99,"),
        ("RC", "DBIT", True, "99,"),
        ("RD", "CRDT", True, "101,"),
    ],
)
def test_marks_of_entries_come_back(mark: str, side: str, reversal: bool | None, closing: str) -> None:
    done = statement(one(f":61:261120{mark}1,NTRFNONREF", closing=f"C261120EUR{closing}"))

    entry = entries_of(done)[0]
    assert (entry.CdtDbtInd, entry.RvslInd) == (side, reversal)
    assert done.notes == ()
    assert back(done).result[0].find("61").parts["mark"] == mark  # type: ignore[union-attr]


def test_the_entry_date_takes_its_year_from_the_statement() -> None:
    done = statement(
        one(":61:2612301231C1,NTRFX", ":61:2612300102C1,NTRFX", opening="C261231EUR0,", closing="C270102EUR2,")
    )

    assert [str(entry.BookgDt.Dt) for entry in entries_of(done)] == ["2026-12-31", "2027-01-02"]
    with pytest.raises(translate.TranslationError, match="no such day"):
        statement(one(":61:2611200229C1,NTRFX"))


def test_information_is_taken_apart() -> None:
    first, second, _ = entries_of(statement())

    assert first.NtryDtls[0].TxDtls[0].Refs.EndToEndId == "E2E-1"
    assert (first.NtryDtls[0].TxDtls[0].Refs.Prtry[0].Tp, first.NtryDtls[0].TxDtls[0].Refs.Prtry[0].Ref) == (
        "61",
        "REF1",
    )
    assert first.NtryDtls[0].TxDtls[0].RltdPties.Dbtr.Pty.Nm == "TEST PAYER"
    assert first.NtryDtls[0].TxDtls[0].RltdAgts.DbtrAgt.FinInstnId.BICFI == "DEUTDEFF"
    assert first.NtryDtls[0].TxDtls[0].RmtInf.Ustrd == ("INVOICE 1",)
    assert first.NtryDtls[0].TxDtls[0].AddtlTxInf == "?00TRANSFER?109310"
    assert (first.BkTxCd.Prtry.Cd, first.AcctSvcrRef, first.AddtlNtryInf) == ("NTRF+166", "BANKREF", "SUPPLEMENT")
    assert second.NtryDtls[0].TxDtls[0].Refs.EndToEndId == "ABC"
    assert second.NtryDtls[0].TxDtls[0].RmtInf.Ustrd == ("SOME TEXT",)


def test_a_statement_comes_back() -> None:
    done = back(statement())

    text = mt.write(done.result[0])
    assert (
        ":61:2611201120C12,50NTRFREF1//BANKREF\nSUPPLEMENT\n:86:166?00TRANSFER?109310?20EREF+E2E-1SVWZ+INVOICE 1"
        in text.replace("\r\n", "\n")
    )
    assert ":61:261120D2,NCHGABC" in text  # NONREF with /EREF/: the reference is the holder's
    assert done.notes == ()


def test_the_holders_bank_stands_before_the_account() -> None:
    done = statement(one().replace(":25:KZ", ":25:NBRKKZKX/KZ"))
    named = statement(one().replace(":25:KZ86125KZT5004100100", ":25P:KZ86125KZT5004100100\nDEUTDEFF"))

    found = iso20022.view(done.result.document).Stmt[0].Acct
    assert (found.Svcr.FinInstnId.BICFI, found.Id.IBAN) == ("NBRKKZKX", "KZ86125KZT5004100100")
    assert back(named).result[0].find("25P") is not None


def test_expected_entries_and_totals_are_in_a_report() -> None:
    done = translate.mt942_to_camt052(mt.read_all(MT942), created=CREATED, header="")
    wrong = translate.mt942_to_camt052(
        mt.read_all(MT942.replace(":90C:1EUR5,", ":90C:2EUR5,")), created=CREATED, header=""
    )

    found = iso20022.view(done.result.document).Rpt[0]
    assert [entry.Sts.Cd for entry in found.Ntry] == ["PDNG", "BOOK"]
    assert [loss.path for loss in done.losses] == ["34F/currency", "34F/mark", "34F/amount"]
    assert (done.notes, wrong.notes) == ((), ("report 1: 90C is not the number and sum of its entries",))
    returned = translate.camt052_to_mt942(done.result.document)
    assert mt.write(returned.result[0]) == MT942.replace("EURD0,", "EUR0,").removesuffix("\n-").replace("\n", "\r\n")
    assert ("34F/amount", "default") in [(each.path, each.source) for each in returned.supplied]


def balance(code: str) -> dict[str, Any]:
    return {
        "Tp": {"CdOrPrtry": {"Cd": code}}, "Amt": {"value": "1", "Ccy": "EUR"}, "CdtDbtInd": "CRDT",
        "Dt": {"Dt": "2026-11-20"},
    }  # fmt: skip


def camt(**more: Any) -> Any:
    content = {
        "Id": "S1", "ElctrncSeqNb": "1", "Acct": {"Id": {"IBAN": "KZ86125KZT5004100100"}},
        "Bal": [balance("OPBD"), balance("CLBD")],
    }  # fmt: skip
    content = {name: value for name, value in (content | more).items() if value is not None}
    whole = {"BkToCstmrStmt": {"GrpHdr": {"MsgId": "M1", "CreDtTm": "2026-11-23T06:00:00Z"}, "Stmt": [content]}}
    return iso20022.from_plain("camt.053.001.08", whole)


def entry(**more: Any) -> dict[str, Any]:
    plain = {
        "Amt": {"value": "1", "Ccy": "EUR"}, "CdtDbtInd": "CRDT", "Sts": {"Cd": "BOOK"}, "ValDt": {"Dt": "2026-11-20"},
        "BkTxCd": {"Domn": {"Cd": "PMNT", "Fmly": {"Cd": "RCDT", "SubFmlyCd": "ESCT"}}},
    }  # fmt: skip
    return plain | more


def test_what_fin_cannot_say_is_told() -> None:
    details = {"Refs": {"EndToEndId": "E" * 30, "ChqNb": "7"}, "AddtlTxInf": "Т" * 400}
    document = camt(
        Id="LONG IDENTIFICATION 1",
        ElctrncSeqNb="1234567",
        Ntry=[
            entry(AcctSvcrRef="R" * 20, NtryDtls=[{"TxDtls": [details, details]}]),
            entry(Sts={"Cd": "PDNG"}),
            entry(AddtlNtryInf="A" * 40, ValDt={"DtTm": "2026-11-20T10:00:00Z"}),
        ],
    )

    done = translate.camt053_to_mt940(document)

    assert {trace.path for trace in done.traces} == paths_of(document)
    losses = {trace.path.rpartition("Stmt/")[2]: (trace.outcome.value, trace.code) for trace in done.losses}
    assert losses["Id"] == losses["ElctrncSeqNb"] == ("changed", "shortened")
    assert losses["Ntry[1]/AcctSvcrRef"] == ("dropped", "not_of_type")
    assert losses["Ntry[1]/NtryDtls/TxDtls[1]/Refs/ChqNb"] == ("dropped", "no_place")
    assert losses["Ntry[1]/NtryDtls/TxDtls[1]/AddtlTxInf"] == ("changed", "shortened")
    assert losses["Ntry[1]/NtryDtls/TxDtls[2]/Refs/EndToEndId"] == ("dropped", "no_place")
    assert losses["Ntry[2]/Amt"] == ("dropped", "no_place")
    assert losses["Ntry[3]/AddtlNtryInf"] == ("changed", "shortened")
    assert losses["Ntry[3]/ValDt/DtTm"] == ("changed", "time_left_out")
    text = mt.write(done.result[0])
    assert ":20:LONG IDENTIFICA+" in text
    assert ":28C:34567" in text
    assert ":61:261120C1,NMSCNONREF" in text


@pytest.mark.parametrize(
    ("more", "code", "key", "value"),
    [
        ({"Bal": [balance("XPCD")]}, "incomplete", "60F", "C261120EUR1,"),
        ({"Acct": {"Id": {"Othr": {"Id": "счёт"}}}}, "incomplete", "25", "12345"),
        ({"Id": "/"}, "incomplete", "20", "REF"),
    ],
)
def test_what_a_mt940_must_have_is_named(more: dict[str, Any], code: str, key: str, value: str) -> None:
    with pytest.raises(translate.TranslationError) as error:
        translate.camt053_to_mt940(camt(**more))

    assert (error.value.code, error.value.supply) == (code, key)
    supply = {key: value} | ({"62F": value} if key == "60F" else {})
    done = translate.camt053_to_mt940(camt(**more), supply=supply)
    assert value in mt.write(done.result[0])


def test_wrong_wishes_for_a_statement_are_refused() -> None:
    for document, supply, code in (
        (camt(), {"99": "X"}, "supply"),
        (camt(), {"sender": "nonsense", "receiver": "DEUTDEFF"}, "not_of_type"),
        (camt(Ntry=[entry(Amt={"value": "1", "Ccy": "USD"})]), {}, "currency"),
        (camt(Ntry=[entry(Amt={"value": "1.234", "Ccy": "EUR"})]), {}, "decimals"),
    ):
        with pytest.raises(translate.TranslationError) as error:
            translate.camt053_to_mt940(document, supply=supply)
        assert error.value.code == code
    done = translate.camt053_to_mt940(camt(), supply={"sender": "NBRKKZKX", "receiver": "DEUTDEFF"})
    assert mt.write(done.result[0]).startswith("{1:F01NBRKKZKXAXXX0000000000}{2:I940DEUTDEFFXXXXN}{4:")


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(["camt.053.001.08", "camt.053.001.13"]))
def test_any_statement_becomes_a_mt940_that_can_be_read_and_is_accounted_for(seed: int, version: str) -> None:
    plain = content_of(version, seed)
    for each in plain["BkToCstmrStmt"]["Stmt"]:
        amount = {"value": "12.50", "Ccy": "EUR"}
        each |= {"Acct": {"Id": {"Othr": {"Id": "1"}}}, "Bal": [balance("OPBD"), balance("CLBD")]}
        for booked in each.get("Ntry", []):
            booked |= {"Amt": amount, "Sts": {"Cd": "BOOK"}, "ValDt": {"Dt": "2026-11-23"}}
    document = iso20022.from_plain(version, plain)

    done = translate.camt053_to_mt940(document, supply={"20": "R"})

    for message in done.result:
        assert mt.write(mt.read(mt.write(message))) == mt.write(message)
    assert sorted(trace.path for trace in done.traces) == sorted(paths_of(document))


word = st.text("ABCXYZ019 .,", min_size=1, max_size=60).map(str.strip).filter(bool)


@given(
    st.builds(
        Information, end_to_end=word, instruction=st.just("") | word, mandate=st.just("") | word, remittance=word,
        name=st.just("") | word.map(lambda text: text[:54]), business=st.just("") | st.just("166"),
    )
)  # fmt: skip
def test_information_is_read_as_it_was_written(told: Information) -> None:
    lines, cut_off = wrap(write_information(told), 65, 20)

    assert cut_off == ""
    again = read_information(tuple(lines))
    for name in ("end_to_end", "instruction", "mandate", "remittance", "name", "business"):
        assert getattr(again, name) == getattr(told, name)


money = st.integers(0, 10**9).map(lambda minor: f"{minor // 100},{minor % 100:02d}")
entries = st.lists(
    st.tuples(st.sampled_from(["C", "D", "RC", "RD"]), money, st.from_regex(r"[A-Z0-9]{1,16}", fullmatch=True)),
    max_size=6,
)


@settings(max_examples=60, deadline=None)
@given(entries)
def test_any_statement_keeps_its_entries_and_its_equation(lines: list[tuple[str, str, str]]) -> None:
    balance = 10**11
    for mark, text, _ in lines:
        minor = int(text.replace(",", ""))
        balance += minor if mark in ("C", "RD") else -minor
    closing = f"C261120EUR{balance // 100},{balance % 100:02d}"
    text = one(
        *(f":61:261120{mark}{text}NTRF{reference}" for mark, text, reference in lines),
        opening="C261120EUR1000000000,00", closing=closing,
    )  # fmt: skip
    messages = mt.read_all(text)

    forth = statement(text)
    returned = back(forth)

    assert (forth.notes, returned.notes) == ((), ())
    assert [(trace.path, trace.value) for trace in forth.traces] == list(mt.values(messages[0]))
    assert {trace.path for trace in returned.traces} == paths_of(forth.result.document)
    assert all(trace.outcome is Outcome.KEPT for trace in forth.traces)
    assert dict(mt.values(returned.result[0])) == dict(mt.values(messages[0]))
