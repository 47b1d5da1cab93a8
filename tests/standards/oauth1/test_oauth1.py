from __future__ import annotations

import contextlib

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from hypothesis import given
from hypothesis import strategies as st

from shanraq.standards import oauth1

KEY = generate_private_key(65537, 2048)
PUBLIC = oauth1.VerificationKey(KEY.public_key(), oauth1.SignatureMethod)
NOW, URL, BODY = 1_790_000_000, "https://api.example.com/a?x=1", b"{}"


def signed(url: str = URL, method: oauth1.SignatureMethod = oauth1.SignatureMethod.RSA_SHA256) -> str:
    key = oauth1.SigningKey(KEY, method)
    return oauth1.sign("POST", url, BODY, key, consumer_key="consumer!key", nonce="nonce123", timestamp=NOW)


def check(
    header: str, url: str = URL, *, now: float = NOW, key: oauth1.VerificationKey = PUBLIC, new: bool = True
) -> None:
    oauth1.verify(
        header,
        "POST",
        url,
        BODY,
        key_of={"consumer!key": key}.get,
        now_seconds=now,
        window_seconds=300,
        first_use=lambda consumer_key, nonce, timestamp: new,
    )


@pytest.mark.parametrize("method", oauth1.SignatureMethod)
def test_what_was_signed_is_accepted(method: oauth1.SignatureMethod) -> None:
    check(signed(method=method))


@pytest.mark.parametrize(
    ("old", "new", "rule"),
    [
        ("consumer!key", "another", "consumer key"),
        ('"1.0"', '"2.0"', "version"),
        ("RSA-SHA256", "HMAC-SHA256", "signature method"),
        ("RSA-SHA256", "RSA-PSS", "signature is not the key's"),
        ("nonce123", "nonce124", "signature is not the key's"),
        ("nonce123", "n&a=1&b=2", "nonce"),
        ("1790000000", "01790000000", "timestamp"),
        ("OAuth ", "Bearer ", "scheme"),
        ("nonce123", "nonce%zz1", "percent-encoding"),
        ("nonce123", "nonce%ff1", "UTF-8"),
        ("OAuth ", 'OAuth oauth_nonce="nonce123",', "twice"),
        ("OAuth ", 'OAuth oauth_token="t",', "unknown parameter"),
        ('oauth_version="1.0",', "", "oauth_version is missing"),
        ('oauth_signature="', 'oauth_signature="*', "base64"),
        ("OAuth ", "OAuth ,", "written"),
        ("OAuth ", "OAuth " + "x" * 5000, "too long"),
    ],
)
def test_each_rule_refuses(old: str, new: str, rule: str) -> None:
    header = signed()
    changed = header.replace(old, new, 1)

    assert changed != header
    with pytest.raises(oauth1.Oauth1Error, match=rule):
        check(changed)


@pytest.mark.parametrize("now", [NOW - 301, NOW + 301, float("nan")])
def test_a_timestamp_outside_the_window_is_refused(now: float) -> None:
    with pytest.raises(oauth1.Oauth1Error, match="window"):
        check(signed(), now=now)


def test_a_nonce_works_once() -> None:
    with pytest.raises(oauth1.Oauth1Error, match="used before"):
        check(signed(), new=False)


def test_a_method_the_key_is_not_meant_for_is_refused() -> None:
    only = oauth1.VerificationKey(KEY.public_key(), [oauth1.SignatureMethod.RSA_PSS])

    with pytest.raises(oauth1.Oauth1Error, match="not expected"):
        check(signed(), key=only)


@pytest.mark.parametrize(
    "url", ["/a", "ftp://h/", "https://u@h/", "https://h/?oauth_nonce=1", "https://h/?a=%zz", "https://h/#f"]
)
def test_urls_that_leave_doubt_are_not_signed(url: str) -> None:
    with pytest.raises(oauth1.Oauth1Error):
        signed(url)


@given(st.text(), st.text())
def test_junk_is_refused_and_nothing_else(header: str, url: str) -> None:
    for text in (header, f"OAuth {header}", signed() + header):
        with contextlib.suppress(oauth1.Oauth1Error):
            check(text, url)
            pytest.fail("junk was accepted")
