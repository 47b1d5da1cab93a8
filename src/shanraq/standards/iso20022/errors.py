"""What can be wrong with a message as a whole, and what the layers of validation find in it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Severity(StrEnum):
    """How grave a finding is: only errors make a message invalid."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


class Layer(StrEnum):
    """Where a finding comes from, in the order in which the layers look."""

    SAFETY = "safety"
    LEXICAL = "lexical"
    SCHEMA = "xsd"
    CODES = "codes"
    IDENTIFIERS = "identifiers"
    CROSS = "cross"
    PROFILE = "profile"
    STORE = "store"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that does not hold.

    `path` is made of local names from /Document or /AppHdr, with an index only where siblings repeat; "" is the whole message.
    `line` counts from 1 in the file that was read, 0 when unknown. `message` never shows values of the message. `reason` is a
    code of ExternalStatusReason1Code, or "".
    """

    code: str
    severity: Severity
    layer: Layer
    path: str
    line: int
    message: str
    reason: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return the finding as JSON knows it."""
        return asdict(self)


class Iso20022Error(ValueError):
    """Bytes that cannot be taken as a message: unsafe, not well-formed, or of a kind there is no definition of.

    `path`, `line` and `reason` are those of Finding. `message` is words and numbers, never values of the message.
    """

    def __init__(self, code: str, path: str, line: int, message: str, *, reason: str = "FF01") -> None:
        super().__init__(message)
        self.code = code
        self.path = path
        self.line = line
        self.message = message
        self.reason = reason

    def __str__(self) -> str:
        where = self.path or "message"
        return f"{where}, line {self.line}: {self.message}" if self.line else f"{where}: {self.message}"

    def to_finding(self, layer: Layer = Layer.SAFETY) -> Finding:
        """Return the error as the finding of a layer."""
        return Finding(self.code, Severity.ERROR, layer, self.path, self.line, self.message, self.reason)


class DefinitionError(ValueError):
    """A schema that is no message definition of ISO 20022, or that must not be added; `code` is stable, the text says where."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
