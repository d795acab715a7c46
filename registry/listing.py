"""One list of agents compared with what is kept: what it changes, worked out without changing anything."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from registry import bounds, names
from registry.model import Address, Agent, Tool
from registry.rows import Kept, KeptAgent, KeptTool

LISTS = 2
"""Complete lists in a row from which something must be absent to be withdrawn."""
MOST_NOTES = 20


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

    @property
    def seen(self) -> bool:
        """Whether callers see a difference."""
        return bool(self.added or self.changed or self.withdrawn)


@dataclass(frozen=True, slots=True)
class Listed:
    """One list, as it came. `trusted`: its changes are taken without approval. `reached`: the upstream is up; a list
    that broke off says nothing of that, and leaves its agents as degraded as they were."""

    network: str
    upstream: str
    agents: Sequence[Agent]
    complete: bool = True
    trusted: bool = True
    reached: bool = True


class Comparison:
    """One list beside what is kept. `run` once; `edits` are then the agents that differ, as they are to be kept."""

    def __init__(self, kept: Kept, listed: Listed) -> None:
        self._kept = kept
        self._listed = listed
        self._slugs = {one.agent.slug for one in kept.values()}
        self._whole = listed.complete
        self._notes: list[str] = []
        self._added: list[str] = []
        self._changed: list[str] = []
        self._pending: list[str] = []
        self._withdrawn: list[str] = []
        self.edits: dict[Address, KeptAgent] = {}

    def run(self) -> Change:
        """What the list changes."""
        seen: set[Address] = set()
        tools = 0
        for said in self._listed.agents:
            if not bounds.sound(said):
                self._whole = False
                self._notes.append("what is no agent, or has parts of another kind than agents have, was left out")
                continue
            address = Address(self._listed.network, self._listed.upstream, said.address.native)
            if not bounds.usable(address.native) or address in seen:
                self._notes.append(f"an agent '{said.name[:80]}' without a usable id, or listed twice, was left out")
                continue
            seen.add(address)
            tools += self._agent(address, said)
        if self._whole:
            self._absent(seen)
        notes, more = self._notes[:MOST_NOTES], len(self._notes) - MOST_NOTES
        return Change(
            len(seen), tools, tuple(self._added), tuple(self._changed), tuple(self._pending), tuple(self._withdrawn),
            (*notes, f"and {more} more like these") if more > 0 else tuple(notes), self._whole,
        )  # fmt: skip

    def _agent(self, address: Address, said: Agent) -> int:
        """Its number of tools."""
        kept = self._kept.get(address)
        slug = kept.agent.slug if kept else self._slug(address, said)
        agent = bounds.agent(said, address, slug, self._notes)
        if kept is not None and kept.agent.paused:
            agent = replace(agent, paused=True)
        if kept is None or kept.withdrawn:
            self._added.append(slug)
        elif agent != kept.agent:
            self._changed.append(slug)
        tools, count = self._tools(agent, kept.tools if kept else {}, said.tools)
        now = KeptAgent(agent, tools)
        if now != kept:
            self.edits[address] = now
        return count

    def _slug(self, address: Address, said: Agent) -> str:
        identity = "\0".join((address.network, address.upstream, address.native))
        slug = names.slug(said.name or address.native, identity, self._slugs)
        self._slugs.add(slug)
        return slug

    def _tools(
        self, agent: Agent, kept: Mapping[str, KeptTool], said: Sequence[Tool]
    ) -> tuple[dict[str, KeptTool], int]:
        """All tools as they are to be kept (an unchanged one is the same object), and how many were listed."""
        now = dict(kept)
        taken = {one.tool.name for one in kept.values()}
        seen: set[str] = set()
        for tool in said:
            if not bounds.usable(tool.native) or tool.native in seen:
                self._notes.append(f"a tool of '{agent.slug}' without a usable name, or listed twice, was left out")
                continue
            seen.add(tool.native)
            now[tool.native] = self._tool(agent, tool, kept.get(tool.native), taken)
        if self._whole:
            for native in sorted(kept.keys() - seen):
                now[native] = self._without(kept[native])
        return now, len(seen)

    def _tool(self, agent: Agent, said: Tool, old: KeptTool | None, taken: set[str]) -> KeptTool:
        if old is None:
            name = names.tool(agent.slug, said.native, taken)
            taken.add(name)
            self._added.append(name)
            return KeptTool(bounds.tool(said, agent, name, None, self._notes))
        now = bounds.tool(said, agent, old.tool.name, old.tool, self._notes)
        if old.withdrawn:
            self._added.append(now.name)
        if now != old.tool and now.pin != old.tool.pin and not self._listed.trusted:
            self._pending.append(now.name)
            kept = KeptTool(old.tool, pending=now)
        else:
            if now != old.tool:
                self._changed.append(now.name)
            kept = KeptTool(now)
        return old if kept == old else kept

    def _absent(self, seen: set[Address]) -> None:
        ours = (self._listed.network, self._listed.upstream)
        for address, kept in self._kept.items():
            if (address.network, address.upstream) == ours and address not in seen and not kept.withdrawn:
                gone = kept.absent + 1 >= LISTS
                self.edits[address] = replace(kept, absent=kept.absent + 1, withdrawn=gone)
                self._withdrawn += [kept.agent.slug] if gone else []

    def _without(self, old: KeptTool) -> KeptTool:
        if old.withdrawn:
            return old
        gone = old.absent + 1 >= LISTS
        self._withdrawn += [old.tool.name] if gone else []
        return replace(old, absent=old.absent + 1, withdrawn=gone)
