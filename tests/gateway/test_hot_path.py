"""What a call costs far sides and this process, once it is warm: one request, and nothing else. Counted, not timed."""

import asyncio
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from sqlalchemy import event

from adapters.spi import Call, Result, Upstream
from bench import echo
from gateway.testing import Box

CALLS = 40


@asynccontextmanager
async def counting() -> AsyncIterator[str]:
    """The bench's MCP server in this process."""
    tcp = socket.IPPROTO_TCP  # said, or asyncio lets an answer wait 40 ms
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, tcp) as sock:
        sock.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(echo.app, lifespan="off", log_config=None, ws="none"))
        task = asyncio.create_task(server._serve([sock]), name="echo")
        while not server.started:
            await asyncio.sleep(0.002)
        try:
            yield f"http://127.0.0.1:{sock.getsockname()[1]}/mcp"
        finally:
            await asyncio.sleep(0.05)  # its connections are closed from the other side
            server.should_exit = server.force_exit = True
            await task


@asynccontextmanager
async def gateway(folder: Path, transport: str, era: str) -> AsyncIterator[Box]:
    """With the counting server as its one upstream."""
    async with counting() as url:
        box = Box(folder, server={"transport": transport})
        await box.open()
        try:
            await box.add(Upstream("far", "mcp", url, options={"era": era}))
            yield box
        finally:
            await box.close()


@pytest.mark.parametrize("transport", ["fast", "plain"])
@pytest.mark.parametrize("era", ["handshake", "modern"])
async def test_a_warm_call_is_one_request_upstream_and_nothing_else(tmp_path: Path, transport: str, era: str) -> None:
    async with gateway(tmp_path, transport, era) as box:
        for number in range(5):
            await _call(box, f"warm {number}")
        await box.gateway.audit.flush()
        statements = _statements(box)
        modules, connections = set(sys.modules), len(echo.connections)
        echo.requests.clear()

        for number in range(CALLS):
            await _call(box, f"text {number}")

        assert dict(echo.requests) == {"tools/call": CALLS}
        assert len(echo.connections) == connections
        assert set(sys.modules) == modules
        await box.gateway.audit.flush()
        assert set(statements) == {"INSERT INTO audit"}, "beside the calls, and in batches"
        assert len(statements) < CALLS / 4


@pytest.mark.parametrize("transport", ["fast", "plain"])
async def test_many_at_once_open_connections_once(tmp_path: Path, transport: str) -> None:
    async with gateway(tmp_path, transport, "modern") as box:
        await asyncio.gather(*(_call(box, f"warm {number}") for number in range(16)))
        connections = len(echo.connections)
        for turn in range(5):
            await asyncio.gather(*(_call(box, f"{turn} {number}") for number in range(16)))
        assert len(echo.connections) <= connections + (0 if transport == "fast" else 16)


async def _call(box: Box, text: str) -> None:
    events = [e async for e in box.invoke(Call(f"call {text}", "far__echo", {"text": text}, box.caller))]
    assert len(events) == 1
    assert isinstance(events[0], Result)
    assert events[0].text == text


def _statements(box: Box) -> list[str]:
    """The first words of each statement that reaches the database, as they come."""
    found: list[str] = []

    def seen(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        found.append(" ".join(statement.split()[:3]))

    event.listen(box.gateway.store._engine, "before_cursor_execute", seen)
    return found
