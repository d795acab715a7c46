"""Far sides that wait live for an answer, parked with a limit on time and number."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from adapters.errors import Expired, Full

T = TypeVar("T")


class Parking(Generic[T]):
    """`put` a live thing, `take` it once. What is not taken in time is closed by `close`."""

    def __init__(self, close: Callable[[T], Awaitable[None]], *, places: int = 100, seconds: float = 600) -> None:
        self._close = close
        self._places = places
        self._seconds = seconds
        self._parked: dict[str, tuple[T, asyncio.Task[None]]] = {}

    def __len__(self) -> int:
        return len(self._parked)

    def put(self, thing: T) -> str:
        """A key to take it back with. Raises `Full`."""
        if len(self._parked) >= self._places:
            raise Full(f"{self._places} far sides wait for answers already", retry_after=self._seconds / self._places)
        key = secrets.token_hex(8)
        self._parked[key] = (thing, asyncio.create_task(self._expire(key), name="parked"))
        return key

    def take(self, key: str) -> T:
        """Raises `Expired` for what is not there any more."""
        found = self._parked.pop(key, None)
        if found is None:
            raise Expired("the far side does not wait for this answer any more; call the tool again")
        found[1].cancel()
        return found[0]

    async def _expire(self, key: str) -> None:
        await asyncio.sleep(self._seconds)
        await self._close(self._parked.pop(key)[0])

    async def clear(self) -> None:
        """Closes all that is parked."""
        while self._parked:
            _, (thing, timer) = self._parked.popitem()
            timer.cancel()
            await self._close(thing)
