"""Both bridges from standard input and output to the gateway, spoken through by the official client in both eras."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.shared.exceptions import MCPError

from adapters.fake.world import World, world
from adapters.spi import Upstream
from examples.tour.eliza import NODE
from gateway.testing import Box
from tests.conftest import ROOT
from tests.e2e.mcp.answers import text

pytestmark = pytest.mark.e2e
BUNDLE = ROOT / "adapters" / "mcp" / "bundle" / "bridge.mjs"
ERAS = [("auto", "2026-07-28"), ("legacy", "2025-11-25")]


class Bridge:
    """How one of the two is started."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def words(self, url: str, key: str = "", path: str = "/mcp/all") -> tuple[list[str], dict[str, str]]:
        if self.kind == "node":
            return [str(NODE), str(BUNDLE)], {"DOOLITTLE_URL": url + path, "DOOLITTLE_KEY": key or "${user_config.key}"}
        more = ["--all"] if path == "/mcp/all" else ["--agent", path.rpartition("/")[2]]
        return [sys.executable, "-m", "gateway.cli", "--url", url, "mcp-stdio", *more], {"DOOLITTLE_KEY": key}

    @asynccontextmanager
    async def client(self, url: str, mode: Any, key: str = "", path: str = "/mcp/all") -> AsyncIterator[Client]:
        words, env = self.words(url, key, path)
        started = stdio_client(StdioServerParameters(command=words[0], args=words[1:], env=env))
        async with Client(started, mode=mode) as client:
            yield client


@pytest.fixture(params=["node", "python"])
def bridge(request: pytest.FixtureRequest) -> Bridge:
    return Bridge(request.param)


@pytest.fixture
async def far(box: Box) -> World:
    await box.add(Upstream("bridged", "fake", "fake://bridged"))
    return world("fake://bridged")


async def until(holds: Any) -> None:
    async with asyncio.timeout(20):
        while not holds():
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(("mode", "version"), ERAS)
async def test_all_that_a_client_does(box: Box, far: World, bridge: Bridge, mode: str, version: str) -> None:
    seen: list[tuple[float, str | None]] = []

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        seen.append((progress, message))

    async with bridge.client(await box.serve(), mode) as client:
        assert client.protocol_version == version
        listed = (await client.list_tools()).tools
        assert {"all__echo", "all__add"} <= {tool.name for tool in listed}
        awkward = 'Ünïcode \u2028 "quotes"\r\n\t and lines\n'
        answer = await client.call_tool("all__echo", {"text": awkward})
        assert text(answer) == awkward
        assert (await client.call_tool("all__add", {"a": 1, "b": 2})).structured_content == {"sum": 3}
        await client.call_tool("all__count", {"n": 3}, progress_callback=on_progress)
        assert len(seen) >= 3
        failed = await client.call_tool("all__fail", {"kind": "refused"})
        assert failed.is_error
        with pytest.raises(MCPError, match="no tool is called"):
            await client.call_tool("all__nothing", {})
        big = await client.call_tool("all__big", {"bytes": 300_000})
        assert len(text(big)) >= 300_000
        many = await asyncio.gather(*(client.call_tool("all__echo", {"text": str(n)}) for n in range(20)))
        assert [text(one) for one in many] == [str(n) for n in range(20)]


@pytest.mark.parametrize(("mode", "version"), ERAS)
async def test_cancelling_reaches_the_far_side(box: Box, far: World, bridge: Bridge, mode: str, version: str) -> None:
    async with bridge.client(await box.serve(), mode) as client:
        call = asyncio.create_task(client.call_tool("all__hang", {}))
        await until(lambda: far.running)
        call.cancel()
        await until(lambda: not far.running)
        assert (await client.call_tool("all__add", {"a": 1, "b": 2})).structured_content == {"sum": 3}, version


async def test_hanging_up_ends_the_bridge_and_its_calls(box: Box, far: World, bridge: Bridge) -> None:
    words, env = bridge.words(await box.serve())
    process = await _start(words, env)
    assert process.stdin
    assert process.stdout
    process.stdin.write(_line(1, "initialize", **HELLO))
    assert json.loads(await process.stdout.readline())["id"] == 1
    process.stdin.write(b'{"jsonrpc":"2.0","method":"notifications/initialized"}\n')
    process.stdin.write(_line("x", "tools/call", name="all__hang", arguments={}))
    await until(lambda: far.running)
    process.stdin.close()
    assert await asyncio.wait_for(process.wait(), 20) == 0
    await until(lambda: not far.running)
    assert await process.stdout.read() == b""


