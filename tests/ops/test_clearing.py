from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from shanraq.core.settings import ClearingSettings, InvalidSettingError
from shanraq.ops.clearing import clearing, terms
from shanraq.simulators.iso20022 import ClearingCredentials

CREDENTIALS = ClearingCredentials.generate()


@pytest.fixture
def settings(tmp_path: Path) -> ClearingSettings:
    """Settings whose files are there and right."""
    member = CREDENTIALS.participants["SHRQKZKX"]
    trust = {
        "trust_anchor": "authority.pem",
        "senders": [{"bic": CREDENTIALS.clearing.bic, "certificates": ["clearing.pem"]}],
    }
    for name, content in {
        "token": member.token,
        "key.pem": member.key,
        "certificate.pem": member.certificate,
        "authority.pem": CREDENTIALS.authority,
        "clearing.pem": CREDENTIALS.clearing.certificate,
        "trust.json": msgspec.json.encode(trust).decode(),
    }.items():
        (tmp_path / name).write_text(content)
    return ClearingSettings(
        url="http://127.0.0.1:1/",
        clearing_bic=CREDENTIALS.clearing.bic,
        token_file=str(tmp_path / "token"),
        key_file=str(tmp_path / "key.pem"),
        certificate_file=str(tmp_path / "certificate.pem"),
        trust_file=str(tmp_path / "trust.json"),
    )


def test_a_clearing_is_made_of_its_settings(settings: ClearingSettings) -> None:
    adapter = clearing("clearing_live", settings)

    assert (adapter.terms.bic, adapter.terms.clearing_bic) == ("SHRQKZKX", "CLRGKZKX")
    assert adapter.configuration.base_url == "http://127.0.0.1:1"
    assert "token" not in repr(adapter.configuration.token)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("clearing_bic", ""),
        ("clearing_bic", "NOBIC"),
        ("bic", "shrqkzkx"),
        ("token_file", ""),
        ("key_file", "/nowhere"),
        ("certificate_file", ""),
        ("trust_file", "/nowhere"),
        ("system", ""),
        ("currencies", ("TENGE",)),
        ("transactions_per_message", 0),
        ("transactions_per_message", 10_001),
    ],
)
def test_a_wrong_setting_is_named(settings: ClearingSettings, field: str, value: object) -> None:
    with pytest.raises(InvalidSettingError) as refused:
        clearing("clearing_live", msgspec.structs.replace(settings, **{field: value}))

    assert refused.value.field == f"clearing_live.{field}"


@pytest.mark.parametrize(
    ("file", "content", "field"),
    [
        ("key.pem", "no key", "key_file"),
        ("trust.json", "{", "trust_file"),
        ("trust.json", '{"trust_anchor": "gone.pem", "senders": []}', "trust_file"),
        ("trust.json", '{"senders": []}', "trust_file"),
    ],
)
def test_a_file_with_wrong_content_is_named(
    settings: ClearingSettings, tmp_path: Path, file: str, content: str, field: str
) -> None:
    (tmp_path / file).write_text(content)

    with pytest.raises(InvalidSettingError) as refused:
        clearing("clearing_live", settings)

    assert refused.value.field == f"clearing_live.{field}"


def test_the_simulator_needs_no_files() -> None:
    named = ClearingSettings(clearing_bic="CLRGKZKX", currencies=("KZT", "USD"))

    assert terms("clearing_sandbox", named).currencies == {"KZT", "USD"}
