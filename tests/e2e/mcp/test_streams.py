"""What moves between a real server, the gateway and real clients beside results: credentials, progress, cancels,
changed lists."""

import asyncio
import os
import re
import signal
from pathlib import Path
from typing import Any

import mcp_types as t
import pytest
from mcp import Client
from mcp.shared.exceptions import MCPError

from adapters.spi import Upstream
from gateway.testing import Box
from tests.e2e.mcp import eyes, outcome, upstreams
from tests.e2e.mcp.answers import text
from tests.e2e.mcp.child import EVERYTHING, environment, everything

pytestmark = pytest.mark.e2e
MODES = pytest.mark.parametrize("mode", ["auto", "legacy"])
Step = tuple[float, float | None, str | None]


async def inside(box: Box, url: str, **more: Any) -> str:
    """The gateway's view of the server at this URL."""
    await box.add(Upstream("own", "mcp", url=url, **more))
    return f"{await box.serve()}/mcp/agents/own"


async def test_the_key_and_the_headers_of_an_upstream(box: Box) -> None:
    async with everything(token="five o'clock") as url:
        at = await inside(box, url, secret="five o'clock", options={"headers": {"x-tea": "Assam"}})
        async with Client(at, cache=None) as client:
            assert text(await client.call_tool("own__header", {"name": "x-tea"})) == "Assam"
        await box.remove("own")


async def test_a_wrong_key_is_said_to_be_wrong(box: Box) -> None:
    async with everything(token="five o'clock") as url:
        wrong = Upstream("own", "mcp", url=url, secret="noon")
        await box.add(wrong)
        report = await box.report(wrong)
        assert not report.ok
        for said in (report.text, box.degraded("own") or ""):
            assert "key" in said.lower() or "401" in said
            assert "noon" not in said
        await box.remove("own")


@MODES
async def test_progress_is_the_same(box: Box, mode: Any) -> None:
    async with everything() as url:
        at = await inside(box, url)

        async def steps(where: str, tool: str) -> list[Step]:
            seen: list[Step] = []

            async def note(progress: float, total: float | None, message: str | None) -> None:
                seen.append((progress, total, message))

            async with Client(where, mode=mode, cache=None) as client:
                await client.call_tool(tool, {}, progress_callback=note)
            return seen

        direct = await steps(url, "test_tool_with_progress")
        assert len(direct) == 3
        assert await steps(at, "own__test_tool_with_progress") == direct
        await box.remove("own")


@MODES
async def test_a_cancel_reaches_the_server(box: Box, mode: Any) -> None:
    async with everything() as url:
        at = await inside(box, url)
        async with Client(at, mode=mode, cache=None) as client, Client(url, cache=None) as beside:
            ask = eyes.python(beside)
            call = asyncio.create_task(client.call_tool("own__hold", {"key": "one"}))
            await until(ask, "held")
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
            await until(ask, "cancelled")
        await box.remove("own")


async def until(ask: eyes.Eyes, what: str) -> None:
    """Returns when the server has seen it."""
    async with asyncio.timeout(20):
        while True:
            said = await ask("callTool", {"name": "seen", "arguments": {"key": "one"}})
            if said["structuredContent"][what]:
                return
            await asyncio.sleep(0.02)


async def description(client: Client) -> str:
    tools = (await client.list_tools()).tools
    return next(tool.description or "" for tool in tools if tool.name == "own__nothing")


async def test_a_changed_list_is_told_to_clients_of_2026(box: Box) -> None:
    async with everything() as url:
        async with Client(await inside(box, url), mode="auto", cache=None) as client:
            assert await description(client) == "Changed 0 times"
            async with client.listen(tools_list_changed=True) as told, asyncio.timeout(20):
                await client.call_tool("own__test_trigger_tool_change", {})
                await anext(aiter(told))
            assert await description(client) == "Changed 1 times"
        await box.remove("own")


async def test_a_changed_list_is_told_to_clients_with_sessions(box: Box) -> None:
    told = asyncio.Event()

    async def hear(message: Any) -> None:
        if isinstance(message, t.ToolListChangedNotification):
            told.set()

    async with everything() as url:
        at = await inside(box, url)
        async with Client(at, mode="legacy", cache=None, message_handler=hear) as client:
            assert await description(client) == "Changed 0 times"
            await client.call_tool("own__test_trigger_tool_change", {})
            await asyncio.wait_for(told.wait(), 20)
            assert await description(client) == "Changed 1 times"
        await box.remove("own")


