"""XML signatures of ISO 20022 messages, locked to a profile: what the profile does not have is refused.

signed = sign(message, signer=signer, profile=SHANRAQ)
trust = TrustStore.from_json(trust_list, read)
verified = verify(signed, trust=trust, profile=SHANRAQ, as_of=now, replays=guard)    # SignatureError: code, message, hint
verified.document                                       # parsed from the very bytes that were digested

W3C XML Signature 1.1, Exclusive XML Canonicalization 1.0, Canonical XML 1.0 and 1.1, ETSI EN 319 132-1 (XAdES-BES), RFC 9231,
RFC 5280. A key may live in an HSM: see Signer.
"""

from shanraq.standards.iso20022.signatures.algorithms import Algorithm, Canonicalization
from shanraq.standards.iso20022.signatures.errors import (
    AlgorithmError,
    CertificateExpiredError,
    CertificateNotYetValidError,
    CertificatePathError,
    CertificateRevokedError,
    CertificateUsageError,
    DigestMismatchError,
    DuplicateIdError,
    ExternalReferenceError,
    KeyInfoError,
    ReferencesError,
    ReplayError,
    RevocationUnknownError,
    SenderNotAllowedError,
    SenderUnknownError,
    SeveralSignaturesError,
    SignatureError,
    SignatureFormatError,
    SignatureMismatchError,
    SignatureMissingError,
    SignaturePlaceError,
    SigningError,
    SigningTimeError,
    TrustError,
    UnsafeMessageError,
    UntrustedCertificateError,
    WeakAlgorithmError,
)
from shanraq.standards.iso20022.signatures.keys import Signer, SoftwareSigner
from shanraq.standards.iso20022.signatures.profiles import (
    ONE_REFERENCE,
    PROFILES,
    RTP_LIKE,
    SHANRAQ,
    THREE_REFERENCES,
    XADES_BES,
    KeyNaming,
    Place,
    Profile,
    Reference,
    Target,
    find_profile,
)
from shanraq.standards.iso20022.signatures.sign import sign
from shanraq.standards.iso20022.signatures.trust import Sender, SenderKind, TrustedSigner, TrustStore
from shanraq.standards.iso20022.signatures.verify import MemoryReplayGuard, ReplayGuard, Verified, verify

__all__ = [
    "ONE_REFERENCE", "PROFILES", "RTP_LIKE", "SHANRAQ", "THREE_REFERENCES", "XADES_BES", "Algorithm", "AlgorithmError",
    "Canonicalization", "CertificateExpiredError", "CertificateNotYetValidError", "CertificatePathError",
    "CertificateRevokedError", "CertificateUsageError", "DigestMismatchError", "DuplicateIdError", "ExternalReferenceError",
    "KeyInfoError", "KeyNaming", "MemoryReplayGuard", "Place", "Profile", "Reference", "ReferencesError", "ReplayError",
    "ReplayGuard", "RevocationUnknownError", "Sender", "SenderKind", "SenderNotAllowedError", "SenderUnknownError",
    "SeveralSignaturesError", "SignatureError", "SignatureFormatError", "SignatureMismatchError", "SignatureMissingError",
    "SignaturePlaceError", "Signer", "SigningError", "SigningTimeError", "SoftwareSigner", "Target", "TrustError",
    "TrustStore", "TrustedSigner", "UnsafeMessageError", "UntrustedCertificateError", "Verified", "WeakAlgorithmError",
    "find_profile", "sign", "verify",
]  # fmt: skip
