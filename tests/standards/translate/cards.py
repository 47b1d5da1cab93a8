"""Card messages of our own, with a test number."""

from __future__ import annotations

from shanraq.standards.iso8583 import Message

PAN = "4111111111111111"
FIELDS = {
    2: PAN, 3: "001000", 4: "000000012345", 5: "000000000250", 6: "000000012345", 7: "1123060000", 9: "60020251", 11: "000123",
    12: "110000", 13: "1123", 14: "2812", 15: "1124", 16: "1123", 18: "5411", 19: "398", 22: "051", 23: "001", 25: "00",
    28: "D00000100", 32: "123456", 33: "654321", 35: f"{PAN}=28122010000", 37: "632812000123", 41: "TERM0001",
    42: "MERCHANT1      ", 43: "SHOP                    ALMATY        KZ", 48: "PRIVATE", 49: "398", 50: "840", 51: "398",
    52: "A" * 16, 54: "0001398C0000000001000002398D000000000200", 55: "5A08" + PAN + "9F2608" + "11" * 8, 60: "0001",
    102: "ACCOUNT1",
}  # fmt: skip


def card(mti: str, **more: str | None) -> Message:
    """Return a message of a type; `de39="00"` puts an element, None takes one out."""
    fields = dict(FIELDS)
    if mti[2] in "13":
        fields |= {38: "ABC123", 39: "00"}
    if mti[1] == "4":
        fields[90] = "0200000122112305590000000123456" + "0" * 11
    for name, value in more.items():
        if value is None:
            fields.pop(int(name[2:]), None)
        else:
            fields[int(name[2:])] = value
    return Message(mti, dict(sorted(fields.items())))
