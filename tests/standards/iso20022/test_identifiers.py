"""Identifiers, amounts and codes: what is right is let through, one changed character is not."""

from __future__ import annotations

import string
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from shanraq.standards.iso20022.amounts import SCALE, AmountFault, amount_fault, decimals, exact, schema_number
from shanraq.standards.iso20022.codes import (
    CurrencyFault,
    code_edition,
    code_editions,
    code_element_names,
    code_set_of,
    countries,
    currencies,
    currency_fault,
    is_commodity,
    minor_units,
)
from shanraq.standards.iso20022.identifiers import (
    IdentifierFault,
    bic_fault,
    check_digits,
    creditor_id_fault,
    creditor_reference_fault,
    iban_countries,
    iban_fault,
    kz_bank_of_iban,
    kz_bic_of_bank,
    kz_number_fault,
    lei_fault,
    phone_fault,
    same_bic,
    uetr_fault,
)

DIGITS = st.text(string.digits, min_size=16, max_size=16)


@given(st.text(string.ascii_uppercase + string.digits, min_size=13, max_size=13), st.integers(0, 999))
def test_a_kazakh_iban_with_its_check_digits_is_right_and_no_other(account: str, bank: int) -> None:
    body = f"{bank:03d}{account}"
    right = check_digits(body, "KZ")

    found = [f"{digits:02d}" for digits in range(100) if iban_fault(f"KZ{digits:02d}{body}") is None]

    assert found == [right]
    assert kz_bank_of_iban(f"KZ{right}{body}") == f"{bank:03d}"
    assert iban_fault(f"KZ{right}{body.lower()}") is None


@given(st.data())
def test_any_one_changed_character_of_an_iban_is_found(data: st.DataObject) -> None:
    iban = "DE89370400440532013000"
    place = data.draw(st.integers(0, len(iban) - 1))
    other = data.draw(st.sampled_from(string.ascii_uppercase + string.digits))
    assume(other != iban[place])

    assert iban_fault(iban[:place] + other + iban[place + 1 :]) is not None


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ("KZ86125KZT500410010", IdentifierFault.LENGTH),
        ("ZZ86125KZT5004100100", IdentifierFault.COUNTRY),
        ("KZ86A25KZT5004100100", IdentifierFault.STRUCTURE),
        ("KZ86 125KZT5004100100", IdentifierFault.STRUCTURE),
        ("KZ87125KZT5004100100", IdentifierFault.CHECK_DIGITS),
        ("", IdentifierFault.STRUCTURE),
    ],
)
def test_an_iban_is_refused_with_the_kind_of_fault(value: str, fault: IdentifierFault) -> None:
    assert iban_fault(value) is fault


def test_check_digits_that_are_never_issued_are_refused() -> None:
    # 98 and 01 leave the same remainder: a body whose digits are 98 is also right by arithmetic with 01.
    body = next(f"125{number:013d}" for number in range(10_000) if check_digits(f"125{number:013d}", "KZ") == "98")

    assert iban_fault(f"KZ98{body}") is None
    assert iban_fault(f"KZ01{body}") is IdentifierFault.CHECK_DIGITS


@given(st.text(string.digits, min_size=11, max_size=11))
def test_a_bin_or_iin_has_at_most_one_control_digit(body: str) -> None:
    right = [digit for digit in string.digits if kz_number_fault(body + digit) is None]

    assert len(right) <= 1
    assert kz_number_fault(body) is IdentifierFault.STRUCTURE


@given(st.text(string.ascii_uppercase + string.digits, min_size=18, max_size=18))
def test_a_lei_has_its_check_digits_and_no_other(body: str) -> None:
    number = int("".join(str(int(char, 36)) for char in body + "00"))

    assert lei_fault(f"{body}{98 - number % 97:02d}") is None
    assert lei_fault(f"{body}{(98 - number % 97 + 1) % 97:02d}") is not None


