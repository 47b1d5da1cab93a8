"""Take untrusted bytes apart, safely: no DTD, no entities, no network, bounds on everything.

Comments and processing instructions inside a value are refused always: a schema and a digest see through them, and a reader of
the first text node takes 1 for 1<!-- -->000.00. Those between elements are dropped, so that no later layer has to know of them;
`strict` refuses them as well, with CDATA and attributes of xsi, as signed messages need.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, cast

from lxml import etree

from shanraq.standards.iso20022.errors import Iso20022Error
from shanraq.standards.iso20022.paths import PathOf, line_of, path_of

XSI: Final = "http://www.w3.org/2001/XMLSchema-instance"
_XINCLUDE: Final = b"http://www.w3.org/2001/XInclude"
_DECLARATION_BYTES: Final = 1024
_DECLARED: Final = re.compile(rb"<\?xml\s", re.ASCII)
_DECLARATION: Final = re.compile(
    rb"""<\?xml\s+version\s*=\s*["']([^"']*)["'](?:\s+encoding\s*=\s*["']([^"']*)["'])?"""
    rb"""(?:\s+standalone\s*=\s*["'][a-z]+["'])?\s*\?>""",
    re.ASCII,
)
_ENCODINGS: Final = frozenset({b"utf-8", b"us-ascii"})
_WIDE: Final = (b"\xff\xfe", b"\xfe\xff", b"\x00", b"<\x00")  # UTF-16 and UTF-32, with and without a byte order mark
_BEGINNINGS: Final = tuple(b"<?xml" + white for white in (b" ", b"\t", b"\r", b"\n"))  # of an XML declaration
_NEITHER_TAG_NOR_ATTRIBUTE: Final = bytes(byte for byte in range(256) if byte not in b"<=")
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of what is read. libxml2 has bounds of its own besides: 10 000 000 characters in one text, 256 levels.

    `namespaces` and `comments` count the whole message; comments include processing instructions.
    """

    size_bytes: int = 256 * 1024 * 1024
    depth: int = 64
    elements: int = 10_000_000
    attributes: int = 16
    namespaces: int = 10_000
    comments: int = 10_000


DEFAULT_LIMITS: Final = Limits()


def parse(data: bytes, *, limits: Limits = DEFAULT_LIMITS, strict: bool = False) -> etree._Element:
    """Return the root element of a message; raise Iso20022Error.

    `strict` refuses comments, processing instructions, CDATA sections and attributes of XMLSchema-instance anywhere.
    """
    check_bytes(data, limits=limits, strict=strict)
    try:
        root = etree.fromstring(data, make_parser(encoding_of(data[:_DECLARATION_BYTES])))
    except etree.XMLSyntaxError as error:
        raise syntax_error(error) from None
    _check_depth(root, limits)
    if not is_surely_narrow(data, limits):
        _check_width(root, limits)
    if not is_surely_plain(data):
        check_tree(root, limits, strict=strict)
    return root


def is_surely_narrow(data: bytes, limits: Limits) -> bool:
    """Tell whether bytes alone prove that there are no more elements, and no more attributes in one, than the limits.

    A walk through the tree costs several times as much. False says nothing.
    """
    if data.count(b"<") > limits.elements:  # each element has one at least
        return False
    # Each attribute has a "=", and there is no "<" within a tag.
    return b"=" * (limits.attributes + 1) not in data.translate(None, _NEITHER_TAG_NOR_ATTRIBUTE)


def is_surely_plain(data: bytes) -> bool:
    """Tell whether well-formed bytes alone prove that `check_tree` will find nothing; False says nothing.

    There is no comment, CDATA section or processing instruction but the XML declaration, no character reference (which could
    hide the letters of a namespace), and the namespace of xsi is not named.
    """
    if b"!" in data and b"<!" in data:  # the search for one byte is far faster
        return False
    begin = len(_BYTE_ORDER_MARK) if data.startswith(_BYTE_ORDER_MARK) else 0
    if data[begin : begin + 6] in _BEGINNINGS:
        begin += 6
    if data.find(b"?", begin) >= 0 and data.find(b"<?", begin) >= 0:
        return False
    return not (b"&" in data and b"&#" in data) and b"XMLSchema-instance" not in data


def make_parser(encoding: str = "utf-8") -> etree.XMLParser:
    """Return a parser that resolves nothing and fetches nothing; comments stay, for the checks to see them.

    It takes bytes to be in `encoding`, whatever they declare: else it might read others than those that were looked at.
    """
    return etree.XMLParser(
        encoding=encoding,
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        attribute_defaults=False,
        huge_tree=False,
        recover=False,
        remove_comments=False,
        remove_pis=False,
        remove_blank_text=False,
        strip_cdata=True,
        collect_ids=False,
    )


def check_bytes(data: bytes, *, limits: Limits = DEFAULT_LIMITS, strict: bool = False) -> None:
    """Refuse, before any parser sees them, bytes that are too many, in another encoding than UTF-8, or with a DOCTYPE.

    Raises Iso20022Error.
    """
    if not data.strip():
        raise Iso20022Error("empty", "", 0, "there is nothing to read")
    if len(data) > limits.size_bytes:
        raise Iso20022Error("too_large", "", 0, f"{len(data)} bytes, at most {limits.size_bytes} are read")
    check_encoding(data[:_DECLARATION_BYTES])
    for mark in (b"<!DOCTYPE", b"<!ENTITY"):
        if (offset := data.find(mark)) >= 0:
            raise Iso20022Error("doctype", "", line_at(data, offset), "a document type declaration is not allowed")
    if (offset := data.find(_XINCLUDE)) >= 0:
        raise Iso20022Error("xinclude", "", line_at(data, offset), "XInclude is not allowed")
    if data.count(b"xmlns") > limits.namespaces:
        raise Iso20022Error("too_many_namespaces", "", 0, f"more than {limits.namespaces} namespace declarations")
    if strict and (offset := data.find(b"<![CDATA[")) >= 0:
        raise Iso20022Error("cdata", "", line_at(data, offset), "a CDATA section is not allowed here")


def check_encoding(head: bytes) -> None:
    """Refuse a beginning of bytes that is not XML 1.0 in UTF-8 or US-ASCII; raise Iso20022Error.

    A byte order mark of UTF-8 is let through (XML 1.0, appendix F).
    """
    if head.startswith(_WIDE):
        raise Iso20022Error("encoding", "", 1, "only UTF-8 and US-ASCII are read, not UTF-16 or UTF-32")
    head = head.removeprefix(_BYTE_ORDER_MARK)
    declaration = _DECLARATION.match(head)
    if declaration is None:
        # An encoding that is not seen here, behind a thousand spaces, would hide the rest from all who look at bytes.
        if _DECLARED.match(head) is not None:
            raise Iso20022Error("not_well_formed", "", 1, "the XML declaration is not as XML 1.0 has it, or too long")
        return
    version, encoding = declaration.groups()
    if version != b"1.0":
        raise Iso20022Error("xml_version", "", 1, "only XML 1.0 is read")
    if encoding is not None and encoding.lower() not in _ENCODINGS:
        raise Iso20022Error("encoding", "", 1, "only UTF-8 and US-ASCII are read")


def encoding_of(head: bytes) -> str:
    """Return the encoding of a message that `check_encoding` has let through."""
    declaration = _DECLARATION.match(head.removeprefix(_BYTE_ORDER_MARK))
    declared = declaration.group(2) if declaration is not None else None
    return "us-ascii" if declared is not None and declared.lower() == b"us-ascii" else "utf-8"


def line_at(data: bytes, offset: int) -> int:
    """Return the line of an offset, from 1."""
    return data.count(b"\n", 0, offset) + 1


def syntax_error(error: etree.XMLSyntaxError) -> Iso20022Error:
    """Return what libxml2 refuses in our words: its own may show what stands in the message."""
    name = _ERROR_NAMES.get(getattr(error, "code", 0), "")
    line = error.lineno or 0
    if (known := _SYNTAX.get(name)) is not None:
        return Iso20022Error(known[0], "", line, known[1])
    kind = name.replace("_", " ").lower()
    return Iso20022Error("not_well_formed", "", line, f"this is not well-formed XML ({kind})" if kind else "not XML")


_ERROR_NAMES: Final = {
    getattr(etree.ErrorTypes, name): name.removeprefix("ERR_")
    for name in dir(etree.ErrorTypes)
    if name.startswith("ERR_")
}
_SYNTAX: Final = {
    "INVALID_ENCODING": ("invalid_utf8", "bytes that are no characters of the declared encoding"),
    "INVALID_CHAR": ("invalid_character", "a character that XML 1.0 does not allow"),
    "ATTRIBUTE_REDEFINED": ("duplicate_attribute", "the same attribute twice"),
    "DOCUMENT_END": ("trailing_content", "something follows the end of the message"),
    "DOCUMENT_EMPTY": ("not_well_formed", "the message does not begin with an element"),
    "RESERVED_XML_NAME": ("not_well_formed", "an XML declaration may only stand at the very beginning"),
    "UNDECLARED_ENTITY": ("entity", "a reference to an entity; only the five of XML exist"),
    "NO_MEMORY": ("too_large", "the message is too large"),
    "RESOURCE_LIMIT": ("too_large", "a text is longer or the nesting deeper than is read"),
}


def check_bounds(root: etree._Element, limits: Limits) -> None:
    """Refuse a tree that is deeper or wider than the limits; raise Iso20022Error."""
    _check_depth(root, limits)
    _check_width(root, limits)


def _check_depth(root: etree._Element, limits: Limits) -> None:
    deep = _nodes(root.getroottree(), "/*" * (limits.depth + 1))
    if deep:
        raise Iso20022Error("too_deep", "", line_of(deep[0]), f"nested deeper than {limits.depth} levels")


def _check_width(root: etree._Element, limits: Limits) -> None:
    if cast(float, _compiled("count(//*)")(root)) > limits.elements:
        raise Iso20022Error("too_many_elements", "", 0, f"more than {limits.elements} elements")
    for element in _nodes(root, f"(//*[@*[{limits.attributes + 1}]])[1]"):
        raise Iso20022Error(
            "too_many_attributes", "", line_of(element), f"an element with more than {limits.attributes} attributes"
        )


def check_tree(root: etree._Element, limits: Limits, *, strict: bool, path: PathOf = path_of) -> None:
    """Refuse comments and processing instructions in values, xsi:nil and xsi:type, and drop those between elements.

    Raises Iso20022Error.
    """
    hidden = _nodes(root.getroottree(), "//comment() | //processing-instruction()")
    if len(hidden) > limits.comments:
        raise Iso20022Error("too_many_comments", "", 0, f"more than {limits.comments} comments")
    for node in hidden:
        what = "comment" if cast(object, node.tag) is etree.Comment else "processing instruction"
        code = what.replace(" ", "_")
        parent = node.getparent()
        if parent is not None and _splits_text(node, parent):
            raise Iso20022Error(f"{code}_in_value", path(parent), line_of(node), f"a {what} splits the value")
        if strict:
            place = "" if parent is None else path(parent)
            raise Iso20022Error(code, place, line_of(node), f"a {what} is not allowed here")
    if hidden:
        etree.strip_tags(root, etree.Comment, etree.ProcessingInstruction)
    # xsi:nil and xsi:type change what a schema says; xsi:schemaLocation is never followed.
    which = "@xsi:*" if strict else "@xsi:nil or @xsi:type"
    for element in _nodes(root, f"(//*[{which}])[1]"):
        raise Iso20022Error(
            "xsi_attribute", path(element), line_of(element), "an attribute of XMLSchema-instance is not allowed"
        )


def _nodes(of: etree._Element | etree._ElementTree, expression: str) -> list[etree._Element]:
    return cast(list[Any], _compiled(expression)(of))


@lru_cache(maxsize=64)  # each limit makes expressions of its own
def _compiled(expression: str) -> etree.XPath:
    return etree.XPath(expression, namespaces={"xsi": XSI})


def _splits_text(node: etree._Element, parent: etree._Element) -> bool:
    """Tell whether a comment stands in a value; text beside elements is none, and refused by every schema."""
    if next(parent.iterchildren("*"), None) is not None:
        return False
    before = node.getprevious()
    texts = (parent.text if before is None else before.tail), node.tail
    return any(text and not text.isspace() for text in texts)
