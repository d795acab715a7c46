"""MCP servers for the conformance suite: the official SDK's, in this process, one class for each era."""

import asyncio
import socket
from typing import Any, ClassVar

import mcp_types as t
import uvicorn
from mcp.server.lowlevel import Server
from mcp.server.streamable_http_manager import StreamableHTTPASGIApp, StreamableHTTPSessionManager
from mcp.server.transport_security import TransportSecuritySettings
from starlette.applications import Starlette
from starlette.routing import Route

from adapters.conformance import FarSide, Trial
from adapters.mcp import translate
from adapters.spi import Upstream

FORM = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
TEXT = {
    "type": "object",
    "properties": {"text": {"type": "string"}},
    "required": ["text"],
    "additionalProperties": False,
}
NUMBER = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
ANY = {"type": "object"}
TOOLS: dict[str, Any] = {
    "say": TEXT, "count": NUMBER, "big": NUMBER, "talk": TEXT, "fail": ANY, "hang": ANY, "ask": ANY, "crash": ANY,
}  # fmt: skip


class Served:
    """The SDK's server with the tools of the suite; counts what it sees."""

    def __init__(self) -> None:
        self.delivered: list[str] = []
        self.hops: dict[str, str] = {}
        self.talks: dict[str, list[str]] = {}
        self.running = 0
        self.away = False
        self.tools = dict(TOOLS)
        self.server: Server[Any] = Server(
            "far", version="1", on_list_tools=self._list, on_call_tool=self._call,
            get_tool_input_schema=lambda name: self.tools.get(name),
        )  # fmt: skip

    async def _list(self, _ctx: Any, _params: Any) -> t.ListToolsResult:
        return t.ListToolsResult(tools=[t.Tool(name=n, input_schema=s) for n, s in sorted(self.tools.items())])

    async def _call(self, ctx: Any, params: t.CallToolRequestParams) -> Any:
        meta, given = dict(ctx.meta or {}), params.arguments or {}
        chain = str(meta.get(translate.HOPS, ""))
        call = chain.rpartition(",")[2].partition("/")[0]
        self.delivered.append(call)
        self.hops[call] = chain
        match params.name:
            case "say":
                return text(given["text"])
            case "count":
                for number in range(given["n"]):
                    await ctx.session.report_progress(number + 1, given["n"], f"step {number + 1}")
                return text(f"counted {given['n']}")
            case "big":
                return text("x" * given["n"])
            case "talk":
                said = self.talks.setdefault(str(meta.get(translate.CONVERSATION, call)), [])
                said.append(given["text"])
                return text(" ".join(said))
            case "ask":
                return await self._ask(ctx, params)
            case "hang":
                return await self._hang()
            case _:
                return t.CallToolResult(content=[t.TextContent(type="text", text="no such flower")], is_error=True)

    async def _ask(self, ctx: Any, params: t.CallToolRequestParams) -> Any:
        found: Any
        if ctx.protocol_version < "2026":
            found = await ctx.session.elicit_form("What is your name?", FORM)
        elif not params.input_responses:
            wanted = t.ElicitRequestFormParams(message="What is your name?", requested_schema=FORM)
            return t.InputRequiredResult(request_state="s", input_requests={"who": t.ElicitRequest(params=wanted)})
        else:
            found = params.input_responses["who"]
        return text(f"{found.action} {(found.content or {}).get('name')}")

    async def _hang(self) -> Any:
        self.running += 1
        try:
            await asyncio.Event().wait()
        finally:
            self.running -= 1


def text(said: str) -> t.CallToolResult:
    return t.CallToolResult(content=[t.TextContent(type="text", text=said)])


async def serve(server: Any, ready: "asyncio.Future[int]", stop: asyncio.Event, port: int = 0) -> None:
    """The SDK's server over streamable HTTP on loopback, in one task from first to last."""
    manager = StreamableHTTPSessionManager(
        server, security_settings=TransportSecuritySettings(enable_dns_rebinding_protection=False)
    )
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", port))
        app: Any = Starlette(routes=[Route("/mcp", StreamableHTTPASGIApp(manager))])
        running = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_config=None, ws="none", http="h11"))
        async with manager.run():
            task = asyncio.create_task(running._serve([sock]), name="far uvicorn")
            while not running.started:
                await asyncio.sleep(0.002)
            ready.set_result(sock.getsockname()[1])
            await stop.wait()
            running.should_exit = running.force_exit = True
            await task


class ModernFarSide(FarSide):
    """2026-07-28."""

    era: ClassVar[str] = "modern"

    async def open(self) -> None:
        self.served = Served()
        self._stop = asyncio.Event()
        ready: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(serve(self.served.server, ready, self._stop), name="far side")
        self.port = await ready
        url = f"http://127.0.0.1:{self.port}/mcp"
        self.upstream = Upstream("far", "mcp", url, options={"era": self.era})

    async def close(self) -> None:
        self._stop.set()
        await self._task

    def say(self, text: str) -> Trial:
        return Trial("say", {"text": text}, text)

    def count(self, n: int) -> Trial:
        return Trial("count", {"n": n}, f"counted {n}")

    def fail(self, code: str) -> Trial:
        return Trial("fail")

    def codes(self) -> tuple[str, ...]:
        return ("refused",)

    def hang(self) -> Trial:
        return Trial("hang")

    def ask(self, live: bool) -> Trial:
        return Trial("ask")

    def big(self, size: int) -> Trial:
        return Trial("big", {"n": size})

    def talk(self, text: str) -> Trial:
        return Trial("talk", {"text": text})

    def delivered(self, call: str) -> int:
        return self.served.delivered.count(call)

    def running(self) -> int:
        return self.served.running

    def chain(self, call: str) -> str:
        return self.served.hops[call]


class HandshakeFarSide(ModernFarSide):
    """2025-11-25, with a session."""

    era: ClassVar[str] = "handshake"
