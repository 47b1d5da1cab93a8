from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shanraq.core.identity import (
    InvalidDetailError,
    check_country,
    check_email,
    check_phone,
    check_registration_number,
    check_text,
    kz_number_valid,
)


@pytest.mark.parametrize(
    ("text", "read"),
    [("  Алма Pay ", "Алма Pay"), ("Zoe\u0308", "Zoë"), ("علی\u200cرضا", "علی\u200cرضا"), ("O'Neill-Ó", "O'Neill-Ó")],
)
def test_a_text_is_trimmed_and_composed(text: str, read: str) -> None:
    assert check_text(text, field="name", limit=20) == read


@pytest.mark.parametrize("text", ["", "   ", "x" * 21, "a\nb", "a\x00b", "a\u202eb", "a\u2028b", "\ud800"])
def test_an_empty_long_or_unprintable_text_is_refused(text: str) -> None:
    with pytest.raises(InvalidDetailError) as refused:
        check_text(text, field="name", limit=20)

    assert refused.value.field == "name"


def test_a_country_is_two_capitals_of_iso_3166() -> None:
    assert [check_country(code) for code in ("KZ", "DE")] == ["KZ", "DE"]
    for wrong in ("kz", "KAZ", "XX", "UK", "", "K"):
        with pytest.raises(InvalidDetailError):
            check_country(wrong)


@pytest.mark.parametrize(
    "address", ["a@example.com", "first.last+tag@mail.example.co.uk", "o'neill@example.kz", "x" * 64 + "@example.com"]
)
def test_an_email_address_is_accepted(address: str) -> None:
    assert check_email(address) == address


def test_the_domain_of_an_email_address_is_written_small() -> None:
    assert check_email("First.Last@EXAMPLE.Com") == "First.Last@example.com"


@pytest.mark.parametrize(
    "address",
    [
        "", "a", "a@", "@example.com", "a@example", "a@.com", "a@example..com", ".a@example.com", "a.@example.com",
        "a..b@example.com", "a b@example.com", "a@exa mple.com", "a@example.com\n", "a@-example.com", "a@example-.com",
        "a@example.1", "a@b@example.com", "ä@example.com", "x" * 65 + "@example.com", "a@" + "x" * 64 + ".com",
        "a@" + ("x" * 60 + ".") * 5 + "com",
    ],
)  # fmt: skip
def test_what_is_no_email_address_is_refused(address: str) -> None:
    with pytest.raises(InvalidDetailError) as refused:
        check_email(address, field="contact_email")

    assert refused.value.field == "contact_email"


def test_a_refusal_never_repeats_what_was_sent() -> None:
    canary = "canary 4711"
    for check in (check_country, check_email, check_phone, lambda text: check_registration_number("KZ", text)):
        with pytest.raises(InvalidDetailError) as refused:
            check(canary)
        assert "4711" not in str(refused.value)


@pytest.mark.parametrize("number", ["+77010000000", "+4915112345678", "+1234567", "+123456789012345"])
def test_a_phone_number_is_accepted_in_e164_form(number: str) -> None:
    assert check_phone(number) == number


@pytest.mark.parametrize(
    "number", ["", "77010000000", "+07010000000", "+123456", "+1234567890123456", "+7 701 000 00 00", "+7701000000٠"]
)
def test_what_is_not_in_e164_form_is_refused(number: str) -> None:
    with pytest.raises(InvalidDetailError):
        check_phone(number)


@pytest.mark.parametrize("number", ["980540000397", "971240001315"])
def test_a_kazakh_number_has_twelve_digits_and_a_check_digit(number: str) -> None:
    assert check_registration_number("KZ", number) == number


@given(st.integers(0, 10**11 - 1))
def test_at_most_one_check_digit_fits_any_eleven_digits(prefix: int) -> None:
    right = [digit for digit in range(10) if kz_number_valid(f"{prefix:011d}{digit}")]

    assert len(right) <= 1


@pytest.mark.parametrize("number", ["980540000398", "98054000039", "9805400003977", "98054000039a", "٩٨٠٥٤٠٠٠٠٣٩٧", ""])
def test_a_wrong_kazakh_number_is_refused(number: str) -> None:
    with pytest.raises(InvalidDetailError) as refused:
        check_registration_number("KZ", number, field="bin")

    assert refused.value.field == "bin"


def test_registers_of_other_countries_write_letters_and_marks() -> None:
    for number in ("HRB 12345 B", "12-345.67/8", "X"):
        assert check_registration_number("DE", number) == number
    for wrong in ("", " 1", "1 ", "x" * 33, "1;2", "номер"):
        with pytest.raises(InvalidDetailError):
            check_registration_number("DE", wrong)
