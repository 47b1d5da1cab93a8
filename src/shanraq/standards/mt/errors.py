"""What can be wrong with a message of FIN, with the place of it."""

from __future__ import annotations


class MtError(ValueError):
    """A text that is no message of FIN, or a message that must not be written.

    `tag` is the field (`32A`), the block (`{1:}`) or "" for the whole; `line` counts from 1 in the text, 0 when there is none.
    `code` is stable. `message` is words and numbers, never values of the message.
    """

    def __init__(self, code: str, tag: str, line: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.tag = tag
        self.line = line
        self.message = message

    def __str__(self) -> str:
        where = self.tag or "message"
        return f"{where}, line {self.line}: {self.message}" if self.line else f"{where}: {self.message}"
