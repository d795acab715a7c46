"""The command as it is typed, and then each client's own words taken at their word."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client

pytestmark = pytest.mark.e2e
DOOLITTLE = Path(sys.executable).parent / "doolittle"


class Machine:
    """A home folder, a gateway's folder in it, and the command."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.folder = home / "gateway"
        self.folder.mkdir()
        self.desktop = home / ".config" / "Claude" / "claude_desktop_config.json"
        self.cursor = home / ".cursor" / "mcp.json"
        self.said = ""

    async def run(self, *words: str, code: int = 0) -> str:
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "DOOLITTLE_", "CLAUDE"))
        }
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            str(DOOLITTLE), *words, cwd=self.folder, env={**kept, "HOME": str(self.home)}, stdout=pipe, stderr=pipe
        )
        out, err = await process.communicate()
        self.said = err.decode()
        assert process.returncode == code, self.said + out.decode()
        return out.decode()

    def entry(self, path: Path) -> Any:
        return json.loads(path.read_text())["mcpServers"]["doolittle"]


@pytest.fixture
async def machine(tmp_path: Path) -> AsyncIterator[Machine]:
    yield Machine(tmp_path)


async def sum_by_command(entry: Any) -> Any:
    server = StdioServerParameters(command=entry["command"], args=entry["args"], env=entry.get("env"))
    async with Client(stdio_client(server), mode="legacy") as client:
        return (await client.call_tool("all__add", {"a": 1, "b": 2})).structured_content


async def sum_by_url(entry: Any) -> Any:
    async with (
        httpx2.AsyncClient(headers=entry.get("headers", {})) as http,
        Client(streamable_http_client(entry["url"], http_client=http), mode="legacy") as client,
    ):
        return (await client.call_tool("all__add", {"a": 1, "b": 2})).structured_content


async def test_desktop_with_no_server_running(machine: Machine) -> None:
    await machine.run("add", "fake", "w", "fake://w")
    assert "Claude Desktop is connected" in await machine.run("connect", "claude-desktop", "--all")
    assert await sum_by_command(machine.entry(machine.desktop)) == {"sum": 3}
    await machine.run("keys", "create", "root", "--role", "admin")
    made = json.loads(await machine.run("connect", "claude-desktop", "--all", "--json"))
    assert await sum_by_command(machine.entry(machine.desktop)) == {"sum": 3}
    calls = json.loads(await machine.run("--json", "calls"))
    assert {call["caller"] for call in calls} == {"local", f"key:{made['key']}"}
    assert "nothing was changed" in await machine.run("connect", "claude-desktop", "--all")
    assert "is revoked" in await machine.run("disconnect", "claude-desktop")
    assert json.loads(machine.desktop.read_text()) == {"mcpServers": {}}


async def test_a_client_by_url_with_keys(machine: Machine) -> None:
    await machine.run("add", "fake", "w", "fake://w")
    await machine.run("keys", "create", "root", "--role", "admin")
    process = await asyncio.create_subprocess_exec(
        str(DOOLITTLE), "serve", "--port", "0", cwd=machine.folder, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout
    url = (await process.stdout.readline()).decode().split(" at ")[1].split()[0]
    try:
        async with httpx2.AsyncClient(base_url=url) as http:
            await machine.run("connect", "cursor", "--all")
            entry = machine.entry(machine.cursor)
            assert entry["url"] == url + "/mcp/all"
            assert await sum_by_url(entry) == {"sum": 3}
            asked = {"content-type": "application/json", **entry["headers"]}
            assert (await http.post("/mcp/all", content=b"{}", headers=asked)).status_code != 401
            await machine.run("disconnect", "cursor")
            assert (await http.post("/mcp/all", content=b"{}", headers=asked)).status_code == 401
    finally:
        process.terminate()
        await process.wait()


async def test_faults_have_exit_codes_and_documents(machine: Machine) -> None:
    await machine.run("connect", "emacs", code=2)
    assert "there are: claude-desktop" in machine.said
    assert json.loads(await machine.run("connect", "emacs", "--json", code=2))["code"] == "unknown"
    await machine.run("import", "windsurf", code=2)
    assert "has no settings here" in machine.said
    assert "not connected" in await machine.run("connect")
    assert "usage: doolittle mcp-stdio" in await machine.run("mcp-stdio", "--help")
    await machine.run("mcp-stdio", "--agent", code=2)
    await machine.run("--url", "http://127.0.0.1:9", "mcp-stdio", code=3)
    assert "does not answer" in machine.said
