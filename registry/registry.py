"""The registry: takes lists of agents in, gives each its names, keeps all of it, and swaps the snapshot."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import orjson
from sqlalchemy import Connection, select, update
from sqlalchemy import insert as insert_into

from registry import names, tables
from registry.model import Address, Agent, Price, Tool
from registry.snapshot import Snapshot
from registry.store import Store

LISTS = 2
"""Complete lists from which something must be absent to be withdrawn."""


@dataclass(frozen=True, slots=True)
class Change:
    """What a list changed: public names. `pending` wait for approval; `notes`: what was odd; `fault` cut the list."""

    agents: int = 0
    tools: int = 0
    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    pending: tuple[str, ...] = ()
    withdrawn: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    complete: bool = True
    fault: Exception | None = None


@dataclass(slots=True)
class _Kept:
    """A tool as it is kept: the approved version, and one that waits."""

    tool: Tool
    pending: Tool | None = None
    absent: int = 0
    withdrawn: bool = False


@dataclass(slots=True)
class _Agent:
    agent: Agent
    tools: dict[str, _Kept]
    absent: int = 0
    withdrawn: bool = False


@dataclass(frozen=True, slots=True)
class Listed:
    """One list, as it came. `trusted`: its changes are taken without approval."""

    network: str
    upstream: str
    agents: Sequence[Agent]
    complete: bool = True
    trusted: bool = True


class Registry:
    """`snapshot` is the present index. All else writes, one writer at a time."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._kept: dict[Address, _Agent] = {}
        self._away: dict[tuple[str, str], str] = {}
        self._lock = asyncio.Lock()
        self._grown = asyncio.Event()
        self.snapshot = Snapshot(0, ())

    async def load(self) -> None:
        """The last catalogue, at once: every agent degraded until its upstream has answered."""
        revision, self._kept = await self._store.run(_read)
        for address in self._kept:
            self._away.setdefault((address.network, address.upstream), "it was not reached since the start")
        self._swap(revision)

    async def take(self, listed: Listed) -> Change:
        """Compares a list with what is kept. Nothing is written, and the revision stays, if nothing changed.

        Absent from two complete lists is withdrawn; an incomplete list withdraws nothing. What returns gets its old
        names. Changed tools of an upstream that is not trusted wait, and stay listed as they were.
        """
        async with self._lock:
            taking = _Taking(self._kept, listed)
            change = taking.run()
            was_away = self._away.pop((listed.network, listed.upstream), None) is not None
            if taking.dirty:
                revision = await self._store.run(lambda c: _write(c, taking.dirty))
                if change.added or change.changed or change.withdrawn or was_away or taking.touched:
                    self._swap(revision)
            elif was_away:
                self._swap(self.snapshot.revision + 1)
            return change

    def degrade(self, network: str, upstream: str, reason: str) -> None:
        """Its agents stay listed as degraded until the next list. Not kept: health is of this run."""
        fresh = (network, upstream) not in self._away
        self._away[(network, upstream)] = reason
        if fresh:
            self._swap(self.snapshot.revision + 1)

    async def forget(self, network: str, upstream: str) -> None:
        """The upstream is gone: its agents are withdrawn at once; their names stay theirs."""
        async with self._lock:
            dirty = [a for at, a in self._kept.items() if (at.network, at.upstream) == (network, upstream)]
            for agent in dirty:
                agent.withdrawn = True
            self._away.pop((network, upstream), None)
            self._swap(await self._store.run(lambda c: _write(c, dirty)))

    async def pause(self, slug: str, on: bool) -> None:
        """Stops an agent, or lets it go on. Raises `KeyError`."""
        async with self._lock:
            kept = self._by_slug(slug)
            kept.agent = replace(kept.agent, paused=on)
            self._swap(await self._store.run(lambda c: _write(c, [kept])))

    def pending(self) -> list[dict[str, Any]]:
        """Changed tools that wait: name, agent, and both versions as documents."""
        return [
            {"name": k.tool.name, "agent": a.agent.slug, "old": _shown(k.tool), "new": _shown(k.pending)}
            for a in self._kept.values()
            for k in a.tools.values()
            if k.pending is not None and not (a.withdrawn or k.withdrawn)
        ]

    async def approve(self, name: str) -> list[str]:
        """Takes what waits of the tool, or of all tools of the agent; the names that were taken."""
        async with self._lock:
            taken: list[str] = []
            dirty: list[_Agent] = []
            for agent in self._kept.values():
                waiting = [k for k in agent.tools.values() if k.pending and name in (k.tool.name, agent.agent.slug)]
                for kept in waiting:
                    assert kept.pending is not None
                    kept.tool, kept.pending = kept.pending, None
                    taken.append(kept.tool.name)
                dirty += [agent] if waiting else []
            if dirty:
                self._swap(await self._store.run(lambda c: _write(c, dirty)))
            return sorted(taken)

    async def changes(self) -> AsyncIterator[int]:
        """The revision, each time it grew. A slow listener gets the newest, not each."""
        seen = self.snapshot.revision
        while True:
            if self.snapshot.revision == seen:
                await self._grown.wait()
                continue
            seen = self.snapshot.revision
            yield seen

    def _by_slug(self, slug: str) -> _Agent:
        for kept in self._kept.values():
            if kept.agent.slug == slug:
                return kept
        raise KeyError(slug)

    def _swap(self, revision: int) -> None:
        """A new snapshot of all that is not withdrawn."""
        agents: list[Agent] = []
        for address, kept in self._kept.items():
            if kept.withdrawn:
                continue
            away = (address.network, address.upstream) in self._away
            tools = tuple(k.tool for k in kept.tools.values() if not k.withdrawn)
            agents.append(replace(kept.agent, tools=tools, degraded=away))
        self.snapshot = Snapshot(max(revision, self.snapshot.revision + 1), agents)
        self._grown.set()
        self._grown = asyncio.Event()


