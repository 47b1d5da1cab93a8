"""What the security functions and the module refuse, and that they say nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shanraq.standards import iso8583
from shanraq.standards.iso8583 import Message
from shanraq.standards.iso8583.security import (
    AesDukpt,
    AesUsage,
    Cipher,
    MacAlgorithm,
    PinFormat,
    SecurityError,
    SoftwareModule,
    TdesDukpt,
    clear_block,
    compute_mac,
    decipher_pin,
    encipher_pin,
    mac_input,
    pin_of,
)

PAN = "4111111111111111"
TDES_KEY = bytes.fromhex("0123456789ABCDEFFEDCBA9876543210")
AES_KEY = bytes.fromhex("00112233445566778899AABBCCDDEEFF")


@given(
    pin=st.text("0123456789", min_size=4, max_size=12),
    pan=st.text("0123456789", min_size=12, max_size=19),
    form=st.sampled_from(PinFormat),
)
def test_a_pin_survives_its_block_with_random_fill(pin: str, pan: str, form: PinFormat) -> None:
    key = AES_KEY if form is PinFormat.ISO4 else TDES_KEY

    assert pin_of(form, clear_block(form, pin, pan), pan) == pin
    assert decipher_pin(form, key, encipher_pin(form, key, pin, pan), pan) == pin


def test_blocks_with_a_fill_of_their_own_differ_each_time() -> None:
    for form in (PinFormat.ISO1, PinFormat.ISO3, PinFormat.ISO4):
        assert len({clear_block(form, "1234", PAN) for _ in range(20)}) > 10


@pytest.mark.parametrize(
    "work",
    [
        lambda: clear_block(PinFormat.ISO0, "123", PAN),
        lambda: clear_block(PinFormat.ISO0, "1234567890123", PAN),
        lambda: clear_block(PinFormat.ISO0, "12a4", PAN),
        lambda: clear_block(PinFormat.ISO0, "１２３４", PAN),
        lambda: clear_block(PinFormat.ISO0, "1234", "4111x"),
        lambda: clear_block(PinFormat.ISO3, "1234", PAN, fill="0" * 10),
        lambda: clear_block(PinFormat.ISO1, "1234", fill="AB"),
        lambda: pin_of(PinFormat.ISO0, bytes(7), PAN),
        lambda: decipher_pin(PinFormat.ISO4, AES_KEY, bytes(8), PAN),
        lambda: decipher_pin(PinFormat.ISO0, TDES_KEY, bytes(8), PAN),
        lambda: encipher_pin(PinFormat.ISO0, b"short", "1234", PAN),
        lambda: compute_mac(MacAlgorithm.RETAIL, b"12345678", b""),
        lambda: compute_mac(MacAlgorithm.CBC, TDES_KEY, b"", padding=4),
        lambda: compute_mac(MacAlgorithm.CMAC, b"short", b""),
        lambda: TdesDukpt(b"short"),
        lambda: TdesDukpt.from_base(TDES_KEY, b"short"),
        lambda: TdesDukpt.from_base(b"short", bytes(10)),
        lambda: TdesDukpt(TDES_KEY).pin_key(bytes.fromhex("FFFF9876543210E00000")),
        lambda: TdesDukpt(TDES_KEY).pin_key(bytes.fromhex("FFFF9876543210FFFFFF")),
        lambda: AesDukpt(AES_KEY, b"short"),
        lambda: AesDukpt(b"short", bytes(8)),
        lambda: AesDukpt.from_base(AES_KEY, b"short"),
        lambda: AesDukpt(AES_KEY, bytes(8)).derivation_key(0),
        lambda: AesDukpt(AES_KEY, bytes(8)).working_key(0x1FFFF, AesUsage.MAC_BOTH),
    ],
)
def test_what_cannot_be_is_refused_and_not_shown(work: Callable[[], object]) -> None:
    with pytest.raises(SecurityError) as refused:
        work()

    for secret in ("1234", PAN, TDES_KEY.hex(), AES_KEY.hex(), "short"):
        assert secret not in str(refused.value)


@pytest.fixture
def module() -> SoftwareModule:
    module = SoftwareModule()
    module.load("mac", Cipher.TDES, TDES_KEY)
    module.load("terminal", Cipher.TDES, TDES_KEY[::-1])
    module.load("zone", Cipher.AES, AES_KEY)
    return module


def test_a_module_works_by_the_names_of_keys(module: SoftwareModule) -> None:
    mac = module.generate_mac("mac", b"0800", size=4)
    block = encipher_pin(PinFormat.ISO0, TDES_KEY[::-1], "1234", PAN)

    translated = module.translate_pin(block, PAN, ("terminal", PinFormat.ISO0), ("zone", PinFormat.ISO4))

    assert module.verify_mac("mac", b"0800", mac)
    assert not module.verify_mac("mac", b"0810", mac)
    assert module.generate_mac("zone", b"0800", algorithm=MacAlgorithm.CMAC, size=16)[:4] != mac
    assert decipher_pin(PinFormat.ISO4, AES_KEY, translated, PAN) == "1234"
    assert module.check_value("mac").hex() == "08d7b4"
    assert TDES_KEY.hex() not in repr(module).lower()


@pytest.mark.parametrize(
    "work",
    [
        lambda module: module.load("mac", Cipher.TDES, TDES_KEY),
        lambda module: module.load("new", Cipher.AES, b"short"),
        lambda module: module.generate_mac("unknown", b""),
        lambda module: module.generate_mac("zone", b""),
        lambda module: module.generate_mac("mac", b"", size=3),
        lambda module: module.verify_mac("mac", b"", b"123"),
        lambda module: module.check_value("unknown"),
        lambda module: module.translate_pin(bytes(8), PAN, ("zone", PinFormat.ISO0), ("mac", PinFormat.ISO0)),
    ],
)
def test_a_module_refuses(module: SoftwareModule, work: Callable[[SoftwareModule], object]) -> None:
    with pytest.raises(SecurityError):
        work(module)


def test_only_a_message_that_ends_with_a_code_has_covered_bytes() -> None:
    codec = iso8583.codec("iso87_asciibin")
    bare = codec.encode(Message("0800", {11: "000001"}))
    inside = codec.encode(Message("0800", {11: "000001", 64: "00" * 8, 70: "301"}))
    whole = codec.encode(Message("0800", {11: "000001", 64: "00" * 8}))

    for raw in (bare, inside):
        with pytest.raises(SecurityError):
            mac_input(codec, raw)
    assert mac_input(codec, whole) == whole[:-8]
