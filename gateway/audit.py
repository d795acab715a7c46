"""One line for each call, written in batches. Lines are never lost: a full queue refuses calls instead.

A line keeps hashes and sizes of arguments and results, never the values.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Any

from sqlalchemy import Connection, insert, select

from adapters.errors import Full
from gateway.batches import Batches, Pace
from registry.store import Store
from registry.tables import audit


@dataclass(frozen=True, slots=True)
class Line:
    """What is remembered of one call. Times in seconds since the epoch, `ms` its length, sizes in bytes."""

    call: str
    root: str
    parent: str | None
    at: float
    ms: float
    caller: str
    network: str
    tool: str
    agent: str
    target_network: str
    upstream: str
    method: str
    outcome: str
    code: str
    delivered: str
    arguments_hash: str
    arguments_bytes: int
    result_bytes: int
    hops: str


NAMES = tuple(field.name for field in fields(Line))
VALUES = attrgetter(*NAMES)


class Audit:
    """The queue and its writer."""

    def __init__(self, store: Store, limit: int) -> None:
        self._store = store
        self._limit = limit
        self._lines: deque[Line] = deque()
        self._writing = asyncio.Lock()
        batches = Batches("audit", self.flush, Pace(0.2, again=1))
        self._wake, self.start, self.stop = batches.wake, batches.start, batches.stop

    def require_room(self) -> None:
        """Raises `Full` when lines wait and cannot be written: no call goes unrecorded."""
        if len(self._lines) >= self._limit:
            raise Full("the audit cannot be written fast enough; calls are refused until it is", retry_after=1)

    def add(self, line: Line) -> None:
        if len(self._lines) >= self._limit and line.code == Full.code and not line.agent:
            return  # refused for want of this very room, before it went anywhere
        self._lines.append(line)
        self._wake()

    async def flush(self) -> None:
        """Writes all waiting lines; on a fault of the store they stay, and the fault is raised.

        A batch that was begun is ended, also if whoever waits for it goes away: else it would be written twice.
        """
        if self._lines:
            await asyncio.shield(asyncio.create_task(self._flush(), name="audit flush"))

    async def _flush(self) -> None:
        async with self._writing:
            while self._lines:
                batch = [self._lines[i] for i in range(min(500, len(self._lines)))]
                rows = [dict(zip(NAMES, VALUES(line), strict=True)) for line in batch]
                await self._store.run(lambda connection, rows=rows: _insert(connection, rows))
                for _ in batch:
                    self._lines.popleft()

    async def tree(self, call: str) -> list[dict[str, Any]]:
        """All lines of the chain that the call belongs to, oldest first; empty if it is unknown."""
        await self.flush()
        return await self._store.run(lambda connection: _tree(connection, call))

    async def last(self, count: int, caller: str | None = None) -> list[dict[str, Any]]:
        """The newest lines, newest first; of one caller, if it is named."""
        await self.flush()
        return await self._store.run(lambda connection: _last(connection, count, caller))


def _insert(connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
    connection.execute(insert(audit), rows)


def _tree(connection: Connection, call: str) -> list[dict[str, Any]]:
    root = connection.execute(select(audit.c.root).where(audit.c.call == call).limit(1)).scalar()
    if root is None:
        return []
    rows = connection.execute(select(audit).where(audit.c.root == root).order_by(audit.c.at).limit(1000))
    return [dict(row) for row in rows.mappings()]


def _last(connection: Connection, count: int, caller: str | None) -> list[dict[str, Any]]:
    query = select(audit).order_by(audit.c.seq.desc()).limit(count)
    if caller is not None:
        query = query.where(audit.c.caller == caller)
    return [dict(row) for row in connection.execute(query).mappings()]
