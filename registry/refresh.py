"""Any source of agents -> compared -> kept -> a new snapshot. Knows no adapter: it is handed the source."""

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Protocol

from registry.model import Agent
from registry.registry import Change, Listed, Registry

MOST_AGENTS = 1000
MOST_TOOLS = 10_000
CUT = f"the list has more than {MOST_AGENTS} agents or {MOST_TOOLS} tools; it was cut there"


class Source(Protocol):
    """Whose list it is."""

    @property
    def network(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def trusted(self) -> bool: ...


@dataclass(slots=True)
class _Came:
    """What came of a list so far. `cut`: there was more than is taken."""

    agents: list[Agent] = field(default_factory=list[Agent])
    tools: int = 0
    cut: bool = False

    def add(self, agent: Agent) -> None:
        room = MOST_TOOLS - self.tools
        self.cut = len(self.agents) >= MOST_AGENTS or len(agent.tools) > room
        if len(self.agents) < MOST_AGENTS:
            self.agents.append(replace(agent, tools=agent.tools[:room]))
            self.tools += len(self.agents[-1].tools)


async def refresh(
    agents: Callable[[], AsyncIterator[Agent]], registry: Registry, source: Source, seconds: float
) -> Change:
    """One list. If it breaks off or takes longer, what came is taken, nothing is withdrawn, and `fault` says why.

    Raises only what the store raises.
    """
    came = _Came()
    fault = await _read(agents, came, seconds)
    complete = fault is None and not came.cut
    change = await registry.take(
        Listed(source.network, source.name, came.agents, complete, source.trusted, reached=fault is None)
    )
    return replace(change, notes=(*change.notes, CUT) if came.cut else change.notes, fault=fault)


async def _read(agents: Callable[[], AsyncIterator[Agent]], came: _Came, seconds: float) -> Exception | None:
    """Fills `came`; what broke the list off."""
    deadline = asyncio.timeout(seconds)
    try:
        async with deadline, _closed(agents()) as reading:
            async for agent in reading:
                came.add(agent)
                if came.cut:
                    break
    except Exception as error:  # noqa: BLE001 - whatever the source does, the others must not suffer
        if deadline.expired():
            return TimeoutError(f"its list did not end within {seconds:g} seconds")
        return error
    return None


@asynccontextmanager
async def _closed(reading: AsyncIterator[Agent]) -> AsyncIterator[AsyncIterator[Agent]]:
    """Closes an iterator that can be closed, so that a list that was left early holds nothing open."""
    try:
        yield reading
    finally:
        if isinstance(reading, AsyncGenerator):
            await reading.aclose()


class Backoff:
    """Seconds to wait after each failure in a row: doubling from `first` to `most`, with a jitter of a quarter."""

    def __init__(self, first: float = 0.5, most: float = 60.0) -> None:
        self._first = first
        self._most = most
        self._next = first

    def next(self) -> float:
        wait, self._next = self._next, min(self._most, self._next * 2)
        return wait * random.uniform(0.75, 1.25)  # noqa: S311 - not a secret

    def reset(self) -> None:
        self._next = self._first
