"""A bound on what many tasks hold in memory together."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator


class Budget:
    """Lets tasks hold so much together, first come, first served. One that asks for more than all gets all, alone.

    Args:
        total: how much.
    """

    def __init__(self, total: int) -> None:
        self._total = total
        self._held = 0
        self._turn = asyncio.Lock()
        self._returned = asyncio.Event()

    @contextlib.asynccontextmanager
    async def hold(self, amount: int) -> AsyncIterator[None]:
        """Holds so much for the time of the block."""
        async with self._turn:
            while self._held and self._held + amount > self._total:
                self._returned.clear()
                await self._returned.wait()
            self._held += amount
        try:
            yield
        finally:
            self._held -= amount
            self._returned.set()
