"""Hosted batches: a CSV file with one operation a line, carried out like single requests, and a file of what came of them.

A file holds card numbers: it is never kept, nor written to the journal. What is kept is its keyed hash, by which it is
recognised when it comes again, and the response file, which shows cards as replies do. One that a stop cut off is sent again:
operations that were carried out before are answered again, the others are done.
"""

from __future__ import annotations

import asyncio
import codecs
import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, Protocol

import msgspec
import structlog

from shanraq.simulators.mastercard.fields import Body, holds_card_number, put
from shanraq.simulators.mastercard.history import text_at
from shanraq.simulators.mastercard.refusal import Refusal
from shanraq.simulators.mastercard.render import moment, reply_of
from shanraq.simulators.mastercard.schema import TRUTHS
from shanraq.simulators.mastercard.validate import check_id
from shanraq.simulators.serve import Reply

log = structlog.get_logger(__name__)

LINE_LIMIT: Final = 100_000
_COLUMNS_LIMIT: Final = 500
_DEPTH: Final = 10
_NAME: Final = re.compile(r"[0-9A-Za-z_.\-]{1,100}", re.ASCII)
_COLUMN: Final = re.compile(r"[0-9A-Za-z_]{1,60}(?:\.[0-9A-Za-z_]{1,60})*", re.ASCII)
_CHARSET: Final = re.compile(r";\s*charset\s*=\s*\"?([0-9A-Za-z_.:\-]{1,40})\"?\s*(?:;|$)", re.ASCII | re.IGNORECASE)
_CHARSETS: Final = frozenset(
    {"iso8859-1", "utf-8", "ascii", "cp1251", "cp1252", "iso8859-5", "iso8859-15", "koi8-r", "cp866"}
)
_LINE_END: Final = re.compile(r"\r\n|\n|\r")
# Named by the path of a single request, so they are no part of its body.
_IDS: Final = ("order.id", "transaction.id")
_OWN: Final = ("apiOperation", *_IDS)
_FLAGS: Final = {"true": True, "false": False}


class Operate(Protocol):
    """Carries out one operation as a single request would."""

    def __call__(self, merchant_id: str, version: str, order_id: str, transaction_id: str, body: Body) -> Body:
        """Return the reply. Raises Refusal."""


class Upload(msgspec.Struct, kw_only=True):
    """A file that was taken in. `response` is the response file's text once all of it is done."""

    merchant_id: str
    name: str
    version: str
    charset: str
    digest: str
    count: int
    time: float
    done: int = 0
    succeeded: int = 0
    finished: bool = False
    response: str = ""


