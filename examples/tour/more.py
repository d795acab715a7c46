"""A2A, OpenAI's API and OpenAPI services in the tour: an agent of the JavaScript SDK, clients, a small service."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import httpx
from a2a.client import ClientConfig, ClientFactory
from a2a.client.card_resolver import A2ACardResolver
from a2a.helpers import get_stream_response_text, new_text_message
from a2a.types import Role, SendMessageRequest
from openai import AsyncOpenAI

from examples.tour.calls import Mcp, User, _text, require
from examples.tour.child import child
from examples.tour.eliza import NODE, npm_ci
from examples.uagents_agent.process import free_port

ROOT = Path(__file__).resolve().parent.parent.parent
AGENT = ROOT / "examples" / "a2a_agent"
BACKWARDS = "an agent of @a2a-js/sdk 1.3.0 in its own process"
CONFIG = """
[upstreams.backwards]
network = "a2a"
url = "{agent}"

[networks.a2a]
grpc = "127.0.0.1:{grpc}"

[upstreams.weather]
network = "http"
url = "{service}/openapi.json"

[upstreams.small]
network = "openai"
url = "{model}"
"""


@asynccontextmanager
async def neighbours(model: str, say: Callable[[str], None]) -> AsyncIterator[str]:
    """What the operator's file says of them, while they run. `model`: the URL of the tour's model server."""
    npm_ci(AGENT, say)
    service = free_port()
    path = ROOT / "examples" / "openapi_service" / "service.py"
    async with AsyncExitStack() as stack:
        at = await stack.enter_async_context(child(NODE, "agent.mjs", cwd=AGENT))
        there = f"http://127.0.0.1:{service}"
        await stack.enter_async_context(child(sys.executable, path, str(service), url=there))
        yield CONFIG.format(agent=at, grpc=free_port(), service=there, model=model)


def every(url: str, user: User) -> Iterator[tuple[str, str, Callable[[], Awaitable[str]]]]:
    """Name, note and call of each row."""
    a2a, mcp = A2a(url), Callers(url, user)
    yield "a2a>elizaos/ask", "a2a-sdk 1.3.0 of Python, JSON-RPC, streamed", lambda: a2a.ask("JSONRPC")
    yield "a2a>elizaos/ask-rest", "a2a-sdk 1.3.0 of Python, HTTP+JSON, streamed", lambda: a2a.ask("HTTP+JSON")
    yield "a2a>elizaos/ask-grpc", "a2a-sdk 1.3.0 of Python, gRPC, streamed", lambda: a2a.ask("GRPC")
    yield "a2a>elizaos/ask-js", "@a2a-js/sdk 1.3.0, streamed", a2a.ask_from_js
    yield "elizaos>a2a/ask", BACKWARDS, mcp.eliza_backwards
    yield "mcp>a2a/ask", BACKWARDS, mcp.backwards
    yield "openai>elizaos/chat", "the client of openai, a streamed conversation", mcp.chat
    yield "mcp>openai/ask", "the tour's model server, OpenAI-compatible", mcp.model
    yield "mcp>http/forecast", "a service of FastAPI, by its OpenAPI document", mcp.forecast


class A2a:
    """Clients of A2A, who know nothing but the address of Eliza's card."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def ask(self, binding: str) -> str:
        async with httpx.AsyncClient(timeout=120) as http:
            card = await A2ACardResolver(http, f"{self._url}/a2a/eliza").get_agent_card()
            config = ClientConfig(
                httpx_client=http, supported_protocol_bindings=[binding],
                grpc_channel_factory=grpc.aio.insecure_channel,
            )  # fmt: skip
            client = ClientFactory(config).create(card)
            message = new_text_message("How do you do?", role=Role.ROLE_USER)
            pieces: list[str] = []
            async for event in client.send_message(SendMessageRequest(message=message)):
                if event.WhichOneof("payload") == "artifact_update":
                    pieces.append(get_stream_response_text(event))
            if binding == "GRPC":
                await client.close()
        require(bool("".join(pieces).strip()), pieces)
        return f"{len(pieces)} pieces: {''.join(pieces)}"

    async def ask_from_js(self) -> str:
        card = f"{self._url}/a2a/eliza/.well-known/agent-card.json"
        process = await asyncio.create_subprocess_exec(
            NODE, "client.mjs", card, "JSONRPC", "How do you do?", cwd=AGENT, stdout=asyncio.subprocess.PIPE
        )
        out, _ = await process.communicate()
        events = json.loads(out)["events"]
        require("artifactUpdate" in events, events)
        return " ".join(events)


class Callers:
    """An MCP client, a client of OpenAI's API, and a user of Eliza's, who call the same agents."""

    def __init__(self, url: str, user: User) -> None:
        self._url = url
        self._user = user

    async def _call(self, tool: str, arguments: dict[str, Any], wanted: str) -> str:
        async with Mcp(self._url + "/mcp/all", "auto")._client() as client:
            result = await client.call_tool(tool, arguments)
            require(not result.is_error and wanted in _text(result), result)
            return _text(result)

    async def eliza_backwards(self) -> str:
        return await self._user._say('!call backwards__ask {"message": "Spain in rain"}', "rain in Spain")

    async def backwards(self) -> str:
        return await self._call("backwards__ask", {"message": "Spain in rain"}, "rain in Spain")

    async def model(self) -> str:
        return await self._call("small__ask", {"message": "Hello"}, "")

    async def forecast(self) -> str:
        return await self._call("weather__forecast", {"place": "Spain", "days": 2}, "mainly in the plain")

    async def chat(self) -> str:
        client = AsyncOpenAI(base_url=f"{self._url}/v1", api_key="none")
        messages: list[Any] = []
        try:
            for said in ("My name is Freddy.", "Who am I?"):
                messages.append({"role": "user", "content": said})
                stream = await client.chat.completions.create(model="eliza", messages=messages, stream=True)
                pieces = [one.choices[0].delta.content or "" async for one in stream if one.choices]
                require(bool("".join(pieces).strip()), pieces)
                messages.append({"role": "assistant", "content": "".join(pieces)})
        finally:
            await client.close()
        return " / ".join(one["content"] for one in messages[1::2])
