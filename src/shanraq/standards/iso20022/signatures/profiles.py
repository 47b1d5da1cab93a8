"""Signature profiles: what exactly is signed and how. A profile is data; the verifier accepts nothing that is not in it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from shanraq.standards.iso20022.signatures.algorithms import ENVELOPED, Algorithm, Canonicalization


class Place(Enum):
    """Where the signature stands: in AppHdr/Sgntr, or as the last child of Document."""

    HEADER = "header"
    DOCUMENT = "document"


class Target(Enum):
    """What a reference means (XML Signature 1.1, 4.4.3.1).

    MESSAGE is URI="", everything but the signature. KEY_INFO and SIGNED_PROPERTIES are "#" and the Id of that element of the
    signature. DOCUMENT has no URI: it is the Document without signature, as a document of its own, as agreed by the parties.
    """

    MESSAGE = "message"
    KEY_INFO = "key-info"
    SIGNED_PROPERTIES = "signed-properties"
    DOCUMENT = "document"


class KeyNaming(Enum):
    """How KeyInfo names the key: by the certificate itself, or by its subject, issuer and serial number."""

    CERTIFICATE = "certificate"
    ISSUER_SERIAL = "issuer-serial"


@dataclass(frozen=True, slots=True)
class Reference:
    """One reference: what it means and the canonical form of it.

    `written` tells whether a transform says the form. Without one it is inclusive C14N 1.0 by the standard (XML Signature 1.1,
    4.4.3.2), but there are signers that mean the exclusive one.
    """

    target: Target
    form: Canonicalization = Canonicalization.EXCLUSIVE
    written: bool = True

    @property
    def transforms(self) -> tuple[str, ...]:
        """Return the identifiers of the transforms, in order."""
        enveloped = (ENVELOPED,) if self.target is Target.MESSAGE else ()
        return enveloped + ((self.form.value,) if self.written else ())


@dataclass(frozen=True, slots=True)
class Profile:
    """What a signature of one agreement looks like, to the last detail. Digests are SHA-256 in all.

    `form` is that of SignedInfo. `xades` asks for the signed properties of XAdES-BES (ETSI EN 319 132-1).
    """

    name: str
    references: tuple[Reference, ...]
    form: Canonicalization = Canonicalization.EXCLUSIVE
    place: Place = Place.HEADER
    key_naming: KeyNaming = KeyNaming.CERTIFICATE
    algorithms: frozenset[Algorithm] = frozenset(Algorithm)
    xades: bool = False

    def __post_init__(self) -> None:
        targets = [reference.target for reference in self.references]
        if Target.MESSAGE not in targets or len(set(targets)) != len(targets):
            raise ValueError("a profile signs the message, and nothing twice")
        if self.xades is not (Target.SIGNED_PROPERTIES in targets):
            raise ValueError("signed properties are signed, and exist, only with XAdES")

    def within_document(self) -> Profile:
        """Return the same profile with the signature as the last child of Document, for messages without a header."""
        return Profile(
            f"{self.name}@document",
            self.references,
            self.form,
            Place.DOCUMENT,
            self.key_naming,
            self.algorithms,
            self.xades,
        )


_MESSAGE: Final = Reference(Target.MESSAGE)
_KEY_INFO: Final = Reference(Target.KEY_INFO)

ONE_REFERENCE: Final = Profile("one-ref", (_MESSAGE,))
SHANRAQ: Final = Profile("shanraq-sig-1", (_KEY_INFO, _MESSAGE))
THREE_REFERENCES: Final = Profile("three-ref", (_KEY_INFO, _MESSAGE, Reference(Target.DOCUMENT)))
RTP_LIKE: Final = Profile(
    "rtp-like",
    (Reference(Target.MESSAGE, Canonicalization.INCLUSIVE_11),),
    form=Canonicalization.INCLUSIVE,
    key_naming=KeyNaming.ISSUER_SERIAL,
    algorithms=frozenset({Algorithm.RSA_SHA256}),
)
XADES_BES: Final = Profile("xades-bes", (_MESSAGE, Reference(Target.SIGNED_PROPERTIES)), xades=True)

_IN_HEADER: Final = (SHANRAQ, ONE_REFERENCE, THREE_REFERENCES, RTP_LIKE, XADES_BES)
PROFILES: Final = {
    profile.name: profile for each in _IN_HEADER for profile in (each, each.within_document())
}  #: All profiles there are by name, those with "@document" have the signature in Document.


def find_profile(name: str) -> Profile:
    """Return a profile by its name; raise KeyError, whose text lists the names."""
    try:
        return PROFILES[name]
    except KeyError:
        raise KeyError(f"there is no signature profile {name[:64]!r}; profiles: {', '.join(PROFILES)}") from None
