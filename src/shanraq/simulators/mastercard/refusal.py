"""The error with which the gateway refuses a request."""

from __future__ import annotations

from typing import Any


class Refusal(Exception):  # noqa: N818 - the gateway's word for it, as in the other simulators.
    """Refuse a request: nothing is done, and the reply names the field.

    `validation_type` is INVALID, MISSING or UNSUPPORTED; an empty one, or an empty field, is left out of the reply.
    """

    def __init__(
        self,
        field: str,
        validation_type: str,
        explanation: str,
        cause: str = "INVALID_REQUEST",
        status: int = 400,
    ) -> None:
        super().__init__(f"{cause}: {field}: {explanation}")
        self.field = field
        self.validation_type = validation_type
        self.explanation = explanation
        self.cause = cause
        self.status = status

    def body(self) -> dict[str, Any]:
        """Return the reply's JSON."""
        error = {"cause": self.cause, "explanation": self.explanation}
        if self.field:
            error["field"] = self.field
        if self.validation_type:
            error["validationType"] = self.validation_type
        return {"error": error, "result": "ERROR"}
