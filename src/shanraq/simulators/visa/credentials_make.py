"""Make a complete set of credentials: every scheme, with the keys and certificates a client needs as files beside."""

from __future__ import annotations

import secrets
import uuid
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, pkcs12

from shanraq.simulators.visa.credentials import (
    VisaCredentials,
    knows_merchants,
    read_object,
    shared_secrets,
    write_object,
    write_private,
)
from shanraq.simulators.visa.mle import GATEWAY_NAME
from shanraq.simulators.visa.tls import Authority, self_signed

_CLIENT_NAME: Final = "oauth-client.simulator"


def keys_folder(path: Path) -> Path:
    """Return the folder beside a file of credentials where its keys and certificates are."""
    return path.with_name(f"{path.stem}-keys")


def obtain(path: Path) -> VisaCredentials:
    """Read the credentials of a file; make a set and write it when there is no file, or one without any key of ours.

    Keys of other simulators in the file are kept. Raises OSError or ValueError.
    """
    stored = read_object(path) if path.exists() else {}
    if not knows_merchants(stored):
        write_object(path, stored | _make(keys_folder(path)))
    return VisaCredentials.load(path)


def _make(folder: Path) -> dict[str, Any]:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    shared = shared_secrets()
    merchant_id = shared["merchant_id"]
    password = secrets.token_urlsafe(12)
    merchant = self_signed(merchant_id, _serial_number())
    gateway = self_signed(GATEWAY_NAME, _serial_number())
    reply = self_signed(merchant_id, _serial_number())
    merchant.write(folder / "merchant.pem", folder / "merchant-key.pem")
    gateway.write(folder / "mle-request.pem", folder / "mle-request-key.pem")
    reply.write(folder / "mle-response.pem", folder / "mle-response-key.pem")
    assert isinstance(merchant.key, RSAPrivateKey)
    bundle = pkcs12.serialize_key_and_certificates(
        merchant_id.encode(),
        merchant.key,
        merchant.certificate,
        [gateway.certificate],
        BestAvailableEncryption(password.encode()),
    )
    write_private(folder / f"{merchant_id}.p12", bundle)
    authority = Authority.kept_in(folder, "client-ca", "Visa simulator, authority of clients")
    authority.issue_client(_CLIENT_NAME).write(folder / "client.pem", folder / "client-key.pem")
    return shared | {
        "p12_serial": merchant.serial_number,
        "merchant_cert": f"{folder.name}/merchant.pem",
        "mle_serial": gateway.serial_number,
        "mle_request_key": f"{folder.name}/mle-request-key.pem",
        "mle_request_cert": f"{folder.name}/mle-request.pem",
        "resp_mle_kid": reply.serial_number,
        "mle_response_cert": f"{folder.name}/mle-response.pem",
        "client_ca": f"{folder.name}/client-ca.pem",
        "client_cn": _CLIENT_NAME,
        "oauth_client_id": str(uuid.uuid4()),
        "oauth_client_secret": secrets.token_urlsafe(32),
        "oauth_refresh_token": secrets.token_urlsafe(32),
        # What only a client needs; the simulator does not read these.
        "merchant_p12": f"{folder.name}/{merchant_id}.p12",
        "merchant_p12_password": password,
        "mle_response_key": f"{folder.name}/mle-response-key.pem",
        "client_cert": f"{folder.name}/client.pem",
        "client_key": f"{folder.name}/client-key.pem",
    }


def _serial_number() -> str:
    return str(secrets.randbelow(9 * 10**11) + 10**11)
