"""Which fields a message has, in which order and how often, and the rules between them (SWIFT message reference guides)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Slot:
    """A place for one of several tags; `most` is None without a bound. `sequence` is the sub-message it is in."""

    tags: tuple[str, ...]
    least: int
    most: int | None
    sequence: str = ""

    @property
    def name(self) -> str:
        """Return what the place is called: the tag, or number and `a` where there are several options."""
        return self.tags[0] if len(self.tags) == 1 else f"{self.tags[0][:2]}a"


@dataclass(frozen=True, slots=True)
class Group:
    """Slots that repeat together; the first one begins each round."""

    slots: tuple[Slot, ...]


Structure = tuple[Slot | Group, ...]


def _slots(text: str, sequence: str = "") -> tuple[Slot, ...]:
    """Read a list such as `20 13C* 50A|50F|50K 36?`: `?` may be missing, `*` repeats."""
    found = []
    for word in text.split():
        sign = word[-1] if word[-1] in "?*+" else ""
        tags = tuple(word.rstrip("?*+").split("|"))
        found.append(Slot(tags, 0 if sign in ("?", "*") else 1, None if sign in ("*", "+") else 1, sequence))
    return tuple(found)


_ENTRIES: Final = Group(_slots("61 86?"))

STRUCTURES: Final[dict[str, Structure]] = {
    "103": _slots(
        "20 13C* 23B 23E* 26T? 32A 33B? 36? 50A|50F|50K 51A? 52A|52D? 53A|53B|53D? 54A|54B|54D? 55A|55B|55D? 56A|56C|56D? "
        "57A|57B|57C|57D? 59|59A|59F 70? 71A 71F* 71G? 72? 77B? 77T?"
    ),
    "202": _slots("20 21 13C* 32A 52A|52D? 53A|53B|53D? 54A|54B|54D? 56A|56D? 57A|57B|57D? 58A|58D 72?"),
    "202COV": _slots("20 21 13C* 32A 52A|52D? 53A|53B|53D? 54A|54B|54D? 56A|56D? 57A|57B|57D? 58A|58D 72?", "A")
    + _slots("50A|50F|50K 52A|52D? 56A|56C|56D? 57A|57B|57C|57D? 59|59A|59F 70? 72? 33B?", "B"),
    "900": _slots("20 21 25|25P 13D? 32A 52A|52D? 72?"),
    "910": _slots("20 21 25|25P 13D? 32A 50A|50F|50K? 52A|52D? 56A|56D? 72?"),
    "940": (*_slots("20 21? 25|25P 28C 60F|60M"), _ENTRIES, *_slots("62F|62M 64? 65* 86?")),
    "942": (*_slots("20 21? 25|25P 28C 34F+ 13D"), _ENTRIES, *_slots("90D? 90C? 86?")),
}
"""By message type; 202COV is what {119:COV} makes of a 202."""

STP_TAGS: Final = frozenset(
    {"20", "13C", "23B", "23E", "26T", "32A", "33B", "36", "50A", "50F", "50K", "52A", "53A", "53B", "54A", "55A", "56A", "57A",
     "59", "59A", "59F", "70", "71A", "71F", "71G", "72", "77B"}
)  # fmt: skip
"""What a MT103 with {119:STP} may have: agents are named by their BIC."""
STP_INSTRUCTIONS: Final = frozenset({"CORT", "INTC", "SDVA", "REPA"})
MANY: Final = {"34F": 2}
"""Repetitions with a bound."""
