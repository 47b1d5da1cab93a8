"""`shanraq iso8583`: read, write, explain and diagnose messages, one a line."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from shanraq.standards import iso8583
from shanraq.standards.iso8583.doctor import Reading, diagnose
from shanraq.standards.iso8583.files import FileFormat, read_records
from shanraq.standards.iso8583.formats import (
    Exported,
    Imported,
    Note,
    SpecificationFormat,
    export_layout,
    import_layout,
)
from shanraq.standards.iso8583.rules import Rules, check_rules, rule_set, rule_set_names

_CLASSES: Final = {
    "1": "authorization", "2": "financial", "3": "file action", "4": "reversal or chargeback", "5": "reconciliation",
    "6": "administrative", "7": "fee collection", "8": "network management",
}  # fmt: skip
_FUNCTIONS: Final = {
    "0": "request", "1": "response", "2": "advice", "3": "advice response", "4": "notification", "5": "acknowledgement",
    "6": "instruction", "7": "instruction acknowledgement", "8": "positive acknowledgement", "9": "negative acknowledgement",
}  # fmt: skip
_ORIGINS: Final = {
    "0": "acquirer", "1": "acquirer, repeat", "2": "issuer", "3": "issuer, repeat", "4": "other", "5": "other, repeat"
}  # fmt: skip
_EDITIONS: Final = {"0": "1987", "1": "1993", "2": "2003", "8": "national", "9": "private"}


def find_codec(spec: str, on_loss: Callable[[Note], None] = lambda loss: None) -> iso8583.Codec:
    """Return the codec of a layout by its name or the path of its file, in our format or a foreign one; raise LayoutError.

    `on_loss` is told what a foreign specification says that a layout cannot.
    """
    if spec in iso8583.layout_names():
        return iso8583.codec(spec)
    imported = find_specification(spec)
    for loss in imported.losses:
        on_loss(loss)
    return iso8583.Codec(imported.layout)


def find_specification(spec: str) -> Imported:
    """Return a layout by its name or the path of its file, with notes of what did not come along; raise LayoutError."""
    if spec in iso8583.layout_names():
        return Imported(iso8583.layout(spec), ())
    path = Path(spec)
    if not path.is_file():
        names = ", ".join(iso8583.layout_names())
        raise iso8583.LayoutError(f"{spec!r} is neither a layout nor a file; layouts: {names}")
    return import_layout(path.read_bytes(), layout_id=path.stem)


def convert_specification(spec: str, form: SpecificationFormat) -> Exported:
    """Return a specification in another format; its notes name every difference, on the way in and out. Raises LayoutError."""
    imported = find_specification(spec)
    exported = export_layout(imported.layout, form)
    return Exported(exported.text, imported.notes + exported.notes)


def find_rules(name: str) -> Rules:
    """Return rules by their name or the path of their file; raise LayoutError."""
    if name in rule_set_names():
        return rule_set(name)
    path = Path(name)
    if not path.is_file():
        raise iso8583.LayoutError(
            f"{name!r} is neither a set of rules nor a file; rules: {', '.join(rule_set_names())}"
        )
    return Rules.from_json(path.read_bytes())


def check_lines(lines: Iterable[bytes], codec: iso8583.Codec, rules: Rules) -> Iterator[dict[str, Any]]:
    """Yield for each line of hex the message's type and what does not hold by the rules, or its error."""

    def check(line: bytes) -> dict[str, Any]:
        message = codec.decode(_from_hex(line))
        found = [
            {"code": finding.code, "field": finding.field, "expected": finding.expected}
            for finding in check_rules(message, rules)
        ]
        return {"mti": message.mti, "findings": found}

    return _each(lines, check)


def decode_file(
    path: Path, form: FileFormat, codec: iso8583.Codec, level: iso8583.Level, *, raw: bool
) -> Iterator[dict[str, Any]]:
    """Yield for each record of a file the message, masked unless `raw`, or its error; last the error of the file, if any."""

    def decode(record: bytes) -> dict[str, Any]:
        message = codec.decode(record, level)
        return message.to_dict() if raw else message.masked()

    with path.open("rb") as file:
        records = read_records(file, form)
        while True:
            try:
                record = next(records, None)
            except iso8583.Iso8583Error as error:
                yield {"file_error": error_as_json(error)}
                return
            if record is None:
                return
            try:
                yield decode(record)
            except iso8583.Iso8583Error as error:
                yield {"error": error_as_json(error)}


def decode_lines(
    lines: Iterable[bytes], codec: iso8583.Codec, level: iso8583.Level, *, raw: bool
) -> Iterator[dict[str, Any]]:
    """Yield for each line of hex the message, masked unless `raw`, or its error."""

    def decode(line: bytes) -> dict[str, Any]:
        message = codec.decode(_from_hex(line), level)
        return message.to_dict() if raw else message.masked()

    return _each(lines, decode)


