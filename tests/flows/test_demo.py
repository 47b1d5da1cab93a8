from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

STEPS = 20


def processes_of(folder: str) -> list[str]:
    """Return the command lines of processes that still use the folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
            except OSError:
                continue
            if folder in line:
                found.append(line)
    return found


@pytest.fixture
def scratch() -> str:
    """A directory for temporary files that the database server's account may enter."""
    folder = tempfile.mkdtemp(prefix="shq")
    os.chmod(folder, 0o711)
    return folder


def test_the_demo_takes_every_step_and_leaves_nothing_behind(scratch: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "shanraq", "demo", "--json"],
        capture_output=True,
        timeout=120,
        env={**os.environ, "TMPDIR": scratch},
        check=False,
    )

    report = json.loads(done.stdout)
    assert report["ok"], [step for step in report["steps"] if not step["ok"]]
    assert done.returncode == 0
    assert len(report["steps"]) == STEPS
    assert all(set(step) == {"name", "ok", "ms", "detail"} for step in report["steps"])
    assert report["totals"]["webhooks"] > 20
    assert report["totals"]["balances"] == [1_569_900, 250_000]
    assert list(Path(scratch).iterdir()) == []
    assert processes_of(scratch) == []
