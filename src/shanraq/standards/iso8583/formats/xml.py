"""XML read without what makes XML dangerous: no internal subset, no entities, nothing from outside; bounded size and depth."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final
from xml.parsers import expat

from shanraq.standards.iso8583.errors import LayoutError
from shanraq.standards.iso8583.formats.draft import SIZE_LIMIT

_DEPTH_LIMIT: Final = 16
_ELEMENTS_LIMIT: Final = 20_000


@dataclass(slots=True)
class Node:
    """An element of XML: its name, attributes, children, and the line it begins in."""

    name: str
    attributes: dict[str, str]
    line: int
    children: list[Node] = field(default_factory=list)


def parse_xml(text: bytes | str) -> Node:
    """Read XML; raise LayoutError naming the line. A DOCTYPE is passed over if all it does is name a document elsewhere."""
    data = text.encode() if isinstance(text, str) else text
    if len(data) > SIZE_LIMIT:
        raise LayoutError(f"xml: has more than {SIZE_LIMIT} bytes")
    parser = expat.ParserCreate()
    parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
    builder = _Builder(parser)
    parser.StartDoctypeDeclHandler = builder.doctype
    parser.EntityDeclHandler = builder.entity
    parser.SkippedEntityHandler = builder.entity
    parser.ExternalEntityRefHandler = builder.entity
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        raise LayoutError(f"line {error.lineno}: is no XML: {expat.ErrorString(error.code)}") from None
    except (ValueError, LookupError) as error:
        if isinstance(error, LayoutError):
            raise
        raise LayoutError(f"xml: {error}") from None
    assert builder.root is not None, "expat refuses a document without an element"
    return builder.root


class _Builder:
    def __init__(self, parser: expat.XMLParserType) -> None:
        self.root: Node | None = None
        self._parser = parser
        self._open: list[Node] = []
        self._count = 0

    def doctype(self, name: str, system_id: str | None, public_id: str | None, has_internal_subset: int) -> None:
        if has_internal_subset:
            raise LayoutError(
                f"line {self._parser.CurrentLineNumber}: a DOCTYPE with declarations of its own is not read"
            )

    def entity(self, *_: object) -> int:
        raise LayoutError(f"line {self._parser.CurrentLineNumber}: entities are not read")

    def start(self, name: str, attributes: dict[str, str]) -> None:
        node = Node(name, attributes, self._parser.CurrentLineNumber)
        self._count += 1
        if len(self._open) >= _DEPTH_LIMIT or self._count > _ELEMENTS_LIMIT:
            raise LayoutError(f"line {node.line}: more than {_DEPTH_LIMIT} levels or {_ELEMENTS_LIMIT} elements")
        if self._open:
            self._open[-1].children.append(node)
        else:
            self.root = node
        self._open.append(node)

    def end(self, _: str) -> None:
        self._open.pop()
