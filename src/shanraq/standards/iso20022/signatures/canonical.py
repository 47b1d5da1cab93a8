"""Know bytes that are their own canonical form without canonicalising them, and bring them close to it where that is simple.

Canonicalising is most of the work of a signature, and most messages are in canonical form already: whoever signs them writes
them so. What is in the bytes beside names and text is a skeleton a fifth as long; counting in it the few forms that tags have
in canonical messages proves that there are no others, several times faster than libxml2 canonicalises.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_SKELETON: Final = b"<>/=\"'!?: \t\r\n"
_FLESH: Final = bytes(byte for byte in range(256) if byte not in _SKELETON)
_BETWEEN: Final = bytes(byte for byte in range(256) if byte not in b"<)")
# An attribute at the end of its tag: a currency or a namespace that is an absolute URI.
_VALUE: Final = re.compile(
    rb"=(?:(?<= Ccy=)(?=\"[A-Z]{3}\">)|(?<= xmlns=)(?=\"(?:urn|https?):[^\"]))\"([^\"&<>\s]++)\">"
)
_OTHER_REFERENCE: Final = re.compile(rb"&(?!amp;|lt;|gt;|#xD;)")  # than C14N writes in text (Canonical XML 1.0, 2.3)
_NAMESPACES_MOST: Final = 8  # of different shapes; a message with header and envelope has three
_PROLOG: Final = re.compile(
    rb"(?:\xef\xbb\xbf)?+"
    rb"(?:<\?xml version=[\"']1\.0[\"'](?: encoding=[\"'](?:UTF|utf)-8[\"'])?(?: standalone=[\"'](?:yes|no)[\"'])? ?\?>)?+"
    rb"[ \t\r\n]*+"
)
_NAME: Final = re.compile(rb"<([A-Za-z][A-Za-z0-9]*+)[ \t\n]*+\Z")
_NAME_LONGEST: Final = 128


@dataclass(frozen=True, slots=True)
class Tags:
    """What was counted in bytes that have the tags of a canonical message.

    `namespaces` are those declared, each as often as it is. `nesting` has "<" for each start tag and ")" for each end tag, in
    their order.
    """

    elements: int
    namespaces: tuple[bytes, ...]
    nesting: bytes

    def deeper_than(self, depth: int) -> bool:
        """Tell whether elements are nested deeper than `depth`; also where the tags do not match each other."""
        nesting = self.nesting
        for _ in range(depth):
            if not nesting:
                return False
            nesting = nesting.replace(b"<)", b"")  # takes away all that have no element in them: one level
        return bool(nesting)


def without_prolog(data: bytes) -> bytes:
    """Return a message without what stands around its outermost element, if that is a usual XML declaration in UTF-8."""
    prolog = _PROLOG.match(data)
    return data[prolog.end() if prolog else 0 :].rstrip(b" \t\r\n")


def simplify(text: bytes) -> bytes:
    r"""Return the same message with \n as the end of lines, as a parser reads it, and without empty-element tags.

    It is the same for a parser only where every "<" begins a tag: `read_tags` tells that of the result. A tag with attributes
    stays as it is.
    """
    if b"\r" in text:
        text = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n")  # XML 1.0, 2.11
    pieces = text.split(b"/>")
    if len(pieces) == 1:
        return text
    for number, piece in enumerate(pieces[:-1]):
        name = _NAME.search(piece, max(0, len(piece) - _NAME_LONGEST))
        if name is None:
            return text
        pieces[number] = piece[: name.end(1)] + b"></" + name[1] + b">"
    return b"".join(pieces)


def read_tags(text: bytes) -> Tags | None:
    """Return what there is in bytes with tags, attributes and references as a canonical form has them; None where unsure.

    If they are well-formed, then every "<" begins and every ">" ends a tag, tags are <name>, </name> or a start tag with just
    Ccy or a default namespace after one space, and there are no other references than C14N writes. There is no comment,
    processing instruction, CDATA section, DTD, empty-element tag, prefix, or carriage return. Whether a default namespace
    stands where a canonical form has it is not known yet.
    """
    if not text.startswith(b"<") or b"\r" in text or b"\0" in text:
        return None
    if _OTHER_REFERENCE.search(text) is not None:
        return None
    skeleton = text.translate(None, _FLESH).replace(b"</>", b")")
    # A value ends with its tag, and no tag counted below has a second one. So each is of one tag.
    values: list[bytes] = _VALUE.findall(text)
    shapes = {value.translate(None, _FLESH) for value in set(values)}
    if len(shapes) > _NAMESPACES_MOST:
        return None
    attributed = sum(skeleton.count(b'< ="' + shape + b'">') for shape in shapes)
    starts = skeleton.count(b"<>") + attributed
    ends = skeleton.count(b")")
    # An empty-element tag has the shape of an end tag: then there are more of those.
    if starts != ends or skeleton.count(b"<") != starts or skeleton.count(b">") != starts:
        return None
    if attributed != len(values):
        return None
    namespaces = tuple(value for value in values if b":" in value)
    return Tags(starts, namespaces, skeleton.translate(None, _BETWEEN))
