"""A gateway that is killed as soon as an answer has arrived has lost nothing of what it was told."""

import asyncio
import json
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest

from adapters.sidekick.testing import SCRIPTED

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]
FILE = """
[server]
port = {port}
[upstreams.ada]
network = "character"
command = ["{folder}/ada.json"]
engine = "keeper"
[upstreams.helpers]
network = "sidekick"
url = "http://127.0.0.1:9/v1"
model = "none"
more = "{more}"
frameworks = ["scripted"]
env = {{ SCRIPTED_FOLDER = "{folder}" }}
"""


@asynccontextmanager
async def serving(folder: Path, port: int) -> AsyncIterator[httpx2.AsyncClient]:
    """A gateway in a process of its own; leaving kills it."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway.cli", "serve", cwd=folder, stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False) as client:
            for _ in range(600):
                try:
                    names = (await client.get("/v1/tools")).text
                except httpx2.TransportError:
                    names = ""
                if "ada__ask" in names and "talker__ask" in names:
                    break
                await asyncio.sleep(0.05)
            yield client
    finally:
        process.send_signal(signal.SIGKILL)
        await process.wait()


async def say(client: httpx2.AsyncClient, tool: str, message: str, **more: str) -> str:
    response = await client.post(f"/v1/tools/{tool}/calls", json={"arguments": {"message": message, **more}})
    assert response.status_code == 200, response.text
    return response.text


async def test_what_was_answered_is_remembered_by_the_next_gateway(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (tmp_path / "ada.json").write_text(json.dumps({"name": "Ada", "bio": ["Ada counts."]}))
    (tmp_path / "doolittle.toml").write_text(FILE.format(port=port, folder=tmp_path, more=SCRIPTED))
    for number in range(3):
        async with serving(tmp_path, port) as client:
            await say(client, "ada__ask", f"say My lucky number is {number}.", conversation=f"c{number}")
        async with serving(tmp_path, port) as client:
            told = await say(client, "ada__ask", "who are you?", conversation="later")
            assert f"My lucky number is {number}." in told
            assert f"spoken with them {2 * number + 1} times" in told
            await say(client, "talker__ask", f"talk red{number}", conversation="talk")
    async with serving(tmp_path, port) as client:
        assert "red0 red1 red2 blue" in await say(client, "talker__ask", "talk blue", conversation="talk")
