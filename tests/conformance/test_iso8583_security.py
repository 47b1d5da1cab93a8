"""MACs, PIN blocks, key check values, DUKPT: published and cross-checked vectors."""

from __future__ import annotations

import json
from typing import Any

import pytest

from shanraq.standards import iso8583
from shanraq.standards.iso8583.security import (
    AesDukpt,
    AesUsage,
    Cipher,
    MacAlgorithm,
    PinFormat,
    SecurityError,
    TdesDukpt,
    clear_block,
    compute_mac,
    decipher_pin,
    encipher_pin,
    key_check_value,
    mac_input,
    pin_of,
)
from tests.conformance.data import conformance_data

ROOT = conformance_data("iso8583/crypto")

Case = dict[str, Any]


def load(name: str) -> Any:
    return json.loads((ROOT / f"{name}.json").read_bytes())


def hexed(data: bytes) -> str:
    return data.hex().upper()


def cipher_of(name: str) -> Cipher:
    return Cipher.AES if name.startswith("aes") else Cipher.TDES


@pytest.mark.parametrize("case", load("mac"))
def test_mac(case: Case) -> None:
    mac = compute_mac(
        MacAlgorithm(case["algorithm"]),
        bytes.fromhex(case["key"]),
        bytes.fromhex(case["data_hex"]),
        padding=case["padding"] or 1,
    )

    assert hexed(mac) == case["mac"]


@pytest.mark.parametrize("case", load("message_mac"), ids=lambda case: case["id"])
def test_mac_of_a_message(case: Case) -> None:
    raw = bytes.fromhex(case["raw_hex"])

    covered = mac_input(iso8583.codec(case["layout"]), raw)
    mac = compute_mac(
        MacAlgorithm(case["algorithm"]), bytes.fromhex(case["key"]), covered, padding=case["padding"] or 1
    )

    assert hexed(covered) == case["mac_input_hex"]
    assert hexed(mac[: case["mac_bytes"]]) == case["mac"]
    assert hexed(mac[: case["mac_bytes"]].ljust(8, b"\x00")) == case["field_value"]


@pytest.mark.parametrize("case", load("pin_block"))
def test_pin_block(case: Case) -> None:
    form, pan = PinFormat(case["format"]), case["pan"] or ""
    fill = case.get("fill") or case.get("random")

    block = clear_block(form, case["pin"], pan, fill=fill)

    assert hexed(block) == case.get("clear", case.get("pin_field"))
    assert pin_of(form, block, pan) == case["pin"]
    if "enciphered" in case:
        key = bytes.fromhex(case["key"])
        assert hexed(encipher_pin(form, key, case["pin"], pan, fill=fill)) == case["enciphered"]
        assert decipher_pin(form, key, bytes.fromhex(case["enciphered"]), pan) == case["pin"]


@pytest.mark.parametrize("case", load("pin_block_bad"), ids=lambda case: case["why"])
def test_bad_pin_block_is_refused(case: Case) -> None:
    with pytest.raises(SecurityError):
        pin_of(PinFormat(case["format"]), bytes.fromhex(case["clear"]), case["pan"] or "")


@pytest.mark.parametrize("case", load("pin_translate"), ids=lambda case: case["id"])
def test_pin_translation(case: Case) -> None:
    pin = decipher_pin(
        PinFormat(case["from_format"]), bytes.fromhex(case["from_key"]), bytes.fromhex(case["from_block"]), case["pan"]
    )
    fill = case.get("fill") or case.get("random")

    block = encipher_pin(PinFormat(case["to_format"]), bytes.fromhex(case["to_key"]), pin, case["pan"], fill=fill)

    assert hexed(block) == case["to_block"]


@pytest.mark.parametrize("case", load("key_check_value"))
def test_key_check_value(case: Case) -> None:
    found = key_check_value(
        cipher_of(case["cipher"]), bytes.fromhex(case["key"]), by_cmac=case["method"].startswith("CMAC")
    )

    assert hexed(found) == case["kcv"]


@pytest.mark.parametrize("name", ["dukpt_tdes", "dukpt_tdes_2"])
def test_tdes_dukpt(name: str) -> None:
    case = load(name)
    data, form = bytes.fromhex(case["mac_data_hex"]), PinFormat(case["pin_format"])
    for vector in case["vectors"]:
        ksn = bytes.fromhex(vector["ksn"])
        device = TdesDukpt.from_base(bytes.fromhex(case["bdk"]), ksn)
        if "initial_key" in case:
            assert hexed(device.initial_key) == case["initial_key"]
        assert hexed(device.pin_key(ksn)) == vector["pin_key"]
        assert hexed(device.mac_request_key(ksn)) == vector["mac_key_request"]
        assert hexed(device.mac_response_key(ksn)) == vector["mac_key_response"]
        assert hexed(device.data_request_key(ksn)) == vector["data_key_request"]
        assert hexed(encipher_pin(form, device.pin_key(ksn), case["pin"], case["pan"])) == vector["enc_pin_block"]
        mac = compute_mac(MacAlgorithm.RETAIL, device.mac_request_key(ksn), data)
        assert hexed(mac) == vector["mac_request"]


@pytest.mark.parametrize("name", ["dukpt_aes128", "dukpt_aes256", "dukpt_aes128_tdes_working_keys"])
def test_aes_dukpt(name: str) -> None:
    case = load(name)
    device = AesDukpt.from_base(bytes.fromhex(case["bdk"]), bytes.fromhex(case["initial_key_id"]))
    assert hexed(device.initial_key) == case["initial_key"]
    for vector in case["vectors"]:
        counter = int(vector["counter"], 16)
        assert hexed(device.derivation_key(counter)) == vector["derivation_key"]
        for use, key in vector.items():
            if use not in ("counter", "derivation_key"):
                found = device.working_key(counter, AesUsage[use.upper()], tdes="TDES" in case["working_keys"])
                assert hexed(found) == key, use