class Uploads:
    """The batches of all merchants. `keep` writes one under its key to the journal, `fingerprint` is a keyed hash."""

    def __init__(
        self,
        operate: Operate,
        keep: Callable[[str, dict[str, Any]], None],
        fingerprint: Callable[[str], str],
        now: Callable[[], float],
    ) -> None:
        self._operate = operate
        self._keep = keep
        self._fingerprint = fingerprint
        self._now = now
        self._uploads: dict[tuple[str, str], Upload] = {}
        self._running: dict[tuple[str, str], asyncio.Task[None]] = {}

    def restore(self, states: Iterable[Mapping[str, Any]]) -> None:
        """Take what the journal kept. What was not finished waits for its file."""
        for state in states:
            upload = msgspec.convert(state, Upload)
            self._uploads[upload.merchant_id, upload.name] = upload

    async def stop(self) -> None:
        """Stop the batches that are under way."""
        running = list(self._running.values())
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def forget(self) -> None:
        """Stop and forget all batches."""
        for task in self._running.values():
            task.cancel()
        self._uploads.clear()

    def take(self, merchant_id: str, version: str, name: str, content_type: str, content: bytes) -> Reply:
        """Take a file in and begin with it: 201, and 200 for the same file again. Raises Refusal; then nothing is done."""
        if not _NAME.fullmatch(name) or holds_card_number(name):
            raise Refusal("batch.name", "INVALID", "The value must be 1 to 100 letters, digits, points, _ and -.")
        charset = _charset_of(content_type)
        text = _decoded(content, charset)
        digest = self._fingerprint(f"{version}\n{charset}\n{text}")
        place = merchant_id, name
        before = self._uploads.get(place)
        if before is not None and before.digest != digest:
            raise Refusal("batch.name", "INVALID", "A batch with this name and other content exists.")
        if before is not None and (before.finished or place in self._running):
            return self._told(before, version, 200)
        columns, rows = read_file(text)
        upload = Upload(
            merchant_id=merchant_id, name=name, version=version, charset=charset, digest=digest, count=len(rows),
            time=self._now() if before is None else before.time,
        )  # fmt: skip
        self._keep_upload(upload)
        self._uploads[place] = upload
        task = asyncio.get_running_loop().create_task(self._carry_out(upload, columns, rows))
        self._running[place] = task
        task.add_done_callback(lambda done: self._ended(place, done))
        return self._told(upload, version, 201 if before is None else 200)

    def status(self, merchant_id: str, version: str, name: str) -> Reply:
        """Return how far a batch is. Raises Refusal for an unknown one."""
        return self._told(self._find(merchant_id, name), version, 200)

    def response(self, merchant_id: str, name: str) -> Reply:
        """Return the response file of a batch. Raises Refusal for an unknown one, and one that is not complete."""
        upload = self._find(merchant_id, name)
        if not upload.finished:
            raise Refusal("batch.name", "INVALID", "The batch is not complete.")
        content = upload.response.encode(upload.charset, "replace")
        return Reply(200, content, f"text/csv;charset={upload.charset}")

    def _find(self, merchant_id: str, name: str) -> Upload:
        upload = self._uploads.get((merchant_id, name))
        if upload is None:
            raise Refusal("batch.name", "INVALID", "Unable to find the batch.")
        return upload

    def _told(self, upload: Upload, version: str, status: int) -> Reply:
        running = (upload.merchant_id, upload.name) in self._running
        batch = {
            "name": upload.name,
            "status": "COMPLETE" if upload.finished else "PROCESSING" if running else "INTERRUPTED",
            "operationCount": upload.count,
            "processedCount": upload.done,
            "successCount": upload.succeeded,
            "timeOfRecord": moment(upload.time),
        }
        return reply_of(
            status, {"batch": batch, "merchant": upload.merchant_id, "result": "SUCCESS", "version": version}
        )

    def _keep_upload(self, upload: Upload) -> None:
        self._keep(f"{upload.merchant_id}/{upload.name}", msgspec.to_builtins(upload))

    async def _carry_out(self, upload: Upload, columns: list[str], rows: list[dict[str, str]]) -> None:
        answered = io.StringIO(newline="")
        writer = csv.writer(answered)
        writer.writerow(columns)
        for row in rows:
            # Other requests are answered in between.
            await asyncio.sleep(0)
            reply = self._one(upload, row)
            own = {name: row[name] if _may_be_shown(row[name]) else "" for name in _OWN}
            writer.writerow([own[name] if name in own else text_at(reply, name) for name in columns])
            upload.done += 1
            upload.succeeded += reply.get("result") == "SUCCESS"
        finished = msgspec.structs.replace(upload, finished=True, response=answered.getvalue())
        self._keep_upload(finished)
        self._uploads[upload.merchant_id, upload.name] = finished

    def _one(self, upload: Upload, row: dict[str, str]) -> Body:
        try:
            for name in _IDS:
                check_id(row[name], name)
                if holds_card_number(row[name]):
                    raise Refusal(name, "INVALID", "The field holds a card number.")
            return self._operate(
                upload.merchant_id, upload.version, row["order.id"], row["transaction.id"], _body_of(row)
            )
        except Refusal as refusal:
            return refusal.body()
        except Exception as error:
            # As for a single request: the others go on, and the log holds nothing of an unforeseen mistake but its kind.
            log.error("mastercard_simulator.upload_line_failed", error=type(error).__name__)  # noqa: TRY400
            return Refusal("", "", "The server failed.", "SERVER_FAILED", 500).body()

    def _ended(self, place: tuple[str, str], task: asyncio.Task[None]) -> None:
        if self._running.get(place) is task:
            del self._running[place]
        if not task.cancelled() and (error := task.exception()) is not None:
            # The file can be sent again.
            log.error("mastercard_simulator.upload_failed", error=type(error).__name__)


