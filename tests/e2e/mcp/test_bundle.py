"""The bundle for Claude Desktop: what its own tool says of it, and what Desktop would start."""

import asyncio
import hashlib
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client

from adapters.errors import BadArguments
from adapters.mcp import bundle
from adapters.mcp.clients.connect import connect
from adapters.mcp.clients.platform import Platform
from adapters.spi import Upstream
from examples.tour.eliza import NODE, npm_ci
from gateway.cli.house import Place, house
from gateway.testing import Box

pytestmark = pytest.mark.e2e
CLIENTS = Path(__file__).parent / "clients"
TOOL = CLIENTS / "node_modules" / "@anthropic-ai" / "mcpb" / "dist" / "cli" / "cli.js"


@pytest.fixture(scope="session")
def npm() -> None:
    npm_ci(CLIENTS, print)


async def mcpb(*words: str) -> str:
    """What the tool prints; it must end well."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(str(NODE), str(TOOL), *words, stdout=pipe, stderr=pipe)
    out, err = await process.communicate()
    assert process.returncode == 0, (out + err).decode()[-2000:]
    return out.decode()


@pytest.mark.usefixtures("npm")
async def test_the_tool_of_bundles_takes_it(tmp_path: Path) -> None:
    path = bundle.write(str(tmp_path), "http://127.0.0.1:8700/mcp")
    assert path.name == "doolittle.mcpb"
    await mcpb("info", str(path))
    await mcpb("unpack", str(path), str(tmp_path / "out"))
    assert "validat" in (await mcpb("validate", str(tmp_path / "out" / "manifest.json"))).lower()
    assert {str(p.relative_to(tmp_path / "out")) for p in (tmp_path / "out").rglob("*") if p.is_file()} == {
        "manifest.json", "icon.png", "server/bridge.mjs",
    }  # fmt: skip
    await mcpb("pack", str(tmp_path / "out"), str(tmp_path / "again.mcpb"))


async def test_the_same_words_make_the_same_bytes(tmp_path: Path) -> None:
    made = [bundle.write(str(tmp_path / name), "http://x/mcp").read_bytes() for name in ("a", "b")]
    assert len({hashlib.sha256(one).hexdigest() for one in made}) == 1
    with pytest.raises(BadArguments, match="cannot be written"):
        bundle.write(str(tmp_path / "no" / "folder" / "x.mcpb"), "http://x/mcp")


@pytest.mark.parametrize(("mode", "key"), [("auto", False), ("legacy", True)])
async def test_as_desktop_starts_it(box: Box, tmp_path: Path, mode: Any, key: bool) -> None:
    """The manifest's own words, its places filled as Desktop fills them; a blank setting stays as it is written."""
    await box.add(Upstream("packed", "fake", "fake://packed"))
    url = await box.serve()
    config = {"url": url + "/mcp/all"}
    if key:
        await box.key("root", roles=("call", "admin"))
        config["key"] = await box.key("desktop")
    with zipfile.ZipFile(bundle.write(str(tmp_path), url + "/mcp")) as packed:
        packed.extractall(tmp_path / "out")
    said = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert said["user_config"]["key"]["sensitive"] is True
    assert said["user_config"]["url"]["default"] == url + "/mcp"
    start = said["server"]["mcp_config"]

    def filled(text: str) -> str:
        text = text.replace("${__dirname}", str(tmp_path / "out"))
        for name, value in config.items():
            text = text.replace(f"${{user_config.{name}}}", value)
        return text

    env = {name: filled(value) for name, value in start["env"].items()}
    server = StdioServerParameters(command=str(NODE), args=[filled(word) for word in start["args"]], env=env)
    async with Client(stdio_client(server), mode=mode) as client:
        assert (await client.call_tool("all__add", {"a": 1, "b": 2})).structured_content == {"sum": 3}


async def test_the_command_that_writes_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    platform = Platform("linux", tmp_path, os.environ, tmp_path)
    config = tmp_path / "doolittle.toml"
    config.write_text('[server]\nbase_url = "https://gw.example"\n')
    async with house(Place(config)) as here:
        door = await here.door()
        words = ["claude-desktop", "--bundle", str(tmp_path / "x.mcpb"), "--agent", "eliza"]
        assert await connect(door, words, platform) == 0
        with pytest.raises(BadArguments, match="for claude-desktop"):
            await connect(door, ["cursor", "--bundle"], platform)
    assert "x.mcpb is written" in capsys.readouterr().out
    with zipfile.ZipFile(tmp_path / "x.mcpb") as packed:
        said = json.loads(packed.read("manifest.json"))
    assert said["user_config"]["url"]["default"] == "https://gw.example/mcp/agents/eliza"
