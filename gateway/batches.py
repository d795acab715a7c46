"""What is written in batches, off the call path: gathered for a while, written, and kept where that fails."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds for which a batch is gathered, and before the next turn after one that failed."""

    gather: float
    again: float = 0.0


class Batches:
    """Calls `flush` a while after it was woken, for ever, and once more at the end."""

    def __init__(self, name: str, flush: Callable[[], Awaitable[None]], pace: Pace) -> None:
        self._name = name
        self._flush = flush
        self._pace = pace
        self._awake = asyncio.Event()
        self._writer: asyncio.Task[None] | None = None

    def wake(self) -> None:
        """There is something to write."""
        self._awake.set()

    async def start(self) -> None:
        self._writer = asyncio.create_task(self._write_for_ever(), name=self._name)

    async def stop(self) -> None:
        """Writes what is left."""
        if self._writer:
            self._writer.cancel()
            await asyncio.gather(self._writer, return_exceptions=True)
        await self._flush()

    async def _write_for_ever(self) -> None:
        while True:
            await self._awake.wait()
            self._awake.clear()
            await asyncio.sleep(self._pace.gather)
            try:
                await self._flush()
            except Exception:  # noqa: BLE001 - it stays to be written, and the next turn tries again
                await asyncio.sleep(self._pace.again)
                self._awake.set()
