"""What a monitoring system sees."""

from __future__ import annotations

import httpx
from prometheus_client.parser import text_string_to_metric_families

from shanraq.api.metrics import Metrics


def samples(text: str) -> dict[tuple[str, str, str, str], float]:
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = sample.labels
            found[sample.name, labels.get("route", ""), labels.get("method", ""), labels.get("status", "")] = (
                sample.value
            )
    return found


async def test_requests_are_counted_by_template_and_not_by_path(client: httpx.AsyncClient) -> None:
    await client.get("/v1/notes/note_1")
    await client.get("/v1/notes/note_2")
    await client.get("/nothing/at/all")

    answer = await client.get("/metrics")

    found = samples(answer.text)
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert found["shanraq_http_requests_total", "/v1/notes/{note_id}", "GET", "404"] == 2
    assert found["shanraq_http_requests_total", "unmatched", "GET", "404"] == 1
    assert found["shanraq_http_request_seconds_count", "/v1/notes/{note_id}", "GET", ""] == 2
    assert "note_1" not in answer.text


def test_invented_methods_do_not_become_series() -> None:
    metrics = Metrics()

    for number in range(100):
        metrics.observe("unmatched", f"METHOD{number}", 405, 0.001)

    found = samples(metrics.text().decode())
    assert found["shanraq_http_requests_total", "unmatched", "other", "405"] == 100
    assert not any("METHOD" in method for _, _, method, _ in found)
