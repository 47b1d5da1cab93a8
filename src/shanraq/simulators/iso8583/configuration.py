"""How a host is set up."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from shanraq.simulators.iso8583.schemes import Scheme
from shanraq.simulators.iso8583.triggers import Rule
from shanraq.standards.iso8583 import Framing, Layout, Message
from shanraq.standards.iso8583.security import MacAlgorithm

Observer = Callable[[str, Message], None]
"""Is told of every message that was read or written: `in` or `out`, and the message."""


@dataclass(frozen=True, slots=True)
class HostMac:
    """How DE64 or DE128 is made and checked. The key may be one of each direction.

    `size` is 4 or 8 bytes; a code of 4 is filled with zeros. A wrong or missing code is never a decline of the card: the
    request is dropped, or answered with 96 (1993: 916) when `on_failure` is `refuse`; either way it is not carried out.
    Network management may come without a code, and is then answered without.
    """

    key: bytes = field(repr=False)
    algorithm: MacAlgorithm = MacAlgorithm.RETAIL
    padding: int = 1
    size: int = 8
    on_failure: Literal["drop", "refuse"] = "drop"
    response_key: bytes | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.size not in (4, 8):
            raise ValueError("a code has 4 or 8 bytes")


@dataclass(frozen=True, slots=True)
class HostConfiguration:
    """Everything a host can be told. `layout` and `framing` replace those of the scheme, by name or as they are.

    `ssl` is the server's context; with `verify_mode = CERT_REQUIRED` clients need a certificate. With `require_sign_on`
    requests before a sign-on are answered 91 (1993: 910), or not at all when `unsigned` is `drop`; a sign-on is good for its
    `connection`, or for the `host`. With `journal` everything answered is written there first and read back at the next
    start. `built_in_triggers` are the cards and amounts of `triggers`. After `echo_after_seconds` of silence the host sends an
    echo test, after `keep_alive_after_seconds` a keep-alive of the framing. `second_reversal` is the answer to another
    reversal of what is reversed already: no_original (25) or approved (00). The last `kept_answers` are kept as they were
    sent; older ones are written anew for a repeat.
    """

    scheme: str | Scheme = "generic"
    layout: str | Layout | None = None
    framing: str | Framing | None = None
    seed: int = 0
    host: str = "127.0.0.1"
    port: int = 0
    ssl: ssl.SSLContext | None = None
    require_sign_on: bool = False
    unsigned: Literal["decline", "drop"] = "decline"
    sign_on_of: Literal["connection", "host"] = "connection"
    journal: Path | None = None
    rules: Sequence[Rule] = ()
    built_in_triggers: bool = True
    slow_seconds: float = 0.5
    late_seconds: float = 5.0
    echo_after_seconds: float | None = None
    keep_alive_after_seconds: float | None = None
    mac: HostMac | None = None
    second_reversal: Literal["no_original", "approved"] = "no_original"
    message_bytes: int = 8192
    connections: int = 256
    kept_answers: int = 100_000
    observe: Observer | None = field(default=None, repr=False)
