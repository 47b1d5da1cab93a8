"""Look things up in a message by local names, whatever its namespace."""

from __future__ import annotations

from lxml import etree


def child(element: etree._Element | None, *names: str) -> etree._Element | None:
    """Return the first element at a path of names below an element."""
    for name in names:
        if element is None:
            return None
        element = next(element.iterchildren(f"{{*}}{name}"), None)
    return element


def children(element: etree._Element | None, name: str) -> list[etree._Element]:
    """Return the elements of a name directly below an element."""
    return [] if element is None else list(element.iterchildren(f"{{*}}{name}"))


def text(element: etree._Element | None, *names: str) -> str | None:
    """Return the text of the first element at a path of names; None if there is no such element."""
    found = child(element, *names)
    return None if found is None else found.text or ""


class Node:
    """An element with its children by name, for what many rules look at."""

    __slots__ = ("_first", "element")

    def __init__(self, element: etree._Element | None) -> None:
        self.element = element
        self._first: dict[str, etree._Element] = {}
        if element is not None:
            for found in element.iterchildren("*"):
                self.note(found)

    def note(self, found: etree._Element) -> None:
        """Take note of a child."""
        self._first.setdefault(found.tag.rpartition("}")[2], found)

    def first(self, name: str, *more: str) -> etree._Element | None:
        """Return the first element at a path of names."""
        found = self._first.get(name)
        return child(found, *more) if more else found

    def text(self, name: str, *more: str) -> str | None:
        """Return the text of the first element at a path of names; None if there is none."""
        found = self._first.get(name)
        if more:
            found = child(found, *more)
        return None if found is None else found.text or ""

    def all(self, name: str) -> list[etree._Element]:
        """Return the children of a name."""
        return children(self.element, name) if name in self._first else []

    def __contains__(self, name: str) -> bool:
        return name in self._first


class OpenNode(Node):
    """An element that is still being read: it knows the children it was told of, in their order."""

    __slots__ = ()

    def __init__(self, element: etree._Element) -> None:
        super().__init__(None)
        self.element = element
