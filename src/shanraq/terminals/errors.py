"""What can be wrong with a terminal."""

from __future__ import annotations

from shanraq.core.errors import ConflictError, InvalidInputError, NotFoundError


class TerminalNotFoundError(NotFoundError, code="terminal_not_found", status=404):
    """There is no such terminal, or it is not yours."""


class TerminalTakenError(ConflictError, code="terminal_taken", status=409):
    """A terminal with this terminal and acceptor id is registered already."""


class InvalidTerminalError(InvalidInputError, code="invalid_terminal", status=400):
    """A terminal id has 1 to 16, an acceptor id 1 to 35 printable ASCII characters without blanks around them."""
