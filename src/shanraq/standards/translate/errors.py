"""What keeps a message from being written in another standard."""

from __future__ import annotations


class TranslationError(ValueError):
    """A message that cannot be written in the other standard.

    `place` is a path of the input or of the output. `supply` is the key with which the caller can give what is missing, "" when
    that does not help. Codes: `incomplete`, `supply`, `not_of_type`, `amount`, `decimals`, `currency`, `another_message`,
    `signed`, `several_messages`. `message` never shows values.
    """

    def __init__(self, code: str, place: str, message: str, *, supply: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.place = place
        self.message = message
        self.supply = supply

    def __str__(self) -> str:
        return f"{self.place or 'message'}: {self.message}"


def incomplete(place: str, key: str, what: str) -> TranslationError:
    """Return the error for what the output must have and the input does not say."""
    return TranslationError("incomplete", place, f"{what}; supply it as {key}=...", supply=key)
