from __future__ import annotations

import json
from pathlib import Path

import jsonschema

from shanraq import events
from shanraq.core.actor import SYSTEM
from shanraq.ops import documents
from shanraq.settlement import DisputeStage
from tests.settlement.conftest import MORNING, Desk
from tests.settlement.test_disputes import notice

ROOT = Path(__file__).resolve().parents[2]


async def test_events_really_emitted_fit_their_schema(desk: Desk) -> None:
    fine, other = await desk.captured(1_000), await desk.captured(2_000)
    desk.line(*fine)
    desk.line(*other, amount=1)
    desk.at(MORNING)
    desk.acquirer.notices += [notice(fine[0]), notice(fine[0], DisputeStage.LOST)]
    await desk.settle()
    (exception,) = await desk.exceptions()
    await desk.resolve(exception.id, "write_off")

    async with desk.db.begin(SYSTEM) as tx:
        numbered = await events.stamp(tx)
        stamped = (await events.load(tx, [event.seq for event in numbered])).values()
    seen = {event.type for event in stamped}
    assert seen >= {"settlement.completed", "settlement.exception", "chargeback.received", "chargeback.updated"}
    for event in stamped:
        schema = json.loads((ROOT / f"events/{event.type}.json").read_text())
        jsonschema.validate(json.loads(events.envelope(event)), schema)
        kind = documents.data_of(event.type)
        assert kind is not None
        assert set(json.loads(event.data)) == set(kind.__struct_fields__), event.type
