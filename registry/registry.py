"""The registry: takes lists of agents in, gives each its names, keeps all of it, and swaps the snapshot."""

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, TypeVar

import orjson
from sqlalchemy import Connection

from registry import rows, views
from registry.listing import Change, Comparison, Listed
from registry.model import Address, Agent, Tool, View
from registry.rows import KeptAgent
from registry.snapshot import Snapshot
from registry.store import Store
from registry.views import ViewFault, Window

__all__ = ["Change", "Listed", "Registry"]

T = TypeVar("T")


class Registry:
    """`snapshot` is the present index. All else writes, one writer at a time.

    What a writer changes is first in the store, then in memory: one that fails changes nothing, and may be tried again.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._kept: dict[Address, KeptAgent] = {}
        self._away: dict[tuple[str, str], str] = {}
        self._stored: dict[str, View] = {}
        self._declared: dict[str, View] = {}
        self._lock = asyncio.Lock()
        self._grown = asyncio.Event()
        self.snapshot = Snapshot(0, ())

    async def load(self) -> None:
        """The last catalogue, at once: every agent degraded until its upstream has answered."""
        revision, self._kept = await self._store.run(rows.read)
        self._stored = await self._store.run(views.read)
        for address in self._kept:
            self._away.setdefault((address.network, address.upstream), "it was not reached since the start")
        self._swap(revision)

    async def take(self, listed: Listed) -> Change:
        """Compares a list with what is kept. Nothing is written, and the revision stays, if nothing changed.

        Absent from two complete lists is withdrawn; an incomplete list withdraws nothing. What returns gets its old
        names. Changed tools of an upstream that is not trusted wait, and stay listed as they were.
        """
        async with self._lock:
            return await _to_its_end(self._take(listed))

    async def _take(self, listed: Listed) -> Change:
        comparison = Comparison(self._kept, listed)
        change = await asyncio.to_thread(comparison.run)
        revision = await self._keep(comparison.edits) if comparison.edits else 0
        place = (listed.network, listed.upstream)
        back = listed.reached and self._away.pop(place, None) is not None and self._lists(place)
        if change.seen or back:
            self._swap(revision)
        return change

    def degrade(self, network: str, upstream: str, reason: str) -> None:
        """Its agents stay listed as degraded until the next list. Not kept: health is of this run."""
        place = (network, upstream)
        fresh = place not in self._away
        self._away[place] = reason
        if fresh and self._lists(place):
            self._swap(0)

    def reason(self, network: str, upstream: str) -> str:
        """Why it is degraded; empty if it is not."""
        return self._away.get((network, upstream), "")

    def knows(self, network: str, upstream: str) -> bool:
        """Whether it ever listed an agent; their names are theirs then."""
        return any((at.network, at.upstream) == (network, upstream) for at in self._kept)

    async def forget(self, network: str, upstream: str) -> None:
        """The upstream is gone: its agents are withdrawn at once; their names stay theirs."""
        place = (network, upstream)
        async with self._lock:
            self._away.pop(place, None)
            ours = {at: one for at, one in self._kept.items() if (at.network, at.upstream) == place}
            await _to_its_end(
                self._edit({at: replace(one, withdrawn=True) for at, one in ours.items() if not one.withdrawn})
            )

    async def pause(self, slug: str, on: bool) -> None:
        """Stops an agent, or lets it go on. Raises `KeyError`."""
        async with self._lock:
            found = next((item for item in self._kept.items() if item[1].agent.slug == slug), None)
            if found is None:
                raise KeyError(slug)
            address, kept = found
            if kept.agent.paused != on:
                await _to_its_end(self._edit({address: replace(kept, agent=replace(kept.agent, paused=on))}))

    def pending(self) -> list[dict[str, Any]]:
        """Changed tools that wait: name, agent, and both versions as documents."""
        return [
            {"name": k.tool.name, "agent": one.agent.slug, "old": _shown(k.tool), "new": _shown(k.pending)}
            for one in self._kept.values()
            for k in one.tools.values()
            if k.pending is not None and not (one.withdrawn or k.withdrawn)
        ]

    async def approve(self, name: str) -> list[str]:
        """Takes what waits of the tool, or of all tools of the agent; the names that were taken."""
        async with self._lock:
            taken: list[str] = []
            edits: dict[Address, KeptAgent] = {}
            for address, one in self._kept.items():
                tools = dict(one.tools)
                for native, kept in one.tools.items():
                    asked = name in (kept.tool.name, one.agent.slug) and not (one.withdrawn or kept.withdrawn)
                    if asked and kept.pending is not None:
                        tools[native] = replace(kept, tool=kept.pending, pending=None)
                        taken.append(kept.tool.name)
                        edits[address] = replace(one, tools=tools)
            await _to_its_end(self._edit(edits))
            return sorted(taken)

    # -- views ----------------------------------------------------------------------------------------------------

    def declare(self, declared: Iterable[View]) -> None:
        """The operator's views, in place of those that were declared before. They win clashes, and are not kept.

        Raises `ViewFault`, and changes nothing then.
        """
        wanted = {view.name: view for view in declared}
        for view in wanted.values():
            views.require_sound(view)
        if wanted != self._declared:
            self._declared = wanted
            self._swap(0)

    def is_declared(self, name: str) -> bool:
        """Whether the operator's file has the view of this name."""
        return name in self._declared

    async def put_view(self, view: View) -> None:
        """Keeps the view, in place of one of the same name. Raises `ViewFault` for one that cannot be."""
        views.require_sound(view)
        async with self._lock:
            if clash := Window(view, self.snapshot.tools).left_out:
                taken = ", ".join(repr(name) for name in clash[:3])
                raise ViewFault(f"a rename would take the name of another tool of this view: {taken}")
            if self._stored.get(view.name) != view:
                await _to_its_end(self._keep_view(view.name, view))

    async def delete_view(self, name: str) -> bool:
        """Whether there was one to be taken away. Those that were declared are not."""
        async with self._lock:
            if name not in self._stored:
                return False
            await _to_its_end(self._keep_view(name, None))
            return True

    async def _keep_view(self, name: str, view: View | None) -> None:
        revision = await self._store.run(lambda connection: _write_view(connection, name, view))
        self._stored = {n: v for n, v in self._stored.items() if n != name} | ({name: view} if view else {})
        self._swap(revision)

    async def changes(self) -> AsyncGenerator[int, None]:
        """The revision, each time it grew. A slow listener gets the newest, not each."""
        seen = self.snapshot.revision
        while True:
            if self.snapshot.revision == seen:
                await self._grown.wait()
                continue
            seen = self.snapshot.revision
            yield seen

    def _lists(self, place: tuple[str, str]) -> bool:
        """Whether anything of this upstream is listed."""
        return any((at.network, at.upstream) == place and not kept.withdrawn for at, kept in self._kept.items())

    async def _keep(self, edits: Mapping[Address, KeptAgent]) -> int:
        """In the store, then in memory; the new revision."""
        before = self._kept
        revision = await self._store.run(lambda connection: rows.write(connection, before, edits))
        self._kept = {**before, **edits}
        return revision

    async def _edit(self, edits: Mapping[Address, KeptAgent]) -> None:
        if edits:
            self._swap(await self._keep(edits))

    def _swap(self, revision: int) -> None:
        """A new snapshot of all that is not withdrawn, of a higher revision in any case."""
        agents: list[Agent] = []
        for address, kept in self._kept.items():
            if kept.withdrawn:
                continue
            away = (address.network, address.upstream) in self._away
            tools = sorted((k.tool for k in kept.tools.values() if not k.withdrawn), key=_name)
            agents.append(replace(kept.agent, tools=tuple(tools), degraded=away))
        known = MappingProxyType(dict(sorted({**self._stored, **self._declared}.items())))
        self.snapshot = Snapshot(max(revision, self.snapshot.revision + 1), agents, known)
        self._grown.set()
        self._grown = asyncio.Event()


async def _to_its_end(writing: Coroutine[Any, Any, T]) -> T:
    """What was begun is ended, also for a caller who is cancelled: else the store would know more than memory."""
    task = asyncio.create_task(writing)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            try:
                await asyncio.wait([task])
            except asyncio.CancelledError:
                continue
        if not task.cancelled():
            task.exception()
        raise


def _write_view(connection: Connection, name: str, view: View | None) -> int:
    views.write(connection, name, view)
    return rows.grow(connection)


def _name(tool: Tool) -> str:
    return tool.name


def _shown(tool: Tool) -> dict[str, Any]:
    return {
        "title": tool.title, "description": tool.description, "input_schema": orjson.loads(tool.input_schema),
        "output_schema": tool.output_schema and orjson.loads(tool.output_schema), "annotations": dict(tool.annotations),
    }  # fmt: skip
