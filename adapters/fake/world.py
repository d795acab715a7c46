"""The far side of the fake network: worlds that live in this process, found by URL (`fake://name`).

Tests turn it: outages, agents that come and go, lists that break off; and count what it saw.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from adapters.errors import ConnectFailed
from adapters.fake import translate
from adapters.spi import Agent


@dataclass(slots=True)
class Job:
    """Work that a world holds, whoever is connected."""

    id: str
    text: str
    done: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(slots=True)
class World:
    """One far side. `away` is an outage; `cut` makes the next list break off after so many agents."""

    name: str
    agents: dict[str, Agent] = field(default_factory=dict[str, Agent])
    away: bool = False
    cut: int | None = None
    cut_jobs: bool = False
    """Breaks the connection of a job as soon as it is accepted, until it is resumed."""
    jobs: dict[str, Job] = field(default_factory=dict[str, Job])
    memory: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    seen: "Counter[str]" = field(default_factory=Counter[str])
    """How often: connect, list, deliver, resume, cancel; `deliver/ID` for one call."""
    deliveries: list[str] = field(default_factory=list[str])
    hops: dict[str, str] = field(default_factory=dict[str, str])
    """The chain that came with each call, as its network carries it."""
    running: int = 0
    listeners: list[Callable[[], None]] = field(default_factory=list[Callable[[], None]])
    """Told when agents come, go or change."""
    broken: asyncio.Event = field(default_factory=asyncio.Event)

    def require(self) -> None:
        """Raises `ConnectFailed` during an outage."""
        if self.away:
            raise ConnectFailed(f"the world '{self.name}' does not answer", delivered="no")

    def outage(self, on: bool) -> None:
        """Begins or ends one; streams that run break at once."""
        self.away = on
        if on:
            self.broken.set()
            self.broken = asyncio.Event()

    def add(self, native: str, description: str = "") -> None:
        """Another agent, with the tool `echo` alone."""
        self.agents[native] = translate.agent(native, native.title(), description or f"The agent {native}.", ("echo",))
        self._tell()

    def remove(self, native: str) -> None:
        del self.agents[native]
        self._tell()

    def _tell(self) -> None:
        for listener in list(self.listeners):
            listener()

    def alter(self, native: str, description: str) -> None:
        """Another description for the agent's first tool: a change that an operator may want to see."""
        agent = self.agents[native]
        first = replace(agent.tools[0], description=description)
        self.agents[native] = replace(agent, tools=(first, *agent.tools[1:]))
        self._tell()


WORLDS: dict[str, World] = {}


def world(url: str, agents: int = 1) -> World:
    """The world of this URL, made with so many agents if it is new; the first, "all", has every tool."""
    found = WORLDS.get(url)
    if found is None:
        found = WORLDS[url] = World(url.partition("://")[2])
        if agents:
            found.agents["all"] = translate.agent(
                "all", "All", "Does everything that a test needs.", tuple(translate.TOOLS)
            )
        for number in range(1, agents):
            found.add(f"agent{number}")
    return found
