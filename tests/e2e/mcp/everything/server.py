"""The server: every handler of MCP over the tables of tools and documents, for both eras and transports."""

import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import mcp_types as t
from mcp.server.caching import CacheHint
from mcp.server.lowlevel import NotificationOptions, Server
from mcp.server.stdio import stdio_server
from mcp.server.streamable_http import EventCallback, EventMessage, EventStore
from mcp.server.streamable_http_manager import StreamableHTTPASGIApp, StreamableHTTPSessionManager
from mcp.server.subscriptions import ListenHandler
from mcp.server.transport_security import TransportSecuritySettings
from mcp.shared.exceptions import MCPError
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from tests.e2e.mcp.everything import documents
from tests.e2e.mcp.everything.tool import TOOLS, Answer, World

Item = TypeVar("Item")
HINT = CacheHint(ttl_ms=0, scope="private")
CACHED: Any = ("tools/list", "prompts/list", "resources/list", "resources/templates/list", "resources/read")
RETRY = 100
"""Milliseconds after which a client whose stream was closed should come back."""


class Announced(Server[Any]):
    """A server that says, in the handshake too, that its lists can change."""

    def create_initialization_options(self, *args: Any, **more: Any) -> Any:
        all_of_them = NotificationOptions(prompts_changed=True, resources_changed=True, tools_changed=True)
        return super().create_initialization_options(all_of_them)


class Everything:
    """One world, and the handlers over it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.server = Announced(
            "everything",
            version="1.0.0",
            title="Everything",
            description="Does everything that a test needs",
            instructions="Call the tools.",
            cache_hints=dict.fromkeys(CACHED, HINT),
            get_tool_input_schema=lambda name: TOOLS[name].tool.input_schema if name in TOOLS else None,
            on_list_tools=self.list_tools,
            on_call_tool=self.call_tool,
            on_list_resources=self.list_resources,
            on_list_resource_templates=self.list_templates,
            on_read_resource=self.read_resource,
            on_subscribe_resource=self.subscribe,
            on_unsubscribe_resource=self.unsubscribe,
            on_subscriptions_listen=ListenHandler(world.bus),
            on_list_prompts=self.list_prompts,
            on_get_prompt=self.get_prompt,
            on_completion=self.complete,
        )
        self.server.add_request_handler("logging/setLevel", t.SetLevelRequestParams, self.set_level)

    def _page(self, all_of_them: Sequence[Item], params: Any) -> tuple[list[Item], str | None]:
        start = int(params.cursor) if params and params.cursor else 0
        end = start + self.world.page
        return list(all_of_them[start:end]), str(end) if end < len(all_of_them) else None

    def _remember(self, ctx: Any) -> None:
        if ctx.protocol_version < "2026":
            self.world.connections.add(ctx.session._connection)  # the SDK has no other way to reach a session later

    async def list_tools(self, ctx: Any, params: t.PaginatedRequestParams | None) -> t.ListToolsResult:
        self._remember(ctx)
        changes = self.world.seen["tool changes"]
        found = [TOOLS[name].tool for name in sorted(TOOLS, key=str.lower)]
        found = [
            tool.model_copy(update={"description": f"Changed {changes} times"}) if tool.name == "nothing" else tool
            for tool in found
        ]
        page, cursor = self._page(found, params)
        return t.ListToolsResult(tools=page, next_cursor=cursor)

    async def call_tool(self, ctx: Any, params: t.CallToolRequestParams) -> Answer:
        self._remember(ctx)
        entry = TOOLS.get(params.name)
        if entry is None:
            raise MCPError(t.INVALID_PARAMS, f"Unknown tool: {params.name}")
        self.world.seen[f"call {params.name}"] += 1
        return await entry.run(self.world, ctx, params)

    async def list_resources(self, ctx: Any, params: t.PaginatedRequestParams | None) -> t.ListResourcesResult:
        page, cursor = self._page(documents.RESOURCES, params)
        return t.ListResourcesResult(resources=page, next_cursor=cursor)

    async def list_templates(self, ctx: Any, params: t.PaginatedRequestParams | None) -> t.ListResourceTemplatesResult:
        return t.ListResourceTemplatesResult(resource_templates=documents.TEMPLATES)

    async def read_resource(self, ctx: Any, params: t.ReadResourceRequestParams) -> t.ReadResourceResult:
        return await documents.read(self.world, params, ctx)

    async def subscribe(self, ctx: Any, params: t.SubscribeRequestParams) -> t.EmptyResult:
        self.world.subscribed.add(str(params.uri))
        return t.EmptyResult()

    async def unsubscribe(self, ctx: Any, params: t.UnsubscribeRequestParams) -> t.EmptyResult:
        self.world.subscribed.discard(str(params.uri))
        return t.EmptyResult()

    async def list_prompts(self, ctx: Any, params: t.PaginatedRequestParams | None) -> t.ListPromptsResult:
        self._remember(ctx)
        page, cursor = self._page(documents.listed(self.world), params)
        return t.ListPromptsResult(prompts=page, next_cursor=cursor)

    async def get_prompt(self, ctx: Any, params: t.GetPromptRequestParams) -> t.GetPromptResult | t.InputRequiredResult:
        return await documents.prompt(ctx, params)

    async def complete(self, ctx: Any, params: t.CompleteRequestParams) -> t.CompleteResult:
        return documents.complete(params)

    async def set_level(self, ctx: Any, params: t.SetLevelRequestParams) -> t.EmptyResult:
        return t.EmptyResult()


class Events(EventStore):
    """What was sent on each stream, for clients that come back for the rest."""

    def __init__(self) -> None:
        self._sent: list[tuple[str, Any]] = []

    async def store_event(self, stream_id: str, message: Any) -> str:
        self._sent.append((stream_id, message))
        return str(len(self._sent))

    async def replay_events_after(self, last_event_id: str, send_callback: EventCallback) -> str | None:
        last = int(last_event_id) if last_event_id.isdigit() else 0
        if not 0 < last <= len(self._sent):
            return None
        stream = self._sent[last - 1][0]
        for number, (other, message) in enumerate(self._sent[last:], last + 1):
            if other == stream and message is not None:
                await send_callback(EventMessage(message, str(number)))
        return stream


LOOPBACK = TransportSecuritySettings(
    enable_dns_rebinding_protection=True,
    allowed_hosts=["127.0.0.1:*", "localhost:*"],
    allowed_origins=["http://127.0.0.1:*", "http://localhost:*"],
)


class Guarded:
    """An app that only who has the token may speak to."""

    def __init__(self, inner: Any, token: str) -> None:
        self._inner = inner
        self._token = f"Bearer {token}".encode()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if dict(scope["headers"]).get(b"authorization") == self._token:
            await self._inner(scope, receive, send)
        else:
            challenge = {"www-authenticate": 'Bearer error="invalid_token"'}
            await PlainTextResponse("who are you?", 401, challenge)(scope, receive, send)


def app(world: World, token: str = "") -> Starlette:
    """Streamable HTTP at `/mcp`; with a token, only for who shows it."""
    manager = StreamableHTTPSessionManager(
        Everything(world).server, event_store=Events(), security_settings=LOOPBACK, retry_interval=RETRY
    )

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        async with manager.run():
            yield

    face: Any = StreamableHTTPASGIApp(manager)
    return Starlette(lifespan=lifespan, routes=[Route("/mcp", Guarded(face, token) if token else face)])


async def stdio(world: World) -> None:
    """Standard input and output, until the client closes its end."""
    logging.disable()
    server = Everything(world).server
    async with stdio_server() as (read, write):
        await server.run(read, write, server.create_initialization_options())
