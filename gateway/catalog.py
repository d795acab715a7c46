"""What a caller may see of the registry (`adapters.spi.Catalog`)."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

from adapters.errors import Unknown
from adapters.spi import Agent, Caller, Catalog, Tool, View
from gateway import policy
from registry.registry import Registry
from registry.search import search


class CallerCatalog:
    """Reads the present snapshot through a caller's policy."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    @property
    def revision(self) -> int:
        return self._registry.snapshot.revision

    def agents(self, caller: Caller) -> Sequence[Agent]:
        found: list[Agent] = []
        for agent in self._registry.snapshot.agents.values():
            tools = tuple(t for t in agent.tools if policy.may(caller, t.name))
            if tools or not agent.tools:
                found.append(agent if len(tools) == len(agent.tools) else replace(agent, tools=tools))
        return found

    def tools(self, caller: Caller, agent: str | None = None) -> Sequence[Tool]:
        snapshot = self._registry.snapshot
        if agent is None:
            listed: Sequence[Tool] = snapshot.tools
        else:
            listed = snapshot.agents[agent].tools if agent in snapshot.agents else ()
        return [t for t in listed if policy.may(caller, t.name) and not snapshot.agents[t.agent].paused]

    def tool(self, name: str, caller: Caller) -> Tool:
        snapshot = self._registry.snapshot
        entry = snapshot.find(name)
        if entry is None or not policy.may(caller, name):
            near = [n for n in snapshot.nearest(name, 3) if policy.may(caller, n)]
            hint = f"; did you mean {' or '.join(repr(n) for n in near)}?" if near else ""
            raise Unknown(f"no tool is called '{name[:80]}'{hint}")
        return entry.tool

    async def search(self, query: str, caller: Caller, limit: int = 20) -> Sequence[Tool]:
        snapshot = self._registry.snapshot
        names = await search(snapshot, query, 5 * limit)
        entries = [snapshot.find(name) for name in names if policy.may(caller, name)]
        return [e.tool for e in entries if e is not None and not e.agent.paused][:limit]

    @property
    def seen(self) -> View:
        return View()

    def view(self, name: str, caller: Caller) -> "Catalog":
        raise Unknown(f"no view is called '{name[:40]}'")

    def public(self, shown: str) -> str:
        return shown

    async def changes(self) -> AsyncIterator[int]:
        async for revision in self._registry.changes():
            yield revision
