"""`shanraq iso20022 sign` and `verify` as a person and a pipe use them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from tests.standards.iso20022.signing import DOCUMENT, MESSAGE, authority, issued


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    who = issued("p256")
    encoding = serialization.Encoding.PEM
    (tmp_path / "ca.pem").write_bytes(authority().certificate.public_bytes(encoding))
    (tmp_path / "signer.pem").write_bytes(who.certificate.public_bytes(encoding))
    password = serialization.BestAvailableEncryption(b"secret")
    (tmp_path / "key.pem").write_bytes(who.key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, password))
    (tmp_path / "password").write_text("secret\n", encoding="utf-8")
    (tmp_path / "message.xml").write_bytes(MESSAGE)
    senders = [{"bic": "AAAAKZKA", "certificates": ["signer.pem"]}]
    (tmp_path / "trust.json").write_text(json.dumps({"trust_anchor": "ca.pem", "senders": senders}), encoding="utf-8")
    return tmp_path


def shanraq(folder: Path, *arguments: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "shanraq", "iso20022", *arguments],
        cwd=folder, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


KEY = ("--key", "key.pem", "--certificate", "signer.pem", "--password-file", "password")
TRUST = ("--trust", "trust.json", "--as-of", "2026-11-23T06:00:00Z")


def test_a_message_is_signed_verified_and_handed_out(folder: Path) -> None:
    signed = shanraq(folder, "sign", "message.xml", *KEY, "--output", "signed.xml")
    verified = shanraq(folder, "verify", "signed.xml", *TRUST, "--document", "document.xml")

    assert (signed[0], verified[0]) == (0, 0), signed[2] + verified[2]
    verdict = json.loads(verified[1])
    assert (verdict["valid"], verdict["sender"], verdict["message_id"]) == (True, "bic:AAAAKZKA", "B-1")
    assert (folder / "document.xml").read_text(encoding="utf-8") == DOCUMENT


def test_a_changed_message_is_refused_with_code_and_hint(folder: Path) -> None:
    signed = shanraq(
        folder, "sign", "message.xml", *KEY, "--profile", "xades-bes", "--signed-at", "2026-11-23T05:00:00Z"
    )
    (folder / "signed.xml").write_text(signed[1].replace("1000.00", "9000.00"), encoding="utf-8")

    refused = shanraq(folder, "verify", "signed.xml", *TRUST, "--profile", "xades-bes")

    verdict = json.loads(refused[1])
    assert (refused[0], verdict["valid"], verdict["code"]) == (1, False, "digest_mismatch")
    assert verdict["hint"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("sign", "message.xml", *KEY, "--profile", "none"), "shanraq-sig-1"),
        (("sign", "message.xml", *KEY, "--algorithm", "md5"), "ecdsa-sha256"),
        (("sign", "message.xml", *KEY[:4]), "password"),
        (("sign", "absent.xml", *KEY), "absent.xml"),
        (("verify", "message.xml", "--trust", "absent.json"), "absent.json"),
        (("verify", "message.xml", "--trust", "outside.json"), "outside of its folder"),
        (("verify", "message.xml", *TRUST, "--sender", "HSBKKZKX"), "KIND:VALUE"),
        (("verify", "message.xml", *TRUST[:2], "--as-of", "2026-11-23T06:00:00"), "offset"),
        (("verify", "message.xml", "message.xml", *TRUST, "--document", "x.xml"), "one file"),
    ],
)
def test_what_was_asked_wrongly_is_told(folder: Path, arguments: tuple[str, ...], words: str) -> None:
    (folder / "outside.json").write_text('{"trust_anchor": "../ca.pem", "senders": []}', encoding="utf-8")

    code, _, told = shanraq(folder, *arguments)

    assert code == 2
    assert words in told
