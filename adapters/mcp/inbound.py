"""Streamable HTTP: `/mcp`, `/mcp/all`, `/mcp/agents/{agent}`, `/mcp/views/{view}`, for clients of both eras."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar
from typing import Any

import orjson
from mcp.server.streamable_http_manager import StreamableHTTPASGIApp, StreamableHTTPSessionManager
from mcp.server.transport_security import TransportSecuritySettings

from adapters.asgi import Leaving, read, respond
from adapters.errors import GatewayError, Unknown
from adapters.mcp import own_tools, server
from adapters.mcp.answering import HttpPeer, Table
from adapters.mcp.dialogue import Dialogue, Fault, Peer, Raw, Reply
from adapters.mcp.near import LEVELS, Near, Nears, Session, Sessions
from adapters.mcp.plain import Headers, is_plain, is_watch
from adapters.mcp.proxy import Proxy
from adapters.mcp.rpc import INTERNAL, INVALID_PARAMS, INVALID_REQUEST, Message
from adapters.mcp.streams import Streams
from adapters.mcp.subscriptions import Subscriptions
from adapters.spi import Catalog, Host, Invoke, Receive, Route, Scope, Send

PATHS = ("/mcp", "/mcp/all", "/mcp/agents/{agent}", "/mcp/views/{view}")
NEAR: ContextVar[Near] = ContextVar("near")
"""The other end of the request that the SDK works at."""


class McpInbound:
    """The face of MCP. Host, Origin, size and key were checked at the border. `fast`: plain requests are answered
    here; False leaves all to the SDK, which must make no difference on the wire."""

    def __init__(self, host: Host, *, fast: bool = True) -> None:
        self._host = host
        self._fast = fast
        self._sessions = Sessions(host)
        self._table = Table()
        self._streams = Streams()

    @asynccontextmanager
    async def serve(self, invoke: Invoke, catalog: Catalog) -> AsyncIterator[Sequence[Route]]:
        self._nears = Nears(self._host, catalog, self._table.levels)
        self._dialogue = Dialogue(invoke, self._host.calls)
        self._proxy = Proxy(self._dialogue)
        self._watching = Subscriptions(invoke)
        self._streams.gone = self._watching.end
        sdk = server.SdkServer(lambda _ctx: NEAR.get(), self._respond, self._watching.start)
        sdk.server.get_tool_input_schema = _input_schema
        guard = TransportSecuritySettings(enable_dns_rebinding_protection=False)
        manager = StreamableHTTPSessionManager(
            sdk.server, stateless=True, security_settings=guard, max_request_body_size=2**30
        )
        self._sdk: Any = StreamableHTTPASGIApp(manager)
        async with manager.run():
            watching = asyncio.create_task(self._watch(catalog, sdk), name="mcp changes")
            try:
                yield [Route(path, self._face) for path in PATHS]
            finally:
                watching.cancel()
                await asyncio.gather(watching, return_exceptions=True)
                self._streams.close()
                await self._watching.close()

    async def _watch(self, catalog: Catalog, sdk: server.SdkServer) -> None:
        """Tells clients of both eras that the list has changed."""
        async for _ in catalog.changes():
            for kind in ("tools", "prompts", "resources"):
                self._streams.tell({"jsonrpc": "2.0", "method": f"notifications/{kind}/list_changed"})
            await sdk.changed()

    # -- requests -------------------------------------------------------------------------------------------------

    async def _face(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers.of(scope["headers"])
        session: Session | None = None
        if headers.foreign:
            await refuse(send, 400, "a header of MCP has letters outside ASCII; send its value as =?base64?…?=")
            return
        if headers.session and not headers.modern:
            session = self._sessions.find(headers.session.decode("latin-1"), scope["caller"])
            if session is None:
                await refuse(send, 404, "Session not found: it ended or expired; initialize again")
                return
        if scope["method"] == "POST":
            await self._post(scope, receive, send, (headers, session))
        elif headers.modern or session is None:
            text = "a stream needs a session: initialize first" if not headers.modern else "this revision has no GET"
            await refuse(send, 405 if headers.modern else 400, text)
        elif scope["method"] == "GET":
            await self._streams.serve(session.id, receive, send)
        else:
            self._sessions.end(session)
            self._watching.end(session.id)
            self._streams.end(session.id)
            self._table.levels.pop(session.id, None)
            await respond(send, 200, b"")

    async def _post(self, scope: Scope, receive: Receive, send: Send, said: tuple[Headers, Session | None]) -> None:
        headers, session = said
        body = await read(receive)
        if body is None:
            return
        try:
            message = orjson.loads(body)
        except orjson.JSONDecodeError:
            message = None
        known: Message = message if isinstance(message, dict) else {}
        if not headers.modern and _expects_nothing(known):
            self._table.heard(session.id if session else "", known)
            await respond(send, 202, b"")
            return
        params = known.get("params")
        meta = params.get("_meta") if isinstance(params, dict) else None
        try:
            near = self._nears.of(scope, meta if isinstance(meta, dict) else {}, session, headers.modern)
        except Unknown as fault:
            await refuse(send, 404, fault.public)
            return
        if session is not None and known.get("method") == "logging/setLevel":
            self._set_level(session, params)
        if session is not None and is_watch(known):
            await self._watch_resource(known, near, session, send)
            return
        if self._fast and is_plain(message, headers) and not _mirrors(known, near):
            await self._answer(known, near, receive, send)
        else:
            await self._by_sdk(scope, body, near, (receive, send, known))

    def _set_level(self, session: Session, params: Any) -> None:
        level = params.get("level") if isinstance(params, dict) else None
        if level in LEVELS:
            self._table.set_level(session.id, level)

    async def _watch_resource(self, message: Message, near: Near, session: Session, send: Send) -> None:
        """`resources/subscribe` and `unsubscribe` of a session."""
        uri = message["params"]["uri"]
        reply: Reply = Raw(b"{}")
        try:
            if message["method"] == "resources/subscribe":
                await self._watching.add(session.id, near, uri, lambda changed: self._tell(session.id, changed))
            else:
                self._watching.remove(session.id, uri)
        except GatewayError as fault:
            reply = Fault({"code": INVALID_PARAMS, "message": fault.public})
        await HttpPeer(near, message, send, self._table).finish(reply)

    def _tell(self, session: str, uri: str) -> None:
        method = "notifications/resources/updated"
        self._streams.tell({"jsonrpc": "2.0", "method": method, "params": {"uri": uri}}, session)

    async def _answer(self, message: Message, near: Near, receive: Receive, send: Send) -> None:
        """A plain request; cut short when the client goes away or cancels."""
        peer = HttpPeer(near, message, send, self._table)
        params = message.get("params") or {}
        key = (near.session.id, message["id"]) if near.session else None
        leaving = Leaving(receive)
        if key:
            self._table.running[key] = leaving.task
        try:
            await self._finish(message["method"], params, peer)
        except asyncio.CancelledError:
            if leaving.taken_back():
                return
            if leaving.task not in self._table.cancelled or leaving.task.uncancel() > 0:
                raise
            await peer.hang_up()
        finally:
            leaving.stop()
            self._table.cancelled.discard(leaving.task)
            if key and self._table.running.get(key) is leaving.task:
                del self._table.running[key]

    async def _finish(self, method: str, params: Message, peer: HttpPeer) -> None:
        with suppress(OSError):
            await peer.finish(await self._respond(method, params, params.get("_meta") or {}, peer))

    async def _respond(self, method: str, params: Message, meta: Message, peer: Peer) -> Reply:
        """Any request that is answered here, whichever way it came."""
        if method == "tools/call":
            if own_tools.is_own(params["name"], peer.near):
                return await own_tools.call(params, meta, peer, self._dialogue)
            return await self._dialogue.call(params, meta, peer)
        if method == "tools/list":
            return Raw(orjson.dumps(server.page(peer.near, params.get("cursor"))))
        return await self._proxy.answer(method, params, meta, peer)

    async def _by_sdk(self, scope: Scope, body: bytes, near: Near, rest: tuple[Receive, Send, Message]) -> None:
        receive, send, message = rest
        whole: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def replay() -> Any:
            return whole.pop() if whole else await receive()

        id = ""
        if message.get("method") == "initialize" and not near.modern:
            id = self._sessions.begin(near.caller, message.get("params"))

        async def sending(event: Any) -> None:
            if id and event["type"] == "http.response.start" and event["status"] == 200:
                event["headers"] = [*event["headers"], (b"mcp-session-id", id.encode())]
            await send(event)

        token = NEAR.set(near)
        try:
            plain: Any = sending
            await self._sdk(dict(scope), replay, plain)
        finally:
            NEAR.reset(token)


def _expects_nothing(message: Message) -> bool:
    """Whether it is a notification, or a response to a question of ours."""
    if "method" in message:
        return "id" not in message
    return "result" in message or "error" in message


def _mirrors(message: Message, near: Near) -> bool:
    """Whether the called tool wants arguments mirrored in headers, which the SDK judges."""
    if not near.modern or message["method"] != "tools/call":
        return False
    with suppress(GatewayError):
        return b"x-mcp-header" in near.look.tool(message["params"]["name"], near.caller).input_schema
    return False


def _input_schema(name: str) -> Any:
    """For the SDK's check of headers, which would list all tools for each call without it."""
    near = NEAR.get()
    with suppress(GatewayError):
        return orjson.loads(near.look.tool(name, near.caller).input_schema)
    return None


async def refuse(send: Send, status: int, text: str) -> None:
    """A JSON-RPC error that answers no request."""
    error = {"code": INVALID_REQUEST if status < 500 else INTERNAL, "message": text}
    await respond(send, status, orjson.dumps({"jsonrpc": "2.0", "id": None, "error": error}))
