"""Rate limits: a token bucket for every credential, and for every client address that shows none.

The buckets are in the memory of the process, so that a limit costs a microsecond; with several processes side by side a
client may use up the limit of each. The table is bounded: the bucket unused for the longest time makes room for a new one.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv6Address
from math import ceil
from typing import Final

_MAX_BUCKETS: Final = 10_000


@dataclass(slots=True)
class _Bucket:
    tokens: float
    updated_at: float


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a client may still do: `remaining` of `limit` requests now, all of them again in `reset_seconds`.

    `retry_after_seconds` is 0 when this request is allowed.
    """

    limit: int
    remaining: int
    reset_seconds: int
    retry_after_seconds: int = 0

    def headers(self) -> list[tuple[bytes, bytes]]:
        """Return the RateLimit headers (draft-ietf-httpapi-ratelimit-headers-03)."""
        return [
            (b"ratelimit-limit", b"%d" % self.limit),
            (b"ratelimit-remaining", b"%d" % self.remaining),
            (b"ratelimit-reset", b"%d" % self.reset_seconds),
        ]


class RateLimiter:
    """Allow each key `burst` requests at once and `per_second` in the long run."""

    def __init__(
        self,
        per_second: float,
        burst: int,
        *,
        max_buckets: int = _MAX_BUCKETS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if per_second <= 0 or burst < 1 or max_buckets < 1:
            raise ValueError("a rate limit needs a rate, a burst and room for a bucket")
        self._per_second = per_second
        self._burst = burst
        self._max_buckets = max_buckets
        self._clock = clock
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, key: str) -> Allowance:
        """Take a token of this key's bucket, or say in how many seconds there will be one."""
        now = self._clock()
        bucket = self._buckets.get(key)
        if bucket is None:
            if len(self._buckets) >= self._max_buckets:
                self._buckets.popitem(last=False)
            bucket = self._buckets[key] = _Bucket(float(self._burst), now)
        else:
            self._buckets.move_to_end(key)
            bucket.tokens = min(self._burst, bucket.tokens + (now - bucket.updated_at) * self._per_second)
            bucket.updated_at = now
        retry_after = 0
        if bucket.tokens >= 1:
            bucket.tokens -= 1
        else:
            retry_after = max(1, ceil((1 - bucket.tokens) / self._per_second))
        reset = ceil((self._burst - bucket.tokens) / self._per_second)
        return Allowance(self._burst, int(bucket.tokens), reset, retry_after)


def key_of_address(host: str | None) -> str:
    """Return the key of a client address: an IPv6 client owns at least its /64 network (RFC 6177)."""
    if host is None:
        return "address:unknown"
    if ":" in host:
        try:
            address = IPv6Address(host.partition("%")[0])
        except ValueError:
            return f"address:{host}"
        return f"address:{address.ipv4_mapped or address.packed[:8].hex()}"
    return f"address:{host}"
