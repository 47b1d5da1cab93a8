"""ISO 8583: read, write and explain card messages of any layout.

from shanraq.standards import iso8583

codec = iso8583.codec("iso87_asciibin")   # or Codec(Layout.from_json(text)) for a layout of your own
message = codec.decode(raw)               # Iso8583Error: code, field, offset, level, and what could be read
message.fields[4]                         # text; bytes are upper-case hex
print(message)                            # masked
assert codec.encode(message) == raw
"""

from shanraq.standards.iso8583.codec import Codec
from shanraq.standards.iso8583.engines import Engine, engine, engines
from shanraq.standards.iso8583.errors import Iso8583Error, LayoutError, Level
from shanraq.standards.iso8583.framing import Framing, FramingError, framing, framing_names
from shanraq.standards.iso8583.layout import Layout
from shanraq.standards.iso8583.library import codec, layout, layout_names
from shanraq.standards.iso8583.mask import SENSITIVE_TAGS, mask_number, mask_text, mask_track
from shanraq.standards.iso8583.message import Message, Span

__all__ = [
    "SENSITIVE_TAGS", "Codec", "Engine", "Framing", "FramingError", "Iso8583Error", "Layout", "LayoutError", "Level", "Message",
    "Span", "codec", "engine", "engines", "framing", "framing_names", "layout", "layout_names", "mask_number", "mask_text",
    "mask_track",
]  # fmt: skip
