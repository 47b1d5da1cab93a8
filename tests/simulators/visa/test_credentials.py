from __future__ import annotations

import json
import shutil
import stat
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509 import load_pem_x509_certificate
from cryptography.x509.oid import NameOID

from shanraq.simulators.visa import VisaCredentials, VisaSimulator
from shanraq.simulators.visa.credentials_make import obtain


def stored_in(file: Path) -> dict[str, Any]:
    stored: dict[str, Any] = json.loads(file.read_text())
    return stored


def subject(pem: bytes, oid: Any) -> str:
    return str(load_pem_x509_certificate(pem).subject.get_attributes_for_oid(oid)[0].value)


def test_without_a_file_every_scheme_is_made_with_files_a_client_can_use(credentials_file: Path) -> None:
    stored, folder = stored_in(credentials_file), credentials_file.parent

    credentials = VisaCredentials.load(credentials_file)

    assert subject(credentials.merchant_cert.encode(), NameOID.SERIAL_NUMBER) == credentials.p12_serial
    assert subject(credentials.merchant_cert.encode(), NameOID.COMMON_NAME) == credentials.merchant_id
    assert subject(credentials.mle_request_cert.encode(), NameOID.SERIAL_NUMBER) == credentials.mle_serial
    assert subject((folder / stored["client_cert"]).read_bytes(), NameOID.COMMON_NAME) == credentials.client_cn
    bundle = pkcs12.load_pkcs12(
        (folder / stored["merchant_p12"]).read_bytes(), stored["merchant_p12_password"].encode()
    )
    assert bundle.cert is not None
    assert bundle.cert.certificate == load_pem_x509_certificate(credentials.merchant_cert.encode())
    assert [one.certificate.subject.rfc4514_string() for one in bundle.additional_certs] == [
        f"2.5.4.5={credentials.mle_serial},CN=CyberSource_SJC_US"
    ]
    assert credentials.oauth_refresh_token


def test_what_is_private_is_for_the_owner_only(credentials_file: Path) -> None:
    folder = credentials_file.parent / "visa-keys"
    names = ("merchant-key.pem", "mle-request-key.pem", "mle-response-key.pem", "client-ca-key.pem", "client-key.pem")
    private = [credentials_file, *(folder / name for name in names), *folder.glob("*.p12")]

    assert {stat.S_IMODE(file.stat().st_mode) for file in private} == {0o600}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_set_once_made_stays(credentials_file: Path) -> None:
    before = credentials_file.read_bytes()

    assert obtain(credentials_file) == VisaCredentials.load(credentials_file)
    assert credentials_file.read_bytes() == before


def test_a_file_of_another_simulator_gets_our_keys_added(tmp_path: Path) -> None:
    file = tmp_path / "both.json"
    theirs = {"mpgs_merchant_id": "TEST", "mpgs_password": "p", "mc_consumer_key": "c"}
    file.write_text(json.dumps(theirs))

    credentials = obtain(file)

    assert stored_in(file).items() >= theirs.items()
    assert credentials.merchant_id == stored_in(file)["merchant_id"]
    assert credentials.extra.items() >= theirs.items()


def test_a_scheme_is_offered_when_its_keys_are_there(tmp_path: Path) -> None:
    file = tmp_path / "six.json"
    VisaCredentials.generate().save(file)
    file.write_text(json.dumps(stored_in(file) | {"p12_serial": None, "merchant_cert": None}))

    VisaSimulator(obtain(file))

    assert VisaCredentials.load(file).merchant_cert == ""
    assert not (tmp_path / "six-keys").exists()


