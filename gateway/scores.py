"""What benchmarks said of agents: the newest score of each is in its record. Kept in the store, read from memory."""

from collections.abc import Mapping
from typing import Any

import orjson
from sqlalchemy import Connection, select

from gateway.host import StoredState
from registry.store import Store
from registry.tables import state

NAMESPACE = "gateway\0scores"


class Scores:
    """By the agent's slug."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._state = StoredState(store, NAMESPACE)
        self._known: dict[str, Mapping[str, Any]] = {}

    async def load(self) -> None:
        self._known = await self._store.run(_all)

    def of(self, slug: str) -> Mapping[str, Any] | None:
        return self._known.get(slug)

    async def put(self, slug: str, said: Mapping[str, Any]) -> None:
        """In place of the one before."""
        await self._state.put(slug, orjson.dumps(dict(said)))
        self._known[slug] = dict(said)

    async def delete(self, slug: str) -> None:
        await self._state.delete(slug)
        self._known.pop(slug, None)


def _all(connection: Connection) -> dict[str, Mapping[str, Any]]:
    rows = connection.execute(select(state.c.key, state.c.value).where(state.c.namespace == NAMESPACE))
    return {row.key: orjson.loads(row.value) for row in rows}
