"""The call path: owned tasks, chains, records; and one upstream request for each call."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest
from pydantic import BaseModel

from adapters.errors import BudgetSpent, Denied, Full, LoopCut, Paused, RateLimited
from adapters.fake.outbound import RELAYS
from adapters.fake.world import WORLDS, World, world
from adapters.spi import (
    Address,
    Agent,
    Call,
    Caller,
    Error,
    Event,
    Hop,
    Host,
    Manifest,
    Price,
    Report,
    Result,
    Text,
    Tool,
    Upstream,
)
from gateway import money
from gateway.testing import Box

URL = "fake://calls"


@pytest.fixture
async def far(box: Box) -> World:
    WORLDS.pop(URL, None)
    made = world(URL)
    await box.add(Upstream("world", "fake", URL))
    RELAYS[URL] = box.invoke
    return made


async def last(box: Box, tool: str, arguments: dict[str, Any], **more: Any) -> Event:
    call = Call(more.pop("id", "c1"), tool, arguments, more.pop("caller", box.caller), **more)
    return [event async for event in box.invoke(call)][-1]


async def lines(box: Box) -> list[dict[str, Any]]:
    return await box.gateway.audit.last(100)


async def test_every_call_leaves_one_line_without_its_contents(box: Box, far: World) -> None:
    await last(box, "all__echo", {"text": "a rare word"}, id="one")
    await last(box, "all__nothing", {}, id="two")
    await last(box, "all__echo", {}, id="three")
    await last(box, "all__echo", {"text": "x"}, id="four", caller=Caller("eve", allow=("other__*",)))
    found = {line["call"]: line for line in await lines(box)}
    assert {call: line["code"] for call, line in found.items()} == {
        "one": "", "two": "unknown", "three": "bad_arguments", "four": "denied",
    }  # fmt: skip
    assert found["one"]["outcome"] == "ok"
    assert found["one"]["target_network"] == "fake"
    assert "rare" not in str(found)
    page = box.gateway.metrics.page().decode()
    assert 'doolittle_calls_total{caller_network="test",network="fake",outcome="ok"} 1.0' in page
    assert far.seen["deliver"] == 1


async def test_a_full_audit_refuses_calls_rather_than_losing_lines(tmp_path: Path) -> None:
    box = Box(tmp_path, limits={"audit_queue": 2})
    await box.open()
    await box.add(Upstream("world", "fake", "fake://audit"))
    events = [await last(box, "all__echo", {"text": "x"}, id=f"n{n}") for n in range(4)]
    assert [isinstance(event, Error) for event in events] == [False, False, True, True]
    assert isinstance(events[-1], Error)
    assert isinstance(events[-1].error, Full)
    await box.gateway.audit.flush()
    assert isinstance(await last(box, "all__echo", {"text": "x"}, id="n9"), Result)
    await box.close()


async def test_rate_and_concurrency(tmp_path: Path) -> None:
    box = Box(tmp_path, limits={"rate": "3/minute", "concurrent": 2})
    await box.open()
    await box.add(Upstream("world", "fake", "fake://limits"))
    for n in range(3):
        assert isinstance(await last(box, "all__echo", {"text": "x"}, id=f"n{n}"), Result)
    event = await last(box, "all__echo", {"text": "x"}, id="n4")
    assert isinstance(event, Error)
    assert isinstance(event.error, RateLimited)
    assert (event.error.retry_after or 0) > 0
    ann = Caller("ann")
    hanging = [asyncio.create_task(last(box, "all__hang", {}, id=f"h{n}", caller=ann)) for n in range(2)]
    while world("fake://limits").running < 2:
        await asyncio.sleep(0.005)
    event = await last(box, "all__echo", {"text": "x"}, id="n5", caller=ann)
    assert isinstance(event, Error)
    assert isinstance(event.error, Full)
    for task in hanging:
        task.cancel()
    await box.close()


@pytest.mark.usefixtures("far")
async def test_a_chain_through_the_gateway_is_cut_where_it_closes(box: Box) -> None:
    inner = {"tool": "all__relay", "arguments": {"tool": "all__echo", "arguments": {"text": "x"}}}
    event = await last(box, "all__relay", inner, id="root")
    assert isinstance(event, Error)
    assert isinstance(event.error, LoopCut)
    assert "all__relay -> all__relay" in event.error.public
    tree = await box.gateway.audit.tree("root.r")
    assert [(line["call"], line["parent"], line["root"]) for line in tree] == [
        ("root", None, "root"),
        ("root.r", "root", "root"),
    ]


@pytest.mark.usefixtures("far")
async def test_a_child_may_no_more_than_its_parent(box: Box) -> None:
    narrow = Caller("ann", allow=("all__relay",))
    event = await last(box, "all__relay", {"tool": "all__echo", "arguments": {"text": "x"}}, caller=narrow)
    assert isinstance(event, Error)
    assert isinstance(event.error, Denied)
    parent = asyncio.create_task(last(box, "all__hang", {}, id="parent", caller=Caller("ann", allow=("all__hang",))))
    await asyncio.sleep(0.01)
    child = await last(box, "all__echo", {"text": "x"}, id="child", caller=Caller("agent"), parent="parent")
    assert isinstance(child, Error)
    assert isinstance(child.error, Denied)
    parent.cancel()


@pytest.mark.usefixtures("far")
async def test_one_root_may_cause_so_many_calls(box: Box) -> None:
    root = (Hop("root", "somebody", "somebody__ask"),)
    events = [await last(box, "all__echo", {"text": "x"}, id=f"d{n}", hops=root) for n in range(65)]
    assert [isinstance(event, Result) for event in events] == [True] * 64 + [False]


@pytest.mark.usefixtures("far")
async def test_a_parent_is_inferred_from_the_agents_own_key(box: Box) -> None:
    parent = asyncio.create_task(last(box, "all__hang", {}, id="outer", conversation="talk"))
    await asyncio.sleep(0.01)
    await last(box, "all__echo", {"text": "x"}, id="inner", caller=Caller("key", agent="all"), conversation="talk")
    parent.cancel()
    await asyncio.gather(parent, return_exceptions=True)
    assert {line["call"]: line["parent"] for line in await lines(box)} == {"outer": None, "inner": "outer"}


async def test_a_paused_agent_is_stopped_everywhere(box: Box, far: World) -> None:
    await box.gateway.registry.pause("all", True)
    event = await last(box, "all__echo", {"text": "x"})
    assert isinstance(event, Error)
    assert isinstance(event.error, Paused)
    assert box.catalog.tools(box.caller) == []
    assert far.seen["deliver"] == 0


@pytest.mark.usefixtures("far")
async def test_the_trace_goes_on(box: Box) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    await last(box, "all__echo", {"text": "x"}, id="traced", trace=trace)
    passed = box.calls.get("traced", box.caller).call.trace or ""
    assert passed.split("-")[1] == trace.split("-")[1]


def test_money_is_checked_before_anything_is_sent() -> None:
    from decimal import Decimal

    tool = Tool("t", name="a__t", price=Price(Decimal("0.10")))
    call = Call("c", "a__t", {}, Caller("x"))
    for budget in (None, Decimal(0), Decimal("0.09")):
        with pytest.raises(BudgetSpent):
            money.require(replace(call, budget=budget), tool)
    money.require(replace(call, budget=Decimal("0.1")), tool)
    money.require(call, replace(tool, price=None))


class Counting:
    """A small real HTTP server that counts connections and requests."""

    def __init__(self) -> None:
        self.connections = 0
        self.requests = 0

    async def start(self) -> str:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def stop(self) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                self.requests += 1
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        except asyncio.IncompleteReadError:
            writer.close()


class HttpOutbound:
    """The least outbound adapter over `Host.http`."""

    def __init__(self, upstream: Upstream, host: Host) -> None:
        self._upstream, self._host = upstream, host

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[None]:
        yield

    async def agents(self) -> AsyncIterator[Agent]:
        yield Agent(Address("counted", "u", "a"), "a", tools=(Tool("get"),))

    async def invoke(self, call: Call, tool: Tool) -> AsyncIterator[Event]:
        yield Result((Text((await self._host.http.get(self._upstream.url)).text),))

    async def check(self) -> Report:
        return Report(True, "")


class NoOptions(BaseModel):
    """None."""


class Counted:
    options = NoOptions
    manifest = Manifest("counted", "Counted", frozenset({"outbound"}))

    def outbound(self, upstream: Upstream, host: Host) -> HttpOutbound:
        return HttpOutbound(upstream, host)

    def inbound(self, host: Host) -> Any:
        raise AssertionError


async def test_one_request_and_no_new_connection_for_each_call(box: Box) -> None:
    server = Counting()
    await box.add(Upstream("u", "counted", await server.start()), Counted())
    url = await box.serve()
    async with httpx2.AsyncClient(base_url=url) as client:
        for _ in range(3):
            await client.post("/v1/tools/a__get/calls", json={})
        before = (server.connections, server.requests)
        statements: list[str] = []
        engine: Any = box.gateway.store._engine
        from sqlalchemy import event

        await box.gateway.audit.flush()
        event.listen(engine, "before_cursor_execute", lambda *a: statements.append(a[2]))
        for _ in range(50):
            assert (await client.post("/v1/tools/a__get/calls", json={})).status_code == 200
        assert (server.connections - before[0], server.requests - before[1]) == (0, 50)
        await box.gateway.audit.flush()
        assert all("INSERT INTO audit" in said for said in statements), (
            "the database sees audit batches, and nothing else"
        )
        assert len(statements) < 25, "in batches"
    server.stop()
