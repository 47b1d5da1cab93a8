"""Read a message as Python objects, by the names of its definition; nothing is generated, nothing copied.

payment = view(document)
payment.GrpHdr.MsgId                        # str; decimals are Decimal, dates date, moments datetime, booleans bool
payment.CdtTrfTxInf[0].IntrBkSttlmAmt.Ccy   # what may occur more than once is a tuple, always
payment.GrpHdr.CtrlSum                      # None when it is not there
payment.find("GrpHdr/InstgAgt/FinInstnId/BICFI")    # None when any step is not there
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any, NamedTuple

from lxml import etree

from shanraq.standards.iso20022.check import AMOUNT
from shanraq.standards.iso20022.definition import ComplexType, Element, SimpleType
from shanraq.standards.iso20022.errors import Iso20022Error
from shanraq.standards.iso20022.identify import cut_out
from shanraq.standards.iso20022.json_form import foreign_xml, has_slot
from shanraq.standards.iso20022.library import Library, library
from shanraq.standards.iso20022.paths import local_name, namespace_of


class Amount(NamedTuple):
    """A number with its currency; exact."""

    value: Decimal
    Ccy: str


class View:
    """An element whose children are attributes, named and typed by the definition.

    A name the definition does not have is an AttributeError. A value not of its type is a ValueError: validate first.
    """

    __slots__ = ("_element", "_kind")

    def __init__(self, element: etree._Element, kind: ComplexType) -> None:
        self._element = element
        self._kind = kind

    def __getattr__(self, name: str) -> Any:
        inner = self._kind.by_name.get(name)
        if inner is None:
            known = ", ".join(each.name for each in self._kind.elements) or "one foreign element, see `xml`"
            raise AttributeError(f"{local_name(self._element)} has no {name}, only {known}")
        found = [
            _value(child, inner) for child in self._element.iterchildren(f"{{{namespace_of(self._element)}}}{name}")
        ]
        if inner.max_occurs != 1:
            return tuple(found)
        return found[0] if found else None

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._kind.by_name]

    def __repr__(self) -> str:
        # Names of elements, not what they hold: a view may end up in a log.
        return f"<{local_name(self._element)}: {', '.join(local_name(each) for each in self._element)}>"

    def find(self, path: str) -> Any:
        """Return what stands at a path such as GrpHdr/InstgAgt/FinInstnId/BICFI, the first where there are several, else None.

        Raises AttributeError for a name the definition does not have.
        """
        current: Any = self
        for name in path.split("/"):
            if isinstance(current, tuple) and not isinstance(current, Amount):
                current = current[0] if current else None
            if current is None:
                return None
            current = getattr(current, name)
        if isinstance(current, tuple) and not isinstance(current, Amount):
            return current[0] if current else None
        return current

    @property
    def xml(self) -> str:
        """Return the foreign element of an open slot (SplmtryData/Envlp, Sgntr) as XML, of any other element its own."""
        first = next(self._element.iterchildren(tag=etree.Element), None)
        return foreign_xml(first if first is not None and has_slot(self._kind) else self._element)


def view(document: etree._Element, definitions: Library | None = None) -> View:
    """Return a view of the message in a Document, or of an AppHdr; raise Iso20022Error when it has no definition."""
    cut = cut_out(document)
    definition = (definitions or library()).definition(namespace_of(cut).rpartition(":")[2])
    element, kind = cut, definition.root.type
    if definition.message is not definition.root:
        element = next(cut.iterchildren(f"{{{definition.namespace}}}{definition.message.name}"), cut)
        kind = definition.message.type
    if local_name(element) != definition.message.name or not isinstance(kind, ComplexType):
        raise Iso20022Error("missing_element", "/Document", 0, f"missing: {definition.message.name}")
    return View(element, kind)


def _value(element: etree._Element, inner: Element) -> Any:
    kind = inner.type
    text = element.text or ""
    if isinstance(kind, SimpleType):
        return _read(text, kind)
    if kind.value is None:
        return View(element, kind)
    number = _read(text, kind.value)
    return Amount(number, element.get("Ccy", "")) if isinstance(number, Decimal) else number


def _read(text: str, kind: SimpleType) -> Any:
    if kind.base == "string":
        return text
    bare = text.strip(" \t\r\n")
    if kind.base == "decimal":
        # Decimal() alone would take 1_0, NaN and digits of other scripts for numbers.
        if not AMOUNT.fullmatch(bare.lstrip("+-")):
            raise ValueError("the value is no decimal number")
        return Decimal(bare)
    if kind.base == "boolean":
        if bare not in ("true", "false", "1", "0"):
            raise ValueError("the value is neither true nor false")
        return bare in ("true", "1")
    if kind.base == "date":
        return dt.date.fromisoformat(bare[:10])
    return dt.datetime.fromisoformat(bare) if kind.base == "dateTime" else bare
