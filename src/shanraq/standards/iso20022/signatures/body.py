"""What is signed: the message without its signature, in canonical form, and the tree that was parsed from just these bytes.

Canonicalising is most of the work, and most messages are in canonical form already: whoever signs them writes them so. A
grammar that only canonical messages fulfil proves it in two thirds of the time, and such bytes need no second parsing.
Everything else goes through libxml2's canonical form and is parsed again from what came out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, cast

from lxml import etree

from shanraq.standards.iso20022.errors import Iso20022Error
from shanraq.standards.iso20022.identify import Header, Identity, check_identity, identify
from shanraq.standards.iso20022.parse import Limits, make_parser, parse, syntax_error
from shanraq.standards.iso20022.signatures.algorithms import DSIG, Canonicalization
from shanraq.standards.iso20022.signatures.errors import (
    ReferencesError,
    SeveralSignaturesError,
    SignaturePlaceError,
    UnsafeMessageError,
)

_DECLARATION: Final = re.compile(
    rb"""<\?xml version=["']1\.0["'](?: encoding=["'](?:UTF|utf)-8["'])?(?: standalone=["'](?:yes|no)["'])? ?\?>\s*"""
)
_NAMESPACE: Final = rb'xmlns="(?:urn|https?):[^"&<>\s]++"'
# Tags with one space before the only attribute, which is Ccy or a default namespace; no empty-element tag, comment, processing
# instruction or CDATA section; text with just the references that C14N writes (Canonical XML 1.0, 2.3). Possessive quantifiers
# keep the time linear.
_CANONICAL: Final = re.compile(
    rb"<[A-Za-z0-9]++(?: " + _NAMESPACE + rb")?+>"
    rb"(?:[^<&>\r]*+(?:</?[A-Za-z0-9]++(?: (?:Ccy=\"[A-Z]{3}\"|" + _NAMESPACE + rb"))?+>|&(?:amp|lt|gt|#xD);))*+"
)
_XML_NAMESPACE: Final = "http://www.w3.org/XML/1998/namespace"


@dataclass(frozen=True, slots=True)
class Body:
    """A message without signature: canonical bytes (exclusive or inclusive C14N 1.0, both without comments) and their tree."""

    canonical: bytes
    root: etree._Element
    identity: Identity

    @property
    def document(self) -> etree._Element:
        """Return the Document in its place."""
        return self.identity.documents[0].element

    @property
    def header_element(self) -> etree._Element | None:
        """Return the AppHdr in its place."""
        return self.identity.headers[0].element if self.identity.headers else None

    @property
    def header(self) -> Header:
        """Return the fields of the AppHdr."""
        return self.identity.header or Header()


def read_body(data: bytes, form: Canonicalization, limits: Limits) -> Body:
    """Return a message without signature in canonical form; raise UnsafeMessageError or ReferencesError."""
    declaration = _DECLARATION.match(data)
    text = data[declaration.end() if declaration else 0 :].rstrip(b" \t\r\n")
    try:
        if (body := _read_canonical(text, limits)) is not None:
            return body
        root = parse(data, limits=limits, strict=True)
        _check_foreign(root)
        canonical = canonicalize(root, form)
        again = _parse_clean(canonical)
        return Body(canonical, again, _checked(identify(again)))
    except Iso20022Error as error:
        raise UnsafeMessageError(str(error), cause=error.code, hint="do not process the message") from None


def parse_small(data: bytes, limits: Limits) -> etree._Element:
    """Return the root of a part of a message, strictly parsed; raise UnsafeMessageError."""
    try:
        return parse(data, limits=limits, strict=True)
    except Iso20022Error as error:
        raise UnsafeMessageError(
            f"the signature by itself: {error}",
            cause=error.code,
            hint="a signature declares its namespaces itself and has no DTD, comment or processing instruction",
        ) from None


def canonicalize(element: etree._Element, form: Canonicalization) -> bytes:
    """Return the canonical form of an element in its place, without comments; raise ReferencesError where there is none.

    C14N 1.1 differs from 1.0 in attributes xml:* only, which are refused (Canonical XML 1.1, 1.1). A relative namespace has no
    canonical form (C14N 1.0, 1.3).
    """
    exclusive = form is Canonicalization.EXCLUSIVE
    try:
        return etree.tostring(element, method="c14n", exclusive=exclusive, with_comments=False)
    except etree.C14NError:
        raise ReferencesError(
            "a relative namespace is in use, so there is no canonical form",
            hint="use a namespace that is an absolute URI",
        ) from None


def is_canonical(text: bytes) -> bool:
    """Tell whether well-formed bytes are surely their own canonical form, exclusive and inclusive; False says nothing."""
    if _CANONICAL.fullmatch(text) is None:
        return False
    root = etree.fromstring(text, make_parser())
    return _declares_what_it_uses(text, root, identify(root))


def _read_canonical(text: bytes, limits: Limits) -> Body | None:
    # An element has seven bytes at least, <a></a>.
    if len(text) > min(limits.size_bytes, 7 * limits.elements) or _CANONICAL.fullmatch(text) is None:
        return None
    root = _parse_clean(text)
    if _deeper_than(limits.depth)(root.getroottree()):
        raise Iso20022Error("too_deep", "", 0, f"nested deeper than {limits.depth} levels")
    identity = identify(root)
    if not _declares_what_it_uses(text, root, identity):
        return None
    return Body(text, root, _checked(identity))


def _parse_clean(text: bytes) -> etree._Element:
    # For bytes of which it is known that there is no comment, processing instruction, CDATA section or DTD in them.
    try:
        return etree.fromstring(text, make_parser())
    except etree.XMLSyntaxError as error:
        raise syntax_error(error) from None


def _declares_what_it_uses(text: bytes, root: etree._Element, identity: Identity) -> bool:
    # Both forms write a default namespace where it stands if its element uses it and none like it is in scope (Exclusive XML
    # Canonicalization 1.0, 3). Elements have no prefix here, so all use it. A declaration within a payload is not counted, nor
    # is one that is text: there are more in the bytes then, and the answer is no.
    declared = 1 if root.nsmap else 0
    for part in (*identity.headers, *identity.documents):
        parent = part.element.getparent()
        if parent is not None and part.element.nsmap != parent.nsmap:
            declared += 1
    return text.count(b" xmlns=") == declared


def _checked(identity: Identity) -> Identity:
    check_identity(identity)
    if identity.batch is not None:
        raise Iso20022Error("several_messages", "", 0, "a business file is not signed as one message")
    return identity


def _check_foreign(root: etree._Element) -> None:
    if cast(bool, root.xpath("boolean(//*[namespace-uri()=$uri] | //@*[namespace-uri()=$uri])", uri=DSIG)):
        raise SeveralSignaturesError("there are elements of XML Signature outside of the signature")
    if cast(bool, root.xpath("boolean(//@*[namespace-uri()=$uri])", uri=_XML_NAMESPACE)):
        raise ReferencesError("an attribute xml:* is not allowed in a signed message", hint="leave it out")
    # No message of ISO 20022 has such an attribute: it can only be there to be referred to.
    if cast(bool, root.xpath("boolean(//@*[translate(local-name(),'ID','id')='id'])")):
        raise SignaturePlaceError(
            "an element outside of the signature has an Id", hint="treat the message as an attack"
        )


@lru_cache(maxsize=16)
def _deeper_than(depth: int) -> etree.XPath:
    return etree.XPath(f"boolean({'/*' * (depth + 1)})")