async def test_input_from_a_pipe_is_answered(box: Box, far: World, bridge: Bridge) -> None:
    words, env = bridge.words(await box.serve(), path="/mcp/agents/all")
    process = await _start(words, env)
    lines = [_line(1, "initialize", **HELLO), b'{"jsonrpc":"2.0","method":"notifications/initialized"}\n', b"\n"]
    lines += [b"no json\n", b"7\n", b"[" + _line(2, "ping").strip() + b"]\n", _line(3, "tools/list")[:-1]]
    out, _ = await asyncio.wait_for(process.communicate(b"".join(lines)), 20)
    said = {
        repr(one["id"]) + str(one.get("error", {}).get("code", "")): one for one in map(json.loads, out.splitlines())
    }
    assert set(said) == {"1", "None-32700", "None-32600", "2", "3"}
    assert said["3"]["result"]["tools"]


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_keys(box: Box, far: World, bridge: Bridge, mode: str) -> None:
    url = await box.serve()
    await box.key("root", roles=("call", "admin"))
    key = await box.key("bridged")
    async with bridge.client(url, mode, key) as client:
        assert (await client.call_tool("all__add", {"a": 1, "b": 2})).structured_content == {"sum": 3}
    if bridge.kind == "node":
        with pytest.raises((MCPError, ExceptionGroup)) as fault:
            async with bridge.client(url, mode, "dk_wrong") as client:
                await client.list_tools()
        assert "not known, or was revoked" in _whole(fault.value)


async def test_the_gateway_away(bridge: Bridge, box: Box, far: World) -> None:
    """It was there, and went: the client reads what to do, and the bridge lives on."""
    url = await box.serve()
    async with bridge.client(url, "legacy") as client:
        await client.list_tools()
        await box.close()
        for _ in range(2):
            with pytest.raises(MCPError, match=r"does not answer|broke"):
                await client.call_tool("all__echo", {"text": "x"})
        with pytest.raises(MCPError, match="start it with: doolittle serve"):
            await client.call_tool("all__echo", {"text": "x"})
    await box.open()


async def test_a_gateway_that_was_never_there() -> None:
    with pytest.raises((MCPError, ExceptionGroup)) as fault:
        async with Bridge("node").client("http://127.0.0.1:9", "auto") as client:
            await client.list_tools()
    assert "the gateway at http://127.0.0.1:9 does not answer; start it with: doolittle serve" in _whole(fault.value)


async def test_a_gateway_that_restarts_forgets_the_session(tmp_path: Path, bridge: Bridge) -> None:
    (tmp_path / "doolittle.toml").write_text('[upstreams.w]\nnetwork = "fake"\nurl = "fake://w"\n')
    first, url = await _serve(tmp_path, 0)
    async with bridge.client(url, "legacy") as client:
        await until_listed(client)
        first.terminate()
        await first.wait()
        second, _ = await _serve(tmp_path, int(url.rpartition(":")[2]))
        await until_listed(client)
        assert (await client.call_tool("all__add", {"a": 1, "b": 2})).structured_content == {"sum": 3}
    second.terminate()
    await second.wait()


async def until_listed(client: Client) -> None:
    async with asyncio.timeout(20):
        while not (await client.list_tools()).tools:
            await asyncio.sleep(0.05)


HELLO = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "pipe", "version": "1"}}


def _line(id: Any, method: str, **params: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).encode() + b"\n"


async def _start(words: list[str], env: dict[str, str]) -> asyncio.subprocess.Process:
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(*words, env=env, stdin=pipe, stdout=pipe, limit=2**24)


async def _serve(folder: Path, port: int) -> tuple[asyncio.subprocess.Process, str]:
    words = [sys.executable, "-m", "gateway.cli", "serve", "--port", str(port)]
    process = await asyncio.create_subprocess_exec(
        *words, cwd=folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    assert process.stdout
    return process, (await process.stdout.readline()).decode().split(" at ")[1].split()[0]


def _whole(fault: BaseException) -> str:
    """The text of a fault, and of all inside it."""
    inner = fault.exceptions if isinstance(fault, BaseExceptionGroup) else ()
    return " ".join([str(fault), *(_whole(one) for one in inner)])
