"""The official clients list and call the real ElizaOS agent: over HTTP, and over stdio."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client

from examples.tour.eliza import NODE, ElizaServer, npm_ci
from gateway.testing import Box
from tests.e2e.conftest import KEY
from tests.e2e.mcp.answers import text

pytestmark = pytest.mark.e2e
HERE = Path(__file__).parent
INSPECTOR = "node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js"


@pytest.fixture(scope="session")
def npm() -> None:
    npm_ci(HERE, print)


@pytest.fixture
async def url(home: Box) -> str:
    return await home.serve() + "/mcp/all"


@pytest.fixture
async def command(eliza: ElizaServer, tmp_path: Path) -> AsyncIterator[list[str]]:
    """`doolittle mcp-stdio` with no server running: it works by itself."""
    config = tmp_path / "doolittle.toml"
    config.write_text(f'[upstreams.home]\nnetwork = "elizaos"\nurl = "{eliza.url}"\nkey = "{KEY}"\n')
    yield ["env", f"DOOLITTLE_CONFIG={config}", sys.executable, "-m", "gateway.cli", "mcp-stdio", "--all"]


async def node(*words: str) -> str:
    """What a Node program prints; it must end well."""
    process = await asyncio.create_subprocess_exec(
        str(NODE), *words, cwd=HERE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()[-2000:] + out.decode()[-2000:]
    return out.decode()


@pytest.fixture(params=["url", "command"])
def target(request: pytest.FixtureRequest, url: str, command: list[str]) -> str | list[str]:
    """The gateway over HTTP, and over stdio."""
    return url if request.param == "url" else command


def from_python(target: str | list[str], mode: Any) -> Client:
    if isinstance(target, str):
        return Client(target, mode=mode)
    return Client(stdio_client(StdioServerParameters(command=target[0], args=target[1:])), mode=mode)


@pytest.mark.parametrize(("mode", "version"), [("auto", "2026-07-28"), ("legacy", "2025-11-25")])
async def test_python(target: str | list[str], mode: str, version: str) -> None:
    async with from_python(target, mode) as client:
        assert client.protocol_version == version
        assert [tool.name for tool in (await client.list_tools()).tools] == ["eliza__ask", "higgins__ask"]
        answer = await client.call_tool("eliza__ask", {"message": "from Python"})
        assert text(answer) == "You said: from Python"
        failed = await client.call_tool("eliza__ask", {"message": "!act TEST_FAILS now"})
        assert failed.is_error
        assert "eliza__ask" in text(failed)
        assert "no such flower" in text(failed)


@pytest.mark.usefixtures("npm")
async def test_typescript_sdk(target: str | list[str]) -> None:
    said = json.loads(await node("client.mjs", *([target] if isinstance(target, str) else target)))
    assert said["server"]["name"] == "doolittle"
    assert said["tools"] == ["cancel_call", "eliza__ask", "get_call", "higgins__ask"]
    assert said["answer"]["content"] == [{"type": "text", "text": "You said: from TypeScript"}]
    assert said["bad"]["isError"] is True
    assert '"message" is a required property' in said["bad"]["content"][0]["text"]
    assert "no tool is called 'eliza__sing'" in said["unknown"]


@pytest.mark.usefixtures("npm")
async def test_inspector(target: str | list[str]) -> None:
    where = [target, "--transport", "http"] if isinstance(target, str) else target
    listed = await node(INSPECTOR, "--cli", *where, "--method", "tools/list")
    assert "eliza__ask" in listed
    words = ["--method", "tools/call", "--tool-name", "eliza__ask", "--tool-arg", "message=hello"]
    assert "You said: hello" in await node(INSPECTOR, "--cli", *where, *words)
