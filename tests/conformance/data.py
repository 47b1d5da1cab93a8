"""Where the outside conformance data lies: `SHANRAQ_CONFORMANCE_DATA`, else `../shared/data` beside the checkout."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

_DEFAULT = Path(__file__).resolve().parents[3] / "shared" / "data"


def conformance_data(path: str) -> Path:
    """Return the path of one data file; skip the test, with a reason, when the folder is absent."""
    root = Path(os.environ.get("SHANRAQ_CONFORMANCE_DATA", _DEFAULT))
    if not root.is_dir():
        pytest.skip(f"conformance data is not here ({root}); set SHANRAQ_CONFORMANCE_DATA", allow_module_level=True)
    return root / path
