"""Write messages of FIN."""

from __future__ import annotations

from dataclasses import replace

from shanraq.standards.mt.check import check
from shanraq.standards.mt.errors import MtError
from shanraq.standards.mt.message import BasicHeader, InputHeader, Message, OutputHeader, Trailers
from shanraq.standards.mt.read import read


def write(message: Message) -> str:
    """Return the text of a message, without anything behind its last block; raise MtError as `check` does.

    A message without headers is written as the fields of block 4 alone.
    """
    checked = check(message)
    fields = [f":{each.tag}:{each.text}" for each in checked.fields]
    if checked.basic is None or checked.application is None:
        text = "\n".join([*fields, *([checked.end] if checked.end else [])])
    else:
        blocks = [f"{{1:{_basic(checked.basic)}}}", f"{{2:{_application(checked.application)}}}"]
        blocks += [_block("3", checked.user), "{4:\n" + "\n".join([*fields, "-}"]), _block("5", checked.trailer)]
        text = "".join(blocks)
    text = text.replace("\n", message.new_line)
    # What a caller put together may hold a line that looks like a field, or a header of another form: then it reads otherwise.
    if replace(read(text), message_type=message.message_type, new_line=message.new_line) != checked:
        raise MtError("form", "", 0, "the message would be read otherwise than it was meant")
    return text


def _basic(header: BasicHeader) -> str:
    return f"{header.application}{header.service}{header.address}{header.session}{header.sequence}"


def _application(header: InputHeader | OutputHeader) -> str:
    if isinstance(header, InputHeader):
        return f"I{header.message_type}{header.address}{header.priority}{header.monitoring}{header.obsolescence}"
    return (
        f"O{header.message_type}{header.input_time}{header.input_date}{header.address}{header.session}{header.sequence}"
        f"{header.output_date}{header.output_time}{header.priority}"
    )


def _block(number: str, trailers: Trailers | None) -> str:
    if trailers is None:
        return ""
    return f"{{{number}:{''.join(f'{{{tag}:{value}}}' for tag, value in trailers)}}}"
