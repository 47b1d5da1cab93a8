"""Specification formats of other products, in and out: moov-io/iso8583, jPOS, pyiso8583.

imported = import_layout(data)             # which format it is shows in the content; notes say what is not the same
layout = imported.whole()                  # LayoutError if anything was lost
exported = export_layout(layout, "jpos")
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from shanraq.standards.iso8583.errors import LayoutError
from shanraq.standards.iso8583.formats.draft import parse_json
from shanraq.standards.iso8583.formats.jpos import export_jpos, import_jpos
from shanraq.standards.iso8583.formats.moov import export_moov, import_moov
from shanraq.standards.iso8583.formats.pyiso8583 import export_pyiso8583, import_pyiso8583, pyiso8583_dict
from shanraq.standards.iso8583.formats.report import Exported, Imported, Note
from shanraq.standards.iso8583.layout import Edition, Layout

SpecificationFormat: TypeAlias = Literal["shanraq", "moov", "jpos", "pyiso8583"]

__all__ = [
    "Exported", "Imported", "Note", "SpecificationFormat", "export_jpos", "export_layout", "export_moov", "export_pyiso8583",
    "import_jpos", "import_layout", "import_moov", "import_pyiso8583", "pyiso8583_dict", "recognise",
]  # fmt: skip


def recognise(data: bytes) -> SpecificationFormat:
    """Return the format of a specification by its content; raise LayoutError for what is none of them."""
    if data.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        return "jpos"
    plain = parse_json(data, "specification")
    if "schema" in plain:
        return "shanraq"
    if "fields" in plain:
        return "moov"
    if "t" in plain and "p" in plain:
        return "pyiso8583"
    raise LayoutError(
        "specification: is neither a layout of ours (schema), nor of moov (fields), pyiso8583 (h, t, p) or jPOS (XML)"
    )


def import_layout(data: bytes, *, layout_id: str = "imported", iso_version: Edition = "1987") -> Imported:
    """Read a layout in any of the formats; raise LayoutError naming the place that is wrong."""
    match recognise(data):
        case "shanraq":
            return Imported(Layout.from_json(data), ())
        case "moov":
            return import_moov(data, layout_id=layout_id, iso_version=iso_version)
        case "jpos":
            return import_jpos(data, layout_id=layout_id, iso_version=iso_version)
        case "pyiso8583":
            return import_pyiso8583(data, layout_id=layout_id, iso_version=iso_version)


def export_layout(layout: Layout, form: SpecificationFormat) -> Exported:
    """Write a layout in any of the formats."""
    match form:
        case "shanraq":
            return Exported(layout.to_json().decode() + "\n", ())
        case "moov":
            return export_moov(layout)
        case "jpos":
            return export_jpos(layout)
        case "pyiso8583":
            return export_pyiso8583(layout)
