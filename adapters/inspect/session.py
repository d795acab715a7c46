"""One agent at one benchmark: its session in the gateway, and what the harness makes of it."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson

from adapters.errors import BadArguments, GatewayError, Refused
from adapters.inspect import translate
from adapters.inspect.child import Child
from adapters.spi import Address, Agent, Door, Json, Tool
from adapters.talk import Talk, talk, tells
from adapters.words import note
from registry.names import SLUG

EVERY_KEY = "key:"
"""What stands before a key's id in the id of its caller."""


BORROWS = "a character takes them with 'borrows = true' in its table of the operator's file"


@dataclass(frozen=True, slots=True)
class Bench:
    """What is run: `task` is "module:function" of inspect-evals; `words`: what a scripted user says."""

    task: str
    task_args: dict[str, Any] = field(default_factory=dict[str, Any])
    limit: int = 0
    trials: int = 1
    seed: int = 1
    shuffle: bool = False
    words: str = "nothing"
    user: dict[str, str] = field(default_factory=lambda: {"kind": "scripted"}, repr=False)
    steps: int = 30
    timeout: float = 600
    control: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one arm. `seconds`: all of it; `engine`: by which the agent thought, where it was chosen; `fault`:
    why it was not run."""

    agent: str
    samples: list[dict[str, Any]]
    seconds: float
    versions: dict[str, str]
    engine: str = ""
    fault: str = ""


async def direct(child: Child, bench: Bench, words: str) -> Outcome:
    """The harness without agent and gateway: "gold" gives the ceiling, "nothing" the floor. Raises `GatewayError`."""
    said = await _run(child, {**_order(bench), "agent": None, "words": words, "user": {"kind": "scripted"}})
    return _outcome(f"direct: {words}", said)


async def under_test(child: Child, door: Door, bench: Bench, agent: str) -> Outcome:
    """One agent, by its slug, or one tool of an agent, by its public name. Raises `GatewayError`."""
    told = asked(door, agent)
    tool = told.tool
    name = f"b{secrets.token_hex(3)}"  # short, so that most tools keep their whole name behind it
    beside = translate.beside(orjson.loads(tool.input_schema), name, bench.steps)
    thinks = await _thinks(door, tool.agent)
    if thinks and "tools" not in beside:
        raise BadArguments(f"'{agent}' takes no tools from who asks it; {BORROWS}")
    url, _ = await door.address()
    async with _caller(door, name, tool) as (key, only):
        of = {
            "tool": tool.name, "field": told.argument, "arguments": beside, "url": url,
            "key": key, "session": name, "timeout": bench.timeout, "longest": _longest(door, told, thinks),
        }  # fmt: skip
        agents = (tool.agent, *(one.partition("__")[0] for one in thinks))
        if thinks and not only[0].startswith(EVERY_KEY):
            note(f"without keys, '{agent}' takes the benchmark for you, and may remember it")
        session = Session(door, name, [*only, *(f"agent:{one}" for one in agents)])
        try:
            said = await _run(child, {**_order(bench), "agent": of}, session)
        finally:
            await session.close()
    return _outcome(agent, said)


async def _thinks(door: Door, slug: str) -> list[str]:
    """The tool of the agent that thinks for this one now, if another does."""
    try:
        found = await door.manage("GET", f"/v1/agents/{slug}/engine")
    except GatewayError:
        return []
    return [found["calls"][found["chosen"]]] if found["chosen"] in found["calls"] else []


def _longest(door: Door, told: Talk, thinks: list[str]) -> int:
    """Letters that the agent, and who thinks for it, take in one message; 0: no limit is known."""
    others = [found for one in thinks if (found := tells(door.catalog.tool(one, door.caller)))]
    return min((one.longest for one in (told, *others) if one.longest), default=0)


def asked(door: Door, agent: str) -> Talk:
    """How an agent, or a tool that is named in full, is told something. Raises `BadArguments`, `Unknown`."""
    if "__" in agent:
        found = tells(door.catalog.tool(agent, door.caller))
    else:
        found = talk(Agent(Address("", "", agent), agent, tools=tuple(door.catalog.tools(door.caller, agent))))
    if found is None:
        names = ", ".join(a.slug for a in door.catalog.agents(door.caller))
        raise BadArguments(f"'{agent[:80]}' is no agent, or none that is told one text; there are: {names[:400]}")
    return found


class Session:
    """The upstream whose tools are the harness's. It is there from the first tools until `close`."""

    def __init__(self, door: Door, name: str, only: list[str]) -> None:
        assert SLUG.match(name)
        self._door = door
        self.name = name
        self._only = only
        self._there = False

    async def list(self, said: dict[str, Any]) -> None:
        """The harness has other tools now. Raises `Refused` where they do not come to stand in the gateway."""
        if not self._there:
            document = {
                "name": self.name, "network": "inspect", "url": said["url"], "key": said["token"], "trusted": True,
                "options": {"only": self._only},
            }  # fmt: skip
            await self._door.manage("POST", "/v1/upstreams", document)
            self._there = True
        else:
            await self._door.manage("POST", f"/v1/upstreams/{self.name}/refresh")
        found = [u for u in await self._door.manage("GET", "/v1/upstreams") if u["name"] == self.name]
        if not found or found[0]["tools"] < said["count"]:
            raise Refused(f"the tools of the session do not stand in the gateway: {found[0]['said'] if found else '?'}")

    async def fresh(self) -> None:
        """Another sample begins: for an agent that remembers, its caller is somebody new. Without keys, the caller is
        everybody who comes, and nothing is forgotten of them."""
        for caller in self._only:
            if caller.startswith(EVERY_KEY):
                await self._door.manage("POST", "/v1/forget", {"caller": caller})

    async def close(self) -> None:
        await self.fresh()
        if self._there:
            self._there = False
            await self._door.manage("DELETE", f"/v1/upstreams/{self.name}")


@asynccontextmanager
async def _caller(door: Door, name: str, tool: Tool) -> AsyncIterator[tuple[str, list[str]]]:
    """Who calls the agent: a key of the session's own, which may nothing else; without any keys, who everybody is."""
    if not await door.manage("GET", "/v1/keys"):
        yield (await door.address())[1], ["local"]
        return
    wanted = {"name": name, "allow": [tool.name, f"{name}__*"], "roles": ["call"]}
    key = await door.manage("POST", "/v1/keys", wanted)
    try:
        yield key["secret"], [EVERY_KEY + key["id"]]
    finally:
        await asyncio.shield(door.manage("DELETE", f"/v1/keys/{key['id']}"))


def _order(bench: Bench) -> dict[str, Any]:
    return {
        "task": bench.task, "task_args": bench.task_args, "limit": bench.limit, "trials": bench.trials,
        "seed": bench.seed, "shuffle": bench.shuffle, "words": bench.words, "user": bench.user,
        "control": bench.control, "log_dir": "logs", "time_limit": 0,
    }  # fmt: skip


async def _run(child: Child, order: dict[str, Any], session: Session | None = None) -> dict[str, Json]:
    await child.say(order)
    while (said := await child.read())["type"] != "end":
        if said["type"] == "tools" and session is not None:
            await session.list(said)
            await child.say({"listed": said["count"]})
        if said["type"] == "sample" and session is not None:
            await session.fresh()
            await child.say({"fresh": True})
    if said["status"] != "success" or not said["samples"]:
        raise Refused(f"the harness did not end well: {str(said['error'])[:400] or 'no sample was run'}")
    return said


def _outcome(name: str, said: dict[str, Any]) -> Outcome:
    return Outcome(name, said["samples"], said["seconds"], said["versions"])
