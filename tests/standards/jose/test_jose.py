"""Tokens: what we make, others read, and what others make, we read; and nothing passes that breaks a rule."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any, Final

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from shanraq.standards import jose
from shanraq.standards.jose.base64url import from_base64url, to_base64url

SECRET: Final = bytes(range(32))
RSA_KEY: Final = rsa.generate_private_key(65537, 2048)
OTHER_RSA_KEY: Final = rsa.generate_private_key(65537, 2048)
KEYS: Final[dict[str, jose.VerificationKey]] = {
    "secret": jose.HmacKey(SECRET),
    "rsa": jose.RsaVerificationKey(RSA_KEY.public_key()),
}
SIGNERS: Final[dict[str, jose.SigningKey]] = {"secret": jose.HmacKey(SECRET), "rsa": jose.RsaSigningKey(RSA_KEY)}
DECRYPTION_KEYS: Final = {"mle": jose.DecryptionKey(RSA_KEY)}
ENCRYPTION_KEY: Final = jose.EncryptionKey("mle", RSA_KEY.public_key())
JWE_HEADER: Final = {"alg": "RSA-OAEP-256", "enc": "A256GCM", "kid": "mle", "iat": 1_790_000_000}
CONTENT: Final = '{"code":"Тапсырыс-№7"}'.encode()


def part(value: object) -> str:
    return to_base64url(value if isinstance(value, bytes) else json.dumps(value).encode())


def signed(header: object, payload: object = None, signer: jose.SigningKey = SIGNERS["secret"]) -> str:
    text = f"{part(header)}.{part(payload if payload is not None else {'a': 1})}"
    return f"{text}.{part(signer.sign(text.encode()))}"


def encrypted(
    header: object = JWE_HEADER,
    *,
    content_key: bytes = bytes(range(32)),
    iv: bytes = bytes(12),
    hash_: hashes.HashAlgorithm = hashes.SHA256(),  # noqa: B008 - has no state
    key: rsa.RSAPrivateKey = RSA_KEY,
    tag_bytes: int = 16,
    sent_header: object = None,
    alter: Callable[[list[str]], None] | None = None,
) -> str:
    """Encrypt by hand, so that every part can be wrong by itself."""
    protected = part(header)
    sealed = AESGCM(content_key).encrypt(iv, CONTENT, protected.encode())
    wrapped = key.public_key().encrypt(content_key, padding.OAEP(padding.MGF1(hash_), hash_, None))
    tag = sealed[-16:][:tag_bytes]
    parts = [part(sent_header) if sent_header else protected, *map(part, (wrapped, iv, sealed[:-16], tag))]
    if alter is not None:
        alter(parts)
    return ".".join(parts)


def flipped(text: str) -> str:
    raw = bytearray(from_base64url(text))
    raw[-1] ^= 1
    return to_base64url(bytes(raw))


@given(st.binary())
def test_base64url_comes_back(value: bytes) -> None:
    text = to_base64url(value)

    assert text == base64.urlsafe_b64encode(value).rstrip(b"=").decode()
    assert from_base64url(text) == value


@pytest.mark.parametrize("text", ["a", "YQ==", "YR", "Y Q", "YQ\n", "a+b_", "a/b_", "é", "YQ.", "Y=Q"])
def test_another_text_for_a_value_is_refused(text: str) -> None:
    with pytest.raises(jose.JoseError):
        from_base64url(text)


@pytest.mark.parametrize("kid", ["secret", "rsa"])
def test_a_signed_token_comes_back(kid: str) -> None:
    token = jose.sign(CONTENT, SIGNERS[kid], kid=kid)

    assert jose.verify(token, KEYS.get) == jose.Verified(kid, CONTENT)
    assert json.loads(from_base64url(token.split(".")[0])) == {
        "kid": kid,
        "alg": "HS256" if kid == "secret" else "RS256",
        "typ": "JWT",
    }


VALUES: Final[tuple[object, ...]] = (["b64"], {}, "", None)
GOOD: Final = {"alg": "HS256", "kid": "secret"}
VALID: Final = signed(GOOD)


@pytest.mark.parametrize(
    "token",
    [
        pytest.param(signed({"alg": "none", "kid": "secret"}), id="alg none"),
        pytest.param(f"{part({'alg': 'none', 'kid': 'secret'})}.{part({'a': 1})}.", id="alg none without signature"),
        pytest.param(signed({"alg": "HS512", "kid": "secret"}), id="HS512"),
        pytest.param(signed({"alg": "RS256", "kid": "secret"}), id="RS256 for a secret"),
        pytest.param(signed({"alg": "HS256", "kid": "rsa"}), id="HS256 for an RSA key"),
        pytest.param(signed({"alg": "hs256", "kid": "secret"}), id="alg in lower case"),
        pytest.param(signed({"alg": "HS256", "kid": "unknown"}), id="unknown kid"),
        pytest.param(signed({"alg": "HS256"}), id="no kid"),
        pytest.param(signed({"kid": "secret"}), id="no alg"),
        pytest.param(signed({"alg": "HS256", "kid": 17}), id="kid of another type"),
        pytest.param(signed([GOOD]), id="header is an array"),
        pytest.param(signed(b'{"alg":"HS256","kid":"secret","x":NaN}'), id="NaN"),
        pytest.param(signed(b'{"alg":"HS256","kid":"secret"'), id="header cut"),
        pytest.param(signed(b'{"alg":"HS256","kid":"\xff"}'), id="header is not UTF-8"),
        pytest.param(
            signed(b'{"alg":"HS256","kid":"secret","x":' + b"[" * 5000 + b"]" * 5000 + b"}"), id="deep header"
        ),
        *[
            pytest.param(signed(GOOD | {name: value}), id=f"{name} {value}")
            for name in ("crit", "jwk", "jku", "x5c", "x5u")
            for value in VALUES
        ],
        pytest.param(signed(GOOD, signer=jose.HmacKey(b"other")), id="another secret"),
        pytest.param(
            signed({"alg": "RS256", "kid": "rsa"}, signer=jose.RsaSigningKey(OTHER_RSA_KEY)), id="another key"
        ),
        pytest.param(signed({"alg": "RS256", "kid": "rsa"}), id="HMAC as an RSA signature"),
        pytest.param(VALID.rpartition(".")[0], id="two parts"),
        pytest.param(VALID.rpartition(".")[0] + ".", id="empty signature"),
        pytest.param(VALID + ".", id="four parts"),
        pytest.param("." + VALID, id="empty first part"),
        pytest.param(VALID + "=", id="padded"),
        pytest.param(VALID[:-2], id="signature cut"),
        pytest.param(VALID + "\n", id="line end"),
        pytest.param(" " + VALID, id="space"),
        pytest.param("x.y.z", id="garbage"),
        pytest.param("", id="empty"),
        pytest.param("..", id="nothing but dots"),
        pytest.param("é.é.é", id="not ASCII"),
        pytest.param(signed(GOOD, b"a" * 20_000), id="too long"),
    ],
)
def test_a_signed_token_that_breaks_a_rule_is_refused(token: str) -> None:
    with pytest.raises(jose.JoseError):
        jose.verify(token, KEYS.get)


def test_the_unused_bits_of_a_signature_are_part_of_the_token() -> None:
    # The last letter of 32 bytes holds four bits: another letter with the same four decodes to the same signature.
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    twin = VALID[:-1] + alphabet[alphabet.index(VALID[-1]) + 1]

    with pytest.raises(jose.JoseError):
        jose.verify(twin, KEYS.get)


@given(st.integers(min_value=0), st.integers(min_value=1, max_value=127))
def test_a_token_changed_anywhere_is_refused(place: int, change: int) -> None:
    changed = bytearray(VALID.encode())
    changed[place % len(changed)] ^= change

    with pytest.raises(jose.JoseError):
        jose.verify(changed.decode(), KEYS.get)


def test_an_encrypted_text_comes_back() -> None:
    token = jose.encrypt(CONTENT, ENCRYPTION_KEY, iat=1_790_000_000)

    assert jose.decrypt(token, DECRYPTION_KEYS.get) == CONTENT
    assert json.loads(from_base64url(token.split(".")[0])) == JWE_HEADER


def test_no_two_encryptions_are_alike() -> None:
    tokens = {jose.encrypt(CONTENT, ENCRYPTION_KEY, iat=0) for _ in range(8)}

    assert len({token.split(".")[2] for token in tokens}) == 8
    assert len({token.split(".")[3] for token in tokens}) == 8


def test_what_is_encrypted_by_hand_is_read() -> None:
    assert jose.decrypt(encrypted(), DECRYPTION_KEYS.get) == CONTENT
    assert jose.decrypt(encrypted(JWE_HEADER | {"typ": "JWT", "cty": "json"}), DECRYPTION_KEYS.get) == CONTENT


def put(index: int, change: Callable[[str], str]) -> Callable[[list[str]], None]:
    def alter(parts: list[str]) -> None:
        parts[index] = change(parts[index])

    return alter


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"header": JWE_HEADER | {"alg": "RSA-OAEP"}, "hash_": hashes.SHA1()}, id="OAEP with SHA-1"),
        pytest.param({"hash_": hashes.SHA1()}, id="OAEP with SHA-1 under the other name"),
        pytest.param({"header": JWE_HEADER | {"alg": "dir"}}, id="dir"),
        pytest.param({"header": JWE_HEADER | {"enc": "A128GCM"}, "content_key": bytes(16)}, id="A128GCM"),
        pytest.param({"content_key": bytes(16)}, id="a content key of 16 bytes"),
        pytest.param({"header": JWE_HEADER | {"kid": "other"}}, id="unknown kid"),
        pytest.param({"header": {"alg": "RSA-OAEP-256", "enc": "A256GCM"}}, id="no kid"),
        *[
            pytest.param({"header": JWE_HEADER | {name: value}}, id=f"{name} {value}")
            for name in ("zip", "crit", "jwk", "jku", "x5c", "x5u")
            for value in ("DEF", None)
        ],
        pytest.param({"key": OTHER_RSA_KEY}, id="encrypted to another key"),
        pytest.param({"sent_header": JWE_HEADER | {"iat": 1_790_000_001}}, id="header changed"),
        pytest.param({"iv": bytes(16)}, id="an IV of 16 bytes"),
        *[pytest.param({"tag_bytes": count}, id=f"a tag of {count} bytes") for count in (0, 4, 12, 15)],
        pytest.param({"alter": put(4, lambda tag: part(bytes(16)))}, id="a tag of zeros"),
        pytest.param({"alter": put(4, lambda tag: tag + "AA")}, id="a tag that is too long"),
        *[pytest.param({"alter": put(index, flipped)}, id=f"part {index} changed") for index in range(1, 5)],
        *[pytest.param({"alter": put(index, lambda _: "")}, id=f"part {index} empty") for index in range(5)],
        pytest.param({"alter": lambda parts: parts.pop()}, id="four parts"),
        pytest.param({"alter": lambda parts: parts.append("")}, id="six parts"),
        pytest.param({"alter": put(3, lambda text: text + "=")}, id="padded"),
    ],
)
def test_an_encrypted_token_that_breaks_a_rule_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(jose.JoseError):
        jose.decrypt(encrypted(**options), DECRYPTION_KEYS.get)


@pytest.mark.parametrize("token", ["", "....", "a.b.c.d.e", "é....", "x" * 100_000])
def test_nonsense_instead_of_an_encrypted_token_is_refused(token: str) -> None:
    with pytest.raises(jose.JoseError):
        jose.decrypt(token, DECRYPTION_KEYS.get)


def test_a_key_that_is_too_small_is_refused() -> None:
    small = rsa.generate_private_key(65537, 1024)

    for use in (
        lambda: jose.RsaSigningKey(small),
        lambda: jose.RsaVerificationKey(small.public_key()),
        lambda: jose.DecryptionKey(small),
        lambda: jose.EncryptionKey("k", small.public_key()),
    ):
        with pytest.raises(ValueError, match="2048"):
            use()
    with pytest.raises(ValueError, match="secret"):
        jose.HmacKey(b"")
