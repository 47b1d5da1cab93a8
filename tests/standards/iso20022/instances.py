"""Messages made by chance from their definitions, for property tests: valid by construction, or the schema says otherwise."""

from __future__ import annotations

import random
from typing import Any

from shanraq.standards import iso20022
from shanraq.standards.iso20022.definition import Choice, ComplexType, Element, SimpleType
from shanraq.standards.iso20022.json_form import has_slot
from shanraq.standards.iso20022.lexical import fits

_POOL = (
    "A", "AB", "A1", "TXID", "KZT", "USD", "KZ", "DE", "NBRKKZKX", "KZ86125KZT5004100100", "5493001KJTIIGC8Y1R12",
    "eb6305c9-1f7f-49de-aed0-16487c27b42d", "+7-7001234567", "1", "12", "0", "000012", "1234", "12345678", "1.50", "0.00001",
    "true", "false", "2026-11-23", "2026-11-23T06:00:00Z", "2026-11-23T11:00:00+05:00", "2026-11-23T06:00:00", "06:00:00Z",
    "2026", "2026-11", "QUJD", "Алматы <&> \"x\"", "two words", "x" * 70, "x" * 140, "x" * 256, "x" * 35, "x" * 16,
    "EU12", "DEUTDEFF", "529900T8BM49AURSDO55ABCDEF", "ABCD01234567", "A12345678901234567", "192.168.0.1", "SW123456",
    "123456789", "AB" * 32,
    "BBGB00000001", "CH123456", "NZ123456", "IE123456", "SC123456", "CP1234", "SW123", "FW123456789", "PT12345678",
    "RU123456789", "IT1234567890", "AT12345", "CA123456789", "BL12345678", "ES12345678", "ZA123456", "HK123", "AU123456",
    "UNLIMITED", "DUM", "1234567890123", "KZBCDFGHJ1", "123", "en",
)  # fmt: skip


def content(message_id: str, seed: int) -> dict[str, Any]:
    """Return the plain content of a message; the same seed gives the same."""
    definition = iso20022.definition(message_id)
    made = _Maker(random.Random(seed)).element(definition.root.type, 0)
    assert isinstance(made, dict)
    return made


class _Maker:
    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._share = chance.choice((0.05, 0.2, 0.4))

    def element(self, kind: SimpleType | ComplexType, depth: int) -> Any:
        if isinstance(kind, SimpleType):
            return self._value(kind)
        if kind.value is not None:
            return {"value": self._value(kind.value), **{each.name: self._value(each.type) for each in kind.attributes}}
        if has_slot(kind):
            return {"xml": '<a xmlns="http://www.w3.org/2000/09/xmldsig#"><b c="1"> 2 </b></a>'}
        if kind.choice:
            return self._chosen(kind.elements, depth)
        found: dict[str, Any] = {}
        for particle in kind.particles:
            if isinstance(particle, Choice):
                found |= self._chosen(particle.elements, depth)
            elif isinstance(particle, Element) and (particle.min_occurs or self._wanted(depth)):
                found[particle.name] = self._repeated(particle, depth)
        return found

    def _chosen(self, branches: tuple[Element, ...], depth: int) -> dict[str, Any]:
        branch = self._chance.choice(branches)
        return {branch.name: self._repeated(branch, depth)}

    def _wanted(self, depth: int) -> bool:
        return self._chance.random() < self._share / (1 + depth / 6)

    def _repeated(self, element: Element, depth: int) -> Any:
        if element.max_occurs == 1:
            return self.element(element.type, depth + 1)
        most = min(element.max_occurs or 3, 3)
        count = max(element.min_occurs, self._chance.randint(1, most))
        return [self.element(element.type, depth + 1) for _ in range(count)]

    def _value(self, kind: SimpleType) -> str:
        if kind.enumeration:
            return self._chance.choice(kind.enumeration)
        if kind.base == "base64Binary":
            return "QUJD"
        takes = [each for each in _POOL if fits(each, kind)]
        assert takes, f"no value for {kind.name} {kind.facets}"
        return self._chance.choice(takes)