async def test_a_command_that_died_is_started_again(box: Box, tmp_path: Path) -> None:
    note = tmp_path / "pid"
    options = {"env": environment({"PID_FILE": str(note)}), "cwd": str(tmp_path)}
    await box.add(Upstream("own", "mcp", command=(*EVERYTHING, "stdio"), options=options))
    async with Client(f"{await box.serve()}/mcp/agents/own", cache=None) as client:
        assert not (await client.call_tool("own__test_simple_text", {})).is_error
        first = note.read_text()
        os.kill(int(first), signal.SIGKILL)
        async with asyncio.timeout(60):
            while (await client.call_tool("own__test_simple_text", {})).is_error or note.read_text() == first:
                await asyncio.sleep(0.1)
    await box.remove("own")
    with pytest.raises(ProcessLookupError):
        os.kill(int(note.read_text()), 0)


WATCHED = "test://watched-resource"


async def test_a_changed_resource_is_told_to_clients_of_2026(box: Box) -> None:
    async with everything() as url, Client(await inside(box, url), mode="auto", cache=None) as client:
        async with client.listen(resource_subscriptions=[WATCHED]) as told, asyncio.timeout(20):
            await client.call_tool("own__touch", {})
            assert getattr(await anext(aiter(told)), "uri", "") == WATCHED
        await box.remove("own")


@pytest.mark.filterwarnings("ignore::mcp.shared.exceptions.MCPDeprecationWarning")
async def test_a_changed_resource_is_told_to_clients_with_sessions(box: Box) -> None:
    told: asyncio.Queue[str] = asyncio.Queue()

    async def hear(message: Any) -> None:
        if isinstance(message, t.ResourceUpdatedNotification):
            told.put_nowait(str(message.params.uri))

    async with everything() as url:
        async with Client(await inside(box, url), mode="legacy", cache=None, message_handler=hear) as client:
            await client.session.subscribe_resource(WATCHED)
            await client.call_tool("own__touch", {})
            assert await asyncio.wait_for(told.get(), 20) == WATCHED
            await client.session.unsubscribe_resource(WATCHED)
        await box.remove("own")


@pytest.fixture
async def asker(box: Box, npm: None, tmp_path: Path) -> str:
    """A server with one session for all callers, of which a question holds up a call; the gateway's view of it."""
    command = upstreams.server("server-everything", "stdio")
    await box.add(Upstream("far", "mcp", command=command, options={"env": environment(), "cwd": str(tmp_path)}))
    return f"{await box.serve()}/mcp/agents/far"


ASKS = "far__trigger-elicitation-request"


@MODES
async def test_a_question_nobody_can_answer_holds_nobody_up(box: Box, asker: str, mode: Any) -> None:
    async with Client(asker, mode=mode, cache=None) as mute:
        for _ in range(2):
            try:
                said = await mute.call_tool(ASKS, {}, read_timeout_seconds=20)
            except MCPError:
                continue
            assert said.is_error or "declined" in text(said) or "cancelled" in text(said)
    assert await answer(asker, mode) == "Ada"


@MODES
async def test_a_question_whose_caller_left_holds_nobody_up(box: Box, asker: str, mode: Any) -> None:
    asked = asyncio.Event()

    async def never(context: Any, params: Any) -> t.ElicitResult:
        asked.set()
        await asyncio.Event().wait()
        raise AssertionError

    async with Client(asker, mode=mode, cache=None, elicitation_callback=never) as leaver:
        call = asyncio.create_task(leaver.call_tool(ASKS, {}))
        await asyncio.wait_for(asked.wait(), 20)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
    assert await answer(asker, mode) == "Ada"


@MODES
async def test_nobody_is_given_the_answer_of_another(box: Box, asker: str, mode: Any) -> None:
    """Two at once on one session: each gets its own answer, or an error."""
    names = ("Ada", "Babbage")
    got = await asyncio.gather(*(answer(asker, mode, name) for name in names))
    assert all(one == name or one.startswith("an error") for one, name in zip(got, names, strict=True)), got
    assert [await answer(asker, mode, name) for name in names] == list(names)


async def answer(asker: str, mode: Any, name: str = "Ada") -> str:
    """The name that came back to a caller who gave this one, or "an error" and what it says."""

    async def fill(context: Any, params: Any) -> t.ElicitResult:
        filled = await outcome.elicit(context, params)
        return t.ElicitResult(action="accept", content={**(filled.content or {}), "name": name})

    async with Client(asker, mode=mode, cache=None, elicitation_callback=fill) as client:
        said = await client.call_tool(ASKS, {}, read_timeout_seconds=30)
    found = re.search(r"Name: (\w+)", text(said))
    return f"an error: {text(said)}" if said.is_error or not found else found[1]
