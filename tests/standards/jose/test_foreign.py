"""A foreign implementation (joserfc) reads what we make, and we read what it makes."""

from __future__ import annotations

import json
from typing import Final

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given, settings
from hypothesis import strategies as st

from shanraq.standards import jose

_MISSING: Final = "joserfc, the foreign implementation, is not installed"
jwe = pytest.importorskip("joserfc.jwe", reason=_MISSING)
jwk = pytest.importorskip("joserfc.jwk", reason=_MISSING)
jws = pytest.importorskip("joserfc.jws", reason=_MISSING)

SECRET: Final = bytes(range(32))
RSA_KEY: Final = rsa.generate_private_key(65537, 2048)
PEM: Final = RSA_KEY.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
)
THEIR_SECRET: Final = jwk.OctKey.import_key(SECRET)
THEIR_RSA_KEY: Final = jwk.RSAKey.import_key(PEM)

texts = st.dictionaries(st.text(max_size=10), st.text(max_size=50), max_size=4).map(json.dumps)


@settings(max_examples=25)
@given(texts)
def test_signatures(text: str) -> None:
    ours = jose.sign(text.encode(), jose.HmacKey(SECRET), kid="k")
    ours_rsa = jose.sign(text.encode(), jose.RsaSigningKey(RSA_KEY), kid="k")
    theirs = jws.serialize_compact({"alg": "HS256", "kid": "k"}, text, THEIR_SECRET)
    theirs_rsa = jws.serialize_compact({"alg": "RS256", "kid": "k"}, text, THEIR_RSA_KEY)

    assert jws.deserialize_compact(ours, THEIR_SECRET).payload == text.encode()
    assert jws.deserialize_compact(ours_rsa, THEIR_RSA_KEY).payload == text.encode()
    assert jose.verify(theirs, {"k": jose.HmacKey(SECRET)}.get).payload == text.encode()
    verification_key = jose.RsaVerificationKey(RSA_KEY.public_key())
    assert jose.verify(theirs_rsa, {"k": verification_key}.get).payload == text.encode()


@settings(max_examples=25)
@given(texts)
def test_encryption(text: str) -> None:
    # The time of issue is in the header, as payment gateways have it; the standard knows it as a claim only.
    lenient = jwe.JWERegistry(algorithms=["RSA-OAEP-256", "A256GCM"], strict_check_header=False)
    ours = jose.encrypt(text.encode(), jose.EncryptionKey("k", RSA_KEY.public_key()), iat=1)
    header = {"alg": "RSA-OAEP-256", "enc": "A256GCM", "kid": "k"}
    theirs = jwe.encrypt_compact(header, text, THEIR_RSA_KEY, registry=lenient)

    assert jwe.decrypt_compact(ours, THEIR_RSA_KEY, registry=lenient).plaintext == text.encode()
    assert jose.decrypt(theirs, {"k": jose.DecryptionKey(RSA_KEY)}.get) == text.encode()
