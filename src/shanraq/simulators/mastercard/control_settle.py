"""The part of the control API that is about settlement: the table of fees, batches, disputes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from shanraq.simulators.mastercard import disputes, fees, settle
from shanraq.simulators.serve import Request

if TYPE_CHECKING:
    from shanraq.simulators.mastercard.simulator import MastercardSimulator


def control_settlement(simulator: MastercardSimulator, method: str, path: str, request: Request) -> dict[str, Any]:
    """Answer one request. Raises ValueError naming the field, and LookupError for what is not here."""
    store = simulator.store
    match method, path:
        case "GET", "fees":
            return {"fees": [msgspec.to_builtins(rule) for rule in simulator.fees]}
        case "PUT", "fees":
            rules = msgspec.json.decode(request.body, type=list[fees.FeeRule])
            fees.check(rules)
            simulator.set_fees(rules)
        case "GET", "batches":
            return {
                "batches": [
                    {
                        "number": batch.number,
                        "time": batch.time,
                        "lines": [settle.described(line) for line in settle.lines_of(batch)],
                    }
                    for batch in store.batches
                ]
            }
        case "GET", "disputes":
            return {"disputes": [disputes.described(step) for steps in store.disputes.values() for step in steps]}
        case "POST", "chargeback":
            asked = msgspec.json.decode(request.body, type=disputes.NewDispute)
            return disputes.described(simulator.disputes.open(asked))
        case "POST", "dispute":
            further = msgspec.json.decode(request.body, type=disputes.Advance)
            return disputes.described(simulator.disputes.advance(further))
        case _:
            raise LookupError(f"{method} {path}")
    return {"ok": True}
