"""Read messages of FIN: strictly, and so that what was read can be written again character by character."""

from __future__ import annotations

import re
from typing import Final

from shanraq.standards.mt.check import check
from shanraq.standards.mt.errors import MtError
from shanraq.standards.mt.message import BasicHeader, Field, InputHeader, Message, OutputHeader, Trailers

MAX_CHARACTERS: Final = 32 * 1024 * 1024
_MAX_TRAILERS: Final = 64
_ADDRESS: Final = "(?P<address>[A-Z]{6}[A-Z0-9]{6})"
_BASIC: Final = re.compile(
    rf"(?P<application>[FAL])(?P<service>[0-9]{{2}}){_ADDRESS}(?P<session>[0-9]{{4}})(?P<sequence>[0-9]{{6}})", re.ASCII
)
_INPUT: Final = re.compile(
    rf"I(?P<message_type>[0-9]{{3}}){_ADDRESS}(?:(?P<priority>[SUN])(?:(?P<monitoring>[1-3])(?P<obsolescence>[0-9]{{3}})?)?)?",
    re.ASCII,
)
_OUTPUT: Final = re.compile(
    rf"O(?P<message_type>[0-9]{{3}})(?P<input_time>[0-9]{{4}})(?P<input_date>[0-9]{{6}}){_ADDRESS}(?P<session>[0-9]{{4}})"
    r"(?P<sequence>[0-9]{6})(?P<output_date>[0-9]{6})(?P<output_time>[0-9]{4})(?P<priority>[SUN]?)",
    re.ASCII,
)
_TRAILER: Final = re.compile(r"\{([0-9A-Z]{3}):([^{}\r\n]*)\}", re.ASCII)
_TAG: Final = re.compile(r":([0-9]{2}[A-Z]?):", re.ASCII)
_BLOCK: Final = re.compile(r"\{([1-5]):")
_FOREIGN: Final = re.compile(r"[^\x20-\x7e\r\n]")
_BARE_END: Final = "-"
_BETWEEN: Final = re.compile(r"[\s$]*")


def read(text: str) -> Message:
    """Return the message of a text: FIN with its blocks, or the fields of block 4 alone, as banks write statements.

    Raises MtError: `empty`, `too_long`, `character`, `line_end`, `block`, `header`, `tag`, `several_messages`, and what `check`
    raises.
    """
    messages = read_all(text)
    if len(messages) != 1:
        raise MtError("several_messages", "", 0, f"there are {len(messages)} messages, and one was expected")
    return messages[0]


def read_all(text: str) -> tuple[Message, ...]:
    """Return the messages of a text one after the other, with nothing or white space and $ between them; raises as `read`."""
    if len(text) > MAX_CHARACTERS:
        raise MtError("too_long", "", 0, f"a text may have {MAX_CHARACTERS} characters")
    if foreign := _FOREIGN.search(text):
        line = text.count("\n", 0, foreign.start()) + 1
        raise MtError("character", "", line, "a character that FIN does not have")
    new_line = "\r\n" if "\r\n" in text else "\n"
    if text.count("\r") != (text.count("\n") if new_line == "\r\n" else 0) or (
        new_line == "\r\n" and text.count("\r\n") != text.count("\n")
    ):
        raise MtError("line_end", "", 0, "lines end with carriage return and line feed, or with line feed; not both")
    plain = text.replace("\r\n", "\n")
    if not plain.strip(" \n$"):
        raise MtError("empty", "", 0, "there is no message")
    if plain.lstrip().startswith(":"):
        return tuple(_bare(plain, new_line))
    reader = _Reader(plain, new_line)
    found = []
    while not reader.at_end():
        found.append(reader.message())
    return tuple(found)


