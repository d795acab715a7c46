"""Warm children of one kind: they start when they are needed, take several runs each, and end when they are idle."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from adapters.errors import Full
from adapters.sidekick.child import Child

WAITING = 256
"""Runs that may wait for a child; beyond, they are refused."""


@dataclass(frozen=True, slots=True)
class Size:
    """`children` at most, each with `runs` at once; one that did nothing for `idle` seconds ends."""

    children: int = 4
    runs: int = 8
    idle: float = 600.0
    megabytes: int = 0
    """Of memory in use that a child may have; 0: no limit of ours."""


class Pool:
    """`taken` gives a child for one run."""

    def __init__(self, name: str, size: Size, make: Callable[[], Child]) -> None:
        self.name = name
        self._size = size
        self._make = make
        self._starting = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self.children: list[Child] = []

    @asynccontextmanager
    async def taken(self) -> AsyncIterator[Child]:
        """The child with the fewest runs, or a new one, or the next that has room. Raises `Full`, `ConnectFailed`."""
        child = await self._take()
        try:
            yield child
        finally:
            child.busy -= 1
            child.idle_since = time.monotonic()
            self._next()

    async def _take(self) -> Child:
        while True:
            free = [c for c in self.children if c.alive and c.busy + c.stopping < self._size.runs]
            if free:
                child = min(free, key=lambda c: c.busy)
                child.busy += 1
                self._next()  # there may be room for another
                return child
            if len(self.children) + self._starting < self._size.children:
                await self.start()
                continue
            await self._room()

    async def _room(self) -> None:
        if len(self._waiting) >= WAITING:
            raise Full(f"{WAITING} runs of '{self.name}' wait for a runner already", retry_after=5)
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._next()  # it was this one's turn: the next one's now
            raise
        finally:
            if turn in self._waiting:
                self._waiting.remove(turn)

    def _next(self) -> None:
        """Wakes whoever has waited longest."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return

    async def start(self) -> Child:
        """One more child, warm. Raises `ConnectFailed`."""
        child = self._make()
        child.gone, child.freed = self._gone, self._next
        self._starting += 1
        try:
            await child.open()
        except BaseException:
            await asyncio.shield(child.close())
            raise
        finally:
            self._starting -= 1
            self._next()
        self.children.append(child)
        return child

    def _gone(self, child: Child) -> None:
        if child in self.children:
            self.children.remove(child)
        self._next()

    async def look(self) -> None:
        """Ends what is idle, too large, or does not answer. Called now and then."""
        now = time.monotonic()
        for child in list(self.children):
            if self._size.megabytes and child.rss > self._size.megabytes:
                child.kill(f"it took more than {self._size.megabytes} MB of memory")
            elif not child.busy and not child.stopping:
                if now - child.idle_since > self._size.idle:
                    self.children.remove(child)
                    await child.close()
                elif not await child.ping() and not child.busy:
                    child.kill("it did not answer")

    async def close(self) -> None:
        """Ends all."""
        children, self.children = self.children, []
        await asyncio.gather(*(child.close() for child in children))
