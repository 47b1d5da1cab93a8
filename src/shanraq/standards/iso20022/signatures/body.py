"""What is signed: the message without its signature, in canonical form, and the tree that was parsed from just these bytes.

Bytes that are known to be in canonical form, or that a simple rewriting brings there, are parsed once and digested as they
stand. Everything else goes through libxml2's canonical form and is parsed again from what came out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, cast

from lxml import etree

from shanraq.standards.iso20022.errors import Iso20022Error
from shanraq.standards.iso20022.identify import Header, Identity, check_identity, identify
from shanraq.standards.iso20022.parse import Limits, make_parser, parse, syntax_error
from shanraq.standards.iso20022.signatures.algorithms import DSIG, Canonicalization
from shanraq.standards.iso20022.signatures.canonical import Tags, read_tags, simplify, without_prolog
from shanraq.standards.iso20022.signatures.errors import (
    ReferencesError,
    SeveralSignaturesError,
    SignaturePlaceError,
    UnsafeMessageError,
)

# An attribute whose name ends with Id, or any with white space before its "="; it begins with one byte to be fast.
_IDENTIFIER: Final = re.compile(rb"=(?:(?<=[Ii][Dd]=)|(?<=\s=))")
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
    try:
        if (body := _read_canonical(data, limits)) is not None:
            return body
        root = parse(data, limits=limits, strict=True)
        if not is_surely_unsigned(data):
            check_foreign(root)
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
    tags = read_tags(text)
    if tags is None:
        return False
    root = etree.fromstring(text, make_parser())
    return _declares_what_it_uses(tags, root, identify(root))


def _read_canonical(data: bytes, limits: Limits) -> Body | None:
    if len(data) > limits.size_bytes:
        return None
    text = without_prolog(data)
    if (tags := read_tags(text)) is None:
        text = simplify(text)
        tags = read_tags(text)
    # What is over a limit, or may be of XML Signature, is refused elsewhere, with the words for it.
    if tags is None or tags.elements > limits.elements or len(tags.namespaces) > limits.namespaces:
        return None
    if limits.attributes < 1 or tags.deeper_than(limits.depth) or DSIG.encode() in tags.namespaces:
        return None
    root = _parse_clean(text)
    identity = identify(root)
    if not _declares_what_it_uses(tags, root, identity):
        return None
    return Body(text, root, _checked(identity))


def _parse_clean(text: bytes) -> etree._Element:
    # For bytes of which it is known that there is no comment, processing instruction, CDATA section or DTD in them.
    try:
        return etree.fromstring(text, make_parser())
    except etree.XMLSyntaxError as error:
        raise syntax_error(error) from None


def _declares_what_it_uses(tags: Tags, root: etree._Element, identity: Identity) -> bool:
    # Both forms write a default namespace where it stands if its element uses it and none like it is in scope (Exclusive XML
    # Canonicalization 1.0, 3). Elements have no prefix here, so all use it. A declaration within a payload is not counted here:
    # there are more in the bytes then, and the answer is no.
    declared = 1 if root.nsmap else 0
    for part in (*identity.headers, *identity.documents):
        parent = part.element.getparent()
        if parent is not None and part.element.nsmap != parent.nsmap:
            declared += 1
    return len(tags.namespaces) == declared


def _checked(identity: Identity) -> Identity:
    check_identity(identity)
    if identity.batch is not None:
        raise Iso20022Error("several_messages", "", 0, "a business file is not signed as one message")
    return identity


def is_surely_unsigned(data: bytes) -> bool:
    """Tell whether well-formed bytes alone prove that nothing of XML Signature, attribute xml:* or Id is there.

    False says nothing. A character reference could hide the letters of a namespace.
    """
    if _IDENTIFIER.search(data) is not None or (b"&" in data and b"&#" in data):
        return False
    return not any(each in data for each in (b"xmldsig", b"xml:", _XML_NAMESPACE.encode()))


def check_foreign(root: etree._Element) -> None:
    if cast(bool, root.xpath("boolean(//*[namespace-uri()=$uri] | //@*[namespace-uri()=$uri])", uri=DSIG)):
        raise SeveralSignaturesError("there are elements of XML Signature outside of the signature")
    if cast(bool, root.xpath("boolean(//@*[namespace-uri()=$uri])", uri=_XML_NAMESPACE)):
        raise ReferencesError("an attribute xml:* is not allowed in a signed message", hint="leave it out")
    # No message of ISO 20022 has such an attribute: it can only be there to be referred to.
    if cast(bool, root.xpath("boolean(//@*[translate(local-name(),'ID','id')='id'])")):
        raise SignaturePlaceError(
            "an element outside of the signature has an Id", hint="treat the message as an attack"
        )
