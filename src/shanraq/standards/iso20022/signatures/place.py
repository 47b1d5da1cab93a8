"""Where a signature stands: cut it out of the bytes, and see it in its place.

Bytes are cut before anything is parsed, so that what is digested can be the bytes that came. In well-formed XML "<" begins a
tag wherever there is no comment, CDATA section or processing instruction; those make the parser of either part refuse it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, cast

from lxml import etree

from shanraq.standards.iso20022.parse import Limits
from shanraq.standards.iso20022.paths import local_name, namespace_of
from shanraq.standards.iso20022.signatures.body import Body
from shanraq.standards.iso20022.signatures.errors import (
    SeveralSignaturesError,
    SignatureMissingError,
    SignaturePlaceError,
    UnsafeMessageError,
)
from shanraq.standards.iso20022.signatures.profiles import Place

_NAME_LONGEST: Final = 128
_OPENED: Final = re.compile(rb"<(/?)((?:[A-Za-z_][\w.\-]*:)?)\Z", re.ASCII)
_WHITE: Final = b" \t\r\n"


@dataclass(frozen=True, slots=True)
class Tag:
    """A tag found in bytes by its local name: its offsets, prefix with colon, and whether it is an end tag."""

    start: int
    end: int
    prefix: bytes
    closes: bool


@dataclass(frozen=True, slots=True)
class Cut:
    """A message cut in two: the bytes without the signature, and those of the signature."""

    body: bytes
    signature: bytes


def find_tags(data: bytes, name: bytes) -> Iterator[Tag]:
    """Yield the tags of a local name in the order of the bytes, whatever their prefix."""
    offset = data.find(name)
    while offset >= 0:
        after = offset + len(name)
        following = data[after : after + 1]
        if following in (b">", b"/", b" ", b"\t", b"\r", b"\n"):
            before = max(0, offset - _NAME_LONGEST)
            opened = _OPENED.search(data[before:offset])
            if opened is not None:
                end = data.find(b">", after) + 1 or len(data)
                yield Tag(before + opened.start(), end, opened[2], bool(opened[1]))
        offset = data.find(name, after)


def cut_signature(data: bytes, place: Place, limits: Limits) -> Cut:
    """Return message and signature apart; raise a SignatureFormatError or UnsafeMessageError."""
    if len(data) > limits.size_bytes:
        raise UnsafeMessageError(
            f"{len(data)} bytes, at most {limits.size_bytes} are read", cause="too_large", hint="send smaller files"
        )
    tags = list(find_tags(data, b"Signature"))
    if not tags:
        raise SignatureMissingError("the message has no signature")
    opening = [tag for tag in tags if not tag.closes]
    if len(opening) > 1:
        raise SeveralSignaturesError(f"the message has {len(opening)} signatures, not one")
    if len(tags) != 2 or tags[0].closes or tags[0].prefix != tags[1].prefix:
        raise SignatureMissingError("the message has no complete signature")
    start, end = tags[0].start, tags[1].end
    _check_around(data, start, end, place)
    return Cut(data[:start] + data[end:], data[start:end])


def check_place(body: Body, place: Place) -> int:
    """Return the offset of the place of the signature, one AppHdr/Sgntr or the end of Document; raise SignaturePlaceError.

    The bytes around the signature were looked at when it was cut out; here the tree says what these bytes are.
    """
    offset = _slot(body.canonical, place)
    if place is Place.DOCUMENT:
        return offset
    header = body.header_element
    if header is None:
        raise SignaturePlaceError("the profile has the signature in the header, and there is no header")
    holders = [child for child in header if local_name(child) == "Sgntr"]
    if len(holders) != 1 or len(holders[0]) or (holders[0].text or "").strip():
        raise SignaturePlaceError("AppHdr/Sgntr does not hold the signature and nothing else")
    if holders[0].attrib or namespace_of(holders[0]) != namespace_of(header):
        raise SignaturePlaceError("Sgntr is not an element of the header")
    return offset


def in_context(signature: etree._Element, body: Body, place: Place) -> etree._Element:
    """Return the signature below copies of the elements around it: inclusive canonical forms write their namespaces."""
    holder = body.document
    if place is Place.HEADER:
        header = body.header_element
        assert header is not None  # check_place
        holder = next(child for child in header if local_name(child) == "Sgntr")
    copied: etree._Element | None = None
    for element in (*reversed(list(holder.iterancestors())), holder):
        namespaces = cast(dict[str, str], element.nsmap)  # the stubs do not know of the default namespace
        if copied is None:
            copied = etree.Element(element.tag, nsmap=namespaces)
        else:
            copied = etree.SubElement(copied, element.tag, nsmap=namespaces)
    assert copied is not None
    copied.append(signature)
    return signature


def _slot(data: bytes, place: Place) -> int:
    name = b"Sgntr" if place is Place.HEADER else b"Document"
    closing = [tag for tag in find_tags(data, name) if tag.closes]
    if len(closing) != 1:
        raise SignaturePlaceError(f"{name.decode()} stands {len(closing)} times in the message, not once")
    return closing[0].start


def _check_around(data: bytes, start: int, end: int, place: Place) -> None:
    name = b"Sgntr" if place is Place.HEADER else b"Document"
    before = data[max(0, start - _NAME_LONGEST) : start].rstrip(_WHITE)
    after = data[end : end + _NAME_LONGEST].lstrip(_WHITE)
    opened = re.search(rb"<((?:[A-Za-z_][\w.\-]*:)?)" + name + rb">\Z", before, re.ASCII)
    closed = re.match(rb"</((?:[A-Za-z_][\w.\-]*:)?)" + name + rb"\s*>", after, re.ASCII)
    if closed is None or (place is Place.HEADER and (opened is None or opened[1] != closed[1])):
        where = "AppHdr/Sgntr" if place is Place.HEADER else "Document, at its end"
        raise SignaturePlaceError(f"the signature does not stand in {where}")
