"""How much each principal calls: today, and when last. Counted in memory, written in batches, off the call path."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, update

from gateway.batches import Batches, Pace
from registry.store import Store
from registry.tables import keys

EVERY = 60.0
"""Seconds between two batches: at most so much is forgotten by a process that is killed."""
DAY = 86400


class Usage:
    """By key id. A day is one of UTC."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._calls: dict[str, tuple[int, int]] = {}
        self._last: dict[str, float] = {}
        self._fresh: set[str] = set()
        batches = Batches("usage", self.flush, Pace(EVERY))
        self._wake, self.start, self.stop = batches.wake, batches.start, batches.stop

    def learn(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """What the store knows of keys that were not counted here yet."""
        for row in rows:
            self._calls.setdefault(row["id"], (row["day"], row["calls"]))
            if row["last_used"] is not None:
                self._last.setdefault(row["id"], row["last_used"])

    def note(self, id: str) -> None:
        """It was used just now."""
        self._last[id] = time.time()
        self._touch(id)

    def count(self, id: str) -> None:
        """One more call today."""
        self._calls[id] = (today(), self.calls(id) + 1)
        self._touch(id)

    def calls(self, id: str) -> int:
        """So many today."""
        day, calls = self._calls.get(id, (0, 0))
        return calls if day == today() else 0

    def last(self, id: str) -> float | None:
        """When it was used last; None: never."""
        return self._last.get(id)

    def _touch(self, id: str) -> None:
        self._fresh.add(id)
        self._wake()

    async def flush(self) -> None:
        """Writes what changed since the last time. On a fault of the store it stays to be written."""
        batch, self._fresh = self._fresh, set()
        rows = [
            {"_id": id, "_last": self._last.get(id), "_day": day, "_calls": calls}
            for id in batch
            for day, calls in [self._calls.get(id, (0, 0))]
        ]
        try:
            if rows:
                await self._store.run(lambda connection: _write(connection, rows))
        except Exception:
            self._fresh |= batch
            raise


def today() -> int:
    """The day, in days since the epoch."""
    return int(time.time() // DAY)


def _write(connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
    values = {"last_used": bindparam("_last"), "day": bindparam("_day"), "calls": bindparam("_calls")}
    connection.execute(update(keys).where(keys.c.id == bindparam("_id")).values(values), rows)
