"""What commands of adapters get: the gateway's address, and the operator's file."""

import asyncio
import json
import sys
from pathlib import Path

import httpx2
import pytest

from adapters.errors import BadArguments, Conflict
from adapters.spi import Upstream
from gateway.cli.house import Place, house


@pytest.mark.parametrize(
    ("said", "url"),
    [
        ("", "http://127.0.0.1:8700"),
        ("port = 9000", "http://127.0.0.1:9000"),
        ("port = 0", ""),
        ('host = "0.0.0.0"', "http://127.0.0.1:8700"),
        ('host = "::1"', "http://[::1]:8700"),
        ('base_url = "https://gw.example/"', "https://gw.example"),
    ],
)
async def test_where_clients_will_reach_it(tmp_path: Path, said: str, url: str) -> None:
    config = tmp_path / "doolittle.toml"
    config.write_text(f"[server]\n{said}\n")
    async with house(Place(config)) as here:
        door = await here.door()
        assert door.url == url
        assert door.words == ("--config", str(config))
        await door.address()
        assert door.url == url, "an address that passes is not given to clients"


@pytest.mark.e2e
async def test_two_commands_at_once(tmp_path: Path) -> None:
    """The first has no server and serves by itself; the second, another process, finds it."""
    config = tmp_path / "doolittle.toml"
    async with house(Place(config)) as first:
        door = await first.door()
        url, key = await door.address()
        assert await door.address() == (url, key)
        words = [sys.executable, "-m", "gateway.cli", "--config", str(config), "add", "fake", "w", "fake://two"]
        second = await asyncio.create_subprocess_exec(*words, stdout=asyncio.subprocess.PIPE)
        out, _ = await second.communicate()
        assert (second.returncode, out.decode().strip()) == (0, "ok  w: 1 agents")
        assert door.catalog.tools(door.caller), "it was added to the first"
    assert not (tmp_path / ".doolittle" / "run.json").exists()


@pytest.mark.e2e
async def test_two_commands_begin_at_once(tmp_path: Path) -> None:
    """As clients do that start each server twice: one serves, and the other waits for it."""
    config = tmp_path / "doolittle.toml"
    config.write_text('[upstreams.w]\nnetwork = "fake"\nurl = "fake://w"\n')
    words = [sys.executable, "-m", "gateway.cli", "--config", str(config), "mcp-stdio", "--all"]
    pipe = asyncio.subprocess.PIPE
    both = [await asyncio.create_subprocess_exec(*words, stdin=pipe, stdout=pipe) for _ in range(2)]
    hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "twice", "version": "1"}}
    for one in both:
        assert one.stdin
        said = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello}
        one.stdin.write(json.dumps(said).encode() + b"\n")
    for one in both:
        assert one.stdout
        assert json.loads(await one.stdout.readline())["result"]["serverInfo"]["name"] == "doolittle"
    for one in both:
        assert one.stdin
        one.stdin.close()
        assert await one.wait() == 0


async def test_a_key_that_was_given_goes_along(tmp_path: Path) -> None:
    config = tmp_path / "doolittle.toml"
    async with house(Place(config)) as here:
        await here.ask("POST", "/v1/keys", json={"name": "root", "roles": ["admin"]})
        made = await here.ask("POST", "/v1/keys", json={"name": "client"})
    async with house(Place(config, key=made["secret"])) as here:
        url, key = await (await here.door()).address()
        assert key == made["secret"]
        async with httpx2.AsyncClient(base_url=url, headers={"authorization": f"Bearer {key}"}) as client:
            assert (await client.get("/v1/tools")).status_code == 200
            assert (await client.get("/v1/keys")).status_code == 403


async def test_an_upstream_is_written_and_tried(tmp_path: Path) -> None:
    config = tmp_path / "doolittle.toml"
    config.write_text("# mine\n")
    config.chmod(0o640)
    async with house(Place(config)) as here:
        door = await here.door()
        report = await door.configure(Upstream("w", "fake", "fake://house", options={"agents": 2}))
        assert (report.ok, report.text) == (True, "2 agents")
        assert config.read_text().startswith("# mine\n")
        assert config.stat().st_mode & 0o777 == 0o640
        before = config.read_text()
        with pytest.raises(Conflict, match="already"):
            await door.configure(Upstream("w", "fake", "fake://house"))
        for wrong in (Upstream("W w", "fake", "fake://x"), Upstream("x", "fkae", "fake://x")):
            with pytest.raises(BadArguments):
                await door.configure(wrong)
        assert config.read_text() == before


async def test_a_file_with_a_key_is_its_owners(tmp_path: Path) -> None:
    config = tmp_path / "doolittle.toml"
    async with house(Place(config)) as here:
        await (await here.door()).configure(Upstream("w", "fake", "fake://house", "a-secret"))
    assert config.stat().st_mode & 0o777 == 0o600
