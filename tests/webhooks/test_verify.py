"""The proof finds every kind of breach: each is made by hand, as the tables' owner."""

from __future__ import annotations

import asyncpg
import pytest

from tests.webhooks.conftest import Desk


@pytest.mark.parametrize(
    ("breach", "finding"),
    [
        ("DELETE FROM webhook_delivery WHERE attempts = 0", "live or final are not what was enqueued"),
        ("DELETE FROM webhook_delivery WHERE attempts = 0", "never enqueued"),
        (
            """INSERT INTO webhook_result SELECT endpoint_id, event_seq, event_id, partner_id, environment, 'skipped', 0, NULL,
                      now() FROM webhook_delivery""",
            "both live and final",
        ),
        ("UPDATE webhook_delivery SET attempts = attempts + 1", "attempts made are not attempts logged"),
        (
            "ALTER TABLE webhook_attempt DISABLE TRIGGER append_only; DELETE FROM webhook_attempt WHERE error_code IS NULL",
            "succeeded without an accepted attempt",
        ),
        ("UPDATE webhook_lane SET due_at = NULL", "asleep over a due delivery"),
        ("UPDATE webhook_endpoint SET state = 'disabled', disabled_reason = 'gone'", "a queue without a taker"),
    ],
)
async def test_breach_is_found(desk: Desk, owner_dsn: str, breach: str, finding: str) -> None:
    endpoint, _ = await desk.subscribe()
    await desk.send()
    await desk.deliver()
    desk.receiver.answer(500)
    await desk.send()
    await desk.deliver()
    await desk.send()
    before = await desk.findings()
    owner = await asyncpg.connect(owner_dsn)
    await owner.execute(breach)
    await owner.close()

    findings = await desk.findings()

    assert before == []
    assert any(found.startswith(finding) and endpoint.id in found for found in findings), findings
