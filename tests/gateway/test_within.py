"""An agent that calls others while it carries out a call: whose rights, chain, money and limits those calls have."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from pydantic import BaseModel

from adapters.fake.world import World, world
from adapters.spi import (
    Address,
    Agent,
    Call,
    Caller,
    Error,
    Event,
    Host,
    Made,
    Manifest,
    Price,
    Progress,
    Report,
    Result,
    Text,
    Tool,
    Upstream,
    Within,
)  # fmt: skip
from gateway.calls import Running
from gateway.testing import Box

GATE = Tool("go", "Calls what it is told to.", b'{"type":"object"}')


class Nothing(BaseModel):
    """No settings."""


class Agentish:
    """An agent that calls `tool` with `arguments`, as often as `times` says, and tells what came of it."""

    options = Nothing
    manifest = Manifest("agentish", "Agentish", frozenset({"outbound"}))

    def __init__(self, *allow: str) -> None:
        self.allow = allow or ("*",)
        self.seen: list[Within] = []
        self.calls: list[Call] = []

    def outbound(self, upstream: Upstream, host: Host) -> Any:
        self.host = host
        return self

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[None]:
        yield

    async def agents(self) -> AsyncIterator[Agent]:
        yield Agent(Address("agentish", "x", "doer"), "doer", tools=(GATE,))

    async def check(self) -> Report:
        return Report(True, "")

    def inbound(self, host: Host) -> Any:
        raise NotImplementedError

    async def invoke(self, call: Call, tool: Tool) -> AsyncIterator[Event]:
        within = self.host.within(call, tool, self.allow)
        self.seen.append(within)
        self.calls.append(call)
        said: list[str] = []
        for _ in range(call.arguments.get("times", 1)):
            inner: Any = within.invoke(call.arguments["tool"], call.arguments.get("arguments", {}))
            async with aclosing(inner) as events:
                async for event in events:
                    if isinstance(event, Progress):
                        yield event
                    if isinstance(event, Error | Result):
                        said.append(event.error.code if isinstance(event, Error) else event.text)
        yield Result((Text(" ".join(said)),))


@pytest.fixture
async def far(box: Box) -> World:
    await box.add(Upstream("w", "fake", "fake://within"))
    found = world("fake://within")
    found.seen.clear()
    return found


async def doer(box: Box, *allow: str) -> Agentish:
    made = Agentish(*allow)
    await box.add(Upstream("x", "agentish"), made)
    return made


def go(box: Box, tool: str, **more: Any) -> Call:
    arguments = {"tool": tool, "arguments": more.pop("arguments", {"text": "hello"}), "times": more.pop("times", 1)}
    return Call(
        more.pop("id", f"go{time.monotonic_ns()}"), "doer__go", arguments, more.pop("caller", box.caller), **more
    )


async def said(box: Box, call: Call) -> str:
    events = [event async for event in box.invoke(call)]
    assert isinstance(events[-1], Result), events
    return events[-1].text


async def test_it_calls_as_itself_on_behalf_of_the_caller(box: Box, far: World) -> None:
    agent = await doer(box)
    assert await said(box, go(box, "all__echo", id="outer", deadline=time.time() + 60)) == "hello"
    (made,) = agent.seen[0].made
    assert made == Made(made.call, "all__echo", "ok")
    kept = box.gateway.calls.get(made.call, agent.seen[0].caller).call
    assert (kept.parent, kept.deadline) == ("outer", agent.calls[0].deadline)
    assert [(hop.agent, hop.call) for hop in kept.hops] == [("doer", "outer"), ("all", made.call)]
    assert [(c.id, c.agent) for c in kept.caller.chain()] == [("tester/doer", "doer"), ("tester", "")]


async def test_allowed_is_what_both_may(box: Box, far: World) -> None:
    agent = await doer(box, "all__echo", "all__add")
    narrow = Caller("narrow", allow=("doer__go", "all__add", "all__count"))
    adds: dict[str, Any] = {"arguments": {"a": 1, "b": 2}, "caller": narrow}
    assert await said(box, go(box, "all__add", **adds)) == ""
    for denied in ("all__echo", "all__count", "all__nothing"):
        assert await said(box, go(box, denied, caller=narrow)) == "denied"
    assert [tool.name for tool in agent.seen[0].tools()] == ["all__add"]
    assert [tool.name for tool in await agent.seen[0].search("echo add count")] == ["all__add"]
    assert [made.outcome for within in agent.seen for made in within.made] == ["ok", "denied", "denied", "denied"]


async def test_a_call_of_another_with_the_same_id_lends_no_rights(box: Box, far: World) -> None:
    await doer(box)
    narrow = Caller("narrow", allow=("doer__go",))
    hang = asyncio.create_task(said(box, go(box, "all__hang", id="same", arguments={})))
    while not far.running:
        await asyncio.sleep(0.01)
    assert await said(box, go(box, "all__echo", id="same", caller=narrow)) == "denied"
    hang.cancel()
    await asyncio.gather(hang, return_exceptions=True)


async def test_one_that_calls_itself_is_cut(box: Box, far: World) -> None:
    await doer(box)
    assert await said(box, go(box, "doer__go", arguments={"tool": "all__echo"})) == "loop_cut"


async def test_its_calls_use_up_the_callers_rate_and_day_and_no_more_than_one_place(box: Box, far: World) -> None:
    await doer(box)
    keys = box.gateway.keys
    limits: dict[str, dict[str, Any]] = {"often": {"rate": "3/hour"}, "daily": {"daily": 3}, "one": {"concurrent": 1}}
    who = {name: keys.bearer(await box.key(name, **limit), "test") for name, limit in limits.items()}
    for name in ("often", "daily"):
        assert await said(box, go(box, "all__echo", times=3, caller=who[name])) == "hello hello rate_limited"
    assert await said(box, go(box, "all__echo", times=2, caller=who["one"])) == "hello hello"
    assert {key.name: key.today for key in await keys.list()} == {"often": 3, "daily": 3, "one": 3}


async def test_it_spends_what_is_left_of_the_budget(box: Box, far: World) -> None:
    agent = far.agents["all"]
    tools = [replace(t, price=Price(Decimal("0.4"))) if t.native in ("echo", "fail") else t for t in agent.tools]
    far.agents["all"] = replace(agent, tools=tuple(tools))
    await box.refresh("w")
    await doer(box)
    assert await said(box, go(box, "all__echo", times=3, budget=Decimal(1))) == "hello hello budget_spent"
    assert await said(box, go(box, "all__echo")) == "budget_spent"
    refused: dict[str, Any] = {
        "arguments": {"kind": "refused", "delivered": "no"},
        "times": 3,
        "budget": Decimal("0.5"),
    }
    assert await said(box, go(box, "all__fail", **refused)) == "refused refused refused"
    world("fake://within").agents["all"] = agent


async def test_conversations_are_those_of_the_caller(box: Box, far: World) -> None:
    await doer(box)
    for name, heard in (("ann", "x"), ("bob", "x"), ("ann", "x x")):
        call = go(box, "all__remember", arguments={"text": "x"}, caller=Caller(name), conversation="c")
        assert await said(box, call) == heard


async def test_cancelling_reaches_what_it_called(box: Box, far: World) -> None:
    await doer(box)
    task = asyncio.create_task(said(box, go(box, "all__hang", arguments={})))
    while not far.running:
        await asyncio.sleep(0.01)
    task.cancel()
    while far.running:
        await asyncio.sleep(0.01)
    running: list[Running] = box.gateway.calls.running()
    assert all(one.call.tool != "all__hang" for one in running)


async def test_nobody_is_there_to_answer(box: Box, far: World) -> None:
    agent = await doer(box)
    await said(box, go(box, "all__ask", arguments={}))
    assert [made.outcome for made in agent.seen[0].made] == ["ask"]
