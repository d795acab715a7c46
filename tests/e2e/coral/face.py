"""The stand-in's MCP face: for each agent of a session a server of its own, by its secret, over both transports."""

import asyncio
import hmac
import json
from contextlib import suppress
from hashlib import sha256
from typing import Any
from urllib.parse import quote

import httpx2
import mcp_types as T
from mcp.server.lowlevel import Server
from mcp.server.sse import SseServerTransport
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from starlette.responses import Response

from tests.e2e.coral.rules import MOST, Message, Refusal, SessionAgent, Wanted

STRING: dict[str, Any] = {"type": "string"}
NAMES: dict[str, Any] = {"type": "array", "items": STRING}
NUMBER: dict[str, Any] = {"type": "integer"}
WAIT: dict[str, Any] = {"currentUnixTime": NUMBER, "maxWaitMs": NUMBER}


def _tool(required: str, **properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": required.split()}


TOOLS = {
    "coral_create_thread": _tool("threadName participantNames", threadName=STRING, participantNames=NAMES),
    "coral_close_thread": _tool("threadId summary", threadId=STRING, summary=STRING),
    "coral_add_participant": _tool("threadId participantName", threadId=STRING, participantName=STRING),
    "coral_remove_participant": _tool("threadId participantName", threadId=STRING, participantName=STRING),
    "coral_send_message": _tool("threadId content mentions", threadId=STRING, content=STRING, mentions=NAMES),
    "coral_wait_for_message": _tool("", **WAIT),
    "coral_wait_for_mention": _tool("", **WAIT),
    "coral_wait_for_agent": _tool("agentName", agentName=STRING, **WAIT),
}
KINDS: dict[str, type | tuple[type, ...]] = {"string": str, "array": list, "integer": int}
INSTRUCTION, STATE = "coral://instruction", "coral://state"
IMPATIENCE = 15.0
"""Seconds after which the real server's HTTP client gives a custom tool up."""


class Face:
    """One agent's."""

    def __init__(self, agent: SessionAgent, tools: dict[str, Any], secret: str) -> None:
        self.agent = agent
        self._tools = tools
        self._secret = secret
        server: Server[Any] = Server(
            "Coral Agent Server", version="1.0.0", on_list_tools=self._list, on_call_tool=self._call,
            on_list_resources=self._resources, on_read_resource=self._read,
        )  # fmt: skip
        self._server = server
        self.http = StreamableHTTPSessionManager(server, json_response=True)
        self.sse = SseServerTransport(f"/{agent.secret}/sse/")
        self._ready = asyncio.Event()
        self._task = asyncio.create_task(self._run(), name="coral stand-in face")

    async def _run(self) -> None:
        async with self.http.run():
            self._ready.set()
            await asyncio.Event().wait()

    async def stop(self) -> None:
        for transport in list(self.http._server_instances.values()):
            await transport.terminate()
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    async def handle(self, kind: str, scope: Any, receive: Any, send: Any) -> None:
        await self._ready.wait()
        if kind == "mcp":
            session = dict(scope["headers"]).get(b"mcp-session-id")
            if scope["method"] == "GET" and session is None:
                await Response(status_code=400)(scope, receive, send)
                return
            if scope["method"] == "POST" and session is None:
                self.agent.connect()
            await self.http.handle_request(scope, receive, send)
        elif scope["method"] == "GET":
            self.agent.connect()
            async with self.sse.connect_sse(scope, receive, send) as streams:
                await self._server.run(*streams, self._server.create_initialization_options())
        else:
            await self.sse.handle_post_message(scope, receive, send)

    # -- tools ----------------------------------------------------------------------------------------------------

    async def _list(self, ctx: Any, params: Any) -> T.ListToolsResult:
        own = [T.Tool(name=name, input_schema=takes) for name, takes in TOOLS.items()]
        custom = [
            T.Tool(name=name, description=tool.get("description"), input_schema=tool.get("inputSchema") or _tool(""))
            for name, tool in self._tools.items()
        ]
        return T.ListToolsResult(tools=[*own, *custom])

    async def _call(self, ctx: Any, params: T.CallToolRequestParams) -> T.CallToolResult:
        if params.name in self._tools:
            return await self._custom(self._tools[params.name], params.arguments)
        takes = TOOLS.get(params.name)
        given = dict(params.arguments or {})
        if takes is None:
            return _failed(f"Tool {params.name} not found")
        if fault := _misfit(takes, given):
            return _failed(fault, structured=True)
        try:
            said = await getattr(self, params.name.removeprefix("coral_"))(**given)
        except Refusal as fault:  # thrown past the tool's own form of errors: the SDK says it
            return _failed(f"Error executing tool {params.name}: {fault}")
        return T.CallToolResult(content=[T.TextContent(text=json.dumps(said))], structured_content=said)

    async def create_thread(self, threadName: str, participantNames: list[str]) -> dict[str, Any]:
        thread = self.agent.create_thread(threadName, participantNames)
        return {"thread": thread.document(self.agent.session.clock)}

    async def close_thread(self, threadId: str, summary: str) -> dict[str, Any]:
        self.agent.close_thread(threadId, summary)
        return {"message": f"Successfully closed thread {threadId}"}

    async def add_participant(self, threadId: str, participantName: str) -> dict[str, Any]:
        self.agent.add_participant(threadId, participantName)
        return {"message": f"Successfully added participant {participantName} to thread {threadId}"}

    async def remove_participant(self, threadId: str, participantName: str) -> dict[str, Any]:
        self.agent.remove_participant(threadId, participantName)
        return {"message": f"Successfully removed participant {participantName} from thread {threadId}"}

    async def send_message(self, threadId: str, content: str, mentions: list[str]) -> dict[str, Any]:
        message = self.agent.send(threadId, content, mentions)
        return {"status": "Message sent successfully", "message": message.document(self.agent.session.clock)}

    async def wait_for_message(self, **when: int) -> dict[str, Any]:
        return await self._wait(lambda message: True, **when)

    async def wait_for_mention(self, **when: int) -> dict[str, Any]:
        return await self._wait(lambda message: self.agent.name in message.mentions, **when)

    async def wait_for_agent(self, agentName: str, **when: int) -> dict[str, Any]:
        return await self._wait(lambda message: message.sender == agentName, **when)

    async def _wait(self, wanted: Wanted, currentUnixTime: int | None = None, maxWaitMs: int = MOST) -> dict[str, Any]:
        found: Message | None = await self.agent.wait(wanted, currentUnixTime, maxWaitMs)
        if found is None:
            return {"status": "Timeout reached"}
        return {"message": found.document(self.agent.session.clock), "status": "Message received"}

    async def _custom(self, tool: dict[str, Any], arguments: Any) -> T.CallToolResult:
        """POST to the tool's URL, with the session and agent behind it; the signature is over the body alone."""
        agent = self.agent
        transport = tool["transport"]
        body = json.dumps(arguments).encode()
        headers = {
            "content-type": "application/json", "X-Coral-Namespace": agent.session.namespace,
            "X-Coral-SessionId": agent.session.id, "X-Coral-AgentName": agent.name,
            transport.get("signatureHeader", "X-Coral-Signature"): sign(self._secret, body),
        }  # fmt: skip
        url = f"{transport['url']}/{quote(agent.session.id)}/{quote(agent.name)}"
        try:
            async with httpx2.AsyncClient(timeout=IMPATIENCE, trust_env=False) as client:
                response = await client.post(url, content=body, headers=headers)
        except httpx2.HTTPError:
            return _failed("Unknown error")
        if response.status_code != 200:
            return _failed(f"Error code {response.status_code} returned")
        return T.CallToolResult(content=[T.TextContent(text=response.text)])

    # -- resources ------------------------------------------------------------------------------------------------

    async def _resources(self, ctx: Any, params: Any) -> T.ListResourcesResult:
        named = (("Instructions", INSTRUCTION), ("State", STATE))
        return T.ListResourcesResult(
            resources=[T.Resource(name=name, uri=uri, mime_type="text/markdown") for name, uri in named]
        )

    async def _read(self, ctx: Any, params: T.ReadResourceRequestParams) -> T.ReadResourceResult:
        uri = str(params.uri)
        text = {INSTRUCTION: lambda: "# Coral\n\n# Messaging\n\n# Waiting\n", STATE: self._state}[uri]()
        return T.ReadResourceResult(contents=[T.TextResourceContents(uri=uri, mime_type="text/markdown", text=text)])

    def _state(self) -> str:
        session = self.agent.session
        agents = [
            {"agentName": name, "agentDescription": session.agents[name].about.get("description")}
            for name in sorted(self.agent.links)
        ]
        threads = [t.brief(session.clock) for t in session.unordered() if self.agent.name in t.participants]
        text = f"\n        # General\n        You are an agent named {self.agent.name}.\n        "
        text += f"\n        # Agents\n        ```json\n        {json.dumps(agents)}\n        ```\n        "
        if threads:
            said = json.dumps(threads, ensure_ascii=False)
            text += f"\n        # Threads and messages\n        ```json\n        {said}\n        ```\n        "
        return text


def _misfit(takes: dict[str, Any], given: dict[str, Any]) -> str:
    for name in takes["required"]:
        if name not in given:
            return f"Field '{name}' is required, but it was missing"
    for name, value in given.items():
        if name not in takes["properties"]:
            return f"Encountered an unknown key '{name}'"
        if not isinstance(value, KINDS[takes["properties"][name]["type"]]):
            return f"Unexpected JSON token at '{name}'"
    return ""


def _failed(text: str, *, structured: bool = False) -> T.CallToolResult:
    more: dict[str, Any] = {"structured_content": {"error": text}} if structured else {}
    return T.CallToolResult(content=[T.TextContent(text=text)], is_error=True, **more)


def sign(secret: str, body: bytes) -> str:
    return hmac.new(secret.encode(), body, sha256).hexdigest()
