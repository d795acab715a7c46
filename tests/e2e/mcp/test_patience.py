"""A tool that takes longer than its caller waits: an interim answer, and the rest by `get_call` and `cancel_call`.

The official clients give up a call after 60 s; here they do after 6, and the key's patience is shorter still. Nothing
ends before the test lets it.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError

from adapters.fake.world import WORLDS, World, world
from adapters.spi import Upstream
from gateway.testing import Box
from tests.e2e.mcp import eyes, outcome
from tests.e2e.mcp.child import everything
from tests.e2e.mcp.eyes import Eyes

pytestmark = pytest.mark.e2e
PATIENCE = 0.4
TIMEOUT = 6.0
CALL = "doolittle/call"
TLS = httpx2.create_ssl_context()
Said = dict[str, Any]


@pytest.fixture
async def far(box: Box) -> AsyncIterator[World]:
    """A world of the fake network, upstream."""
    url = "fake://patience"
    await box.add(Upstream("world", "fake", url))
    yield world(url)
    await box.remove("world")
    WORLDS.pop(url)


async def key_of(box: Box, name: str, patience: float) -> str:
    """A key whose holder waits so long; 0: for ever."""
    more: dict[str, Any] = {"patience": patience}
    return await box.key(name, **more)


@asynccontextmanager
async def looking(how: str, url: str, key: str = "", timeout: float = TIMEOUT) -> AsyncIterator[Eyes]:
    """A client that gives up after `timeout` seconds."""
    if how.startswith("v"):
        async with eyes.typescript(how, url, key, timeout) as asks:
            yield asks
        return
    mode: Any = how
    headers = {"authorization": f"Bearer {key}"} if key else {}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=30, verify=TLS) as http,
        Client(streamable_http_client(url, http_client=http), mode=mode, cache=None) as client,
    ):
        yield eyes.python(client, timeout)


async def call(asks: Eyes, name: str, **arguments: Any) -> Said:
    return await asks("callTool", {"name": name, "arguments": arguments})


def words(said: Said) -> str:
    return "\n".join(block.get("text", "") for block in said["content"])


def interim(said: Said) -> bool:
    """Whether it says that the work goes on."""
    return not said.get("isError") and "still" in words(said).lower() and said["_meta"][CALL] in words(said)


async def first(asks: Eyes, name: str, **arguments: Any) -> str:
    """Begins something slow: the interim answer is a result like any other, and names the call."""
    said = await call(asks, name, **arguments)
    assert interim(said), said
    assert "structuredContent" not in said
    return str(said["_meta"][CALL])


async def last(asks: Eyes, id: str) -> Said:
    """Asks until there is more than an interim answer."""
    async with asyncio.timeout(30):
        while interim(said := await call(asks, "get_call", call=id, wait=1)):
            assert said["_meta"][CALL] == id
    return said


LATER = [pytest.param(how, marks=pytest.mark.slow) for how in ("legacy", "v2")]
HOWS = pytest.mark.parametrize("how", ["auto", "v1", *LATER])


@pytest.mark.parametrize("how", ["auto", "legacy", "v1", "v2"])
@pytest.mark.usefixtures("npm")
async def test_the_rest_comes_later(box: Box, far: World, how: str) -> None:
    key = await key_of(box, "hurried", PATIENCE)
    async with looking(how, f"{await box.serve()}/mcp/all", key) as asks:
        assert words(await call(asks, "all__echo", text="quick")) == "quick", "what is quick is as ever"
        id = await first(asks, "all__job", text="wait for tea")
        again = await call(asks, "get_call", call=id, wait=0)
        assert interim(again)
        assert "working on it" in words(again), "the progress so far"
        far.jobs[id].done.set()
        said = await last(asks, id)
        assert words(said) == "done: wait for tea"
        assert not said.get("isError")
        assert words(await call(asks, "get_call", call=id)) == "done: wait for tea", "as often as it is asked for"
    assert far.seen["deliver"] == 2, "nothing was begun twice"


@HOWS
@pytest.mark.usefixtures("npm")
async def test_what_goes_on_can_be_stopped(box: Box, far: World, how: str) -> None:
    key = await key_of(box, "hurried", PATIENCE)
    async with looking(how, f"{await box.serve()}/mcp/all", key) as asks:
        id = await first(asks, "all__hang")
        assert not interim(await call(asks, "cancel_call", call=id))
        assert not interim(await last(asks, id))
    assert far.seen["cancel"] == 1, "the far side was told"
    assert far.running == 0


async def test_an_error_comes_later_too(box: Box, far: World) -> None:
    key = await key_of(box, "hurried", PATIENCE)
    async with looking("auto", f"{await box.serve()}/mcp/all", key) as asks:
        id = await first(asks, "all__hang")
        far.outage(True)
        said = await last(asks, id)
        far.outage(False)
    assert said["isError"] is True
    assert "all__hang" in words(said)


async def test_calls_are_their_callers_own(box: Box, far: World) -> None:
    key, other = await key_of(box, "hurried", PATIENCE), await key_of(box, "other", PATIENCE)
    url = f"{await box.serve()}/mcp/all"
    async with looking("auto", url, key) as asks, looking("auto", url, other) as stranger:
        id = await first(asks, "all__job", text="wait for tea")
        for verb in ("get_call", "cancel_call"):
            for wrong in (id, "no-such-call"):
                try:
                    said = await call(stranger, verb, call=wrong)
                except MCPError:
                    continue
                assert said["isError"] is True
                assert "tea" not in words(said)
        assert interim(await call(asks, "get_call", call=id, wait=0)), "and it goes on"
        far.jobs[id].done.set()
        assert words(await last(asks, id)) == "done: wait for tea"


@HOWS
@pytest.mark.usefixtures("npm")
async def test_lists_say_what_can_come(box: Box, far: World, how: str) -> None:
    """Both verbs in every view; no schema of results for callers whose result may be an interim one."""
    patient, hurried = await key_of(box, "patient", 0), await key_of(box, "hurried", PATIENCE)
    base = await box.serve()
    for path in ("/mcp/all", "/mcp", "/mcp/agents/all"):
        async with looking(how, base + path, hurried) as asks:
            tools = {tool["name"]: tool for tool in (await asks("listTools", {}))["tools"]}
        assert {"get_call", "cancel_call"} <= set(tools)
        assert not [name for name, tool in tools.items() if "outputSchema" in tool]
    async with looking(how, f"{base}/mcp/all", patient) as asks:
        tools = {tool["name"]: tool for tool in (await asks("listTools", {}))["tools"]}
    assert "outputSchema" in tools["all__add"]


@HOWS
@pytest.mark.usefixtures("npm")
async def test_without_a_limit_the_call_waits(box: Box, far: World, how: str) -> None:
    """Patience 0 is for ever: the client's own timeout ends it, and that reaches the far side."""
    key = await key_of(box, "patient", 0)
    async with looking(how, f"{await box.serve()}/mcp/all", key, timeout=1.0) as asks:
        with pytest.raises(MCPError):
            await call(asks, "all__hang")
        async with asyncio.timeout(20):
            while far.running:
                await asyncio.sleep(0.02)
    assert far.seen["cancel"] == 1


@HOWS
@pytest.mark.usefixtures("npm")
async def test_a_slow_mcp_server(box: Box, how: str) -> None:
    """The late result is what the server said, and a cancel reaches it."""
    key = await key_of(box, "hurried", PATIENCE)
    async with everything() as url:
        await box.add(Upstream("own", "mcp", url=url))
        inside = f"{await box.serve()}/mcp/agents/own"
        async with looking(how, inside, key) as asks, looking("auto", url) as beside:
            id = await first(asks, "own__hold", key="one")
            await call(beside, "release", key="one")
            said, direct = await last(asks, id), await call(beside, "hold", key="one")
            for part in ("content", "structuredContent"):
                assert outcome.canonical(said.get(part)) == outcome.canonical(direct.get(part))
            id = await first(asks, "own__hold", key="two")
            await call(asks, "cancel_call", call=id)
            async with asyncio.timeout(20):
                while not (await call(beside, "seen", key="two"))["structuredContent"]["cancelled"]:
                    await asyncio.sleep(0.02)
        await box.remove("own")
