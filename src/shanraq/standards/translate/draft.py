"""A message of ISO 20022 in the making."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final

from lxml import etree

from shanraq.standards import iso20022
from shanraq.standards.iso20022 import Definition, Library, Node
from shanraq.standards.iso20022.draft import missing_in
from shanraq.standards.iso20022.paths import namespace_of
from shanraq.standards.translate.account import Account
from shanraq.standards.translate.errors import TranslationError, incomplete

_LIKELY: Final = ("FinInstnId", "FIId", "BICFI", "Nm", "IBAN", "Cd", "Id", "Dt")


class Draft:
    """A Document or AppHdr of a definition: `top` is the message in it. Elements are put in any order."""

    def __init__(self, definition: Definition) -> None:
        self.definition = definition
        self._root = Node(definition.root)
        self.top = self._root
        if definition.message is not definition.root:
            self.top = Node(definition.message)
            self._root.children.append(self.top)

    def finish(
        self, account: Account, known: Library, supply: Mapping[str, str]
    ) -> tuple[etree._Element, dict[int, str]]:
        """Return the valid element and the paths of the nodes in it; values of the caller go where they are missing.

        Raises TranslationError: `incomplete` names what is missing and its key, `supply` a wrong key, and the code of the
        schema's finding where a value is not of its type.
        """
        try:
            for node, behind in iso20022.supply(self._root, self.definition, supply):
                account.supply((node, behind), node.attributes[behind[2:]] if behind else node.text or "", "parameter")
        except iso20022.Iso20022Error as error:
            raise TranslationError(error.code, error.path, error.message) from None
        if missing := _missing(self._root):
            place = f"/{missing}"
            key = self._key(place)
            raise incomplete(place, key, f"{self.definition.message_id} demands what the message does not say: {place}")
        namespace = self.definition.namespace
        made = etree.Element(f"{{{namespace}}}{self._root.name}", nsmap={None: namespace})  # type: ignore[dict-item]
        places: dict[int, str] = {}
        _write(self._root, made, f"/{self._root.name}", places)
        if wrong := iso20022.validate_schema(made, known):
            raise TranslationError(wrong[0].code, wrong[0].path, wrong[0].message)
        return made, places

    def _key(self, place: str) -> str:
        """Return a key of `supply` for what is missing: the likeliest value in it where it has several."""
        names = place.strip("/").partition("|")[0].split("/")
        found = self.definition.at("/".join(names))
        while found is not None and isinstance(found.type, iso20022.ComplexType) and found.type.value is None:
            inside = found.type.by_name
            name = next((each for each in _LIKELY if each in inside), next(iter(inside), ""))
            found = inside.get(name)
            names.append(name)
        return "/".join(names[2:] if names[0] == "Document" else names)


def at(node: Node, path: str) -> Node:
    """Return the node at a path, made where it is missing."""
    for name in path.split("/"):
        found = next((child for child in node.children if child.name == name), None)
        node = _child(node, name) if found is None else found
    return node


def add(node: Node, path: str) -> Node:
    """Return a new node at a path; what leads there is made where it is missing."""
    parents, _, name = path.rpartition("/")
    return _child(at(node, parents) if parents else node, name)


def put(node: Node, path: str, text: str, **attributes: str) -> Node:
    """Return a new node at a path, with its value."""
    made = add(node, path)
    made.text = text
    made.attributes.update(attributes)
    return made


def has(node: Node, path: str) -> bool:
    """Tell whether there is a node at a path."""
    for name in path.split("/"):
        found = next((child for child in node.children if child.name == name), None)
        if found is None:
            return False
        node = found
    return True


def element_of(node: Node, name: str) -> iso20022.Element:
    """Return the element of a name that the definition has in a node."""
    kind = node.element.type
    assert not isinstance(kind, iso20022.SimpleType)
    return kind.by_name[name]


def _child(node: Node, name: str) -> Node:
    made = Node(element_of(node, name))
    node.children.append(made)
    return made


def _missing(node: Node) -> str:
    kind = node.element.type
    if isinstance(kind, iso20022.SimpleType) or kind.value is not None:
        return ""
    if missing := missing_in(node, {}):
        return f"{node.name}/{missing}"
    for child in node.in_order():
        if missing := _missing(child):
            return f"{node.name}/{missing}"
    return ""


def _write(node: Node, element: etree._Element, path: str, places: dict[int, str]) -> None:
    places[id(node)] = path
    element.text = node.text
    for name, text in node.attributes.items():
        element.set(name, text)
    namespace = namespace_of(element)
    many = Counter(child.name for child in node.children)
    number: Counter[str] = Counter()
    for child in node.in_order():
        number[child.name] += 1
        index = f"[{number[child.name]}]" if many[child.name] > 1 else ""
        made = etree.SubElement(element, f"{{{namespace}}}{child.name}")
        _write(child, made, f"{path}/{child.name}{index}", places)
