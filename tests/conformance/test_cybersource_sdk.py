"""The official Python SDK of CyberSource, unmodified, against the simulator in every scheme, in the clear and encrypted.

The SDK is proprietary and replaces urllib3, so it lives in an environment of its own; `SHANRAQ_CYBERSOURCE_PYTHON` names the
interpreter of that environment (see docs/visa-simulator.md).
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

PYTHON = os.environ.get("SHANRAQ_CYBERSOURCE_PYTHON", sys.executable)
CLIENT = Path(__file__).with_name("cybersource_client.py")
SIGNED_HOST = "apitest.cybersource.com"
SCHEMES = ("http_signature", "hs256", "rs256", "oauth")
EXPECTED = {
    "authorize": (201, "AUTHORIZED"),
    "capture": (201, "PENDING"),
    "capture again": (201, "PENDING"),
    "refund": (201, "PENDING"),
    "void refund": (201, "VOIDED"),
    "void capture": (201, "VOIDED"),
    "authorize to reverse": (201, "AUTHORIZED"),
    "reverse": (201, "REVERSED"),
    "authorize to time out": (201, "AUTHORIZED"),
    "reverse by timeout": (201, "REVERSED"),
    "sale": (201, "AUTHORIZED"),
    "refund sale": (201, "PENDING"),
    "another sale": (201, "AUTHORIZED"),
    "void sale": (201, "VOIDED"),
    "authorize to grow": (201, "AUTHORIZED"),
    "increment": (201, "AUTHORIZED"),
    "credit": (201, "PENDING"),
    "void credit": (201, "VOIDED"),
    "search": (201, None),
    "get search": (200, None),
    "get transaction": (200, None),
    "decline": (201, "DECLINED"),
    "invalid": (400, "INVALID_REQUEST"),
    "not found": (404, "INVALID_REQUEST"),
}


@pytest.fixture(scope="module")
def sdk() -> None:
    found = subprocess.run([PYTHON, "-c", "import CyberSource"], capture_output=True, check=False)
    if found.returncode != 0:
        pytest.skip("the official SDK is not installed")


class Running:
    """A simulator as a program of its own, on both ports, and the credentials it made."""

    def __init__(self, line: str, folder: Path) -> None:
        self.folder = folder
        self.credentials: dict[str, str] = json.loads((folder / "visa.json").read_text())
        urls = [word for word in line.split() if word.startswith("http")]
        self.http, self.tls = urls[0], urls[1].removeprefix("https://")

    def file(self, name: str) -> str:
        return str(self.folder / self.credentials[name])


@pytest.fixture(scope="module")
def simulator(sdk: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("sdk")
    program = "from shanraq.ops.cli import main; main()"
    options = ["--port", "0", "--tls-port", "0", "--index-lag", "0", "--host", SIGNED_HOST]
    options += ["--credentials", str(folder / "visa.json")]
    process = subprocess.Popen(
        [sys.executable, "-c", program, "simulate", "visa", *options], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        line = ""
        while "listens on" not in line:
            line = process.stdout.readline()
            assert line, "the simulator did not start"
        yield Running(line, folder)
    finally:
        process.terminate()
        process.communicate()


def configuration(running: Running, scheme: str, *, tls: bool, encryption: str) -> dict[str, Any]:
    known = running.credentials
    chosen: dict[str, Any] = {"merchantid": known["merchant_id"], "use_metakey": 0}
    chosen |= (
        {"run_environment": running.tls} if tls else {"run_environment": SIGNED_HOST, "IntermediateHost": running.http}
    )
    if scheme == "oauth":
        chosen |= {
            "authentication_type": "oauth",
            "enable_client_cert": 1,
            "client_cert_dir": str(running.folder),
            "ssl_client_cert": known["client_cert"],
            "private_key": known["client_key"],
            "client_id": known["oauth_client_id"],
            "client_secret": known["oauth_client_secret"],
        }
    elif scheme == "rs256":
        p12 = Path(running.file("merchant_p12"))
        chosen |= {
            "authentication_type": "jwt",
            "keys_directory": str(p12.parent),
            "key_file_name": p12.stem,
            "key_alias": known["merchant_id"],
            "key_password": known["merchant_p12_password"],
        }
    else:
        chosen |= {"merchant_keyid": known["key_id"], "merchant_secretkey": known["secret"]}
        chosen |= {"authentication_type": "jwt" if scheme == "hs256" else scheme}
        chosen |= {"jwt_key_type": "SHARED_SECRET"} if scheme == "hs256" else {}
    if encryption != "clear":
        chosen |= {"enableRequestMLEForOptionalApisGlobally": 1}
        chosen |= {"mleForRequestPublicCertPath": running.file("mle_request_cert")} if scheme == "hs256" else {}
    if encryption == "both":
        chosen |= {
            "enableResponseMleGlobally": 1,
            "responseMleKID": known["resp_mle_kid"],
            "responseMlePrivateKeyFilePath": running.file("mle_response_key"),
        }
    return chosen


CASES = [
    *((scheme, tls, "clear") for scheme in SCHEMES for tls in (False, True) if tls or scheme != "oauth"),
    *(
        (scheme, tls, encryption)
        for scheme in ("hs256", "rs256")
        for tls in (False, True)
        for encryption in ("request", "both")
    ),
]


@pytest.mark.parametrize(("scheme", "tls", "encryption"), CASES)
async def test_the_official_sdk_works(simulator: Running, scheme: str, tls: bool, encryption: str) -> None:
    known = simulator.credentials
    asked = {
        "configuration": configuration(simulator, scheme, tls=tls, encryption=encryption),
        "authority": str(simulator.folder / "visa-keys" / "ca.pem") if tls else "",
        "transaction_id": f"{scheme}-{tls}-{encryption}",
    }
    if scheme == "oauth":
        asked["token_form"] = {
            "client_id": known["oauth_client_id"],
            "client_secret": known["oauth_client_secret"],
            "grant_type": "refresh_token",
            "refresh_token": known["oauth_refresh_token"],
        }

    process = await asyncio.create_subprocess_exec(
        PYTHON,
        str(CLIENT),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    printed, errors = await asyncio.wait_for(process.communicate(json.dumps(asked).encode()), 120)

    assert process.returncode == 0, errors.decode()[-3000:]
    told = json.loads(printed)
    results = told["results"]
    statuses = {
        name: (status, None if name == "get transaction" else body.get("status"))
        for name, (status, body) in results.items()
    }
    assert statuses == EXPECTED
    assert results["authorize"][1]["clientReferenceInformation"]["code"] == "sdk-1"
    assert results["search"][1]["count"] >= 4
    # Requests without a body (three here) cannot be encrypted, their replies can.
    assert sum(request for request, _ in told["wire"]) == (len(EXPECTED) - 3 if encryption != "clear" else 0)
    assert sum(reply for _, reply in told["wire"]) == (len(EXPECTED) if encryption == "both" else 0)
