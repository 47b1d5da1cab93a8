"""`shanraq iso20022`: validate and explain payment messages, and add message definitions."""

from __future__ import annotations

import datetime as dt
import os
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Final

from lxml import etree
from rich.console import Console
from rich.table import Table
from rich.text import Text

from shanraq.standards import iso20022
from shanraq.standards.iso20022.definition import dump, value_type
from shanraq.standards.iso20022.paths import local_name, path_of

SUFFIX: Final = ".definition"
_MAX_SCHEMA_BYTES: Final = 8 * 1024 * 1024
_MAX_SCHEMAS: Final = 5000
_LONG_BYTES: Final = 4 * 1024 * 1024  # about 5 000 payments: beyond that a message is read piece by piece
# Elements whose values are facts about the message, not about people, companies or their money.
_OPEN: Final = frozenset(
    {"NbOfTxs", "CreDtTm", "CreDt", "MsgDefIdr", "BizSvc", "CpyDplct", "CpyDplctInd", "PmtMtd", "SttlmMtd", "ChrgBr",
     "CdtDbtInd", "OrgnlMsgNmId", "ReqdMsgNmId", "InstrPrty", "SttlmPrty", "SeqTp", "Prty",
     "BtchBookg", "RvslInd", "PgNb", "LastPgInd"}
)  # fmt: skip


def load_library(folder: Path) -> iso20022.Library:
    """Return the definitions of the package and those added to a folder; raise DefinitionError, naming the file."""
    library = iso20022.Library.packaged()
    for path in sorted(folder.glob(f"*{SUFFIX}")) if folder.is_dir() else ():
        try:
            library.add(path.read_bytes())
        except iso20022.DefinitionError as error:
            raise iso20022.DefinitionError(error.code, f"{path}: {error}") from None
    return library


