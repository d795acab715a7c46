"""The face of MCP without sockets: its ASGI app is called as the border calls it; and MCP servers in this process."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import orjson

from adapters.errors import GatewayError
from adapters.mcp.far_testing import serve
from adapters.mcp.inbound import McpInbound
from adapters.mcp.rpc import CAPABILITIES_KEY, CLIENT_KEY, MODERN, VERSION_KEY, Message
from adapters.spi import ASGI, Caller, Upstream
from gateway.border import refuse
from gateway.testing import Box
from tests.e2e.mcp.everything.server import Everything
from tests.e2e.mcp.everything.tool import World

Headers: TypeAlias = list[tuple[str, str]]
ANN = Caller("ann", name="ann", patience=0)
BOB = Caller("bob", name="bob", patience=0)
HURRIED = Caller("hurried", name="hurried", patience=0.05)
BASE: Headers = [
    ("content-type", "application/json"),
    ("accept", "application/json, text/event-stream"),
]
NAMED = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}
CAN_ALL: Message = {"elicitation": {"form": {}, "url": {}}, "sampling": {}}


class Stream:
    """One request and what has come of it so far; it may still run."""

    def __init__(self, app: ASGI, scope: Message, body: bytes) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = b""
        self.changed = asyncio.Event()
        self._gone = asyncio.Event()
        self._parts: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]
        self.task = asyncio.ensure_future(self._run(app, scope))

    async def _run(self, app: ASGI, scope: Message) -> None:
        try:
            await app(scope, self._receive, self._send)
        except GatewayError as fault:
            assert not self.status
            await refuse(fault, self._send)
        finally:
            self.changed.set()

    async def _receive(self) -> Message:
        if self._parts:
            return self._parts.pop()
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, event: Any) -> None:
        if self._gone.is_set():
            raise OSError("the client has gone")
        if event["type"] == "http.response.start":
            self.status = event["status"]
            self.headers = {n.decode("latin-1").lower(): v.decode("latin-1") for n, v in event["headers"]}
        else:
            self.body += event.get("body", b"")
        self.changed.set()

    @property
    def messages(self) -> list[Any]:
        """The JSON-RPC messages, from JSON or from events."""
        if not self.headers.get("content-type", "").startswith("text/event-stream"):
            return [orjson.loads(self.body)] if self.body else []
        lines = self.body.replace(b"\r\n", b"\n").split(b"\n")
        return [orjson.loads(line[6:]) for line in lines if line.startswith(b"data: ")]

    async def until(self, method: str) -> Message:
        """The first message of this method, or the response for ""."""
        async with asyncio.timeout(20):
            while True:
                self.changed.clear()
                for message in self.messages:
                    if message.get("method", "") == method:
                        return message
                assert not self.task.done(), f"no {method!r} in {self.messages}"
                await self.changed.wait()

    async def opened(self) -> "Stream":
        async with asyncio.timeout(20):
            while not self.body:
                self.changed.clear()
                await self.changed.wait()
        return self

    async def end(self) -> "Stream":
        async with asyncio.timeout(20):
            await asyncio.wait({self.task})
        self.task.result()
        return self

    async def leave(self) -> None:
        """The client closes the connection."""
        self._gone.set()
        await asyncio.wait({self.task})
        if not self.task.cancelled():
            self.task.result()


class Face:
    """One face, by path and caller."""

    def __init__(self, inbound: McpInbound, app: ASGI) -> None:
        self.inbound = inbound
        self.app = app

    def open(self, headers: Headers, body: bytes, method: str = "POST", path: str = "/mcp/all", **who: Any) -> Stream:
        words = path.split("/")
        place = {"agents": "agent", "views": "view"}.get(words[2] if len(words) > 3 else "", "")
        raw = [(name.encode("latin-1"), value.strip().encode("latin-1")) for name, value in headers]
        scope: Message = {
            "type": "http", "http_version": "1.1", "method": method, "path": path, "raw_path": path.encode(),
            "scheme": "http", "query_string": b"", "root_path": "", "headers": raw, "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 8700), "path_params": {place: words[3]} if place else {},
            "caller": who.get("caller", ANN),
        }  # fmt: skip
        return Stream(self.app, scope, body)

    def client(self, **how: Any) -> "Client":
        return Client(self, **how)


class Client:
    """One client: era, caller, path, what it can answer."""

    def __init__(self, face: Face, *, path: str = "/mcp/all", caller: Caller = ANN, **how: Any) -> None:
        self.face = face
        self.path = path
        self.caller = caller
        self.modern: bool = how.get("modern", True)
        self.can: Message = how.get("can", {})
        self.name: str = how.get("name", "tests")
        self.session = ""
        self._last = 0

    def message(self, method: str, params: Message | None = None, **meta: Any) -> Message:
        self._last += 1
        params = dict(params or {})
        if self.modern:
            info = {"name": self.name, "version": "1"}
            meta = {VERSION_KEY: MODERN, CLIENT_KEY: info, CAPABILITIES_KEY: self.can, **meta}
        if meta:
            params["_meta"] = {**meta, **params.get("_meta", {})}
        return {"jsonrpc": "2.0", "id": self._last, "method": method, "params": params}

    def headers(self, message: Mapping[str, Any]) -> Headers:
        if not self.modern:
            more = [("mcp-session-id", self.session), ("mcp-protocol-version", "2025-11-25")] if self.session else []
            return [*BASE, *more]
        found = [*BASE, ("mcp-protocol-version", MODERN), ("mcp-method", str(message["method"]))]
        key = NAMED.get(message["method"])
        return [*found, ("mcp-name", str(message["params"].get(key)))] if key else found

    def begin(self, method: str, params: Message | None = None, **meta: Any) -> Stream:
        message = self.message(method, params, **meta)
        return self.post(message)

    def post(self, message: Message) -> Stream:
        body = orjson.dumps(message)
        return self.face.open(self.headers(message), body, path=self.path, caller=self.caller)

    async def ask(self, method: str, params: Message | None = None, **meta: Any) -> Message:
        """The response."""
        stream = await self.begin(method, params, **meta).end()
        last = stream.messages[-1]
        assert "method" not in last, stream.messages
        return last

    async def call(self, name: str, _meta: Message | None = None, **arguments: Any) -> Message:
        """The result of a tool; the error, if it is one."""
        said = await self.ask("tools/call", {"name": name, "arguments": arguments}, **(_meta or {}))
        return said.get("result") or said["error"]

    async def initialize(self) -> "Client":
        """Of the handshake era: begins a session."""
        info = {"name": self.name, "version": "1"}
        params = {"protocolVersion": "2025-11-25", "capabilities": self.can, "clientInfo": info}
        stream = await self.begin("initialize", params).end()
        assert stream.status == 200, stream.body
        self.session = stream.headers["mcp-session-id"]
        return self

    def tell(self, method: str, params: Message | None = None) -> Stream:
        """A notification."""
        return self.post({"jsonrpc": "2.0", "method": method, "params": params or {}})

    def stream(self, method: str = "GET", session: str | None = None) -> Stream:
        """The standing stream of the session, or its end (DELETE)."""
        headers = [("accept", "text/event-stream"), ("mcp-session-id", session or self.session)]
        return self.face.open(headers, b"", method, self.path, caller=self.caller)


def words(said: Mapping[str, Any]) -> str:
    return "\n".join(block.get("text", "") for block in said["content"])


@asynccontextmanager
async def face(box: Box, *, fast: bool = True) -> AsyncIterator[Face]:
    """A face over the box's gateway."""
    inbound = McpInbound(box.gateway._host("face/mcp"), fast=fast)
    async with inbound.serve(box.invoke, box.catalog) as routes:
        yield Face(inbound, routes[0].app)


@asynccontextmanager
async def server(box: Box, name: str, era: str = "modern", page: int = 1000) -> AsyncIterator[World]:
    """The MCP server that does everything, upstream under this name."""
    world, stop = World(page=page), asyncio.Event()
    ready: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(serve(Everything(world).server, ready, stop), name=f"far {name}")
    url = f"http://127.0.0.1:{await ready}/mcp"
    await box.add(Upstream(name, "mcp", url, options={"era": era}))
    try:
        yield world
    finally:
        await box.remove(name)
        stop.set()
        await task


@asynccontextmanager
async def held(of: Any) -> AsyncIterator[Any]:
    """A context that is entered and left in one task of its own, as a fixture's must be."""
    ready: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    done = asyncio.Event()

    async def hold() -> None:
        try:
            async with of as found:
                ready.set_result(found)
                await done.wait()
        except BaseException as fault:
            if not ready.done():
                ready.set_exception(fault)
            raise

    task = asyncio.create_task(hold(), name="held")
    yield await ready
    done.set()
    await task


def names(said: Sequence[Message], key: str = "name") -> list[str]:
    return [one[key] for one in said]
