"""Algorithms by their identifiers, what key each needs, and how values are written (XML Signature 1.1, 6; RFC 9231)."""

from __future__ import annotations

import base64
import binascii
import hashlib
from enum import StrEnum
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from shanraq.standards.iso20022.signatures.errors import (
    AlgorithmError,
    SignatureFormatError,
    SignatureMismatchError,
    WeakAlgorithmError,
)

DSIG: Final = "http://www.w3.org/2000/09/xmldsig#"
XADES: Final = "http://uri.etsi.org/01903/v1.3.2#"
SIGNED_PROPERTIES: Final = "http://uri.etsi.org/01903#SignedProperties"
ENVELOPED: Final = "http://www.w3.org/2000/09/xmldsig#enveloped-signature"
SHA256: Final = "http://www.w3.org/2001/04/xmlenc#sha256"

RSA_BITS: Final = range(2048, 8193)  # the upper bound keeps a hostile certificate from costing seconds
RSA_EXPONENT_LEAST: Final = 65537  # FIPS 186-5, A.1.1
PSS_SALT_BYTES: Final = 32  # as long as the digest (RFC 9231, 2.3.10)


class Canonicalization(StrEnum):
    """The canonical forms, without comments. Inclusive 1.1 gives the bytes of 1.0 where there is no xml:* attribute."""

    EXCLUSIVE = "http://www.w3.org/2001/10/xml-exc-c14n#"
    INCLUSIVE = "http://www.w3.org/TR/2001/REC-xml-c14n-20010315"
    INCLUSIVE_11 = "http://www.w3.org/2006/12/xml-c14n11"


class Algorithm(StrEnum):
    """The signature algorithms there are; each has one hash and one kind of key."""

    RSA_SHA256 = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"
    RSA_PSS_SHA256 = "http://www.w3.org/2007/05/xmldsig-more#sha256-rsa-MGF1"
    ECDSA_SHA256 = "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256"
    ECDSA_SHA384 = "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384"
    ED25519 = "http://www.w3.org/2021/04/xmldsig-more#eddsa-ed25519"


_WEAK_HASHES: Final = ("sha1", "md5", "ripemd160", "sha224")
_WEAK_KINDS: Final = ("dsa", "hmac", "cmac", "poly1305", "siphash")


class _Curve:
    """A curve with its hash, the size of a number in bytes, and the order of the base point (FIPS 186-5)."""

    def __init__(self, curve: type[ec.EllipticCurve], hash_: hashes.HashAlgorithm, size: int, order: int) -> None:
        self.curve = curve
        self.hash = hash_
        self.size = size
        self.order = order


_CURVES: Final = {
    Algorithm.ECDSA_SHA256: _Curve(
        ec.SECP256R1, hashes.SHA256(), 32, 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    ),
    Algorithm.ECDSA_SHA384: _Curve(
        ec.SECP384R1,
        hashes.SHA384(),
        48,
        0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973,
    ),
}


def read_algorithm(uri: str, allowed: frozenset[Algorithm]) -> Algorithm:
    """Return the algorithm of an identifier; raise WeakAlgorithmError or AlgorithmError."""
    check_strength(uri)
    for algorithm in allowed:
        if algorithm.value == uri:
            return algorithm
    raise AlgorithmError("the signature algorithm is not one of the profile")


def check_strength(uri: str) -> None:
    """Refuse an identifier of an algorithm that nobody may use; raise WeakAlgorithmError."""
    name = uri.rpartition("#")[2].lower()
    if name.startswith(_WEAK_KINDS) or any(weak in name for weak in _WEAK_HASHES):
        raise WeakAlgorithmError("SHA-1, MD5, SHA-224, DSA and HMAC are never accepted in a signature")


def check_key(key: PublicKeyTypes) -> None:
    """Refuse a key that is too weak or of a kind that is not known; raise WeakAlgorithmError."""
    match key:
        case rsa.RSAPublicKey():
            if key.key_size not in RSA_BITS:
                raise WeakAlgorithmError(f"an RSA key has {RSA_BITS[0]} to {RSA_BITS[-1]} bits, not {key.key_size}")
            if key.public_numbers().e < RSA_EXPONENT_LEAST:
                raise WeakAlgorithmError(f"the public exponent of an RSA key is at least {RSA_EXPONENT_LEAST}")
        case ec.EllipticCurvePublicKey():
            if not isinstance(key.curve, (ec.SECP256R1, ec.SECP384R1)):
                raise WeakAlgorithmError("an elliptic curve is P-256 or P-384")
        case ed25519.Ed25519PublicKey():
            pass
        case _:
            raise WeakAlgorithmError("a key is one of RSA, of P-256 or P-384, or of Ed25519")