class _Taking:
    """One comparison of a list with what is kept."""

    def __init__(self, kept: dict[Address, _Agent], listed: Listed) -> None:
        self._kept = kept
        self._listed = listed
        self._slugs = {a.agent.slug for a in kept.values()}
        self._notes: list[str] = []
        self._added: list[str] = []
        self._changed: list[str] = []
        self._pending: list[str] = []
        self._withdrawn: list[str] = []
        self._dirty: dict[Address, _Agent] = {}
        self.touched = False

    @property
    def dirty(self) -> list[_Agent]:
        return list(self._dirty.values())

    def run(self) -> Change:
        seen: set[Address] = set()
        tools = 0
        for agent in self._listed.agents:
            address = Address(self._listed.network, self._listed.upstream, agent.address.native)
            if not address.native or address in seen:
                self._notes.append(f"an agent '{agent.name[:80]}' without an id, or listed twice, was left out")
                continue
            seen.add(address)
            tools += self._agent(address, agent)
        if self._listed.complete:
            self._absent(seen)
        return Change(
            len(seen), tools, tuple(self._added), tuple(self._changed), tuple(self._pending), tuple(self._withdrawn),
            tuple(self._notes), self._listed.complete,
        )  # fmt: skip

    def _agent(self, address: Address, said: Agent) -> int:
        kept = self._kept.get(address)
        if kept is None:
            identity = "\0".join((address.network, address.upstream, address.native))
            slug = names.slug(said.name or address.native, identity, self._slugs)
            self._slugs.add(slug)
            kept = self._kept[address] = _Agent(replace(said, address=address, slug=slug, tools=()), {})
            self._added.append(slug)
            self._dirty[address] = kept
        if kept.withdrawn or kept.absent:
            if kept.withdrawn:
                self._added.append(kept.agent.slug)
            kept.withdrawn, kept.absent = False, 0
            self._dirty[address] = kept
        now = replace(said, address=address, slug=kept.agent.slug, tools=(), paused=kept.agent.paused, degraded=False)
        if now != kept.agent:
            kept.agent = now
            self._changed.append(now.slug)
            self._dirty[address] = kept
        return self._tools(kept, said.tools)

    def _tools(self, kept: _Agent, said: Sequence[Tool]) -> int:
        seen: set[str] = set()
        taken = {k.tool.name for k in kept.tools.values()}
        for tool in said:
            if not tool.native or tool.native in seen:
                self._notes.append(f"a tool of '{kept.agent.slug}' without a name, or listed twice, was left out")
                continue
            seen.add(tool.native)
            self._tool(kept, tool, taken)
        for native, old in kept.tools.items():
            if self._listed.complete and native not in seen and not old.withdrawn:
                self._miss(kept, old, old.tool.name)
        return len(seen)

    def _tool(self, kept: _Agent, said: Tool, taken: set[str]) -> None:
        agent = kept.agent
        old = kept.tools.get(said.native)
        if old is None:
            name = names.tool(agent.slug, said.native, taken)
            taken.add(name)
            kept.tools[said.native] = _Kept(replace(said, name=name, agent=agent.slug, address=agent.address))
            self._added.append(name)
            self._dirty[agent.address] = kept
            return
        now = replace(said, name=old.tool.name, agent=agent.slug, address=agent.address)
        if old.withdrawn or old.absent:
            if old.withdrawn:
                self._added.append(now.name)
            old.withdrawn, old.absent = False, 0
            self._dirty[agent.address] = kept
        if now == old.tool:
            if old.pending is not None:
                old.pending = None
                self._dirty[agent.address] = kept
        elif now.pin != old.tool.pin and not self._listed.trusted:
            if now != old.pending:
                old.pending = now
                self._dirty[agent.address] = kept
            self._pending.append(now.name)
        else:
            old.tool, old.pending = now, None
            self._changed.append(now.name)
            self._dirty[agent.address] = kept

    def _absent(self, seen: set[Address]) -> None:
        for address, kept in self._kept.items():
            ours = (address.network, address.upstream) == (self._listed.network, self._listed.upstream)
            if ours and address not in seen and not kept.withdrawn:
                self._miss(kept, kept, kept.agent.slug)

    def _miss(self, agent: _Agent, what: _Agent | _Kept, name: str) -> None:
        what.absent += 1
        if what.absent >= LISTS:
            what.withdrawn = True
            self._withdrawn.append(name)
        self._dirty[agent.agent.address] = agent


