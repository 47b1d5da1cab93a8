"""The account of a translation: what became of every value of the input, and where the output's other values are from.

All values are in the account from the start. Each is settled once; what nobody settled has no place in the other standard and
is dropped. So nothing can be lost without being told.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar, Final, Generic, TypeVar

from lxml import etree

from shanraq.standards import iso20022
from shanraq.standards.iso20022 import Node, Outcome, Supplied
from shanraq.standards.iso20022.convert import values
from shanraq.standards.iso20022.paths import local_name, namespace_of
from shanraq.standards.iso20022.renamings import REASONS as VERSION_REASONS

REASONS: Final = MappingProxyType(
    {
        **VERSION_REASONS,
        "no_place": "the other standard has no place for it",
        "notation": "the same value as the other standard writes it",
        "implied": "the message says it by itself",
        "code_word": "it stands in a text, behind a code word",
        "joined": "it stands in one text with others",
        "taken_apart": "its parts have places of their own",
        "shortened": "the other standard takes a shorter text; a plus sign marks the end",
        "transliterated": "letters the other standard does not have were written in Latin ones",
        "replaced": "characters the other standard does not have became full stops",
        "not_of_type": "the other standard does not take this value",
        "no_space": "there is no line left for it",
        "not_whole": "only a part of it has a place",
        "secret": "a secret of the card is not put into another message",
    }
)
"""What the outcome of a value is called for, in words."""

T = TypeVar("T")
R = TypeVar("R")
Target = str | tuple[Node, str]


@dataclass(slots=True)
class Trace(iso20022.Trace):
    """What became of one value; see iso20022.Trace. A kept value may be written in the notation of the other standard."""

    reasons: ClassVar[Mapping[str, str]] = REASONS


@dataclass(frozen=True, slots=True)
class Translation(Generic[T]):
    """A message in another standard: `result` is of the target's kind, `traces` have every value of the input exactly once.

    `supplied` are values that the input does not have. `notes` say what was checked afterwards and did not hold.
    """

    result: T
    source: str
    target: str
    traces: tuple[iso20022.Trace, ...]
    supplied: tuple[Supplied, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def losses(self) -> tuple[iso20022.Trace, ...]:
        """Return the values that were changed or dropped."""
        return tuple(trace for trace in self.traces if trace.outcome in (Outcome.CHANGED, Outcome.DROPPED))

    def counts(self) -> dict[str, int]:
        """Return how many values have each outcome; together they are all of the input."""
        found = Counter(trace.outcome for trace in self.traces)
        return {outcome.value: found[outcome] for outcome in Outcome}

    def to_dict(self) -> dict[str, Any]:
        """Return the account as JSON knows it, with the values."""
        return {
            "from": self.source,
            "to": self.target,
            "values": self.counts(),
            "traces": [trace.to_dict() for trace in self.traces],
            "supplied": [each.to_dict() for each in self.supplied],
            "notes": list(self.notes),
        }


@dataclass(slots=True)
class _Settled:
    outcome: Outcome
    target: Target
    code: str
    new: str


class Account:
    """The values of an input by path, and what was settled about them."""

    def __init__(self, all_values: Iterable[tuple[str, str]]) -> None:
        self._values = dict(all_values)
        self._places: dict[etree._Element, str] = {}
        self._settled: dict[str, _Settled] = {}
        self._supplied: list[tuple[Target, str, str, str]] = []

    @classmethod
    def of_elements(cls, elements: Iterable[etree._Element], known: iso20022.Library) -> Account:
        """Return the account of valid documents and headers, each the root of its own."""
        found: list[tuple[str, str]] = []
        places: dict[etree._Element, str] = {}
        for element in elements:
            definition = known.definition(namespace_of(element).rpartition(":")[2])
            found += values(element, definition.root.type, f"/{definition.root.name}")
            _walk(element, f"/{definition.root.name}", places)
        account = cls(found)
        account._places = places
        return account

    def place(self, element: etree._Element) -> str:
        """Return the path of an element of the input."""
        return self._places[element]

    def __contains__(self, path: str) -> bool:
        return path in self._values

    def is_open(self, path: str) -> bool:
        """Tell whether a value is in the account and nobody has settled it."""
        return path in self._values and path not in self._settled

    def keep(self, path: str, target: Target, new: str | None = None, code: str = "") -> None:
        """Settle a value that stands in the output; `new` is how it is written there. The first settlement counts."""
        value = self._values[path]
        text = value if new is None else new
        self._settle(path, Outcome.KEPT, target, code or ("" if text == value else "notation"), text)

    def move(self, path: str, target: Target, code: str) -> None:
        """Settle a value that stands unchanged where others stand too, or where it has no place of its own."""
        self._settle(path, Outcome.MOVED, target, code, self._values[path])

    def change(self, path: str, target: Target, new: str, code: str) -> None:
        """Settle a value that had to be changed; with code "" it was not, and is kept."""
        if code:
            self._settle(path, Outcome.CHANGED, target, code, new)
        else:
            self.keep(path, target, new)

    def imply(self, path: str) -> None:
        """Settle a value that follows from the output as a whole."""
        self._settle(path, Outcome.KEPT, "", "implied", self._values[path])

    def drop(self, path: str, code: str) -> None:
        """Settle a value that is lost."""
        self._settle(path, Outcome.DROPPED, "", code, "")

    def forsake(self, node: Node, code: str) -> None:
        """Settle as lost what stands in a node, or below it, that does not come into the output."""
        nodes = {id(each) for each in _below(node)}
        for settled in self._settled.values():
            if not isinstance(settled.target, str) and id(settled.target[0]) in nodes:
                settled.outcome, settled.target, settled.code, settled.new = Outcome.DROPPED, "", code, ""
        self._supplied = [each for each in self._supplied if isinstance(each[0], str) or id(each[0][0]) not in nodes]

    def mask(self, masked: Callable[[str, str], str]) -> None:
        """Write values otherwise, before any is settled: what must not be shown is not in the account."""
        assert not self._settled
        self._values = {path: masked(path, value) for path, value in self._values.items()}

    def supply(self, target: Target, value: str, source: str, reason: str = "") -> None:
        """Note a value of the output that the input does not have."""
        self._supplied.append((target, value, source, reason))

    def traces(self, places: Mapping[int, str]) -> tuple[Trace, ...]:
        """Return what became of every value, in the order of the input; `places` has the paths of nodes."""
        found = []
        for path, value in self._values.items():
            settled = self._settled.get(path) or _Settled(Outcome.DROPPED, "", "no_place", "")
            target = _path(settled.target, places)
            found.append(Trace(settled.outcome, path, target, settled.code, value, settled.new))
        return tuple(found)

    def supplied(self, places: Mapping[int, str]) -> tuple[Supplied, ...]:
        """Return where the other values of the output are from."""
        return tuple(Supplied(_path(target, places), *rest) for target, *rest in self._supplied)

    def _settle(self, path: str, outcome: Outcome, target: Target, code: str, new: str) -> None:
        assert path in self._values, path
        self._settled.setdefault(path, _Settled(outcome, target, code, new))


def _below(node: Node) -> Iterator[Node]:
    yield node
    for child in node.children:
        yield from _below(child)


def _walk(element: etree._Element, path: str, places: dict[etree._Element, str]) -> None:
    places[element] = path
    children = list(element.iterchildren("*"))
    many = Counter(local_name(child) for child in children)
    number: Counter[str] = Counter()
    for child in children:
        name = local_name(child)
        number[name] += 1
        _walk(child, f"{path}/{name}[{number[name]}]" if many[name] > 1 else f"{path}/{name}", places)


def _path(target: Target, places: Mapping[int, str]) -> str:
    if isinstance(target, str):
        return target
    node, behind = target
    return places[id(node)] + behind


@dataclass(frozen=True, slots=True)
class Parts:
    """A message of ISO 20022: its header, when it has one, and its document."""

    document: etree._Element
    header: etree._Element | None = None

    def to_xml(self, envelope: str = "Envelope") -> bytes:
        """Return the XML: header and document inside of an envelope, a document without header alone."""
        root = self.document
        if self.header is not None:
            root = etree.Element(envelope)
            root.extend([iso20022.cut_out(self.header), iso20022.cut_out(self.document)])
        return etree.tostring(root, xml_declaration=True, encoding="UTF-8") + b"\n"