def check_key_fits(algorithm: Algorithm, key: PublicKeyTypes) -> None:
    """Refuse a key of another kind than the algorithm's; raise AlgorithmError or WeakAlgorithmError."""
    check_key(key)
    match algorithm:
        case Algorithm.RSA_SHA256 | Algorithm.RSA_PSS_SHA256:
            fits = isinstance(key, rsa.RSAPublicKey)
        case Algorithm.ECDSA_SHA256 | Algorithm.ECDSA_SHA384:
            fits = isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, _CURVES[algorithm].curve)
        case Algorithm.ED25519:
            fits = isinstance(key, ed25519.Ed25519PublicKey)
    if not fits:
        raise AlgorithmError("the certificate's key is of another kind than the signature algorithm")


def check_signature(algorithm: Algorithm, key: PublicKeyTypes, signature: bytes, data: bytes) -> None:
    """Check a signature value over bytes; raise SignatureMismatchError, AlgorithmError or WeakAlgorithmError.

    ECDSA values are r and s side by side in full length, each from 1 to n-1 (XML Signature 1.1, 6.4.3).
    """
    check_key_fits(algorithm, key)
    try:
        match key:
            case rsa.RSAPublicKey():
                key.verify(signature, data, rsa_padding(algorithm), hashes.SHA256())
            case ec.EllipticCurvePublicKey():
                curve = _CURVES[algorithm]
                key.verify(_to_der(signature, curve), data, ec.ECDSA(curve.hash))
            case ed25519.Ed25519PublicKey():
                key.verify(signature, data)
            case _:  # check_key_fits lets no other through
                raise AlgorithmError("the certificate's key is of another kind than the signature algorithm")
    except InvalidSignature:
        raise SignatureMismatchError("the signature was not made with the key of the signer's certificate") from None


def rsa_padding(algorithm: Algorithm) -> padding.AsymmetricPadding:
    """Return the padding of an RSA algorithm: PKCS #1 v1.5, or PSS with MGF1 and a salt as long as the digest."""
    if algorithm is Algorithm.RSA_PSS_SHA256:
        return padding.PSS(padding.MGF1(hashes.SHA256()), PSS_SALT_BYTES)
    return padding.PKCS1v15()


def ecdsa_hash(algorithm: Algorithm) -> hashes.HashAlgorithm:
    """Return the hash of an ECDSA algorithm."""
    return _CURVES[algorithm].hash


def ecdsa_size(algorithm: Algorithm) -> int:
    """Return the bytes of r, and of s, of an ECDSA algorithm."""
    return _CURVES[algorithm].size


def digest(data: bytes) -> bytes:
    """Return the SHA-256 of bytes."""
    return hashlib.sha256(data).digest()


def encode_base64(data: bytes) -> str:
    """Return base64 in one line."""
    return base64.b64encode(data).decode("ascii")


def decode_base64(text: str, *, what: str) -> bytes:
    """Return the bytes of base64, which may have white space (XML Schema 2, 3.2.16); raise SignatureFormatError.

    Only the one right spelling is taken: unused bits at the end must be zero, or a changed message would still verify.
    """
    compact = "".join(text.split())
    try:
        decoded = base64.b64decode(compact, validate=True)
    except (binascii.Error, ValueError):
        decoded = b""
    if not decoded or encode_base64(decoded) != compact:
        raise SignatureFormatError(f"{what} is not base64")
    return decoded


def _to_der(signature: bytes, curve: _Curve) -> bytes:
    if len(signature) != 2 * curve.size:
        raise SignatureMismatchError(f"an ECDSA signature has {2 * curve.size} bytes here, not {len(signature)}")
    r, s = int.from_bytes(signature[: curve.size]), int.from_bytes(signature[curve.size :])
    if not (0 < r < curve.order and 0 < s < curve.order):
        raise SignatureMismatchError("the numbers of an ECDSA signature lie outside of the curve's order")
    return encode_dss_signature(r, s)
