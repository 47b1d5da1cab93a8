"""What a payment asks the simulator to do with it: a word in its end-to-end identification, `SIM-RJCT-AC04`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from shanraq.standards.iso20022.codes import is_code

_PREFIX: Final = "SIM-"
_REASONS: Final = {
    "RJCT": ("ExternalStatusReason1Code", "MS03"),
    "RTRN": ("ExternalReturnReason1Code", "AC04"),
    "RCLL-RJCR": ("ExternalPaymentCancellationRejection1Code", "CUST"),
}
"""The code set of a word's reason, and the reason without one."""


class Word(StrEnum):
    """The triggers."""

    NONE = ""
    RJCT = "RJCT"
    """Reject it, with the reason that follows."""
    PDNG = "PDNG"
    """Say PDNG, and settle it later."""
    ACSP = "ACSP"
    """Say ACSP, and settle it later."""
    LOST = "LOST"
    """Settle it and say so only when asked."""
    UNKN = "UNKN"
    """Decide nothing: PDNG when asked first, RJCT MS03 when asked again."""
    RTRN = "RTRN"
    """Settle it, and return it later, with the reason that follows."""
    RCLL = "RCLL"
    """Settle it; what follows is the answer to a recall: ACCR, RJCR with a reason, PDCR."""


@dataclass(frozen=True, slots=True)
class Trigger:
    """A word with its reason, and for recalls the answer."""

    word: Word = Word.NONE
    reason: str = ""
    answer: str = "ACCR"

    @classmethod
    def of(cls, end_to_end_id: str) -> Trigger:
        """Read the trigger of an end-to-end identification; one that is not known asks for nothing."""
        if not end_to_end_id.startswith(_PREFIX):
            return cls()
        word, *rest = end_to_end_id.removeprefix(_PREFIX).split("-")
        if word not in Word.__members__ or word == "NONE":
            return cls()
        first = rest[0] if rest else ""
        if word == "RCLL":
            answer = first if first in ("ACCR", "RJCR", "PDCR") else "ACCR"
            return cls(Word.RCLL, _reason("RCLL-RJCR", rest[1] if len(rest) > 1 else ""), answer)
        return cls(Word(word), _reason(word, first))


def _reason(word: str, given: str) -> str:
    # What follows may also be the partner's own: a code that is none would make the message invalid.
    if word not in _REASONS:
        return ""
    code_set, usual = _REASONS[word]
    return given if is_code(code_set, given) else usual
