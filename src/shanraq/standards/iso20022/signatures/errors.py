"""Why a signature is not made or not believed.

SignatureError
|- UnsafeMessageError            the bytes are no safe XML, or no single message
|- SignatureFormatError          not exactly what the profile says
|  |- SignatureMissingError, SeveralSignaturesError, SignaturePlaceError
|  |- ReferencesError            number, order, URI, type or transforms of the references; canonicalisation
|  |  `- ExternalReferenceError
|  |- DuplicateIdError
|  |- AlgorithmError             an algorithm that the profile does not have
|  |  `- WeakAlgorithmError      one that nobody may use: SHA-1, MD5, DSA, HMAC, short keys
|  `- KeyInfoError
|- DigestMismatchError           the message was changed after it was signed
|- SignatureMismatchError        the value was not made with the signer's key
|- TrustError
|  |- UntrustedCertificateError, CertificatePathError, CertificateUsageError
|  |- CertificateNotYetValidError, CertificateExpiredError, CertificateRevokedError, RevocationUnknownError
|  |- SenderUnknownError, SenderNotAllowedError
|  `- SigningTimeError
|- ReplayError
`- SigningError                  our own signature cannot be made
"""

from __future__ import annotations

from typing import ClassVar


class SignatureError(ValueError):
    """A signature is not made or not believed; `code` is stable, `message` says why, `hint` what to do about it.

    No text shows values of the message.
    """

    code: ClassVar[str] = "signature"
    hint_by_default: ClassVar[str] = ""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint or self.hint_by_default

    def __str__(self) -> str:
        return f"{self.message}: {self.hint}" if self.hint else self.message


class UnsafeMessageError(SignatureError):
    """The bytes are no safe XML, or not exactly one message; `cause` is the code of the parser or of the identification."""

    code = "unsafe_message"

    def __init__(self, message: str, *, cause: str, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.cause = cause


class SignatureFormatError(SignatureError):
    """The signature is not exactly what the profile says."""

    code = "signature_format"
    hint_by_default = "ask the sender which profile he signs with; nothing but the profile agreed is accepted"


class SignatureMissingError(SignatureFormatError):
    """There is no signature."""

    code = "signature_missing"
    hint_by_default = "ask the sender to sign the message"


class SeveralSignaturesError(SignatureFormatError):
    """There is more than one signature: which one counts is nobody's to guess."""

    code = "several_signatures"


class SignaturePlaceError(SignatureFormatError):
    """The signature does not stand where the profile has it."""

    code = "signature_place"


class ReferencesError(SignatureFormatError):
    """References, their transforms or a canonicalisation are not those of the profile (XML Signature 1.1, 4.4.3)."""

    code = "references"


class ExternalReferenceError(ReferencesError):
    """A reference leads out of the message; nothing is ever fetched."""

    code = "external_reference"
    hint_by_default = "treat the message as an attack; nothing was opened or fetched"


class DuplicateIdError(SignatureFormatError):
    """Two elements have the same Id, so that a reference means either."""

    code = "duplicate_id"
    hint_by_default = "treat the message as an attack"


class AlgorithmError(SignatureFormatError):
    """The profile does not have this algorithm, or the key is of another kind."""

    code = "algorithm"


class WeakAlgorithmError(AlgorithmError):
    """The algorithm or the key is too weak, or a secret one where a public one is due."""

    code = "weak_algorithm"
    hint_by_default = (
        "ask the sender for RSA of 2048 bits or more, ECDSA on P-256 or P-384, or Ed25519, with SHA-256 or SHA-384"
    )


class KeyInfoError(SignatureFormatError):
    """KeyInfo does not name one certificate in the way of the profile (XML Signature 1.1, 4.5)."""

    code = "key_info"


class DigestMismatchError(SignatureError):
    """What was signed is not what stands in the message."""

    code = "digest_mismatch"
    hint_by_default = "the message was changed after it was signed: do not process it, ask the sender to send it again"


class SignatureMismatchError(SignatureError):
    """The signature was not made with the signer's key."""

    code = "signature_mismatch"
    hint_by_default = "do not process the message; ask the sender which certificate he signs with"


class TrustError(SignatureError):
    """The signer is not believed."""

    code = "trust"


class UntrustedCertificateError(TrustError):
    """The certificate is not one that we know."""

    code = "certificate_untrusted"
    hint_by_default = "get the certificate from the sender by another way and add it to the trust list"


class CertificatePathError(TrustError):
    """No path leads from the certificate to a trust anchor (RFC 5280, 6)."""

    code = "certificate_path"
    hint_by_default = "add the missing intermediate certificate or anchor to the trust list"


class CertificateUsageError(TrustError):
    """The certificate is not one to sign messages with (RFC 5280, 4.2.1.3, 4.2.1.9 and 4.2.1.12)."""

    code = "certificate_usage"
    hint_by_default = "ask the sender for a certificate whose key usage has digitalSignature"


class CertificateNotYetValidError(TrustError):
    """The certificate is not valid yet."""

    code = "certificate_not_yet_valid"
    hint_by_default = "check the clock, or wait until the certificate is valid"


class CertificateExpiredError(TrustError):
    """The certificate is not valid any more."""

    code = "certificate_expired"
    hint_by_default = "ask the sender for his new certificate and add it to the trust list"


class CertificateRevokedError(TrustError):
    """The certificate was revoked."""

    code = "certificate_revoked"
    hint_by_default = "do not process the message; ask the sender for his new certificate"


class RevocationUnknownError(TrustError):
    """There is no revocation list to rely on at this time (RFC 5280, 6.3)."""

    code = "revocation_unknown"
    hint_by_default = "load the current revocation list of the issuer"


class SenderUnknownError(TrustError):
    """It cannot be told who sent the message."""

    code = "sender_unknown"
    hint_by_default = "add the sender to the trust list, or name him where a message has no header"


class SenderNotAllowedError(TrustError):
    """The certificate may not sign for the sender of the message."""

    code = "sender_not_allowed"
    hint_by_default = "do not process the message; if the certificate is right, list it under this sender"


class SigningTimeError(TrustError):
    """The time of signing is in the future or outside of the certificate's validity."""

    code = "signing_time"
    hint_by_default = "compare the clocks"


class ReplayError(SignatureError):
    """The same sender sent a message of this id before."""

    code = "replay"
    hint_by_default = "do not process it again; answer as the first time"


class SigningError(SignatureError):
    """Our own signature cannot be made."""

    code = "signing"
