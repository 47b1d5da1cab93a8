"""The list of rules in the documentation is the list of rules in the code."""

from __future__ import annotations

from pathlib import Path

from shanraq.standards.iso20022.errors import Severity
from shanraq.standards.iso20022.rules import all_rules

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "iso20022-rules.md"


def table() -> str:
    """Return the list of rules as the document has it."""
    lines = ["| rule | layer | reason | messages | on by | what holds |", "|---|---|---|---|---|---|"]
    for rule in all_rules():
        grade = "" if rule.severity is Severity.ERROR else f", {rule.severity}"
        messages = ", ".join(rule.messages) or "all"
        title = rule.title.replace("|", "\\|")
        switch = f"`{rule.setting}`" if rule.setting else ""
        lines.append(f"| `{rule.code}` | {rule.layer}{grade} | {rule.reason} | {messages} | {switch} | {title} |")
    return "\n".join(lines)


def test_the_document_lists_every_rule_as_it_is() -> None:
    assert table() in DOCUMENT.read_text("utf-8")


if __name__ == "__main__":
    print(table())  # noqa: T201