def read_file(text: str) -> tuple[list[str], list[dict[str, str]]]:
    """Return the columns of a file, and each operation's values by column. Raises Refusal naming the line or the column."""
    lines = _lines(text)
    first = next(lines, None)
    if first is None:
        raise Refusal("", "INVALID", "The file is empty.")
    columns = first[1]
    _check_columns(columns)
    rows: list[dict[str, str]] = []
    orders: set[str] = set()
    for number, values in lines:
        if len(values) != len(columns):
            raise _wrong(number, f"it has {len(values)} values for {len(columns)} columns")
        row = dict(zip(columns, values, strict=True))
        if row["order.id"] and row["order.id"] in orders:
            raise _wrong(number, "the order has another operation in this file")
        orders.add(row["order.id"])
        rows.append(row)
    if not rows:
        raise Refusal("", "INVALID", "The file holds no operation.")
    return columns, rows


def _lines(text: str) -> Iterator[tuple[int, list[str]]]:
    for number, line in enumerate(_LINE_END.split(text), start=1):
        if len(line) > LINE_LIMIT:
            raise _wrong(number, f"it has more than {LINE_LIMIT} characters")
        if not line:
            continue
        try:
            (values,) = csv.reader([line], strict=True)
        except csv.Error:
            raise _wrong(number, "it is not CSV") from None
        yield number, values


def _check_columns(columns: list[str]) -> None:
    if len(columns) > _COLUMNS_LIMIT:
        raise _wrong(1, f"there may be {_COLUMNS_LIMIT} columns")
    seen: set[str] = set()
    for position, name in enumerate(columns, start=1):
        if not _COLUMN.fullmatch(name) or name.count(".") >= _DEPTH or holds_card_number(name):
            raise _wrong(1, f"column {position} is not the name of a field")
        if name in seen:
            raise _wrong(1, f"column {position} names the field of another")
        seen.add(name)
    for name in columns:
        parts = name.split(".")
        if any(".".join(parts[:end]) in seen for end in range(1, len(parts))):
            raise _wrong(1, "a column names a part of what another names")
    for name in _OWN:
        if name not in seen:
            raise Refusal(name, "MISSING", "The file needs a column for it.")


def _body_of(row: Mapping[str, str]) -> Body:
    body: Body = {}
    for name, value in row.items():
        if not value or name in _IDS:
            continue
        put(body, name, _FLAGS.get(value.lower(), value) if name in TRUTHS else value)
    return body


def _may_be_shown(text: str) -> bool:
    return len(text) <= 40 and not holds_card_number(text)


def _charset_of(content_type: str) -> str:
    found = _CHARSET.search(content_type)
    if found is None:
        return "iso8859-1"
    try:
        name = codecs.lookup(found[1]).name
    except LookupError:
        name = ""
    if name not in _CHARSETS:
        raise Refusal("charset", "UNSUPPORTED", f"The charset must be one of {', '.join(sorted(_CHARSETS))}.")
    return name


def _decoded(content: bytes, charset: str) -> str:
    try:
        return content.decode("utf-8-sig" if charset == "utf-8" else charset)
    except UnicodeDecodeError:
        raise Refusal("charset", "INVALID", f"The file is not in {charset}.") from None


def _wrong(number: int, why: str) -> Refusal:
    return Refusal("", "INVALID", f"Line {number}: {why}.")
