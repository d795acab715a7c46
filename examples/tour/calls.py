"""The calls of the tour: each a caller's own client, a callee, and what must come back."""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp_types import ElicitResult

from examples.tour.eliza import ElizaServer

FAKE = "the fake network lives inside the gateway"
WORDS = "examples/mcp_server over stdio, MCP 2025-11-25"
ROUTE = "by the routes of elizaos-plugin-doolittle"
PLUGIN = "a user's message makes the agent call on, by elizaos-plugin-doolittle"
Row = tuple[str, str, Callable[[], Awaitable[str]]]


COUNT = '!use words__count {"text": "the rain in Spain"}'
"""What the scripted model obeys."""


def _thinks() -> bool:
    return os.environ.get("MODEL") == "smollm2"


def _model() -> str:
    return "a Python framework in a child, with " + ("SmolLM2-135M" if _thinks() else "a scripted model")


def require(holds: bool, said: Any) -> None:
    if not holds:
        raise AssertionError(f"unexpected: {said}")


def every(url: str, config: Path, eliza: ElizaServer) -> Iterator[Row]:
    """Name, note and call of each row."""
    http = Http(url)
    yield "http>elizaos/ask", "", http.ask
    yield "http>elizaos/conversation", "", http.conversation
    yield "http>elizaos/events", "", http.events
    yield "http>elizaos/action", "", http.action
    yield "http>elizaos/action-that-fails", "the right outcome is a clear error", http.failing
    yield "http>elizaos/registered", "an agent that the plugin offered to the gateway by itself", http.registered
    yield "http>fake/stream", FAKE, http.stream
    for name, mode in (("2026-07-28", "2026-07-28"), ("2025-11-25", "legacy")):
        mcp = Mcp(url + "/mcp/agents/eliza", mode)
        yield f"mcp>elizaos/ask-{name}", f"MCP {name}, streamable HTTP", mcp.ask
    stdio = Mcp(
        StdioServerParameters(
            command=sys.executable, args=["-m", "gateway.cli", "--config", str(config), "mcp-stdio", "--all"]
        ),
        "auto",
    )
    yield "mcp>elizaos/ask-stdio", "doolittle mcp-stdio, as Claude Desktop starts it", stdio.ask
    yield "mcp>elizaos/unknown-tool", "the right outcome is a clear error", Mcp(url + "/mcp", "auto").unknown
    yield "mcp>elizaos/found", "find_tools and call_tool, of the search view", Mcp(url + "/mcp", "auto").found
    eliza_alone = Mcp(url + "/mcp/agents/eliza", "auto")
    yield "mcp>elizaos/action", f"an action of the agent as a tool, {ROUTE}", eliza_alone.action
    yield "mcp>elizaos/action-steps", f"a message that the agent acts upon, {ROUTE}", eliza_alone.steps
    yield "mcp>elizaos/action-that-fails", f"the right outcome is a clear error, {ROUTE}", eliza_alone.failing
    yield "mcp>fake/progress", FAKE, Mcp(url + "/mcp/all", "auto").progress
    yield "http>mcp/count", WORDS, http.count
    for name, mode in (("2026-07-28", "2026-07-28"), ("2025-11-25", "legacy")):
        words = Mcp(url + "/mcp/agents/words", mode)
        yield f"mcp>mcp/spell-{name}", WORDS, words.spell
        yield f"mcp>mcp/question-{name}", "the server asks back, in the words of 2025-11-25", words.greet
    yield "mcp>mcp/resource", WORDS, Mcp(url + "/mcp/agents/words", "auto").resource
    asking = Mcp(url + "/mcp/all", "auto")
    yield "mcp>sidekick/analyze", f"{_model()}; the first call installs the framework", asking.analyze
    yield "mcp>sidekick>mcp/count", f"{_model()}; {WORDS}", asking.analyze_by_words
    yield "mcp>sidekick>elizaos/ask", _model(), asking.analyze_by_elizaos
    user = User(eliza)
    yield "elizaos>fake/echo", f"{PLUGIN}; {FAKE}", user.echo
    yield "elizaos>mcp/count", f"{PLUGIN}; {WORDS}", user.count
    yield "elizaos>mcp/found", f"{PLUGIN}; {WORDS}", user.found
    yield "elizaos>elizaos/ask", PLUGIN, user.ask
    yield "elizaos>sidekick/analyze", f"{PLUGIN}; {_model()}", user.analyze
    yield "elizaos>sidekick>mcp/count", f"{PLUGIN}; {_model()}; {WORDS}", user.analyze_by_words
    yield "elizaos>fake/fails", f"{PLUGIN}; the right outcome is a plain sentence", user.failing


