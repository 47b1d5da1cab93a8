"""What payments keep sealed, for the rotation of master keys."""

from __future__ import annotations

from typing import Final

from shanraq.core.reseal import Sealed
from shanraq.payments.authenticate import SEALED as AUTHENTICATIONS
from shanraq.payments.vault import SEALED as CARDS

SEALED: Final[tuple[Sealed, ...]] = (*CARDS, *AUTHENTICATIONS)