def encode_lines(lines: Iterable[bytes], codec: iso8583.Codec, level: iso8583.Level) -> Iterator[str | dict[str, Any]]:
    """Yield for each line of JSON, as `decode` prints it, the message in hex, or its error."""

    def encode(line: bytes) -> str:
        try:
            message = iso8583.Message.from_dict(msgspec.json.decode(line, type=dict))
        except (ValueError, TypeError) as error:
            raise _bad_input(f"is not a message as JSON: {error}") from None
        return codec.encode(message, level).hex().upper()

    return _each(lines, encode)


def _each(lines: Iterable[bytes], work: Callable[[bytes], Any]) -> Iterator[Any]:
    for line in lines:
        text = line.strip()
        if not text:
            continue
        try:
            yield work(text)
        except iso8583.Iso8583Error as error:
            yield {"error": error_as_json(error)}


def error_as_json(error: iso8583.Iso8583Error) -> dict[str, Any]:
    """Return an error as the command line prints it."""
    return {
        "code": error.code,
        "field": error.field,
        "offset": error.offset if error.offset >= 0 else None,
        "level": error.level.value,
        "message": error.message,
    }


def _from_hex(line: bytes) -> bytes:
    try:
        return bytes.fromhex(line.decode("ascii"))
    except ValueError:
        raise _bad_input("is not a message in hex digits") from None


def _bad_input(message: str) -> iso8583.Iso8583Error:
    return iso8583.Iso8583Error("bad_input", "input", 0, message)


def describe(line: bytes, codec: iso8583.Codec, console: Console) -> bool:
    """Print a message for people, masked; return whether it could be read whole."""
    error: iso8583.Iso8583Error | None = None
    try:
        raw = _from_hex(line.strip())
        message: iso8583.Message | None = codec.decode(raw)
    except iso8583.Iso8583Error as found:
        error, message = found, found.partial
    if message is not None and message.mti:
        _print_message(message, codec.layout, console)
    if error is not None:
        console.print(Text.assemble(("error ", "bold red"), f"{error} ({error.code}, {error.level.value})"))
    return error is None


def _print_message(message: iso8583.Message, layout: iso8583.Layout, console: Console) -> None:
    shown = message.masked()
    mti = message.mti
    meaning = " ".join(
        names.get(digit, "?") for names, digit in zip((_EDITIONS, _CLASSES, _FUNCTIONS, _ORIGINS), mti, strict=False)
    )
    console.print(Text.assemble((mti, "bold cyan"), "  ", meaning, "  ", (f"layout {layout.id}", "dim")))
    if shown["header"]:
        console.print(Text.assemble(("header ", "dim"), str(shown["header"])))
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column, justify in (("DE", "right"), ("at", "right"), ("bytes", "right"), ("name", "left"), ("value", "left")):
        table.add_column(column, justify=justify, overflow="fold")  # type: ignore[arg-type]
    for number in message.fields:
        span, key = message.spans[number], str(number)
        name = layout.fields[number].name
        table.add_row(
            Text(key, "cyan"), str(span.start), str(span.end - span.data), Text(name), Text(shown["fields"][key] or "-")
        )
        for path, text in _flat(shown["parts"].get(key)):
            table.add_row("", "", "", Text(f"  {path}", "dim"), Text(text))
    console.print(table)


def _flat(parts: Any, path: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(parts, str):
        yield path, parts
    elif isinstance(parts, dict):
        for name, value in parts.items():
            if name == "id":
                continue
            inner = path if name == "items" else f"{path}.{name}".lstrip(".")
            yield from _flat(value, f"{path}{parts['id']}" if name == "items" and "id" in parts else inner)
    elif isinstance(parts, list):
        for item in parts:
            if isinstance(item, dict):
                yield from _flat(item, path)
            else:
                yield from _flat(item[1], f"{path}.{item[0]}".lstrip("."))


def examine(line: bytes, console: Console, *, most: int = 5) -> bool:
    """Print what a capture probably is and why; return whether a layout holds."""
    try:
        raw = _from_hex(line.strip())
    except iso8583.Iso8583Error as error:
        console.print(Text.assemble(("error ", "bold red"), str(error)))
        return False
    readings = diagnose(raw, [iso8583.codec(name) for name in iso8583.layout_names()])
    right = [reading for reading in readings if reading.level is not None]
    for reading in (right or readings)[:most]:
        _print_reading(reading, console)
    if not right:
        console.print("no layout holds; those above came furthest")
    return bool(right)


def _print_reading(reading: Reading, console: Console) -> None:
    held = {None: "broken", iso8583.Level.STRUCTURE: "structure", iso8583.Level.CONTENT: "content"}.get(
        reading.level, "all"
    )
    count = len(reading.message.fields) if reading.message else 0
    console.print(
        Text.assemble(
            (f"{reading.layout:24}", "bold cyan" if reading.level else "dim"), f" framing {reading.framing}; ",
            f"holds: {held}; {count} elements, {reading.read_bytes} of {reading.total_bytes} bytes; ", (reading.why, "dim"),
        )
    )  # fmt: skip
