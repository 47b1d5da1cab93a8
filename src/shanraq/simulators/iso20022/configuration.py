"""How the clearing simulator behaves."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from pathlib import Path

from shanraq.simulators.iso20022.credentials import ClearingCredentials


@dataclass(frozen=True)
class ClearingConfiguration:
    """Credentials, where to keep the books (None: in memory), and times in seconds.

    With `cycle_seconds` payments wait (PDNG) for the next cycle of settlement, else they are settled at once.
    `pending_seconds` is how long triggers that decide later take. `opening_balance` is what each participant has in each
    currency, in minor units. Creditor agents in `unknown_banks` are refused (RC04).
    """

    credentials: ClearingCredentials = field(default_factory=ClearingCredentials.generate)
    database: Path | None = None
    control_token: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)
    cycle_seconds: float = 0.0
    pending_seconds: float = 1.0
    opening_balance: int = 10**15
    currencies: tuple[str, ...] = ("KZT",)
    unknown_banks: frozenset[str] = frozenset({"UNKNKZKX"})
    system: str = "ICS"
    message_limit_bytes: int = 64 * 1024 * 1024
