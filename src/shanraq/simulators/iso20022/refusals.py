"""What the clearing system does not take, for good: nothing of it was or will be done."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from shanraq.simulators.serve import Reply


class RefusedError(Exception):
    """A definitive refusal: an HTTP status, a stable code, words without values of the message, and findings."""

    def __init__(self, status: int, code: str, detail: str, findings: Sequence[dict[str, object]] = ()) -> None:
        super().__init__(f"{code}: {detail}")
        self.status = status
        self.code = code
        self.detail = detail
        self.findings = findings

    def reply(self) -> Reply:
        """Return the answer."""
        return problem(self.status, self.code, self.detail, self.findings)


def problem(status: int, code: str, detail: str, findings: Sequence[dict[str, object]] = ()) -> Reply:
    """Return an answer in the form of problem details (RFC 9457)."""
    body: dict[str, object] = {"code": code, "title": code.replace("_", " "), "status": status, "detail": detail}
    if findings:
        body["findings"] = findings
    return Reply(status, msgspec.json.encode(body), "application/problem+json")