class Http:
    """A plain HTTP client."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def _call(self, tool: str, arguments: dict[str, Any], **more: Any) -> httpx2.Response:
        async with httpx2.AsyncClient(base_url=self._url, timeout=120) as client:
            return await client.post(f"/v1/tools/{tool}/calls", json={"arguments": arguments}, **more)

    async def ask(self) -> str:
        response = await self._call("eliza__ask", {"message": "How do you do?"})
        require(response.status_code == 200 and response.json()["result"]["text"] != "", response.text)
        return str(response.json()["result"]["text"])

    async def conversation(self) -> str:
        said: list[str] = []
        for message in ("My name is Freddy.", "Who am I?"):
            response = await self._call("higgins__ask", {"message": message, "conversation": "tour"})
            require(response.status_code == 200, response.text)
            said.append(response.json()["result"]["text"])
        return " / ".join(said)

    async def events(self) -> str:
        response = await self._call("eliza__ask", {"message": "And events?"}, headers={"accept": "text/event-stream"})
        require("event: result" in response.text, response.text)
        return response.text

    async def action(self) -> str:
        response = await self._call("eliza__ask", {"message": "!act TEST_STEPS now"})
        require(response.status_code == 200, response.text)
        return str(response.json()["result"]["text"])

    async def registered(self) -> str:
        async with httpx2.AsyncClient(base_url=self._url) as client:
            while (await client.get("/v1/agents/pickering")).status_code == 404:
                await asyncio.sleep(0.1)
        response = await self._call("pickering__ask", {"message": "Do you go step by step?"})
        require(response.status_code == 200 and response.json()["result"]["text"] != "", response.text)
        return str(response.json()["result"]["text"])

    async def failing(self) -> str:
        response = await self._call("eliza__ask", {"message": "!act TEST_FAILS now"})
        if response.status_code == 200:  # a model that thinks does not obey the word
            return str(response.json()["result"]["text"])
        require(response.status_code == 502 and response.json()["code"] == "refused", response.text)
        return f"{response.status_code} {response.json()['detail']}"

    async def stream(self) -> str:
        response = await self._call("all__count", {"n": 3}, headers={"accept": "text/event-stream"})
        names = [line[7:] for line in response.text.splitlines() if line.startswith("event: ")]
        require(names == ["progress", "part"] * 3 + ["result"], names)
        return " ".join(names)

    async def count(self) -> str:
        response = await self._call("words__count", {"text": "the rain in Spain"})
        require(response.status_code == 200 and response.json()["result"]["structured"]["words"] == 4, response.text)
        return str(response.json()["result"]["structured"])


class Mcp:
    """The official Python client."""

    def __init__(self, server: Any, mode: Any) -> None:
        self._server = server
        self._mode = mode

    def _client(self) -> Client:
        server = self._server
        target = stdio_client(server) if isinstance(server, StdioServerParameters) else server
        return Client(target, mode=self._mode, elicitation_callback=_fill_in)

    async def ask(self) -> str:
        async with self._client() as client:
            result = await client.call_tool("eliza__ask", {"message": "How do you do?"})
            require(not result.is_error, result)
            return f"{client.protocol_version}: {_text(result)}"

    async def unknown(self) -> str:
        async with self._client() as client:
            try:
                result = await client.call_tool("eliza__sing", {})
            except Exception as fault:  # noqa: BLE001 - the SDK's error is what is looked for
                require("eliza__sing" in str(fault), fault)
                return str(fault)
            raise AssertionError(f"unexpected: {result}")

    async def found(self) -> str:
        async with self._client() as client:
            names = [tool.name for tool in (await client.list_tools()).tools]
            require("find_tools" in names and "eliza__ask" not in names, names)
            found = await client.call_tool("find_tools", {"query": "talk with Eliza"})
            require("eliza__ask" in _text(found), found)
            given = {"name": "eliza__ask", "arguments": {"message": "Found you."}}
            result = await client.call_tool("call_tool", given)
            require(not result.is_error, result)
            return f"{len(names)} tools listed; {_text(result)}"

    async def action(self) -> str:
        async with self._client() as client:
            result = await client.call_tool("eliza__TEST_TELL", {"who": "Freddy", "age": 20, "message": "I hear"})
            require(_text(result) == "I hear: Freddy is 20", result)
            return _text(result)

    async def steps(self) -> str:
        seen: list[str] = []

        async def on_progress(_done: float, _total: float | None, message: str | None) -> None:
            seen.append(str(message))

        async with self._client() as client:
            given = {"message": "!act TEST_STEPS now"}
            result = await client.call_tool("eliza__ask", given, progress_callback=on_progress)
            thinks = os.environ.get("MODEL") == "smollm2"
            require(not result.is_error and (thinks or seen[:2] == ["TEST_STEPS …", "step 1"]), seen)
            return f"{', '.join(seen)}; then: {_text(result)}"

    async def failing(self) -> str:
        async with self._client() as client:
            result = await client.call_tool("eliza__TEST_FAILS", {})
            require(result.is_error and "no such flower" in _text(result), result)
            return _text(result)

    async def spell(self) -> str:
        async with self._client() as client:
            result = await client.call_tool("words__spell", {"word": "rain"})
            require(_text(result) == "R-A-I-N", result)
            return f"{client.protocol_version}: {_text(result)}"

    async def greet(self) -> str:
        async with self._client() as client:
            result = await client.call_tool("words__greet", {})
            require(_text(result) == "How do you do, Freddy?", result)
            return f"{client.protocol_version}: {_text(result)}"

    async def resource(self) -> str:
        async with self._client() as client:
            read = await client.read_resource("words://rain")
            require("Spain" in str(read.contents), read)
            return str(getattr(read.contents[0], "text", ""))

    async def _sidekick(self, task: str, wanted: str) -> str:
        """A model that thinks may answer as it likes, but it answers."""
        steps: list[str] = []

        async def on_progress(progress: float, total: float | None, message: str | None) -> None:
            steps.append(message or "")

        async with self._client() as client:
            result = await client.call_tool("sidekick__analyze", {"task": task}, progress_callback=on_progress)
            text = _text(result)
            require(not result.is_error and text.strip() and (wanted in text or _thinks()), result)
            return f"{len(steps)} steps, then: {text}"

    async def analyze(self) -> str:
        return await self._sidekick("What is the capital of France?", "You said: What is the capital of France?")

    async def analyze_by_words(self) -> str:
        return await self._sidekick(COUNT, '"words": 4')

    async def analyze_by_elizaos(self) -> str:
        return await self._sidekick('!use higgins__ask {"message": "Who are you?"}', "You said: Who are you?")

    async def progress(self) -> str:
        seen: list[str] = []

        async def on_progress(done: float, total: float | None, message: str | None) -> None:
            seen.append(f"{done:g}: {message}")

        async with self._client() as client:
            result = await client.call_tool("all__count", {"n": 3}, progress_callback=on_progress)
            require(len(seen) >= 3 and not result.is_error, seen)
            return f"{len(seen)} steps, then: {_text(result)}"


class User:
    """Somebody who talks with Eliza on her own server. A model that thinks may answer as it likes."""

    def __init__(self, eliza: ElizaServer) -> None:
        self._eliza = eliza

    async def _say(self, message: str, wanted: str) -> str:
        headers = {"x-api-key": self._eliza.key}
        async with httpx2.AsyncClient(base_url=self._eliza.url, headers=headers, timeout=120) as client:
            who = {"agentId": self._eliza.facts["agents"][0]["id"], "userId": str(uuid4())}
            session = (await client.post("/api/messaging/sessions", json=who)).json()["sessionId"]
            said = {"content": message, "transport": "http"}
            response = await client.post(f"/api/messaging/sessions/{session}/messages", json=said)
        answer = response.json().get("agentResponse") or {}
        text = str((answer.get("actionCallbacks") or answer).get("text"))
        require(wanted in text or _thinks(), response.text)
        return text

    async def echo(self) -> str:
        return await self._say('!call all__echo {"text": "By George!"}', "By George!")

    async def count(self) -> str:
        return await self._say('!call words__count {"text": "the rain in Spain"}', "4")

    async def found(self) -> str:
        return await self._say("!find count the words of a text", "words__count")

    async def ask(self) -> str:
        return await self._say('!call higgins__ask {"message": "Where do I come from?"}', "Where do I come from?")

    async def analyze(self) -> str:
        return await self._say("!analyze the vowels of London", "the vowels of London")

    async def analyze_by_words(self) -> str:
        return await self._say(f"!analyze this: {COUNT}", '"words": 4')

    async def failing(self) -> str:
        return await self._say('!call all__fail {"kind": "refused"}', "all__fail could not do it")


async def _fill_in(_context: Any, _params: Any) -> ElicitResult:
    return ElicitResult(action="accept", content={"name": "Freddy"})


def _text(result: Any) -> str:
    return " ".join(getattr(block, "text", "") for block in result.content)
