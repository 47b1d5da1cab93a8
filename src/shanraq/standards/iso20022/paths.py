"""Where an element stands, in the words of people: local names, an index only where siblings repeat."""

from __future__ import annotations

from typing import Final, Protocol

from lxml import etree


class PathOf(Protocol):
    """Tell where an element stands."""

    def __call__(self, element: etree._Element, /) -> str:
        """Return the path of an element."""


TOPS: Final = frozenset({"Document", "AppHdr"})


def local_name(element: etree._Element) -> str:
    """Return the name of an element without its namespace; "" for comments and processing instructions."""
    tag = element.tag
    return tag.rpartition("}")[2] if isinstance(tag, str) else ""


def namespace_of(element: etree._Element) -> str:
    """Return the namespace of an element, "" without one."""
    tag = element.tag
    return tag[1:].partition("}")[0] if isinstance(tag, str) and tag[0] == "{" else ""


def line_of(node: etree._Element) -> int:
    """Return the line a node begins on, from 1; 0 when it was not read from a file."""
    line = node.sourceline
    return line if isinstance(line, int) else 0


def path_of(element: etree._Element) -> str:
    """Return the path of an element from the Document or AppHdr it is in, else from the root.

    Costs one look at the siblings on each level: meant for findings, not for each element.
    """
    steps: list[str] = []
    current: etree._Element | None = element
    while current is not None:
        name = local_name(current)
        parent = current.getparent()
        if name in TOPS or parent is None:
            steps.append(name)
            break
        steps.append(f"{name}[{position}]" if (position := _position(current, parent)) else name)
        current = parent
    return "/" + "/".join(reversed(steps))


def _position(element: etree._Element, parent: etree._Element) -> int:
    before = sum(1 for _ in element.itersiblings(element.tag, preceding=True))
    if before:
        return before + 1
    return 1 if next(element.itersiblings(element.tag), None) is not None else 0
