"""Turns: let a burst of requests begin a few at a time, so that nothing else waits behind all of them.

An event loop runs everything that is ready before it looks at its sockets again. When a hundred clients are answered at once
they come back at once, and the next statement of a database transaction under way would wait until all of them were read: the
database idles, then this process does. With a few beginnings a turn the two work side by side.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final


class Turns:
    """Gives out `per_turn` places in each turn of the event loop, first come, first served."""

    def __init__(self, per_turn: int) -> None:
        assert per_turn > 0
        self._per_turn: Final = per_turn
        self._left = per_turn
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._planned = False

    async def take(self) -> None:
        """Wait for a place; at once while this turn has one."""
        if not self._planned:
            self._planned = True
            asyncio.get_running_loop().call_soon(self._next)
        if self._left:
            self._left -= 1
            return
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        await place

    def _next(self) -> None:
        self._left = self._per_turn
        while self._waiting and self._left:
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(None)
                self._left -= 1
        self._planned = bool(self._waiting)
        if self._planned:
            asyncio.get_running_loop().call_soon(self._next)