# ---- rows ----------------------------------------------------------------------------------------------------------


def _body(tool: Tool) -> str:
    price = tool.price and {"amount": str(tool.price.amount), "asset": tool.price.asset, "chain": tool.price.chain}
    said = {
        "description": tool.description, "title": tool.title, "input": tool.input_schema.decode(),
        "output": tool.output_schema.decode() if tool.output_schema is not None else None,
        "annotations": dict(tool.annotations), "meta": dict(tool.meta), "price": price,
    }  # fmt: skip
    return orjson.dumps(said, default=str).decode()


def _tool(body: str, native: str, name: str, agent: Agent) -> Tool:
    said = orjson.loads(body)
    price = said["price"]
    return Tool(
        native=native, description=said["description"], title=said["title"], input_schema=said["input"].encode(),
        output_schema=None if said["output"] is None else said["output"].encode(), annotations=said["annotations"],
        meta=said["meta"], price=price and Price(Decimal(price["amount"]), price["asset"], price["chain"]),
        name=name, agent=agent.slug, address=agent.address,
    )  # fmt: skip


def _shown(tool: Tool) -> dict[str, Any]:
    return {
        "title": tool.title, "description": tool.description, "input_schema": orjson.loads(tool.input_schema),
        "output_schema": tool.output_schema and orjson.loads(tool.output_schema), "annotations": dict(tool.annotations),
    }  # fmt: skip


def _read(connection: Connection) -> tuple[int, dict[Address, _Agent]]:
    kept: dict[Address, _Agent] = {}
    by_slug: dict[str, _Agent] = {}
    for row in connection.execute(select(tables.agents)).mappings():
        address = Address(row["network"], row["upstream"], row["native"])
        meta = orjson.loads(row["meta"])
        agent = Agent(address, row["name"], row["description"], (), meta, row["slug"], bool(row["paused"]))
        kept[address] = by_slug[agent.slug] = _Agent(agent, {}, row["absent"], bool(row["withdrawn"]))
    for row in connection.execute(select(tables.tools)).mappings():
        owner = by_slug[row["agent"]]
        tool = _tool(row["body"], row["native"], row["name"], owner.agent)
        waiting = _tool(row["pending"], row["native"], row["name"], owner.agent) if row["pending"] else None
        owner.tools[tool.native] = _Kept(tool, waiting, row["absent"], bool(row["withdrawn"]))
    return connection.execute(select(tables.revision.c.value)).scalar() or 0, kept


def _write(connection: Connection, dirty: Sequence[_Agent]) -> int:
    """Writes these agents with their tools; the new revision."""
    for kept in dirty:
        agent = kept.agent
        _put(connection, tables.agents, {"slug": agent.slug}, {
            "network": agent.address.network, "upstream": agent.address.upstream, "native": agent.address.native,
            "name": agent.name, "description": agent.description, "absent": kept.absent, "paused": agent.paused,
            "meta": orjson.dumps(dict(agent.meta), default=str).decode(), "withdrawn": kept.withdrawn,
        })  # fmt: skip
        for tool in kept.tools.values():
            _put(connection, tables.tools, {"name": tool.tool.name}, {
                "agent": agent.slug, "native": tool.tool.native, "body": _body(tool.tool), "absent": tool.absent,
                "pending": _body(tool.pending) if tool.pending else None, "withdrawn": tool.withdrawn,
            })  # fmt: skip
    table = tables.revision
    value = (connection.execute(select(table.c.value)).scalar() or 0) + 1
    _put(connection, table, {"id": 1}, {"value": value})
    return value


def _put(connection: Connection, table: Any, key: Mapping[str, Any], values: Mapping[str, Any]) -> None:
    where = [table.c[name] == value for name, value in key.items()]
    if connection.execute(update(table).where(*where).values(**values)).rowcount == 0:
        connection.execute(insert_into(table).values(**key, **values))
