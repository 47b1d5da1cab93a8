"""ISO 20022: read piece by piece, a message gets the verdict it gets as a whole, in bounded memory."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from shanraq.standards import iso20022
from tests.conformance.iso20022_official import ROOT, archive, schemas, with_schemas
from tests.conformance.test_iso20022_validate import large

NAMES = ["pain.001.001.09", "pacs.008.001.08", "camt.053.001.08"][
    : None if os.environ.get("SHANRAQ_DRILL") == "full" else 1
]
PROGRAM = """
import sys
from datetime import UTC, datetime
from shanraq.standards.iso20022 import extract_stream
with open(sys.argv[1], "rb") as file:
    extraction = extract_stream(file, as_of=datetime(2025, 11, 24, 12, tzinfo=UTC))
    count = sum(len(batch.instructions) for batch in extraction)
    report = extraction.report
with open("/proc/self/status") as file:
    peak = next(int(line.split()[1]) for line in file if line.startswith("VmHWM"))
print(report.message, report.valid, count, peak // 1024)
"""


def files(folder: str) -> list[tuple[str, bytes]]:
    if folder == "generated":
        return [(name, data) for name, data in archive("generated/instances.tar.xz").items() if name.endswith(".xml")]
    return [(path.name, path.read_bytes()) for path in sorted((ROOT / folder).rglob("*.xml"))]


AS_OF = datetime(2026, 11, 23, 6, tzinfo=UTC)
REQUIRED = {"purpose_code": {"path": ["Purp", "Prtry"], "required": True}}


@pytest.mark.parametrize(
    ("folder", "profile", "options"),
    [("generated", "cbpr+", {"charset": "x"})]
    + [
        (folder, profile, options)
        for folder in ("samples", "planted", "hostile")
        for profile, options in (("iso", {}), ("cbpr+", {"charset": "x"}), ("kz", REQUIRED), ("sepa", {}))
    ],
)
def test_stream_finds_what_the_whole_finds(folder: str, profile: str, options: dict[str, Any]) -> None:
    library = with_schemas(*schemas())
    store = [path.read_bytes() for path in sorted((ROOT / "planted/bases").glob("*.xml"))]

    different = []
    for name, data in files(folder):
        chosen: dict[str, Any] = {"profile": profile, "options": options, "store": store, "as_of": AS_OF}
        whole = iso20022.validate(data, definitions=library, **chosen)
        stream = iso20022.validate_stream(io.BytesIO(data), definitions=library, **chosen)
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
        stream = iso20022.validate_stream(io.BytesIO(broken), layers=())

        assert not whole.valid
        assert set(stream.findings) <= set(whole.findings)
        assert len(stream.findings) == min(len(set(whole.findings)), 1001)


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of a process's memory is read from /proc")
@pytest.mark.parametrize("name", NAMES)
def test_hundred_thousand_transactions_need_60_mb(name: str, tmp_path: Path) -> None:
    path = tmp_path / "large.xml"
    path.write_bytes(large(name, 100_000))

    done = subprocess.run([sys.executable, "-c", PROGRAM, str(path)], capture_output=True, text=True, check=True)

    message, valid, count, megabytes = done.stdout.split()
    assert (message, valid, count) == (name, "True", "0" if name.startswith("camt") else "100000")
    assert int(megabytes) <= 60
