"""What was shown once and must not be shown again: the one thing on the call path that is written before the call runs.

Append-only, and committed in groups: while one transaction runs, the next gathers. Each mark is kept until it expires,
so the log is bounded by what may still be valid, and survives a restart. Replicas on one Postgres share it.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from sqlalchemy import Connection, delete
from sqlalchemy.dialects import postgresql, sqlite

from adapters.errors import Full
from registry.store import Store
from registry.tables import replay as table

ROOM = 10_000
"""Marks that may wait to be written; beyond, calls are refused."""
SWEEP = 60.0
"""Seconds between two looks for what has expired, and for which that is kept beyond."""
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Waiting:
    scope: str
    mark: str
    expires: float
    fresh: "asyncio.Future[bool]"


class ReplayLog:
    """Of the whole gateway; `of` gives each network its own part."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: list[_Waiting] = []
        self._writer: asyncio.Task[None] | None = None
        self._swept = 0.0

    def of(self, scope: str) -> "Replay":
        return Replay(self, scope)

    async def admit(self, scope: str, mark: bytes, expires: float) -> bool:
        """Whether the mark is new here. It is in the log when this returns. Raises `Full`."""
        if len(self._waiting) >= ROOM:
            raise Full("the replay log cannot be written fast enough", retry_after=1)
        fresh: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(scope, mark.hex(), expires, fresh))
        if self._writer is None:
            self._writer = asyncio.create_task(self._write(), name="replay log")
        return await fresh

    async def _write(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting, []
                await self._commit(batch)
        finally:
            self._writer = None

    async def _commit(self, batch: list[_Waiting]) -> None:
        now = time.time()
        sweep = now - SWEEP if now > self._swept + SWEEP else None
        try:
            fresh = await self._store.run(lambda connection: _append(connection, batch, sweep))
        except Exception as fault:  # noqa: BLE001 - whatever it is: what cannot be written is not let in
            log.error("the replay log cannot be written", said=repr(fault))
            fresh = None
        self._swept = now if sweep is not None and fresh is not None else self._swept
        for place, one in enumerate(batch):
            if one.fresh.done():
                continue
            if fresh is None:
                one.fresh.set_exception(Full("the replay log cannot be written", retry_after=1))
            else:
                one.fresh.set_result(fresh[place])


@dataclass(frozen=True, slots=True)
class Replay:
    """`adapters.spi.Replay`."""

    log: ReplayLog
    scope: str

    async def admit(self, mark: bytes, expires: float) -> bool:
        return await self.log.admit(self.scope, mark, expires)


def _append(connection: Connection, batch: Sequence[_Waiting], sweep: float | None) -> list[bool]:
    """Which of them were new."""
    if sweep is not None:
        connection.execute(delete(table).where(table.c.expires < sweep))
    dialect: Any = postgresql if connection.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(table).on_conflict_do_nothing()
    return [
        connection.execute(statement, {"scope": one.scope, "mark": one.mark, "expires": one.expires}).rowcount == 1
        for one in batch
    ]
