"""What a caller may see of the registry (`adapters.spi.Catalog`), all of it or through a view."""

import re
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace

import structlog

from adapters.errors import Unknown
from adapters.spi import Agent, Caller, Catalog, Tool, View
from gateway import policy
from registry.registry import Registry
from registry.search import search
from registry.snapshot import Snapshot
from registry.views import ALL, Window

log = structlog.get_logger()


class CallerCatalog:
    """Reads the present snapshot through a caller's policy."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._warned: dict[str, tuple[str, ...]] = {}

    @property
    def revision(self) -> int:
        return self._registry.snapshot.revision

    def agents(self, caller: Caller) -> Sequence[Agent]:
        snapshot = self._registry.snapshot
        found: list[Agent] = []
        for agent in snapshot.agents.values():
            tools = tuple(t for t in agent.tools if policy.may(caller, t.name, snapshot))
            if tools or not agent.tools:
                found.append(agent if len(tools) == len(agent.tools) else replace(agent, tools=tools))
        return found

    def tools(self, caller: Caller, agent: str | None = None) -> Sequence[Tool]:
        snapshot = self._registry.snapshot
        if agent is None:
            listed: Sequence[Tool] = snapshot.tools
        else:
            listed = snapshot.agents[agent].tools if agent in snapshot.agents else ()
        agents = snapshot.agents
        return [t for t in listed if policy.may(caller, t.name, snapshot) and not agents[t.agent].paused]

    def tool(self, name: str, caller: Caller) -> Tool:
        snapshot = self._registry.snapshot
        entry = snapshot.find(name)
        if entry is None or not policy.may(caller, name, snapshot):
            raise unknown(name, [n for n in snapshot.nearest(name, 3) if policy.may(caller, n, snapshot)])
        return entry.tool

    async def search(self, query: str, caller: Caller, limit: int = 20) -> Sequence[Tool]:
        snapshot = self._registry.snapshot

        def show(name: str) -> Tool | None:
            entry = snapshot.find(name) if policy.may(caller, name, snapshot) else None
            return entry.tool if entry is not None and not entry.agent.paused else None

        return await found(snapshot, query, show, limit)

    @property
    def seen(self) -> View:
        return View()

    def view(self, name: str, caller: Caller) -> Catalog:
        """As `adapters.spi.Catalog.view`; "all" is this catalogue itself."""
        if name == ALL:
            return self
        return ViewCatalog(self, self._registry, self.window(name, caller).view)

    def window(self, name: str, caller: Caller) -> Window:
        """Of the present snapshot. Raises `Unknown`, with the same words for one that this key may not use."""
        found = self._registry.snapshot.window(name) if policy.may_use(caller, name) else None
        if found is None:
            raise Unknown(f"no view is called '{name[:40]}'")
        if found.left_out != self._warned.get(name, ()):
            self._warned[name] = found.left_out
            if found.left_out:
                log.warning("a rename of a view takes the name of other tools", view=name, left_out=found.left_out)
        return found

    def public(self, shown: str) -> str:
        return shown

    async def changes(self) -> AsyncIterator[int]:
        async for revision in self._registry.changes():
            yield revision


class ViewCatalog:
    """The catalogue through one view: `Tool.name` is the name that is shown. All that the view takes is listed here,
    also where its `search` says that a face shows only what is pinned.

    The view is looked up at each read: it may change, or go (`Unknown`), while somebody holds this.
    """

    def __init__(self, all: CallerCatalog, registry: Registry, view: View) -> None:
        self._all = all
        self._registry = registry
        self._view = view

    @property
    def revision(self) -> int:
        return self._all.revision

    @property
    def seen(self) -> View:
        """The view as it is now; as it was last, if it is gone."""
        return self._registry.snapshot.views.get(self._view.name, self._view)

    def agents(self, caller: Caller) -> Sequence[Agent]:
        shown: dict[str, list[Tool]] = {}
        for tool in self._shown(caller):
            shown.setdefault(tool.agent, []).append(tool)
        agents = self._registry.snapshot.agents
        return [replace(agents[slug], tools=tuple(shown[slug])) for slug in sorted(shown)]

    def tools(self, caller: Caller, agent: str | None = None) -> Sequence[Tool]:
        agents = self._registry.snapshot.agents
        return [t for t in self._shown(caller) if agent in (None, t.agent) and not agents[t.agent].paused]

    def _shown(self, caller: Caller) -> list[Tool]:
        window, known = self._window(caller), self._registry.snapshot
        return [t for t in window.tools if policy.may(caller, window.public(t.name), known)]

    def tool(self, name: str, caller: Caller) -> Tool:
        window, known = self._window(caller), self._registry.snapshot
        found = window.find(name)
        if found is None or not policy.may(caller, window.public(name), known):
            near = [n for n in window.nearest(name, 3) if policy.may(caller, window.public(n), known)]
            raise unknown(name, near)
        return found

    async def search(self, query: str, caller: Caller, limit: int = 20) -> Sequence[Tool]:
        """Those first whose shown name is a rename and has a word of the query: the index knows public names."""
        snapshot, window = self._registry.snapshot, self._window(caller)

        def show(name: str) -> Tool | None:
            tool = window.of(name)
            if tool is None or not policy.may(caller, name, snapshot) or snapshot.agents[tool.agent].paused:
                return None
            return tool

        words = _words(query)
        named = [show(window.public(name)) for name in window.renamed if words & _words(name)]
        first = {t.name: t for t in named if t is not None}
        first |= {t.name: t for t in await found(snapshot, query, show, limit)}
        return list(first.values())[:limit]

    def view(self, name: str, caller: Caller) -> Catalog:
        return self._all.view(name, caller)

    def public(self, shown: str) -> str:
        window = self._registry.snapshot.window(self._view.name)
        return window.public(shown) if window is not None else shown

    async def changes(self) -> AsyncIterator[int]:
        async for revision in self._all.changes():
            yield revision

    def _window(self, caller: Caller) -> Window:
        return self._all.window(self._view.name, caller)


async def found(snapshot: Snapshot, query: str, show: Callable[[str], Tool | None], limit: int) -> list[Tool]:
    """The best of what `show` shows. Looks further where little of the best is shown."""
    best: list[Tool] = []
    for depth in (5 * limit, len(snapshot.tools)):
        names = await search(snapshot, query, depth)
        best = [tool for tool in map(show, names) if tool is not None][:limit]
        if len(best) == limit or len(names) < depth:
            break
    return best


def unknown(name: str, near: Sequence[str]) -> Unknown:
    """No such tool; with the names that are like it."""
    hint = f"; did you mean {' or '.join(repr(n) for n in near)}?" if near else ""
    return Unknown(f"no tool is called '{name[:80]}'{hint}")


def _words(text: str) -> set[str]:
    return set(re.findall(r"[a-z0-9]+", text.lower()))
