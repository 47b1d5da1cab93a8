"""The layouts that come with the library, by name."""

from __future__ import annotations

from functools import cache
from importlib import resources

from shanraq.standards.iso8583.codec import Codec
from shanraq.standards.iso8583.errors import LayoutError
from shanraq.standards.iso8583.layout import Layout

_FOLDER = resources.files(__package__ or "") / "layouts"


@cache
def layout_names() -> tuple[str, ...]:
    """Return the names of all layouts, sorted."""
    return tuple(sorted(item.name.removesuffix(".json") for item in _FOLDER.iterdir() if item.name.endswith(".json")))


@cache
def layout(name: str) -> Layout:
    """Return a layout by its name; raise LayoutError for a name there is not."""
    if name not in layout_names():
        raise LayoutError(f"there is no layout {name[:64]!r}; there are {', '.join(layout_names())}")
    return Layout.from_json((_FOLDER / f"{name}.json").read_bytes())


@cache
def codec(name: str) -> Codec:
    """Return the codec of a layout by its name; raises as `layout`."""
    return Codec(layout(name))
