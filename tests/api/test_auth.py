"""Credentials are read from headers exactly, and never shown."""

from __future__ import annotations

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shanraq.api.auth import MalformedCredentialsError, MissingCredentialsError, read_credentials
from shanraq.core.errors import UnauthenticatedError
from shanraq.partners import BasicCredentials, OperatorToken, SignedCredentials, signed_text

SIGNED = {
    b"shanraq-key": b"key_1",
    b"shanraq-timestamp": b"1764100000",
    b"shanraq-nonce": b"0123456789abcdef",
    b"shanraq-signature": b"v1=" + b"0f" * 32,
}


def basic(text: bytes) -> dict[bytes, bytes]:
    return {b"authorization": b"Basic " + base64.b64encode(text)}


def test_an_api_key_is_user_and_password() -> None:
    found = read_credentials(basic(b"key_1:s3cret:with:colons"), "GET", "/", b"")

    assert isinstance(found, BasicCredentials)
    assert (found.key_id, found.secret.reveal()) == ("key_1", "s3cret:with:colons")
    assert "s3cret" not in repr(found)


def test_a_bearer_token_is_an_operators() -> None:
    found = read_credentials({b"authorization": b"bearer abc.def"}, "GET", "/", b"")

    assert isinstance(found, OperatorToken)
    assert found.token.reveal() == "abc.def"


def test_a_signature_carries_all_it_is_made_over() -> None:
    found = read_credentials(SIGNED, "POST", "/v1/notes?a=b", b"{}")

    assert isinstance(found, SignedCredentials)
    assert found.signature == b"\x0f" * 32
    assert found.signed_text == (
        b"v1\n1764100000\n0123456789abcdef\nPOST\n/v1/notes?a=b\n" + hashlib.sha256(b"{}").hexdigest().encode()
    )


def test_the_signed_text_is_what_the_documentation_says() -> None:
    assert signed_text(1764100000, "n" * 16, "GET", "/v1/notes", hashlib.sha256(b"").hexdigest()) == (
        b"v1\n1764100000\nnnnnnnnnnnnnnnnn\nGET\n/v1/notes\n"
        b"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    )


def test_no_credentials_are_not_malformed() -> None:
    with pytest.raises(MissingCredentialsError):
        read_credentials({}, "GET", "/", b"")


@pytest.mark.parametrize(
    "headers",
    [
        {b"authorization": b""},
        {b"authorization": b"Basic"},
        {b"authorization": b"Basic a2V5"},
        {b"authorization": b"Basic !!!"},
        basic(b"no colon"),
        basic(b"key_1:"),
        basic(b":secret"),
        basic(b"key 1:secret"),
        basic("key_1:пароль".encode()),
        {b"authorization": b"Bearer "},
        {b"authorization": b"Bearer a b"},
        {b"authorization": b"Bearer " + b"a" * 600},
        {**SIGNED, b"authorization": b"Bearer a"},
        {**SIGNED, b"shanraq-signature": b"0f" * 32},
        {**SIGNED, b"shanraq-signature": b"v1=" + b"0F" * 32},
        {**SIGNED, b"shanraq-signature": b"v2=" + b"0f" * 32},
        {**SIGNED, b"shanraq-signature": b"v1=" + b"0f" * 31},
        {**SIGNED, b"shanraq-timestamp": b"1764100000.5"},
        {**SIGNED, b"shanraq-timestamp": "١٧٦٤١٠٠٠٠٠".encode()},
        {**SIGNED, b"shanraq-nonce": b"short"},
        {**SIGNED, b"shanraq-key": b"key\n1"},
    ],
)
def test_what_is_written_otherwise_is_refused(headers: dict[bytes, bytes]) -> None:
    with pytest.raises(MalformedCredentialsError):
        read_credentials(headers, "GET", "/", b"")


@given(st.dictionaries(st.sampled_from([b"authorization", *SIGNED]), st.binary(max_size=60)), st.binary(max_size=20))
def test_junk_is_refused_and_nothing_else_happens(headers: dict[bytes, bytes], body: bytes) -> None:
    try:
        read_credentials(headers, "GET", "/", body)
    except UnauthenticatedError as error:
        assert error.status == 401  # noqa: PT017  # what is not refused is fine as well
