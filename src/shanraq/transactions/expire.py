"""Let holds run out: what the ledger released is rolled back here, in the same transaction."""

from __future__ import annotations
