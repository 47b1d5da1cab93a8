"""Prometheus metrics of the HTTP interface: requests and their latency by route, method and status."""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

MEDIA_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_LATENCY_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_METHODS: Final = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))


class Metrics:
    """The metrics of one process. `registry` takes those of other parts, which then appear on the same page."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        self._requests = Counter(
            "shanraq_http_requests",
            "Requests answered, by route template, method and status.",
            ("route", "method", "status"),
            registry=self.registry,
        )
        self._latency = Histogram(
            "shanraq_http_request_seconds",
            "Seconds from the request to the end of its answer, by route template and method.",
            ("route", "method"),
            buckets=_LATENCY_SECONDS,
            registry=self.registry,
        )
        # The library finds the child of a set of labels slowly; routes, methods and statuses are few.
        self._children: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    def observe(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count one answered request. `route` is a template (`/v1/payments/{payment_id}`), never a path."""
        children = self._children.get((route, method, status))
        if children is None:
            known_method = method if method in _METHODS else "other"
            children = (
                self._requests.labels(route, known_method, str(status)),
                self._latency.labels(route, known_method),
            )
            if known_method == method:
                self._children[route, method, status] = children
        children[0].inc()
        children[1].observe(seconds)

    def text(self) -> bytes:
        """Return the page a monitoring system scrapes."""
        return generate_latest(self.registry)
