"""Streamable HTTP: `/mcp` and `/mcp/all` (every tool), `/mcp/agents/{agent}` (those of one agent)."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from mcp.server.streamable_http_manager import StreamableHTTPASGIApp, StreamableHTTPSessionManager
from mcp.server.transport_security import TransportSecuritySettings

from adapters.mcp.server import ToolServer
from adapters.spi import Caller, Catalog, Host, Invoke, Receive, Route, Scope, Send

PATHS = ("/mcp", "/mcp/all", "/mcp/agents/{agent}")
IDLE = 1800.0
SESSIONS = 2000


class McpInbound:
    """The face of MCP. Host and Origin were checked at the border, so the SDK's own guard is off."""

    def __init__(self, host: Host) -> None:
        self._host = host

    @asynccontextmanager
    async def serve(self, invoke: Invoke, catalog: Catalog) -> AsyncIterator[Sequence[Route]]:
        manager = StreamableHTTPSessionManager(
            ToolServer(invoke, catalog, who).server,
            security_settings=TransportSecuritySettings(enable_dns_rebinding_protection=False),
            session_idle_timeout=IDLE,
            max_sessions=SESSIONS,
            max_request_body_size=2**30,
        )
        inner = StreamableHTTPASGIApp(manager)

        async def face(scope: Scope, receive: Receive, send: Send) -> None:
            caller: Caller = scope["caller"]
            token = AccessToken(token=caller.id, client_id=caller.id, scopes=[])
            scope["user"] = AuthenticatedUser(token)  # a session answers to the credential that began it only
            await inner(scope, receive, send)  # type: ignore[arg-type]

        async with manager.run():
            yield [Route(path, face) for path in PATHS]


def who(ctx: Any) -> tuple[Caller, str | None]:
    """Caller and view, from the HTTP request: by path and key, never by session."""
    scope = ctx.request.scope
    return scope["caller"], scope["path_params"].get("agent")
