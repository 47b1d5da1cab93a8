"""How ISO 8583 is written on a line, from settings."""

from __future__ import annotations

from pathlib import Path

from shanraq.core.settings import InvalidSettingError
from shanraq.standards.iso8583 import Framing, FramingError, Layout, LayoutError, framing, layout, layout_names


def layout_setting(name: str, text: str) -> Layout:
    """Return a layout by its name or file. Raises InvalidSettingError."""
    try:
        if text in layout_names():
            return layout(text)
        return Layout.from_json(Path(text).read_bytes())
    except OSError:
        raise InvalidSettingError(
            f"{text!r} is neither a layout (see `shanraq iso8583 specs`) nor a file", field=f"{name}.layout"
        ) from None
    except LayoutError as error:
        raise InvalidSettingError(str(error), field=f"{name}.layout") from None


def framing_setting(name: str, kind: str, tpdu: str) -> Framing:
    """Return a framing by its name, with a TPDU in hex if it has one. Raises InvalidSettingError."""
    try:
        routing = bytes.fromhex(tpdu) if tpdu else None
    except ValueError:
        raise InvalidSettingError("must be hex", field=f"{name}.tpdu") from None
    try:
        return framing(kind, tpdu=routing)
    except FramingError as error:
        raise InvalidSettingError(error.message, field=f"{name}.framing") from None
