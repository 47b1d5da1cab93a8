"""Find out what a message is: envelope, business header, documents, by their namespaces alone.

A namespace is one version of one message; file names, prefixes and xsi:schemaLocation say nothing. ISO defines no envelope, so
Document and AppHdr are looked for at any depth, but not inside each other: what stands inside a Document is payload.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from lxml import etree

from shanraq.standards.iso20022.errors import Iso20022Error
from shanraq.standards.iso20022.paths import TOPS, line_of, local_name, namespace_of

NAMESPACE_PREFIX: Final = "urn:iso:std:iso:20022:tech:xsd:"
MESSAGE_ID: Final = re.compile(r"[a-z]{4}\.[0-9]{3}\.[0-9]{3}\.[0-9]{2}", re.ASCII)
_SWISS: Final = re.compile(r"http://www\.six-interbank-clearing\.com/de/.+\.xsd")
_BATCH: Final = ("head.002", "Xchg")


@dataclass(frozen=True, slots=True)
class MessageId:
    """The name of one message version: area, message, variant, version, such as pacs.008.001.08."""

    area: str
    message: str
    variant: str
    version: str

    @classmethod
    def parse(cls, text: str) -> MessageId:
        """Return the parts of a message identifier; raise ValueError."""
        if MESSAGE_ID.fullmatch(text) is None:
            raise ValueError(f"{text[:64]!r} is no message identifier such as pacs.008.001.08")
        return cls(*text.split("."))

    def __str__(self) -> str:
        return f"{self.area}.{self.message}.{self.variant}.{self.version}"

    @property
    def kind(self) -> str:
        """Return what all versions share, such as pacs.008."""
        return f"{self.area}.{self.message}"

    @property
    def namespace(self) -> str:
        """Return the namespace of the version."""
        return f"{NAMESPACE_PREFIX}{self}"


@dataclass(frozen=True, slots=True)
class Part:
    """A Document or an AppHdr.

    `element` stands where it was read; `cut_out` makes a document of its own from it. `message_id` is None when the namespace
    is not one of ISO 20022's present generation; then `unsupported` says what it is.
    """

    element: etree._Element
    namespace: str
    message_id: MessageId | None
    unsupported: str = ""

    @property
    def message_element(self) -> str:
        """Return the name of the message's own element, such as FIToFICstmrCdtTrf; "" without one."""
        first = next(self.element.iterchildren(tag=etree.Element), None)
        return "" if first is None else local_name(first)


@dataclass(frozen=True, slots=True)
class Header:
    """What a business application header says (head.001, all versions); "" where it says nothing.

    `from_bic` and `to_bic` are Fr and To/FIId/FinInstnId/BICFI. `copy_duplicate` is CODU, COPY or DUPL. `related` counts Rltd.
    """

    from_bic: str = ""
    to_bic: str = ""
    business_message_id: str = ""
    message_definition_id: str = ""
    business_service: str = ""
    market_practice: str = ""
    created: str = ""
    processing_date: str = ""
    copy_duplicate: str = ""
    possible_duplicate: str = ""
    priority: str = ""
    related: int = 0
    signed: bool = False


@dataclass(frozen=True, slots=True)
class Identity:
    """What a message is made of, in the order of the file.

    `root` is namespace and local name of the outermost element, `batch` tells a business file (head.002) of many payloads.
    `headers_of` are the headers of the documents: of each the one that comes last between the document before and itself.
    """

    root: tuple[str, str]
    headers: tuple[Part, ...]
    documents: tuple[Part, ...]
    batch: Part | None = None
    header: Header | None = field(default=None)
    headers_of: tuple[Part | None, ...] = ()

    @property
    def enveloped(self) -> bool:
        """Tell whether there is something around Document and AppHdr."""
        return self.root[1] not in TOPS

    @property
    def message_id(self) -> MessageId | None:
        """Return the version of the first document, of the header when there is no document, else None."""
        parts = self.documents or self.headers
        return parts[0].message_id if parts else None


def identify(root: etree._Element) -> Identity:
    """Return what the message is; never raises, `check_identity` does."""
    headers: list[Part] = []
    documents: list[Part] = []
    headers_of: list[Part | None] = []
    last: Part | None = None
    for element in _tops(root):
        part = _part(element)
        if local_name(element) == "Document":
            documents.append(part)
            headers_of.append(last)
            last = None
        else:
            headers.append(part)
            last = part
    whole = _part(root)
    is_batch = local_name(root) == _BATCH[1] and whole.message_id is not None and whole.message_id.kind == _BATCH[0]
    return Identity(
        root=(namespace_of(root), local_name(root)),
        headers=tuple(headers),
        documents=tuple(documents),
        batch=whole if is_batch else None,
        header=read_header(headers[0].element) if headers else None,
        headers_of=tuple(headers_of),
    )


