"""A document in the making: elements in any order, put into that of the definition when they are written.

Also where a caller's own values go that a message must have and its source does not say.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Final, Self, TypeVar

from shanraq.standards.iso20022.definition import Choice, ComplexType, Definition, Element, SimpleType, value_type
from shanraq.standards.iso20022.errors import Iso20022Error

_ATTRIBUTE: Final = "@"
_MAX_NAMED: Final = 5


@dataclass(slots=True, eq=False)
class Node:
    """An element in the making."""

    element: Element
    children: list[Self] = field(default_factory=list)
    text: str | None = None
    attributes: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Return the name of the element."""
        return self.element.name

    def in_order(self) -> list[Self]:
        """Return the children in the order of the definition."""
        kind = self.element.type
        if isinstance(kind, SimpleType):
            return []
        order: Final = {element.name: number for number, element in enumerate(kind.elements)}
        return sorted(self.children, key=lambda child: order[child.name])


N = TypeVar("N", bound=Node)


@dataclass(frozen=True, slots=True)
class Supplied:
    """A value of the output that the input does not have.

    `source` is parameter, derived or default, `reason` says from what.
    """

    path: str
    value: str = field(repr=False)
    source: str
    reason: str = ""

    def to_dict(self) -> dict[str, str]:
        """Return it as JSON knows it, with the value."""
        return asdict(self)


def supply(root: N, definition: Definition, given: Mapping[str, str]) -> list[tuple[N, str]]:
    """Put values where they are missing; return the nodes they went to, with "" or "/@Ccy".

    A key is the end of a path (`Cdtr/Nm`, `PmtId/TxId`, `InstdAmt/@Ccy`): of the shortest path of the definition
    that ends so.
    What is there is never replaced, and no second branch of a choice is begun. Raises Iso20022Error, code `supply`, for a
    key that is no value of the message or means several.
    """
    found: list[tuple[N, str]] = []
    for key, text in sorted(given.items(), key=lambda each: _ATTRIBUTE in each[0]):
        steps, attribute = _steps(definition, key)
        for node in _reach(root, steps):
            if attribute:
                if attribute not in node.attributes:
                    node.attributes[attribute] = text
                    found.append((node, f"/@{attribute}"))
            elif node.text is None:
                node.text = text
                found.append((node, ""))
    return found


def is_value(definition: Definition, key: str) -> bool:
    """Tell whether a key of `supply` is a value of a message."""
    path, _, attribute = key.strip("/").partition(f"/{_ATTRIBUTE}")
    return next(_ways(definition.root, tuple(path.split("/")), attribute), None) is not None


def missing_in(node: Node, lacking: Mapping[str, str]) -> str:
    """Return what a node with children in it lacks of the children it must have, "" when nothing.

    `lacking` are the paths of what those lack that were tried and are not whole, by name.
    """
    kind = node.element.type
    if isinstance(kind, SimpleType):
        return ""
    present = Counter(child.name for child in node.children)
    if kind.choice:
        return "" if _satisfied(kind.elements, present) else _first(kind.elements, lacking)
    for particle in kind.particles:
        if isinstance(particle, Choice):
            if not _satisfied(particle.elements, present):
                return _first(particle.elements, lacking)
        elif isinstance(particle, Element) and present[particle.name] < particle.min_occurs:
            return lacking.get(particle.name, particle.name)
    return ""


def _satisfied(branches: tuple[Element, ...], present: Counter[str]) -> bool:
    return any(present[each.name] >= max(each.min_occurs, 1) for each in branches) or any(
        each.min_occurs == 0 for each in branches
    )


def _first(branches: tuple[Element, ...], lacking: Mapping[str, str]) -> str:
    """Return the branch that was tried and is not whole, else all there are."""
    tried = next((lacking[each.name] for each in branches if each.name in lacking), "")
    return tried or "|".join(each.name for each in branches)


def _steps(definition: Definition, key: str) -> tuple[tuple[Element, ...], str]:
    path, _, attribute = key.strip("/").partition(f"/{_ATTRIBUTE}")
    names = tuple(path.split("/"))
    shortest = list(_ways(definition.root, names, attribute))
    if not shortest:
        raise Iso20022Error("supply", "", 0, f"{key[:70]!r} is no value of {definition.message_id}")
    if len(shortest) > 1:
        shown = ", ".join("/".join(each.name for each in way) for way in shortest[:_MAX_NAMED])
        raise Iso20022Error("supply", "", 0, f"{key[:70]!r} may be any of {shown}; say more of the path")
    return shortest[0], attribute


def _ways(root: Element, names: tuple[str, ...], attribute: str) -> Iterator[tuple[Element, ...]]:
    """Yield the paths to values that end with names, level by level, until a level has some."""
    level: list[tuple[Element, ...]] = [(root,)]
    while level:
        found = [way for way in level if _ends(way, names, attribute)]
        if found:
            yield from found
            return
        level = [
            (*way, child) for way in level if isinstance(way[-1].type, ComplexType) for child in way[-1].type.elements
        ]


def _ends(way: tuple[Element, ...], names: tuple[str, ...], attribute: str) -> bool:
    kind = way[-1].type
    if value_type(kind) is None or tuple(each.name for each in way[-len(names) :]) != names:
        return False
    return not attribute or (isinstance(kind, ComplexType) and attribute in {each.name for each in kind.attributes})


def _reach(node: N, steps: tuple[Element, ...]) -> Iterator[N]:
    """Yield the nodes at a path, made where they are missing; a repeated element is followed in each of its occurrences."""
    if len(steps) == 1:
        yield node
        return
    step = steps[1]
    there = [child for child in node.children if child.name == step.name]
    kind = node.element.type
    if not there and not (isinstance(kind, ComplexType) and kind.choice and node.children):
        there = [type(node)(step)]
        node.children.extend(there)
    for child in there:
        yield from _reach(child, steps[1:])
