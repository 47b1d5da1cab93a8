"""ISO 20022: read piece by piece, a message gets the verdict it gets as a whole, in bounded memory."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from shanraq.standards import iso20022
from tests.conformance.iso20022_official import ROOT, archive, schemas, with_schemas
from tests.conformance.test_iso20022_validate import large

NAMES = ["pain.001.001.09", "pacs.008.001.08", "camt.053.001.08"][
    : None if os.environ.get("SHANRAQ_DRILL") == "full" else 1
]
PROGRAM = """
import sys
from shanraq.standards.iso20022 import validate_stream
with open(sys.argv[1], "rb") as file:
    report = validate_stream(file)
with open("/proc/self/status") as file:
    peak = next(int(line.split()[1]) for line in file if line.startswith("VmHWM"))
print(report.message, report.valid, len(report.findings), peak // 1024)
"""


def files(folder: str) -> list[tuple[str, bytes]]:
    if folder == "generated":
        return [(name, data) for name, data in archive("generated/instances.tar.xz").items() if name.endswith(".xml")]
    return [(path.name, path.read_bytes()) for path in sorted((ROOT / folder).rglob("*.xml"))]


@pytest.mark.parametrize("folder", ["generated", "samples", "planted", "hostile"])
def test_stream_finds_what_the_whole_finds(folder: str) -> None:
    library = with_schemas(*schemas())

    different = []
    for name, data in files(folder):
        whole = iso20022.validate(data, definitions=library, layers=())
        stream = iso20022.validate_stream(io.BytesIO(data), definitions=library)
        if set(whole.findings) != set(stream.findings):
            different.append(name)

    assert different == []


def test_error_far_inside_is_found_at_its_place() -> None:
    data = large("pain.001.001.09", 1000)
    wrong = data.replace(b"<EndToEndId>", b"<EndToEnd>").replace(b"</EndToEndId>", b"</EndToEnd>")
    place = data.index(b"<InstdAmt", len(data) // 2)
    comment = data[: place + 20] + data[place + 20 :].replace(b".", b".<!-- -->", 1)

    for broken in (wrong, comment):
        whole = iso20022.validate(broken, layers=())
        stream = iso20022.validate_stream(io.BytesIO(broken))

        assert not whole.valid
        assert whole.findings[0] in stream.findings
        assert len(stream.findings) == min(len(whole.findings), 1000)


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of a process's memory is read from /proc")
@pytest.mark.parametrize("name", NAMES)
def test_hundred_thousand_transactions_need_60_mb(name: str, tmp_path: Path) -> None:
    path = tmp_path / "large.xml"
    path.write_bytes(large(name, 100_000))

    done = subprocess.run([sys.executable, "-c", PROGRAM, str(path)], capture_output=True, text=True, check=True)

    message, valid, findings, megabytes = done.stdout.split()
    assert (message, valid, findings) == (name, "True", "0")
    assert int(megabytes) <= 60