class _Reader:
    """A place in a text, and what begins there."""

    def __init__(self, text: str, new_line: str) -> None:
        self._text = text
        self._new_line = new_line
        self._at = 0
        self._line = 1
        self._skip()

    def at_end(self) -> bool:
        return self._at == len(self._text)

    def message(self) -> Message:
        first = self._line
        basic = self._header("1", _BASIC)
        application = self._header("2", _INPUT, _OUTPUT)
        user = self._trailers("3")
        fields = self._fields()
        trailer = self._trailers("5")
        self._skip()
        header = {name: value or "" for name, value in application.groupdict().items()}
        message = Message(
            header["message_type"],
            fields,
            BasicHeader(**basic.groupdict()),
            InputHeader(**header) if application[0][0] == "I" else OutputHeader(**header),
            user,
            trailer,
            self._new_line,
        )
        return _checked(message, first)

    def _header(self, block: str, *forms: re.Pattern[str]) -> re.Match[str]:
        start = self._begin(block)
        end = self._text.find("}", start)
        for form in forms:
            if end >= 0 and (found := form.fullmatch(self._text, start, end)) is not None:
                self._move(end + 1)
                return found
        raise MtError("header", f"{{{block}:}}", self._line, "the header does not have its form")

    def _begin(self, block: str) -> int:
        opening = f"{{{block}:"
        if not self._text.startswith(opening, self._at):
            found = _BLOCK.match(self._text, self._at)
            what = f"block {found[1]}" if found else "something else"
            raise MtError("block", f"{{{block}:}}", self._line, f"block {block} is due, and {what} stands there")
        return self._at + len(opening)

    def _trailers(self, block: str) -> Trailers | None:
        if not self._text.startswith(f"{{{block}:", self._at):
            return None
        at = self._begin(block)
        found: list[tuple[str, str]] = []
        while (trailer := _TRAILER.match(self._text, at)) is not None:
            found.append((trailer[1], trailer[2]))
            at = trailer.end()
            if len(found) > _MAX_TRAILERS:
                raise MtError("block", f"{{{block}:}}", self._line, f"there are more than {_MAX_TRAILERS} values")
        if not found or not self._text.startswith("}", at):
            raise MtError("block", f"{{{block}:}}", self._line, "the block is made of {tag:value}")
        self._move(at + 1)
        return tuple(found)

    def _fields(self) -> tuple[Field, ...]:
        start = self._begin("4")
        if not self._text.startswith("\n", start):
            raise MtError("block", "{4:}", self._line, "the text block begins with a new line")
        end = self._text.find("\n-}", start)
        if end < 0:
            raise MtError("block", "{4:}", self._line, "the text block does not end with -}")
        fields = _split(self._text[start + 1 : end].split("\n") if end > start else [], self._line + 1)
        self._move(end + 3)
        return fields

    def _skip(self) -> None:
        found = _BETWEEN.match(self._text, self._at)
        assert found is not None  # it matches nothing as well
        self._move(found.end())

    def _move(self, at: int) -> None:
        self._line += self._text.count("\n", self._at, at)
        self._at = at


def _bare(text: str, new_line: str) -> list[Message]:
    """Read fields without blocks: each message begins with :20: and may end with a line of one hyphen."""
    found: list[Message] = []
    lines = text.rstrip("\n ").split("\n")
    start = next(number for number, line in enumerate(lines) if line.strip())
    begins = [start, *(n for n in range(start + 1, len(lines)) if lines[n].startswith(":20:"))]
    for begin, end in zip(begins, [*begins[1:], len(lines)], strict=True):
        own = lines[begin:end]
        while own and not own[-1].strip(" $"):
            own.pop()
        hyphen = own.pop() if own and own[-1] == _BARE_END else ""
        fields = _split(own, begin + 1)
        message = Message(_type_of(fields), fields, new_line=new_line, end=hyphen)
        found.append(_checked(message, begin + 1))
    return found


def _type_of(fields: tuple[Field, ...]) -> str:
    tags = {each.tag for each in fields}
    for message_type, signs in (("942", {"34F", "13D"}), ("940", {"60F", "60M"}), ("103", {"23B", "71A"})):
        if tags & signs:
            return message_type
    raise MtError("unknown_type", "", fields[0].line if fields else 0, "neither a header nor the fields tell the type")


def _split(lines: list[str], line: int) -> tuple[Field, ...]:
    found: list[Field] = []
    text: list[str] = []
    tag, begin = "", line
    for number, content in enumerate(lines, line):
        mark = _TAG.match(content)
        if mark is not None:
            if tag:
                found.append(Field(tag, "\n".join(text), begin))
            tag, begin, text = mark[1], number, [content[mark.end() :]]
        elif not tag or content.startswith((":", "-")):
            raise MtError("tag", tag, number, "a line that neither begins a field nor goes on with one")
        else:
            text.append(content)
    if tag:
        found.append(Field(tag, "\n".join(text), begin))
    return tuple(found)


def _checked(message: Message, line: int) -> Message:
    try:
        return check(message)
    except MtError as error:
        raise MtError(error.code, error.tag, error.line or line, error.message) from None