def test_keys_may_be_in_the_file_itself_and_paths_are_relative_to_it(
    tmp_path: Path, credentials_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(credentials_file.parent, tmp_path / "moved")
    file = tmp_path / "moved" / "visa.json"
    loaded = VisaCredentials.load(file)
    inline = stored_in(file) | {"merchant_cert": loaded.merchant_cert, "mle_request_key": loaded.mle_request_key}
    file.write_text(json.dumps(inline))
    monkeypatch.chdir(tmp_path)

    again = VisaCredentials.load(Path("moved/visa.json"))

    assert (again.merchant_cert, again.mle_request_key) == (loaded.merchant_cert, loaded.mle_request_key)
    assert again.client_ca == loaded.client_ca


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"merchant_cert": "nowhere.pem"}, "merchant_cert: nowhere.pem cannot be read"),
        ({"merchant_cert": "visa.json"}, "merchant_cert: visa.json is not PEM"),
        ({"merchant_cert": 17}, "merchant_cert must be a path or PEM"),
        ({"merchant_cert": None}, "p12_serial needs merchant_cert"),
        ({"merchant_cert": "-----BEGIN nonsense"}, "merchant_cert is not a certificate in PEM"),
        ({"merchant_cert": "visa-keys/client.pem"}, "subject of merchant_cert needs the serialNumber"),
        (
            {"merchant_cert": "visa-keys/client.pem", "p12_serial": None},
            "subject of merchant_cert needs a serialNumber",
        ),
        ({"p12_serial": "17"}, "the subject of merchant_cert needs the serialNumber 17"),
        ({"p12_serial": 17}, "p12_serial must be a text"),
        ({"mle_request_key": None}, "needs mle_request_key"),
        ({"mle_request_key": "visa-keys/merchant.pem"}, "mle_request_key is not a private key in PEM"),
        ({"mle_request_key": "visa-keys/client-key.pem"}, "mle_request_key needs an RSA key"),
        ({"mle_request_key": "visa-keys/merchant-key.pem"}, "mle_request_cert and mle_request_key are not of one pair"),
        ({"mle_serial": "17"}, "subject of mle_request_cert needs the serialNumber 17"),
        ({"mle_serial": None, "mle_request_cert": None}, "mle_request_key needs mle_serial"),
        ({"resp_mle_kid": None}, "mle_response_cert needs resp_mle_kid"),
        ({"mle_response_cert": None}, "resp_mle_kid needs mle_response_cert"),
        ({"mle_response_cert": "visa-keys/client.pem"}, "mle_response_cert needs an RSA key"),
        ({"client_ca": None}, "client_cn needs client_ca"),
        ({"client_cn": None}, "oauth_client_id needs client_cn"),
        ({"oauth_client_secret": None}, "oauth_client_id needs oauth_client_secret"),
        ({"portfolio_id": "p"}, "portfolio_id needs portfolio_key_id"),
        ({"portfolio_id": "p", "portfolio_key_id": "k", "portfolio_secret": "?"}, "portfolio_secret must be base64"),
    ],
)
def test_what_cannot_serve_is_named(
    tmp_path: Path, credentials_file: Path, change: dict[str, object], message: str
) -> None:
    shutil.copytree(credentials_file.parent, tmp_path / "changed")
    file = tmp_path / "changed" / "visa.json"
    file.write_text(json.dumps(stored_in(file) | change))

    with pytest.raises(ValueError, match=message):
        VisaSimulator(VisaCredentials.load(file))


def test_two_keys_with_one_id_are_refused(tmp_path: Path, credentials_file: Path) -> None:
    shutil.copytree(credentials_file.parent, tmp_path / "changed")
    file = tmp_path / "changed" / "visa.json"
    file.write_text(json.dumps(stored_in(file) | {"key_id": stored_in(file)["p12_serial"]}))

    with pytest.raises(ValueError, match="two keys have the id"):
        VisaSimulator(VisaCredentials.load(file))


def test_secrets_are_not_shown(credentials_file: Path) -> None:
    credentials = VisaCredentials.load(credentials_file)

    shown = repr(credentials)

    assert "PRIVATE KEY" not in shown
    for secret in (credentials.secret, credentials.oauth_client_secret, credentials.oauth_refresh_token):
        assert secret not in shown
    assert stored_in(credentials_file)["merchant_p12_password"] not in shown
