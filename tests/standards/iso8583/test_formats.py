"""Specifications in the formats of other products: what is read out of them, and what is refused."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

import pytest

from shanraq.standards import iso8583
from shanraq.standards.iso8583 import Codec, Layout, LayoutError, Message
from shanraq.standards.iso8583.formats import (
    export_jpos,
    export_layout,
    export_moov,
    import_jpos,
    import_layout,
    import_moov,
    import_pyiso8583,
    pyiso8583_dict,
    recognise,
)


def moov_field(kind: str, length: int, enc: str, prefix: str, **more: Any) -> dict[str, Any]:
    return {"type": kind, "length": length, "description": f"{kind} {enc}", "enc": enc, "prefix": prefix, **more}


def moov(**fields: Any) -> dict[str, Any]:
    head = {
        "0": moov_field("String", 4, "ASCII", "ASCII.Fixed"),
        "1": moov_field("Bitmap", 8, "Binary", "Binary.Fixed"),
    }
    return {"name": "Own", "fields": {**head, **{name.removeprefix("f"): field for name, field in fields.items()}}}


TAGGED = {
    "type": "Composite", "length": 999, "description": "Tagged", "prefix": "ASCII.LLL",
    "tag": {"length": 2, "enc": "ASCII", "padding": {"type": "Left", "pad": "0"}, "sort": "StringsByInt"},
    "subfields": {
        "01": moov_field("String", 99, "ASCII", "ASCII.LL"),
        "02": {"type": "Composite", "length": 99, "description": "Inner", "prefix": "ASCII.LL",
               "tag": {"length": 1, "enc": "ASCII"}, "subfields": {"1": moov_field("String", 9, "ASCII", "ASCII.L")}},
    },
}  # fmt: skip
POSITIONAL = {
    "type": "Composite", "length": 6, "description": "Code", "prefix": "ASCII.Fixed", "tag": {"sort": "StringsByInt"},
    "subfields": {str(at): moov_field("String", 2, "ASCII", "ASCII.Fixed") for at in (1, 2, 3)},
}  # fmt: skip
BITMAPPED = {
    "type": "Composite", "length": 255, "description": "Bits", "prefix": "Binary.L",
    "bitmap": moov_field("Bitmap", 1, "Binary", "Binary.Fixed", disableAutoExpand=True),
    "subfields": {"2": moov_field("Numeric", 3, "BCD", "BCD.Fixed"), "8": moov_field("String", 9, "ASCII", "BCD.L")},
}  # fmt: skip
CHIP = {
    "type": "Composite", "length": 999, "description": "Chip", "prefix": "ASCII.LLL",
    "tag": {"enc": "BerTLVTag", "sort": "StringsByHex", "storeUnknownTLVTags": True, "prefUnknownTLV": "BerTLV"},
    "subfields": {"9F02": moov_field("Binary", 6, "Binary", "BerTLV")},
}  # fmt: skip
MOOV = moov(
    f2=moov_field("String", 19, "ASCII", "ASCII.LL"),
    f3=POSITIONAL,
    f4=moov_field("Numeric", 12, "BCD", "BCD.Fixed", padding={"type": "Left", "pad": "0"}),
    f23=moov_field("String", 3, "LBCD", "BCD.Fixed"),
    f35=moov_field("Track2", 37, "ASCII", "ASCII.LL"),
    f41=moov_field("String", 8, "EBCDIC1047", "EBCDIC.Fixed"),
    f42=moov_field("String", 15, "ASCII", "ASCII.Fixed", padding={"type": "Right", "pad": " "}),
    f48=TAGGED,
    f52=moov_field("Binary", 8, "HexToASCII", "Hex.Fixed"),
    f53=moov_field("Hex", 8, "Binary", "Binary.Fixed"),
    f55=CHIP,
    f62=BITMAPPED,
    f63=moov_field("Binary", 999, "Binary", "BCD.LLL"),
    f120=moov_field("String", 9999, "ASCII", "Binary.LL"),
)


def test_a_specification_of_moov_reads_and_writes_messages() -> None:
    imported = import_moov(json.dumps(MOOV))
    codec = Codec(imported.whole())
    message = Message(
        "0100",
        {2: "4111111111111111", 3: "301020", 4: "000000012500", 23: "001", 35: "4111=29", 41: "[A]B^C|!", 42: "SHOP".ljust(15),
         52: "0011223344556677", 53: "8899AABBCCDDEEFF", 63: "FF", 120: "x"},
        parts={48: {"items": [["01", "Z"], ["02", [["1", "Q"]]]]}, 55: [["9F02", "000000012500"]],
               62: {"items": {"2": "123", "8": "AB"}}},
    )  # fmt: skip

    raw = codec.encode(message)
    found = codec.decode(raw)

    assert raw[:4] == b"0100"
    assert found.fields[48] == "0101Z020311Q"
    assert found.fields[62] == "410123024142"
    assert found.parts[3] == {"1": "30", "2": "10", "3": "20"}
    assert found.parts[48] == message.parts[48]
    assert found.parts[55] == message.parts[55]
    assert found.parts[62] == message.parts[62]
    assert codec.encode(found) == raw
    assert not imported.losses


def test_parts_inside_of_parts_come_along_and_go_out_again() -> None:
    inner = copy.deepcopy(BITMAPPED) | {
        "subfields": {"2": POSITIONAL, "3": CHIP, "8": moov_field("String", 9, "ASCII", "BCD.L")}
    }
    outer = copy.deepcopy(BITMAPPED) | {"subfields": {"1": inner}}
    parts = {
        62: {"items": {"1": {"items": {"2": {"1": "30", "2": "10", "3": "20"}, "3": [["9F02", "01"]], "8": "AB"}}}}
    }
    layout = import_moov(moov(f62=outer)).whole()

    raw = Codec(layout).encode(Message("0100", parts=parts))
    again = import_moov(export_moov(layout).whole()).whole()

    assert (
        raw[12:].hex() == "13" + "80" + "11" + "61" + b"301020".hex() + b"004".hex() + "9f020101" + "02" + b"AB".hex()
    )
    assert Codec(again).decode(raw).parts == parts == Codec(layout).decode(raw).parts
    assert Codec(again).encode(Message("0100", parts=parts)) == raw


def test_what_moov_does_otherwise_is_remarked() -> None:
    remarks = {(note.place, note.kind) for note in import_moov(MOOV).notes}

    assert remarks == {("4", "remark"), ("42", "remark"), ("48", "remark"), ("48.02", "remark"), ("55", "remark")}


def test_a_mapping_as_yaml_gives_it_is_read_alike() -> None:
    def numbered(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {
            int(name) if str(int(name) if name.isdigit() else "") == name else name: numbered(part)
            for name, part in value.items()
        }

    assert import_moov(numbered(MOOV)) == import_moov(json.dumps(MOOV))
    with pytest.raises(LayoutError, match="comes twice"):
        import_moov({"fields": {2: {}, "2": {}}})
    with pytest.raises(LayoutError, match="mapping"):
        import_moov({None: {}})  # type: ignore[dict-item]


@pytest.mark.parametrize(
    ("bitmap", "maps"),
    [
        ({"length": 8}, (1, 2, True)),
        ({"length": 16}, (2, 2, False)),
        ({"length": 8, "disableAutoExpand": True}, (1, 1, False)),
        ({"length": 24}, (3, 3, False)),
    ],
)
def test_the_length_of_the_bitmap_says_how_many_there_are(bitmap: dict[str, Any], maps: tuple[int, int, bool]) -> None:
    plain = moov(f2=moov_field("String", 19, "ASCII", "ASCII.LL"))
    plain["fields"]["1"] |= bitmap

    found = import_moov(plain).layout.bitmap

    assert (found.min_maps, found.max_maps, found.extension_bit) == maps


@pytest.mark.parametrize("family", ["ASCII", "BCD", "EBCDIC", "Binary"])
@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_every_prefix_of_moov_is_written_as_moov_writes_it(family: str, width: int) -> None:
    codec = Codec(import_moov(moov(f48=moov_field("Binary", 9, "Binary", f"{family}.{'L' * width}"))).whole())

    raw = codec.encode(Message("0100", {48: "AA" * 7}))[12:-7]

    decimal = f"{7:0{width}d}"
    assert raw == {
        "ASCII": decimal.encode(), "EBCDIC": decimal.encode("cp037"), "Binary": (7).to_bytes(width, "big"),
        "BCD": bytes.fromhex(decimal.zfill(width + width % 2)),
    }[family]  # fmt: skip


@pytest.mark.parametrize(
    ("field", "place"),
    [
        (moov_field("Binary", 9, "Binary", "Hex.LL"), "48"),
        (copy.deepcopy(TAGGED) | {"tag": {"length": 2, "enc": "BCD"}}, "48"),
        (copy.deepcopy(BITMAPPED) | {"bitmap": moov_field("Bitmap", 1, "HexToASCII", "Hex.Fixed")}, "48"),
        (copy.deepcopy(POSITIONAL) | {"subfields": {"1": moov_field("String", 9, "ASCII", "ASCII.L")}}, "48.1"),
        (moov_field("String", 3, "EBCDIC", "EBCDIC.Fixed"), "48"),
    ],
)
def test_what_a_layout_cannot_say_is_a_loss_with_its_place(field: dict[str, Any], place: str) -> None:
    imported = import_moov(moov(f41=moov_field("String", 8, "EBCDIC1047", "EBCDIC.Fixed"), f48=field))

    assert [note.place for note in imported.losses] == [place]
    with pytest.raises(LayoutError, match=f"^{place}: "):
        imported.whole()


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"0": None}, "fields.0"),
        ({"0": moov_field("String", 4, "LBCD", "BCD.Fixed")}, r"fields\.0\.enc"),
        ({"1": moov_field("Bitmap", 7, "Binary", "Binary.Fixed")}, r"fields\.1"),
        ({"1": moov_field("Bitmap", 8, "EBCDIC", "EBCDIC.Fixed")}, r"fields\.1"),
        ({"x": moov_field("String", 4, "ASCII", "ASCII.Fixed")}, "fields: 'x'"),
        ({"02": moov_field("String", 4, "ASCII", "ASCII.Fixed")}, "fields: '02'"),
        ({"2": moov_field("Text", 4, "ASCII", "ASCII.Fixed")}, r"2\.type"),
        ({"2": moov_field("String", 4, "UTF8", "ASCII.Fixed")}, r"2\.enc"),
        ({"2": moov_field("String", 4, "ASCII", "ASCII.Variable")}, r"2\.prefix"),
        ({"2": moov_field("String", -1, "ASCII", "ASCII.Fixed")}, r"2\.length"),
        ({"2": moov_field("String", True, "ASCII", "ASCII.Fixed")}, r"2\.length"),
        ({"2": {"type": "String"}}, r"2\.enc"),
        ({"2": copy.deepcopy(POSITIONAL) | {"subfields": {"1": moov_field("String", 2, "UTF8", "ASCII.Fixed")}}}, r"2\.1\.enc"),
        ({"2": copy.deepcopy(POSITIONAL) | {"subfields": []}}, "2"),
    ],
)  # fmt: skip
def test_what_is_no_specification_of_moov_is_refused_with_the_place(change: dict[str, Any], place: str) -> None:
    plain = moov()
    plain["fields"] |= change

    with pytest.raises(LayoutError, match=place):
        import_moov(json.dumps(plain))


def test_a_specification_without_type_or_bitmap_is_refused() -> None:
    plain = moov()
    for name, place in (("0", "message type"), ("1", "bitmap")):
        with pytest.raises(LayoutError, match=place):
            import_moov({"fields": {key: field for key, field in plain["fields"].items() if key != name}})


def nested(levels: int) -> dict[str, Any]:
    found = moov_field("String", 9, "ASCII", "ASCII.L")
    for _ in range(levels):
        found = {
            "type": "Composite",
            "length": 9,
            "prefix": "ASCII.L",
            "tag": {"length": 1, "enc": "ASCII"},
            "subfields": {"1": found},
        }
    return found


def test_depth_and_size_are_bounded() -> None:
    assert import_moov(moov(f48=nested(5))).whole()
    with pytest.raises(LayoutError, match="levels"):
        import_moov(moov(f48=nested(40)))
    with pytest.raises(LayoutError, match=r"nested too deep|fields"):
        import_moov('{"fields":' * 100_000 + "1" + "}" * 100_000)
    with pytest.raises(LayoutError, match="bytes"):
        import_moov(b" " * 5_000_000)
    with pytest.raises(LayoutError, match="bytes"):
        import_jpos(b" " * 5_000_000)


# jPOS


def jpos(*lines: str, head: str = "", bitmap: str = "IFB_BITMAP") -> str:
    mti = '<isofield id="0" length="4" name="Type" class="org.jpos.iso.IFA_NUMERIC"/>'
    maps = f'<isofield id="1" length="16" name="Bitmap" class="org.jpos.iso.{bitmap}"/>'
    return f'<?xml version="1.0" encoding="UTF-8"?>{head}<isopackager>{mti}{maps}{"".join(lines)}</isopackager>'


def isofield(number: int, length: int, name: str, more: str = "") -> str:
    return f'<isofield id="{number}" length="{length}" name="Own {number}" class="org.jpos.iso.{name}" {more}/>'


@pytest.mark.parametrize(
    ("name", "more", "value", "wire"),
    [
        ("IF_CHAR", "", "AB", b"AB"),
        ("IF_ECHAR", "", "AB", b"\xc1\xc2"),
        ("IFA_NUMERIC", "", "12", b"12"),
        ("IFA_LCHAR", "", "AB", b"2AB"),
        ("IFA_LLCHAR", "", "AB", b"02AB"),
        ("IFA_LLLCHAR", "", "AB", b"002AB"),
        ("IFA_LLLLCHAR", "", "AB", b"0002AB"),
        ("IFA_LLLLLCHAR", "", "AB", b"00002AB"),
        ("IFA_LLLLLLCHAR", "", "AB", b"000002AB"),
        ("IFA_LLNUM", "", "12", b"0212"),
        ("IFA_LLLNUM", "", "12", b"00212"),
        ("IFA_BINARY", "", "ABCD", b"ABCD"),
        ("IFA_LLBINARY", "", "ABCD", b"02\xab\xcd"),
        ("IFA_LLLLLLBINARY", "", "ABCD", b"000002\xab\xcd"),
        ("IFA_LLABINARY", "", "ABCD", b"02ABCD"),
        ("IFA_LLBNUM", "", "12", b"02\x12"),
        ("IFA_AMOUNT", "", "C1", b"C1"),
        ("IFB_NUMERIC", 'pad="true"', "12", b"\x12"),
        ("IFB_LLNUM", 'pad="true"', "1", b"\x01\x01"),
        ("IFB_LLNUM", 'pad="false"', "1", b"\x01\x10"),
        ("IFB_LLNUM", "", "1", b"\x01\x10"),
        ("IFB_FLLNUM", "", "1", b"\x01\x1f"),
        ("IFB_LLLNUM", "", "12", b"\x00\x02\x12"),
        ("IFB_LLHNUM", "", "12", b"\x02\x12"),
        ("IFB_LLCHAR", "", "AB", b"\x02AB"),
        ("IFB_LLLCHAR", "", "AB", b"\x00\x02AB"),
        ("IFB_LLLLCHAR", "", "AB", b"\x00\x02AB"),
        ("IFB_LLHCHAR", "", "AB", b"\x02AB"),
        ("IFB_LLLHCHAR", "", "AB", b"\x00\x02AB"),
        ("IFB_LLHECHAR", "", "AB", b"\x02\xc1\xc2"),
        ("IFB_LLLHECHAR", "", "AB", b"\x00\x02\xc1\xc2"),
        ("IFB_BINARY", "", "ABCD", b"\xab\xcd"),
        ("IFB_LLBINARY", "", "ABCD", b"\x02\xab\xcd"),
        ("IFB_LLLBINARY", "", "ABCD", b"\x00\x02\xab\xcd"),
        ("IFB_LLHBINARY", "", "ABCD", b"\x02\xab\xcd"),
        ("IFB_LLLHBINARY", "", "ABCD", b"\x00\x02\xab\xcd"),
        ("IFB_LLHEX", "", "1D", b"\x02\x1d"),
        ("IFB_AMOUNT", "", "C1", b"C\x01"),
        ("IFE_CHAR", "", "AB", b"\xc1\xc2"),
        ("IFE_NUMERIC", "", "12", b"\xf1\xf2"),
        ("IFE_LLCHAR", "", "AB", b"\xf0\xf2\xc1\xc2"),
        ("IFE_LLLCHAR", "", "[]", b"\xf0\xf0\xf2\xad\xbd"),
        ("IFE_LLNUM", "", "12", b"\xf0\xf2\xf1\xf2"),
        ("IFE_LLLBINARY", "", "ABCD", b"\xf0\xf0\xf2\xab\xcd"),
        ("IFE_AMOUNT", "", "C1", b"\xc3\xf1"),
        ("IFEA_LLCHAR", "", "AB", b"\xf0\xf2AB"),
        ("IFEB_LLNUM", "", "12", b"\xf0\xf2\x12"),
        ("IFAE_LLCHAR", "", "AB", b"02\xc1\xc2"),
    ],
)  # fmt: skip
def test_every_class_family_of_jpos_is_written_as_jpos_writes_it(name: str, more: str, value: str, wire: bytes) -> None:
    length = 2 if "L" in name.partition("_")[2][:2] or value[:1] in "AC1[" else 1
    codec = Codec(import_jpos(jpos(isofield(60, length, name, more))).whole())

    raw = codec.encode(Message("0100", {60: value}))

    assert raw[12:] == wire
    assert codec.decode(raw).fields == {60: value}


def test_parts_of_jpos_split() -> None:
    inner = isofield(0, 8, "IFB_BITMAP") + isofield(2, 99, "IFB_LLCHAR") + isofield(3, 4, "IFB_NUMERIC")
    bitmapped = (
        '<isofieldpackager id="62" length="255" name="Bits" class="org.jpos.iso.IFB_LLLBINARY"'
        f' packager="org.jpos.iso.packager.GenericSubFieldPackager" emitBitmap="true">{inner}</isofieldpackager>'
    )
    pieces = isofield(1, 2, "IF_CHAR") + isofield(2, 4, "IFA_NUMERIC")
    positional = (
        '<isofieldpackager id="63" length="6" name="Pieces" class="org.jpos.iso.IF_CHAR" emitBitmap="false"'
        f' packager="org.jpos.iso.packager.GenericSubFieldPackager">{pieces}</isofieldpackager>'
    )
    codec = Codec(import_jpos(jpos(bitmapped, positional)).whole())
    parts = {62: {"items": {"2": "AB", "3": "1234"}}, 63: {"1": "XY", "2": "0042"}}

    raw = codec.encode(Message("0100", parts=parts))

    assert raw[12:].hex() == "0013" + "6000000000000000" + "024142" + "1234" + b"XY0042".hex()
    assert codec.decode(raw).parts == parts


@pytest.mark.parametrize(
    ("line", "place", "kind"),
    [
        (isofield(60, 9, "IFA_TTLLCHAR"), "60", "loss"),
        (isofield(60, 9, "IFE_BINARY"), "60", "loss"),
        (isofield(60, 9, "com.example.Own"), "60", "loss"),
        (isofield(60, 9, "IF_NOP"), "60", "remark"),
        (isofield(60, 9, "IFB_LLLLHNUM"), "60", "loss"),
        (isofield(65, 8, "IFB_BITMAP"), "65", "remark"),
        (isofield(129, 8, "IF_CHAR"), "129", "remark"),
        (isofield(130, 8, "IF_CHAR"), "130", "loss"),
        (isofield(60, 0, "IF_CHAR"), "60", "remark"),
        (isofield(60, 9, "IF_CHAR") * 2, "60", "loss"),
        ('<isofieldpackager id="60" length="9" name="" class="IF_CHAR" packager="com.example.Own">'
         + isofield(1, 9, "IF_CHAR") + "</isofieldpackager>", "60", "loss"),
        ('<isofieldpackager id="60" length="9" name="" class="IF_CHAR" emitBitmap="false">'
         + isofield(1, 9, "IFA_LLCHAR") + "</isofieldpackager>", "60.1", "loss"),
    ],
)  # fmt: skip
def test_what_cannot_come_along_from_jpos_is_noted(line: str, place: str, kind: str) -> None:
    notes = import_jpos(jpos(line)).notes

    assert [(note.place, note.kind) for note in notes] == [(place, kind)]


DOCTYPE = '<!DOCTYPE isopackager PUBLIC "-//jPOS/jPOS Generic Packager DTD 1.0//EN" "genericpackager.dtd">'


def test_the_usual_doctype_is_passed_over() -> None:
    assert 2 in import_jpos(jpos(isofield(2, 19, "IFA_LLNUM"), head=DOCTYPE)).whole().fields


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (jpos(head='<!DOCTYPE a [<!ENTITY b "c">]>'), "DOCTYPE"),
        (jpos(head='<!DOCTYPE a SYSTEM "x.dtd" [<!ENTITY % p SYSTEM "file:///etc/passwd"> %p;]>'), "DOCTYPE"),
        (jpos(head='<!DOCTYPE a [<!ATTLIST isofield id CDATA "1">]>'), "DOCTYPE"),
        (jpos("&own;", head=DOCTYPE), "entities"),
        (jpos("&own;"), "is no XML"),
        ("<isopackager>", "is no XML"),
        ("", "is no XML"),
        ('<?xml version="1.0" encoding="no-such"?><isopackager/>', "xml|is no XML"),
        ("<other/>", "isopackager is expected"),
        ('<isopackager emitBitmap="false"/>', "without a bitmap"),
        ("<isopackager/>", "message type"),
        ("<isopackager>" + "<isofieldpackager>" * 20 + "</isofieldpackager>" * 20 + "</isopackager>", "levels"),
        (jpos('<isofield length="1" class="IF_CHAR"/>'), "has no id"),
        (jpos('<isofield id="2" class="IF_CHAR"/>'), "has no length"),
        (jpos('<isofield id="2" length="1"/>'), "has no class"),
        (jpos('<isofield id="2" length="-1" class="IF_CHAR"/>'), "is no length"),
        (jpos('<isofield id="２" length="1" class="IF_CHAR"/>'), "no element number"),
        (jpos('<other id="2" length="1" class="IF_CHAR"/>'), "there is no 'other'"),
        (jpos(bitmap="IFE_BITMAP"), "a bitmap is"),
        (jpos(bitmap="IF_CHAR"), "a bitmap is"),
        (jpos().replace("IFA_NUMERIC", "IFA_LLNUM"), "message type"),
    ],
)
def test_what_is_no_packager_definition_is_refused(text: str, reason: str) -> None:
    with pytest.raises(LayoutError, match=reason):
        import_jpos(text)


def packager(inner: str, name: str = "IFB_LLLBINARY", more: str = 'emitBitmap="true"') -> str:
    return (
        f'<isofieldpackager id="60" length="99" name="" class="org.jpos.iso.{name}" {more}>{inner}</isofieldpackager>'
    )


@pytest.mark.parametrize(
    ("line", "notes"),
    [
        (packager(isofield(0, 16, "IFB_BITMAP") + isofield(2, 9, "IF_CHAR")), [("60", "remark")]),
        (packager(isofield(0, 16, "IFB_BITMAP") + isofield(70, 9, "IF_CHAR")), [("60", "loss")]),
        (packager(isofield(0, 8, "IFA_BITMAP") + isofield(2, 9, "IF_CHAR")), [("60", "loss")]),
        (packager(isofield(1, 9, "IF_CHAR")), [("60", "loss")]),
        (packager(isofield(0, 8, "IFB_BITMAP") + isofield(2, 9, "com.Own")), [("60.2", "loss")]),
        (packager(isofield(1, 9, "IF_CHAR"), "IFB_LLNUM", 'emitBitmap="false"'), [("60", "loss")]),
        (packager(isofield(1, 3, "IFB_NUMERIC"), more='emitBitmap="false"'), [("60.1", "loss")]),
        (packager(isofield(1, 4, "IFB_NUMERIC") + isofield(2, 4, "IFA_BINARY"), more='emitBitmap="false"'), []),
        (packager(isofield(1, 4, "IFE_CHAR") + isofield(2, 5, "IFB_AMOUNT"), more='emitBitmap="false"'), []),
    ],
)  # fmt: skip
def test_packagers_inside_of_elements(line: str, notes: list[tuple[str, str]]) -> None:
    imported = import_jpos(jpos(line))

    assert [(note.place, note.kind) for note in imported.notes] == notes
    assert 60 in imported.layout.fields


@pytest.mark.parametrize(
    ("field", "loss"),
    [
        ({"encoding": "ebcdic", "prefix": {"encoding": "bcd", "bytes": 1, "digits": 2}}, "left out"),
        ({"encoding": "ascii", "prefix": {"encoding": "binary", "bytes": 3}}, "left out"),
        ({"encoding": "hex_ascii", "prefix": {"encoding": "ebcdic", "bytes": 2, "digits": 2}}, "left out"),
        ({"encoding": "bcd", "prefix": {"encoding": "ascii", "bytes": 2, "digits": 2},
          "pad_nibble": {"side": "right", "value": "F"}}, "left out"),
        ({"encoding": "bcd", "prefix": {"encoding": "bcd", "bytes": 1, "digits": 2},
          "pad_nibble": {"side": "left", "value": "A"}}, "fills up with A"),
    ],
)  # fmt: skip
def test_what_no_class_of_jpos_writes_is_a_loss(field: dict[str, Any], loss: str) -> None:
    plain = json.loads(iso8583.layout("iso87e").to_json())
    unit = {"bcd": "digits", "hex_ascii": "bytes"}.get(field["encoding"], "characters")
    length = {"kind": "variable", "max": 9, "unit": unit, "prefix": field.pop("prefix")}
    plain["fields"] = {"60": {"name": "Own", "class": "ans", "length": length, **field}}

    losses = export_jpos(Layout.from_json(json.dumps(plain))).losses

    assert [note.place for note in losses] == ["charset", "60"]
    assert loss in losses[1].reason


@pytest.mark.parametrize(
    ("field", "notes"),
    [
        (moov_field("Bitmap", 8, "Binary", "Binary.Fixed"), [("48", "loss")]),
        (moov_field("Binary", 8, "ASCII", "ASCII.LL"), [("48", "remark")]),
        (moov_field("String", 8, "ASCIIToHex", "ASCII.LL"), [("48", "remark")]),
        (moov_field("Binary", 8, "HexToASCII", "ASCII.LL"), [("48", "remark")]),
        (moov_field("Numeric", 8, "ASCII", "ASCII.LL"), [("48", "remark")]),
        (copy.deepcopy(BITMAPPED) | {"bitmap": moov_field("Bitmap", 1, "Binary", "Binary.Fixed")}, [("48", "remark")]),
        (
            copy.deepcopy(BITMAPPED) | {"subfields": {"2": moov_field("Binary", 9, "Binary", "Hex.L")}},
            [("48.2", "loss")],
        ),
        (
            copy.deepcopy(POSITIONAL) | {"subfields": {"1": moov_field("String", 3, "BCD", "BCD.Fixed")}},
            [("48.1", "loss")],
        ),
        (copy.deepcopy(POSITIONAL) | {"subfields": {"1": moov_field("String", 6, "EBCDIC", "EBCDIC.Fixed")}}, []),
        (copy.deepcopy(POSITIONAL) | {"prefix": "Hex.LL"}, [("48", "loss")]),
        (copy.deepcopy(POSITIONAL) | {"subfields": {}}, []),
    ],
)
def test_elements_of_moov_that_look_otherwise_here(field: dict[str, Any], notes: list[tuple[str, str]]) -> None:
    assert [(note.place, note.kind) for note in import_moov(moov(f48=field)).notes] == notes


def test_an_element_among_the_first_bits_is_left_out_with_a_note() -> None:
    fields = {
        "f65": moov_field("Bitmap", 8, "Binary", "Binary.Fixed"),
        "f200": moov_field("String", 1, "ASCII", "ASCII.Fixed"),
    }
    imported = import_moov(moov(**fields))

    assert [(note.place, note.kind) for note in imported.notes] == [("65", "remark")]
    assert imported.layout.bitmap.max_maps == 4


# pyiso8583


def pyiso(**fields: Any) -> dict[str, Any]:
    plain = {"data_enc": "ascii", "len_enc": "ascii", "len_type": 0, "desc": "Own"}
    head = {"h": plain | {"max_len": 0}, "t": plain | {"max_len": 4}, "p": plain | {"data_enc": "b", "max_len": 8},
            "1": plain | {"data_enc": "b", "max_len": 8}}  # fmt: skip
    return head | {name.removeprefix("f"): plain | field for name, field in fields.items()}


def test_a_specification_of_pyiso8583_is_read() -> None:
    spec = pyiso(
        f2={"data_enc": "b", "len_enc": "bcd", "len_type": 1, "max_len": 19, "len_count": "nibbles", "right_pad": "f"},
        f3={"max_len": 6}, f41={"data_enc": "cp500", "max_len": 8}, f48={"data_enc": "cp500", "len_enc": "cp500", "len_type": 3,
        "max_len": 999},
        f55={"data_enc": "b", "len_enc": "b", "len_type": 2, "max_len": 999}, h={"data_enc": "b", "max_len": 5},
    )  # fmt: skip
    codec = Codec(import_pyiso8583(json.dumps(spec)).whole())

    raw = codec.encode(Message("0100", {2: "123", 3: "000000", 41: "A" * 8, 48: "B", 55: "9F02"}, header="6000310019"))

    assert raw[5:9] == b"0100"
    assert raw[17:20].hex() == "03123f"
    assert raw[-8:].hex() == "f0f0f1c2" + "00029f02"
    assert codec.decode(raw).header == "6000310019"


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"t": None}, "t: must be a mapping"),
        ({"h": {"max_len": 5, "len_type": 2, "data_enc": "b"}}, "h: "),
        ({"p": {"data_enc": "cp500", "max_len": 16, "len_type": 0}}, r"p\.data_enc"),
        ({"2": {"data_enc": "nothing", "max_len": 1, "len_type": 0}}, r"2\.data_enc"),
        ({"2": {"data_enc": "ascii", "max_len": -1, "len_type": 0}}, r"2\.max_len"),
        ({"2": {"data_enc": "ascii", "max_len": 1}}, r"2\.len_type"),
        ({"2": {"data_enc": "b", "max_len": 1, "len_type": 0, "len_count": "bits"}}, r"2\.len_count"),
        ({"two": {"data_enc": "b", "max_len": 1, "len_type": 0}}, "two"),
        ({"2": {"data_enc": "b", "max_len": 1, "len_type": 0, "len_count": "nibbles", "left_pad": "x"}}, "pad_nibble"),
        ({"2": {"data_enc": "ascii", "max_len": 1, "len_type": 9, "len_enc": "ascii"}}, "fields.2"),
    ],
)
def test_what_is_no_specification_of_pyiso8583_is_refused(change: dict[str, Any], place: str) -> None:
    with pytest.raises(LayoutError, match=place):
        import_pyiso8583(json.dumps(pyiso() | change))


@pytest.mark.parametrize("name", ["h", "t", "p"])
def test_a_specification_of_pyiso8583_without_its_head_is_refused(name: str) -> None:
    with pytest.raises(LayoutError, match=name):
        import_pyiso8583({key: value for key, value in pyiso().items() if key != name})


def test_a_header_that_is_no_ascii_and_a_type_in_latin1_are_read() -> None:
    imported = import_pyiso8583(pyiso(h={"max_len": 4, "data_enc": "cp500"}, t={"max_len": 4, "data_enc": "latin-1"}))

    assert [(note.place, note.kind) for note in imported.notes] == [("h", "loss")]
    assert imported.layout.header is not None
    assert (imported.layout.header.value_form, imported.layout.mti.encoding, imported.layout.charset) == (
        "hex",
        "ascii",
        None,
    )


def test_text_counted_in_half_bytes_is_a_loss() -> None:
    imported = import_pyiso8583(
        pyiso(f2={"max_len": 4, "len_count": "nibbles"}, f3={"data_enc": "utf-8", "max_len": 4})
    )

    assert [note.place for note in imported.losses] == ["2", "3.data_enc"]


# All of them


def test_formats_are_told_by_their_content() -> None:
    layout = iso8583.layout("iso87b")

    for form in ("shanraq", "moov", "jpos", "pyiso8583"):
        text = export_layout(layout, form).text.encode()
        assert recognise(text) == form
        assert import_layout(b"\n " + text if form != "jpos" else text).layout.fields
    assert import_layout(layout.to_json()).whole() == layout
    for nothing in (b"", b"[]", b"{}", b"\xff", b'{"a": 1}', b"null"):
        with pytest.raises(LayoutError):
            recognise(nothing)


def test_the_losses_of_an_export_have_places() -> None:
    assert {note.place for note in export_moov(iso8583.layout("mc_ipm")).losses} >= {"bitmap", "charset", "43", "48"}
    assert {note.place for note in export_jpos(iso8583.layout("nac_bcd")).losses} >= {"header"}
    assert "28" in {note.place for note in pyiso8583_dict(iso8583.layout("iso87b"))[1] if note.kind == "loss"}
    with pytest.raises(LayoutError, match="header"):
        export_moov(iso8583.layout("nac_bcd")).whole()
    assert export_moov(iso8583.layout("iso87a")).whole()


JUNK: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    10**30,
    1.5,
    "",
    "²",
    "x" * 100,
    [],
    {},
    [[]],
    {"a": []},
    {"type": "Composite"},
    "ASCII.LL",
)


def shaken(value: Any, dice: random.Random, odds: float) -> Any:
    if dice.random() < odds:
        return dice.choice(JUNK)
    if isinstance(value, dict):
        return {
            (name if dice.random() > odds / 4 else dice.choice("x0²")): shaken(part, dice, odds)
            for name, part in value.items()
        }
    return value


@pytest.mark.parametrize("form", ["moov", "pyiso8583", "jpos"])
def test_broken_specifications_give_a_layout_or_the_one_error(form: str) -> None:
    dice = random.Random(15)
    refused = 0
    text = jpos(*(isofield(number, 9, "IFA_LLCHAR") for number in range(2, 20)))
    for _ in range(1500):
        try:
            if form == "moov":
                found = import_moov(json.dumps(shaken(MOOV, dice, 0.01)))
            elif form == "pyiso8583":
                found = import_pyiso8583(json.dumps(shaken(pyiso8583_dict(iso8583.layout("iso87b"))[0], dice, 0.001)))
            else:
                at = dice.randrange(len(text))
                found = import_jpos(text[:at] + dice.choice('<>"&/= x0²') + text[at + dice.randrange(3) :])
        except LayoutError:
            refused += 1
        else:
            Codec(found.layout)
            assert Layout.from_json(found.layout.to_json()) == found.layout
    assert 100 < refused < 1500
