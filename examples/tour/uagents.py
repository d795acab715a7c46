"""The uAgents of the tour: a real agent in its own process, a stand-in for the Almanac, and their calls."""

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import httpx2

from examples.tour.calls import Mcp, User, _text, require
from examples.uagents_agent.process import UAgent, free_port

ROOT = Path(__file__).resolve().parent.parent.parent
NOTE = "a real uAgent (uagents 0.26.1) in its own process; the Almanac is a stand-in on loopback"
CONFIG = """
[upstreams.freddy]
network = "uagents"
url = "agent://{address}"
almanac = "{almanac}"
private = ["{agent}"]

[networks.uagents]
almanac = "{almanac}"
private = ["{agent}"]
registration = "almanac"
"""


class Bureau:
    """The agent and the Almanac."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._almanac: asyncio.subprocess.Process | None = None
        self._port = free_port()
        self.agent = UAgent(folder, f"http://127.0.0.1:{self._port}")

    async def start(self) -> "Bureau":
        words = (sys.executable, "-m", "tests.e2e.uagents.almanac", str(self._port))
        self._almanac = await asyncio.create_subprocess_exec(*words, cwd=ROOT, stdin=asyncio.subprocess.DEVNULL)
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{self._port}", trust_env=False) as client:
            for _ in range(600):
                try:
                    await client.get("/v1/almanac/agents/none")
                    break
                except httpx2.TransportError:
                    await asyncio.sleep(0.05)
        await self.agent.start()
        return self

    @property
    def config(self) -> str:
        """What the operator's file says of them."""
        almanac = f"http://127.0.0.1:{self._port}"
        return CONFIG.format(address=self.agent.address, almanac=almanac, agent=self.agent.url)

    async def stop(self) -> None:
        await self.agent.stop()
        if self._almanac is not None and self._almanac.returncode is None:
            self._almanac.send_signal(signal.SIGTERM)
            await self._almanac.wait()


def every(url: str, bureau: Bureau, user: User) -> Iterator[tuple[str, str, Callable[[], Awaitable[str]]]]:
    """Name, note and call of each row."""
    near, far = Uagent(url, bureau.agent), Callers(url, user)
    yield "uagents>elizaos/chat", f"asynchronous; {NOTE}", near.chat
    yield "uagents>elizaos/chat-sync", f"synchronous; {NOTE}", near.chat_at_once
    yield "uagents>mcp/words", f"by chat, to an agent of tools; {NOTE}", near.words
    yield "elizaos>uagents/ask", NOTE, far.eliza
    yield "mcp>uagents/ask", f"by chat; {NOTE}", far.ask
    yield "mcp>uagents/model", f"by a model of the agent's own; {NOTE}", far.model
    yield "mcp>uagents/tool", f"by the MCP protocol of uAgents; {NOTE}", far.tool


class Uagent:
    """The real agent as a caller: it finds the gateway's agents by the Almanac."""

    def __init__(self, url: str, agent: UAgent) -> None:
        self._url = url
        self._agent = agent

    async def _say(self, slug: str, text: str, *, sync: bool) -> str:
        async with httpx2.AsyncClient(base_url=self._url, timeout=60) as client:
            response = await client.post(f"/uagents/agents/{slug}", json={})
            require(response.status_code == 200, response.text)
            address = response.json()["address"]
        found = await self._agent.order("chat", target=address, text=text, sync=sync, timeout=60)
        require(found.get("ok") and found["heard"][-1].get("text"), found)
        return str(found["heard"][-1]["text"])

    async def chat(self) -> str:
        return await self._say("eliza", "How do you do?", sync=False)

    async def chat_at_once(self) -> str:
        return await self._say("eliza", "How do you do?", sync=True)

    async def words(self) -> str:
        said = await self._say("words", 'count {"text": "the rain in Spain"}', sync=False)
        require("4" in said, said)
        return said


class Callers:
    """Others who call it."""

    def __init__(self, url: str, user: User) -> None:
        self._mcp = Mcp(url + "/mcp/agents/freddy", "auto")
        self._user = user

    async def eliza(self) -> str:
        return await self._user._say('!call freddy__ask {"message": "By George!"}', "By George!")

    async def _call(self, tool: str, wanted: str, **arguments: str) -> str:
        async with self._mcp._client() as client:
            result = await client.call_tool(tool, arguments)
            require(wanted in _text(result), result)
            return _text(result)

    async def ask(self) -> str:
        return await self._call("freddy__ask", "the rain", message="the rain in Spain")

    async def model(self) -> str:
        return await self._call("freddy__CountWords", '"words":4', text="the rain in Spain")

    async def tool(self) -> str:
        return await self._call("freddy__shout", "BY GEORGE!", text="By George")
