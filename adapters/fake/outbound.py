"""Reaching into a world of the fake network."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

from adapters import hops
from adapters.errors import Broken, ConnectFailed, Refused, Unknown
from adapters.fake import translate
from adapters.fake.world import Job, World, world
from adapters.parking import Parking
from adapters.spi import (
    Accepted,
    Agent,
    Answer,
    Ask,
    Call,
    Data,
    Error,
    Event,
    File,
    Form,
    Handle,
    Host,
    Invoke,
    Part,
    Progress,
    Report,
    Result,
    Text,
    Tool,
    Upstream,
)  # fmt: skip

NAME = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
RELAYS: dict[str, Invoke] = {}
"""For each world, the gateway that its agents call; a test sets it."""


class FakeOutbound:
    """One world as an upstream."""

    def __init__(self, upstream: Upstream, host: Host, options: Any) -> None:
        self._upstream = upstream
        self._host = host
        self._world: World = world(upstream.url, options.agents)
        self._parking: Parking[asyncio.Future[Any]] = Parking(_drop, places=10)
        self._tools: dict[str, Callable[[Call, Tool], AsyncIterator[Event]]] = {
            "echo": self._echo, "count": self._count, "fail": self._fail, "crash": self._crash, "ask": self._ask,
            "wait": self._wait, "hang": self._hang, "garbage": self._garbage, "job": self._job, "big": self._big,
            "remember": self._remember, "add": self._add, "parts": self._parts, "relay": self._relay,
        }  # fmt: skip

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[None]:
        self._world.seen["connect"] += 1
        self._world.require()
        self._world.listeners.append(self._changed)
        try:
            yield
        finally:
            self._world.listeners.remove(self._changed)
            await self._parking.clear()

    def _changed(self) -> None:
        self._host.changed(self._upstream.name)

    async def agents(self) -> AsyncIterator[Agent]:
        self._world.seen["list"] += 1
        self._world.require()
        for place, agent in enumerate(list(self._world.agents.values())):
            if place == self._world.cut:
                raise Broken("the list broke off")
            yield agent

    async def check(self) -> Report:
        if self._world.away:
            return Report(False, f"the world '{self._world.name}' does not answer; end its outage")
        return Report(True, f"{len(self._world.agents)} agents", {"agents": len(self._world.agents)})

    async def invoke(self, call: Call, tool: Tool) -> AsyncIterator[Event]:
        far = self._world
        far.require()
        if tool.address.native not in far.agents:
            raise Unknown(f"the agent '{tool.address.native}' has left")
        far.seen["deliver"] += 1
        far.seen[f"deliver/{call.id}"] += 1
        far.hops[call.id] = hops.write(call.hops)
        far.running += 1
        try:
            async for event in self._tools[tool.native](call, tool):
                yield event
        except (asyncio.CancelledError, GeneratorExit):
            far.seen["cancel"] += 1
            raise
        finally:
            far.running -= 1

    async def resume(self, call: Call, tool: Tool, handle: Handle) -> AsyncIterator[Event]:
        self._world.seen["resume"] += 1
        self._world.require()
        job = self._world.jobs.get(handle)
        if job is None:
            raise Unknown("the far side does not hold this work any more", delivered="yes")
        async for event in self._finish(job):
            yield event

    # -- the tools ------------------------------------------------------------------------------------------------

    async def _echo(self, call: Call, tool: Tool) -> AsyncIterator[Event]:
        if delay := call.arguments.get("delay"):
            await self._for(asyncio.sleep(delay))
        yield Result((Text(str(call.arguments["text"])),))

    async def _count(self, call: Call, tool: Tool) -> AsyncIterator[Event]:
        n = int(call.arguments["n"])
        for number in range(1, n + 1):
            yield Progress(f"counting {number}", number, n)
            yield Part(Text(f"{number} "))
            await asyncio.sleep(0)
        yield Result((Text(f"counted to {n}"),))

    async def _fail(self, call: Call, tool: Tool) -> AsyncIterator[Event]:
        yield Error(translate.fault(call.arguments["kind"], call.arguments.get("delivered", "")))

    async def _crash(self, call: Call, tool: Tool) -> AsyncIterator[Event]:
        raise ZeroDivisionError("a secret of the adapter's own")
        yield Result()

    async def _ask(self, call: Call, tool: Tool) -> AsyncIterator[Event]:
        if call.answer is None:
            yield Ask(
                (Form("who", "What is your name?", NAME),), state={"greeting": call.arguments.get("greeting", "Hello")}
            )
            return
        yield Result((Text(f"{call.answer.state['greeting']}, {_name(call.answer)}"),))

    async def _wait(self, call: Call, tool: Tool) -> AsyncIterator[Event]:
        if call.answer is None:
            waiting: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
            yield Ask((Form("who", "What is your name?", NAME),), state={"key": self._parking.put(waiting)})
            return
        waiting = self._parking.take(call.answer.state["key"])
        waiting.set_result(_name(call.answer))
        yield Result((Text(f"Hello, {await waiting}, at last"),))

    async def _hang(self, call: Call, tool: Tool) -> AsyncIterator[Event]:
        await self._for(asyncio.Event().wait())
        yield Result()

    async def _garbage(self, call: Call, tool: Tool) -> AsyncIterator[Event]:
        how: Any = call.arguments["how"]
        if how == "nothing":
            return
        if how == "not an event":
            yield cast("Event", how)
        if how == "early close":
            yield Part(Text("half a"))
            raise ConnectFailed("the far side closed in the middle", delivered="unknown")
        yield Result((Text("first"),))
        yield Result((Text("second"),))

    async def _job(self, call: Call, tool: Tool) -> AsyncIterator[Event]:
        job = self._world.jobs[call.id] = Job(call.id, str(call.arguments["text"]))
        yield Accepted(job.id)
        if self._world.cut_jobs:
            raise ConnectFailed("the connection was cut")
        async for event in self._finish(job):
            yield event

    async def _finish(self, job: Job) -> AsyncIterator[Event]:
        yield Progress("working on it", 1, 2)
        if job.text.startswith("wait"):
            await self._for(job.done.wait())
        yield Result((Text(f"done: {job.text}"),))

    async def _big(self, call: Call, tool: Tool) -> AsyncIterator[Event]:
        size = int(call.arguments["bytes"])
        if call.arguments.get("where") == "file":
            yield Result((File("application/octet-stream", b"\0" * size, name="big"),))
        else:
            yield Result((Text("x" * size),))

    async def _remember(self, call: Call, tool: Tool) -> AsyncIterator[Event]:
        key = f"{call.caller.id}/{tool.agent}/{call.conversation or call.id}"
        said = self._world.memory.setdefault(key, [])
        said.append(str(call.arguments["text"]))
        yield Result((Text(" ".join(said)),))

    async def _add(self, call: Call, tool: Tool) -> AsyncIterator[Event]:
        yield Result((), structured={"sum": call.arguments["a"] + call.arguments["b"]})

    async def _parts(self, call: Call, tool: Tool) -> AsyncIterator[Event]:
        picture = File("image/png", b"\x89PNG", name="dot.png")
        link = File("text/html", uri="https://example.org/page", name="page")
        yield Result((Text("text"), Data({"a": [1, None, True]}), picture, link))

    async def _relay(self, call: Call, tool: Tool) -> AsyncIterator[Event]:
        invoke = RELAYS[self._upstream.url]
        chain = hops.read(self._world.hops[call.id])
        arguments = call.arguments.get("arguments", {})
        inner = Call(f"{call.id}.r", call.arguments["tool"], arguments, call.caller, hops=chain, parent=call.id)
        async for event in invoke(inner):
            yield event

    async def _for(self, wait: Any) -> None:
        """Waits; an outage breaks in."""
        waiting = asyncio.ensure_future(wait)
        broken = asyncio.ensure_future(self._world.broken.wait())
        try:
            await asyncio.wait({waiting, broken}, return_when=asyncio.FIRST_COMPLETED)
            if not waiting.done():
                raise ConnectFailed("the connection to the far side was lost")
        finally:
            waiting.cancel()
            broken.cancel()


def _name(answer: Answer) -> str:
    """Raises `Refused` where nobody told one."""
    said = answer.values.get("who")
    if not isinstance(said, dict):
        raise Refused("nobody tells me a name")
    return str(said.get("name"))


async def _drop(waiting: "asyncio.Future[Any]") -> None:
    waiting.cancel()
