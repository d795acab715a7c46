"""The Coral part of the tour: a stand-in for a server, which launches agents of ours, and calls in both directions."""

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2

from adapters.coral.publish import FILE, definition
from examples.tour.calls import Mcp, User, _text, require
from examples.uagents_agent.process import free_port

ROOT = Path(__file__).resolve().parent.parent.parent
NOTE = "the Coral server is a stand-in on loopback; the processes that it launches are real"
KEY, SECRET = "tour-key-of-the-coral-server", "tour-secret-of-the-custom-tools"
OURS = ("higgins", "freddy")
"""Agents of ElizaOS and of uAgents that join Coral sessions."""
CONFIG = """
[upstreams.reef]
network = "coral"
url = "{url}"
key = "env:TOUR_CORAL_KEY"
"""


class Reef:
    """The server, with the agents that are published to it."""

    def __init__(self, folder: Path, config: Path) -> None:
        self._folder = folder
        self._config = config
        self._process: asyncio.subprocess.Process | None = None
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"

    async def start(self) -> "Reef":
        for slug in OURS:
            agent = {"agent": slug, "name": slug.title(), "description": "", "tools": [f"{slug}__ask"]}
            folder = self._folder / slug
            folder.mkdir(parents=True, exist_ok=True)
            words = ["--config", str(self._config), "coral-agent", "--agent", slug]
            (folder / FILE).write_text(definition(agent, words, "streamable_http"))
        folders = [str(self._folder / slug) for slug in OURS]
        command = (sys.executable, "-m", "tests.e2e.coral.standin", str(self._port), KEY, SECRET, *folders)
        quiet = asyncio.subprocess.DEVNULL
        self._process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdin=quiet, stderr=quiet)
        async with httpx2.AsyncClient(base_url=self.url, trust_env=False) as client:
            for _ in range(600):
                try:
                    await client.get("/api/v1/registry")
                    break
                except httpx2.TransportError:
                    await asyncio.sleep(0.05)
        return self

    @property
    def config(self) -> str:
        """What the operator's file says of it."""
        return CONFIG.format(url=self.url)

    async def stop(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)
            await self._process.wait()


def every(url: str, reef: Reef, user: User) -> Iterator[tuple[str, str, Callable[[], Awaitable[str]]]]:
    """Name, note and call of each row."""
    near, far = Session(reef), Callers(url, user)
    yield "coral>elizaos/mention", f"mentioned in a thread, it answers there; {NOTE}", near.mention
    yield "elizaos>coral/ask", NOTE, far.eliza
    yield "mcp>coral/ask", NOTE, far.ask
    yield "mcp>coral/team", f"an ElizaOS agent and a uAgent in one thread; {NOTE}", far.team


class Session:
    """Whoever opens a session on the server, and speaks in it as a puppet."""

    def __init__(self, reef: Reef) -> None:
        self._reef = reef

    async def mention(self) -> str:
        headers = {"authorization": f"Bearer {KEY}"}
        async with httpx2.AsyncClient(base_url=self._reef.url, headers=headers, timeout=60) as http:
            sources = (await http.get("/api/v1/registry")).json()
            versions = {a["name"]: a["versions"][0] for source in sources for a in source["agents"]}
            made = (await http.post("/api/v1/local/session", json=_request(versions))).json()
            place = f"{made['namespace']}/{made['sessionId']}"
            puppet = f"/api/v1/puppet/{place}/me/thread"
            thread = await http.post(puppet, json={"threadName": "tour", "participantNames": ["higgins"]})
            said = {"threadId": thread.json()["thread"]["id"], "content": "How do you do?", "mentions": ["higgins"]}
            await http.post(f"{puppet}/message", json=said)
            try:
                return await self._answer(http, place)
            finally:
                await http.delete(f"/api/v1/local/session/{place}")

    async def _answer(self, http: httpx2.AsyncClient, place: str) -> str:
        for _ in range(600):
            state = (await http.get(f"/api/v1/local/session/{place}/extended")).json()
            for message in state["threads"][0]["messages"]:
                if message["senderName"] == "higgins":
                    require(message["mentionNames"] == ["me"] and "Error (" not in message["text"], message)
                    return str(message["text"])
            await asyncio.sleep(0.1)
        raise TimeoutError("higgins did not answer")


def _request(versions: dict[str, str]) -> dict[str, Any]:
    def member(name: str, as_name: str, runtime: str) -> dict[str, Any]:
        identifier = {"name": name, "version": versions[name], "registrySourceId": {"type": "local"}}
        return {"id": identifier, "name": as_name, "provider": {"type": "local", "runtime": runtime}}

    agents = [member("higgins", "higgins", "executable"), member("puppet", "me", "function")]
    namespace = {"type": "create_if_not_exists", "namespaceRequest": {"name": "tour"}}
    return {"agentGraphRequest": {"agents": agents, "groups": [["higgins", "me"]]}, "namespaceProvider": namespace}


class Callers:
    """Others who call agents of the server."""

    def __init__(self, url: str, user: User) -> None:
        self._mcp = Mcp(url + "/mcp/all", "auto")
        self._user = user

    async def eliza(self) -> str:
        return await self._user._say('!call echo__ask {"message": "By George!"}', "By George!")

    async def _call(self, tool: str, wanted: str, **arguments: Any) -> str:
        async with self._mcp._client() as client:
            result = await client.call_tool(tool, arguments)
            require(wanted in _text(result) and not result.is_error, result)
            return _text(result)

    async def ask(self) -> str:
        return await self._call("echo__ask", "the rain", message="the rain in Spain")

    async def team(self) -> str:
        said = await self._call("reef-team__team", "freddy: ", message="How do you do?", agents=list(OURS))
        require("higgins: " in said and "Error (" not in said, said)
        return said