def test_other_identifiers() -> None:
    assert bic_fault("NLPRXKPR") is None
    assert bic_fault("CITIEU33") is IdentifierFault.COUNTRY
    assert bic_fault("hsbkkzkx") is IdentifierFault.STRUCTURE
    assert same_bic("COBADEFF", "COBADEFFXXX")
    assert not same_bic("COBADEFF", "COBADEFF123")
    assert uetr_fault("0270da4d-aac5-44f3-8bec-e5788a87ad7b") is None
    assert uetr_fault("0270DA4D-aac5-44f3-8bec-e5788a87ad7b") is IdentifierFault.STRUCTURE
    assert creditor_id_fault("DE98ABC09999999999") is None
    assert creditor_id_fault("UK98ABC09999999999") is IdentifierFault.COUNTRY
    assert creditor_id_fault("DE99ABC09999999999") is IdentifierFault.CHECK_DIGITS
    assert creditor_id_fault("DE") is IdentifierFault.STRUCTURE
    assert creditor_reference_fault("RF18539007547034") is None
    assert creditor_reference_fault("RF19539007547034") is IdentifierFault.CHECK_DIGITS
    assert creditor_reference_fault("539007547034") is IdentifierFault.STRUCTURE
    assert phone_fault("+7-7272001122") is None
    assert phone_fault("87272001122") is IdentifierFault.STRUCTURE
    assert len(iban_countries()) == 89
    assert kz_bic_of_bank("601") == "HSBKKZKX"
    assert kz_bic_of_bank("000") is None
    assert kz_bank_of_iban("DE89370400440532013000") is None


@given(st.integers(0, 10**13 - 1), st.integers(0, 5), st.integers(0, 99_999))
def test_an_amount_is_read_exactly(whole: int, places: int, fraction: int) -> None:
    digits = f"{fraction:05d}"[:places]
    written = f"{whole}.{digits}" if places else f"{whole}"

    value = exact(written)

    assert value is not None
    assert Decimal(value) / SCALE == Decimal(written)
    assert schema_number(written) == Decimal(written)
    assert amount_fault(written) is None
    assert decimals(written) == len(digits.rstrip("0"))


@given(st.text(max_size=12))
def test_what_is_no_number_is_none_and_never_an_exception(written: str) -> None:
    number = schema_number(written)

    if number is not None:
        assert set(written.strip(" \t\r\n")) <= set("+-.0123456789")
    assert exact(written) is None or written.isascii()


@pytest.mark.parametrize("written", ["1e3", "-1", "1,00", "1_0", "NaN", "Infinity", "٣", ".", "", "0.000001", "1" * 19])
def test_what_python_would_read_and_the_schema_does_not_is_refused(written: str) -> None:
    assert amount_fault(written) is AmountFault.NOT_A_NUMBER


@pytest.mark.parametrize("written", ["+1", "1.", ".5", "-0"])
def test_what_the_schema_reads_and_a_payment_file_may_not_carry_is_told(written: str) -> None:
    assert amount_fault(written) is AmountFault.FORM
    assert exact(written) is not None


def test_currencies_have_minor_units_and_days() -> None:
    assert (minor_units("KZT"), minor_units("JPY"), minor_units("BHD"), minor_units("XAU"), minor_units("QQQ")) == (
        2,
        0,
        3,
        None,
        None,
    )
    assert currency_fault("QQQ") is CurrencyFault.UNKNOWN
    assert currency_fault("BGN", date(2025, 12, 31)) is None
    assert currency_fault("BGN", date(2026, 1, 1)) is CurrencyFault.WITHDRAWN
    assert currency_fault("XCG", date(2025, 1, 1)) is CurrencyFault.NOT_YET
    assert is_commodity("XAU")
    assert not is_commodity("EUR")
    assert len(countries()) == 249
    assert "HRK" in currencies()


def test_codes_are_those_of_the_set_of_the_element() -> None:
    edition = code_edition(date(2026, 7, 1))

    assert edition is code_edition()
    assert code_edition(date(2000, 1, 1)) is code_editions()[0]
    assert code_set_of(("TxInfAndSts", "StsRsnInf", "Rsn", "Cd")) == "ExternalStatusReason1Code"
    assert code_set_of(("TxInf", "RtrRsnInf", "Rsn", "Cd")) == "ExternalReturnReason1Code"
    assert code_set_of(("Somewhere", "Cd")) is None
    assert "NOOR" not in edition.sets["ExternalStatusReason1Code"]
    assert "NOOR" in edition.sets["ExternalReturnReason1Code"]
    assert "iso20022.org" in edition.notice
    assert "Cd" in code_element_names()
