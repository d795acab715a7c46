"""The official SDKs, old and new, call a real ElizaOS agent; an agent of the JavaScript SDK is called."""

import asyncio
import fcntl
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from adapters.spi import Call, Result, Upstream
from examples.tour.child import child
from examples.tour.eliza import NODE, npm_ci
from examples.tour.more import AGENT, A2a
from gateway.testing import Box
from tests.conftest import ROOT

pytestmark = pytest.mark.e2e
OLD = "a2a-sdk==0.3.26"


def old_python() -> Path:
    """The Python of an environment with the SDK of 0.3; made once, by uv."""
    folder = ROOT / ".doolittle" / "a2a-0.3"
    folder.parent.mkdir(exist_ok=True)
    with (folder.parent / "a2a-0.3.lock").open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        if not (folder / "made").exists():
            uv = Path(sys.executable).parent / "uv"
            subprocess.run([uv, "venv", "-q", "--clear", "--python", sys.executable, folder], check=True)
            python = folder / "bin" / "python"
            subprocess.run([uv, "pip", "install", "-q", "--python", python, OLD, "httpx<1"], check=True)
            (folder / "made").touch()
    return folder / "bin" / "python"


async def printed(*command: Any, cwd: Path) -> Any:
    process = await asyncio.create_subprocess_exec(*command, cwd=cwd, stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    assert process.returncode == 0
    return json.loads(out)


@pytest.mark.parametrize("binding", ["JSONRPC", "HTTP+JSON"])
async def test_python_as_it_is(home: Box, binding: str) -> None:
    assert (await A2a(await home.serve()).ask(binding)).endswith("pieces: You said: How do you do?")


async def test_python_of_0_3(home: Box) -> None:
    python = await asyncio.to_thread(old_python)
    url = await home.serve()
    pieces = await printed(python, "old_client.py", f"{url}/a2a/eliza", "hello from 0.3", cwd=Path(__file__).parent)
    assert "".join(pieces) == "You said: hello from 0.3"


@pytest.mark.parametrize("binding", ["JSONRPC", "HTTP+JSON"])
async def test_javascript(home: Box, binding: str) -> None:
    npm_ci(AGENT, print)
    url = await home.serve()
    card = f"{url}/a2a/eliza/.well-known/agent-card.json"
    found = await printed(NODE, "client.mjs", card, binding, "hello", cwd=AGENT)
    assert found["events"][0] == "task"
    assert "artifactUpdate" in found["events"]
    assert "".join(one for one in found["events"] if " " in one or one == "hello").strip().endswith("hello")


@pytest.mark.parametrize("tool", ["ask", "backwards"])
async def test_an_agent_of_the_javascript_sdk_is_called(box: Box, tool: str) -> None:
    npm_ci(AGENT, print)
    async with child(NODE, "agent.mjs", cwd=AGENT) as url:
        await box.add(Upstream("js", "a2a", url))
        (agent,) = [one for one in box.catalog.agents(box.caller) if one.address.upstream == "js"]
        name = next(one.name for one in agent.tools if one.name.endswith(tool))
        events = [event async for event in box.invoke(Call("c1", name, {"message": "one two"}, box.caller))]
        assert isinstance(events[-1], Result), events[-1]
        assert events[-1].text == "two one"
        assert len(events) > 3, "it streams"
