"""What benchmarks said of agents: the newest score by each engine. Kept in the store, read from memory."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import orjson
from sqlalchemy import Connection, select

from gateway.host import StoredState
from registry.store import Store
from registry.tables import state

NAMESPACE = "gateway\0scores"
Score = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Scored:
    """One agent's: by engine (blank: it has none to choose from), and by which it thinks."""

    engine: str = ""
    scores: Mapping[str, Score] = field(default_factory=dict[str, Score])


class Scores:
    """By the agent's slug."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._state = StoredState(store, NAMESPACE)
        self._known: dict[str, Scored] = {}

    async def load(self) -> None:
        self._known = await self._store.run(_all)

    def of(self, slug: str) -> Score | None:
        """Of the engine by which the agent thinks."""
        found = self._known.get(slug)
        return found.scores.get(found.engine) if found is not None else None

    def by_engine(self, slug: str) -> Mapping[str, Score]:
        """Nothing for an agent without engines."""
        found = self._known.get(slug)
        return {name: score for name, score in found.scores.items() if name} if found is not None else {}

    async def put(self, slug: str, engine: str, said: Score) -> None:
        """In place of the one before by the same engine; `engine`: by which the agent thinks now. What it says of no
        engine is of that one."""
        found = self._known.get(slug, Scored())
        said = {**said, "engine": said.get("engine") or engine}
        await self._keep(slug, Scored(engine, {**found.scores, said["engine"]: said}))

    async def choose(self, slug: str, engine: str) -> None:
        """The agent thinks by another engine now: what stood in its record is not its score any more."""
        if (found := self._known.get(slug)) is not None:
            await self._keep(slug, Scored(engine, found.scores))

    async def delete(self, slug: str) -> None:
        """By all engines."""
        await self._state.delete(slug)
        self._known.pop(slug, None)

    async def _keep(self, slug: str, scored: Scored) -> None:
        await self._state.put(slug, orjson.dumps(asdict(scored)))
        self._known[slug] = scored


def _all(connection: Connection) -> dict[str, Scored]:
    rows = connection.execute(select(state.c.key, state.c.value).where(state.c.namespace == NAMESPACE))
    found = {row.key: orjson.loads(row.value) for row in rows}
    return {slug: Scored(**said) if "scores" in said else Scored("", {"": said}) for slug, said in found.items()}