def check_identity(identity: Identity) -> None:
    """Refuse what is no message: without a Document, with two, or of an unsupported generation. Raises Iso20022Error."""
    if not identity.documents:
        if identity.headers:
            raise Iso20022Error("document_missing", "", 0, "a business header without a Document")
        raise Iso20022Error("document_missing", "", 0, f"no Document here; {describe_namespace(identity.root[0])}")
    if identity.batch is None:
        for parts, name in ((identity.documents, "Document"), (identity.headers, "AppHdr")):
            if len(parts) > 1:
                line = line_of(parts[1].element)
                raise Iso20022Error("several_messages", "", line, f"more than one {name} outside of a business file")
    for part in (*identity.documents, *identity.headers):
        if part.message_id is None:
            line = line_of(part.element)
            raise Iso20022Error("unsupported_namespace", f"/{local_name(part.element)}", line, part.unsupported)


def describe_namespace(namespace: str) -> str:
    """Return in words what a namespace stands for that is not supported."""
    if not namespace:
        return "the element has no namespace"
    families = (
        ("urn:iso:std:iso:20022:xsd:", "the first generation of ISO 20022 (2004 to 2006)"),
        ("urn:swift:xsd:$ahV10", "SWIFT's header before head.001"),
        ("urn:swift:xsd:swift.cashrepv1", "SWIFT's first cash reporting"),
        ("urn:swift:xsd:", "SWIFT's own generation before ISO 20022"),
        ("urn:tch", "the envelope of RTP"),
        ("urn:fednow:", "the envelope of FedNow"),
        ("urn:iso:std:iso:20023", "a mistyped namespace: 20023 in place of 20022"),
    )
    for prefix, words in families:
        if namespace.startswith(prefix):
            return f"this is {words}, which is not supported"
    if _SWISS.fullmatch(namespace):
        return "this is a Swiss namespace of its own, which is not supported"
    if namespace.startswith(NAMESPACE_PREFIX):
        return "the namespace is of ISO 20022, but names no message version such as pacs.008.001.08"
    return "the namespace is not one of ISO 20022"


def read_header(element: etree._Element) -> Header:
    """Return the fields of an AppHdr, by local names: versions differ in order and additions only (reference of head.001)."""
    texts = {local_name(child): _text(child) for child in element.iterchildren(tag=etree.Element)}
    children = {local_name(child): child for child in element.iterchildren(tag=etree.Element)}
    practice = children.get("MktPrctc")
    signature = children.get("Sgntr")
    return Header(
        from_bic=_bic(children.get("Fr")),
        to_bic=_bic(children.get("To")),
        business_message_id=texts.get("BizMsgIdr", ""),
        message_definition_id=texts.get("MsgDefIdr", ""),
        business_service=texts.get("BizSvc", ""),
        market_practice="" if practice is None else _at(practice, ("Id",)),
        created=texts.get("CreDt", ""),
        processing_date=texts.get("BizPrcgDt", ""),
        copy_duplicate=texts.get("CpyDplct", ""),
        possible_duplicate=texts.get("PssblDplct", ""),
        priority=texts.get("Prty", ""),
        related=sum(1 for child in element.iterchildren(tag=etree.Element) if local_name(child) == "Rltd"),
        signed=signature is not None and len(signature) > 0,
    )


def cut_out(element: etree._Element) -> etree._Element:
    """Return an element as the root of a document of its own, with no namespace declared that it does not use.

    libxml2 validates only documents, and its canonical form refuses relative namespaces of an envelope in scope. Lines stay
    those of the file. A root is returned as it is.
    """
    if element.getparent() is None:
        return element
    cut = copy.deepcopy(element)
    cut.tail = None
    etree.cleanup_namespaces(cut)
    return cut


def canonical(element: etree._Element) -> bytes:
    """Return the exclusive canonical form without comments of a document cut out; raise Iso20022Error where there is none.

    There is none when a namespace in use is a relative reference (Exclusive XML Canonicalization 1.0, 1.3; C14N 1.0, 1.3).
    """
    try:
        return etree.tostring(cut_out(element), method="c14n", exclusive=True, with_comments=False)
    except etree.C14NError:
        raise Iso20022Error(
            "no_canonical_form", "", 0, "a relative namespace is in use: there is no canonical form"
        ) from None


def _tops(element: etree._Element) -> Iterator[etree._Element]:
    # A stack in place of recursion; depth is bounded, but the order of the file must be kept.
    waiting = [element]
    while waiting:
        current = waiting.pop()
        if local_name(current) in TOPS:
            yield current
        else:
            waiting.extend(current.iterchildren(tag=etree.Element, reversed=True))


def _part(element: etree._Element) -> Part:
    namespace = namespace_of(element)
    text = namespace.removeprefix(NAMESPACE_PREFIX)
    if text != namespace and MESSAGE_ID.fullmatch(text):
        return Part(element, namespace, MessageId.parse(text))
    return Part(element, namespace, None, describe_namespace(namespace))


def _bic(party: etree._Element | None) -> str:
    return "" if party is None else _at(party, ("FIId", "FinInstnId", "BICFI"))


def _at(element: etree._Element, names: tuple[str, ...]) -> str:
    current = element
    for name in names:
        found = next((child for child in current.iterchildren(tag=etree.Element) if local_name(child) == name), None)
        if found is None:
            return ""
        current = found
    return _text(current)


def _text(element: etree._Element) -> str:
    return (element.text or "").strip()