def read_option(text: str) -> tuple[str, Any]:
    """Return name and value of `name=value`: true, false and whole numbers become such; raise ValueError."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise ValueError(f"{text!r} is not NAME=VALUE")
    if value in ("true", "false"):
        return name, value == "true"
    return name, int(value) if value.isascii() and value.isdigit() and (value == "0" or value[0] != "0") else value


def read_moment(text: str) -> dt.datetime:
    """Return a moment such as 2026-11-23T06:00:00Z, taken as UTC without an offset; raise ValueError."""
    moment = dt.datetime.fromisoformat(text)
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=dt.UTC)


def validate_files(
    files: Iterable[Path],
    library: iso20022.Library,
    *,
    profile: str,
    as_of: dt.datetime | None,
    options: Mapping[str, Any],
    store: Sequence[bytes],
) -> Iterator[dict[str, Any]]:
    """Yield for each file {"file", "message", "valid", "findings"}; a file that cannot be read has the finding `unreadable`.

    Long files are read piece by piece.
    """
    for path in files:
        try:
            if path.stat().st_size > _LONG_BYTES:
                with path.open("rb") as file:
                    report = iso20022.validate_stream(
                        file, profile=profile, as_of=as_of, options=options, store=store, definitions=library
                    )
            else:
                report = iso20022.validate(
                    path.read_bytes(), profile=profile, as_of=as_of, options=options, store=store, definitions=library
                )
        except OSError as error:
            finding = iso20022.Iso20022Error("unreadable", "", 0, error.strerror or "cannot be read").to_finding()
            report = iso20022.Report("", (finding,))
        yield {"file": str(path), **report.to_dict()}


def add_schemas(sources: Iterable[Path], folder: Path, library: iso20022.Library) -> Iterator[dict[str, Any]]:
    """Take XML schemas out of files, folders and zip archives into a folder of definitions; yield what became of each.

    One object a schema: {"file", "message", "added"}, with "code" and "reason" where it is refused. `added` is false for
    what is known with the same content.
    """
    for name, data in _schemas(sources):
        try:
            if isinstance(data, iso20022.DefinitionError):
                raise data
            definition = iso20022.read_schema(data)
            message_id = str(definition.message_id)
            if PurePosixPath(name).name != f"{message_id}.xsd":
                raise iso20022.DefinitionError(
                    "namespace", f"the schema is of {message_id}, the file is called otherwise"
                )
            definition.compile()
            new = library.check_new(definition)
            if new:
                text = dump([definition]).encode()
                _write(folder / f"{message_id}{SUFFIX}", text)
                library.add(text)
        except iso20022.DefinitionError as error:
            yield {"file": name, "message": "", "added": False, "code": error.code, "reason": str(error)}
        else:
            yield {"file": name, "message": message_id, "added": new}


def describe_file(path: Path, library: iso20022.Library, console: Console, *, raw: bool) -> bool:
    """Show a message for people, values masked unless `raw`; return whether it could be read."""
    try:
        identity = iso20022.identify(iso20022.parse(_read(path)))
        iso20022.check_identity(identity)
    except (OSError, iso20022.Iso20022Error) as error:
        console.print(Text.assemble(("error ", "bold red"), f"{path}: {error}"))
        return False
    envelope = f" in {identity.root[1]}" if identity.enveloped else ""
    console.print(Text.assemble((str(identity.message_id), "bold"), f"{envelope}, {path}"))
    for part in (*identity.headers, *identity.documents):
        definition = None if part.message_id is None else library.find(part.message_id)
        console.print(_table(iso20022.cut_out(part.element), definition, raw=raw))
    return True


def mask(value: str) -> str:
    """Return a value with all but its first and last two characters hidden, short ones whole."""
    return f"{value[:2]}{'*' * min(len(value) - 4, 12)}{value[-2:]}" if len(value) > 8 else "*" * len(value)


def _table(element: etree._Element, definition: iso20022.Definition | None, *, raw: bool) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    for current in element.iter(tag=etree.Element):
        depth = sum(1 for _ in current.iterancestors())
        name = Text("  " * depth + local_name(current), style="bold" if len(current) else "")
        kind = None if definition is None else definition.at(path_of(current))
        value = None if kind is None else value_type(kind.type)
        text = "" if len(current) else (current.text or "").strip()
        hidden = "***" if value is not None and value.base == "decimal" else mask(text)
        shown = text if raw or _is_open(local_name(current), value) or not text else hidden
        currency = current.get("Ccy")
        table.add_row(
            name, Text(f"{shown} {currency}" if currency else shown), Text(value.name if value else "", style="dim")
        )
    return table


def _is_open(name: str, value: iso20022.SimpleType | None) -> bool:
    return name in _OPEN or (value is not None and (bool(value.enumeration) or value.external))


def _read(path: Path) -> bytes:
    limit = iso20022.Limits().size_bytes
    with path.open("rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise iso20022.Iso20022Error("too_large", "", 0, f"at most {limit} bytes are read")
    return data


def _schemas(sources: Iterable[Path]) -> Iterator[tuple[str, bytes | iso20022.DefinitionError]]:
    for source in sources:
        try:
            if source.is_dir():
                for path in sorted(source.rglob("*.xsd")):
                    yield str(path), _bounded(path)
            elif zipfile.is_zipfile(source):
                yield from _zipped(source)
            else:
                yield str(source), _bounded(source)
        except (OSError, zipfile.BadZipFile) as error:
            yield str(source), iso20022.DefinitionError("unreadable", f"{type(error).__name__}: cannot be read")


def _zipped(source: Path) -> Iterator[tuple[str, bytes | iso20022.DefinitionError]]:
    """Yield the schemas of an archive; nothing is unpacked to disk, and no member is read further than a schema may be long."""
    with zipfile.ZipFile(source) as archive:
        members = [each for each in archive.infolist() if each.filename.endswith(".xsd") and not each.is_dir()]
        if len(members) > _MAX_SCHEMAS:
            yield str(source), iso20022.DefinitionError("too_large", f"more than {_MAX_SCHEMAS} schemas")
            return
        for member in members:
            with archive.open(member) as file:
                yield f"{source}/{member.filename}", _limited(file.read(_MAX_SCHEMA_BYTES + 1))


def _bounded(path: Path) -> bytes | iso20022.DefinitionError:
    with path.open("rb") as file:
        return _limited(file.read(_MAX_SCHEMA_BYTES + 1))


def _limited(data: bytes) -> bytes | iso20022.DefinitionError:
    if len(data) > _MAX_SCHEMA_BYTES:
        return iso20022.DefinitionError("too_large", f"more than {_MAX_SCHEMA_BYTES} bytes")
    return data


def _write(path: Path, text: bytes) -> None:
    """Put a file in its place whole: a reader sees the old one, the new one, or none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, suffix=".new")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
