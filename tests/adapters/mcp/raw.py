"""An MCP server made of bytes: each answer is a script of its own, also such as no library would send."""

import asyncio
import socket
import struct
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import orjson

from adapters.mcp.rpc import MODERN

Script = Callable[["Exchange"], Awaitable[None]]
TOOL = {"name": "say", "inputSchema": {"type": "object"}}


class Exchange:
    """One request, and the ways to answer it."""

    def __init__(self, verb: str, headers: dict[str, str], body: bytes, streams: Any) -> None:
        self.verb = verb
        self.headers = headers
        self.message: dict[str, Any] = orjson.loads(body) if body else {}
        self.id = self.message.get("id")
        self.params: dict[str, Any] = self.message.get("params", {})
        self.reader, self.writer = streams
        self.open = True
        """Whether the connection can carry another request."""

    def reply(self, result: Any) -> dict[str, Any]:
        return {"jsonrpc": "2.0", "id": self.id, "result": result}

    def text(self, text: str = "ok") -> dict[str, Any]:
        return self.reply({"content": [{"type": "text", "text": text}], "resultType": "complete"})

    def error(self, code: int, text: str, **more: Any) -> dict[str, Any]:
        return {"jsonrpc": "2.0", "id": self.id, "error": {"code": code, "message": text, **more}}

    async def write(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def send(
        self, body: bytes, status: int = 200, kind: str = "application/json", length: int | None = None, more: str = ""
    ) -> None:
        """A whole answer. `length`: what content-length says, true or not."""
        said = len(body) if length is None else length
        head = f"HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\ncontent-length: {said}\r\n{more}\r\n"
        await self.write(head.encode() + body)

    async def json(self, message: Any, status: int = 200, more: str = "") -> None:
        await self.send(orjson.dumps(message), status, more=more)

    async def stream(self, *events: Any) -> None:
        """Begins a stream of events, which lasts until the connection ends."""
        self.open = False
        await self.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n")
        for event in events:
            await self.event(event)

    async def event(self, message: Any, id: str = "", retry: str = "") -> None:
        """`message`: bytes as they are, text as data, other things as JSON."""
        if isinstance(message, bytes):
            await self.write(message)
            return
        said = message if isinstance(message, str) else orjson.dumps(message).decode()
        head = (f"id: {id}\n" if id else "") + (f"retry: {retry}\n" if retry else "")
        await self.write(f"{head}data: {said}\n\n".encode())

    def reset(self) -> None:
        """An RST in place of an end."""
        self.open = False
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def hung_up(self) -> None:
        """Waits until the client closes."""
        self.open = False
        while await self.reader.read(65536):
            pass


class Raw:
    """The server. `on` maps methods (of JSON-RPC, or the verbs GET and DELETE) to scripts; the rest is as it should."""

    def __init__(self) -> None:
        self.on: dict[str, Script] = {}
        self.session = "s1"
        """What initialize gives; "" for none."""
        self.modern = False
        self.version = "2025-11-25"
        self.capabilities: dict[str, Any] = {"tools": {}}
        self.tools: list[Any] = [TOOL]
        self.count: Counter[str] = Counter()
        """Requests by method, or verb."""
        self.said: list[dict[str, Any]] = []
        """Notifications and answers of the client."""
        self.delivered: Counter[str] = Counter()
        """Calls of tools, by the text in their arguments."""
        self.hung_up = 0
        self.port = 0
        self._tasks: set[asyncio.Task[Any]] = set()

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, limit=2**20)
        self.port = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/mcp"

    async def close(self) -> None:
        self._server.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        try:
            while await self._one(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            self.hung_up += 1
        except asyncio.CancelledError:
            pass
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in head[1:] if line)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        exchange = Exchange(head[0].split()[0], headers, body, (reader, writer))
        method = exchange.message.get("method", "") if exchange.verb == "POST" else exchange.verb
        self.count[method] += 1
        if method == "tools/call":
            self.delivered[exchange.params.get("arguments", {}).get("text", "")] += 1
        if exchange.verb == "POST" and (exchange.id is None or not method):
            self.said.append(exchange.message)
        await self.on.get(method, self._well)(exchange)
        return exchange.open

    async def _well(self, x: Exchange) -> None:
        """What a sound server answers."""
        method = x.message.get("method", "")
        offered = {"capabilities": self.capabilities}
        if x.verb != "POST":
            await x.send(b"", 405 if x.verb == "GET" else 200)
        elif x.id is None or not method:
            await x.send(b"", 202)
        elif method == "server/discover" and self.modern:
            await x.json(x.reply({"supportedVersions": [MODERN], **offered, "resultType": "complete"}))
        elif method == "initialize":
            more = f"mcp-session-id: {self.session}\r\n" if self.session else ""
            info = {"name": "raw", "version": "1"}
            await x.json(x.reply({"protocolVersion": self.version, "serverInfo": info, **offered}), more=more)
        elif method == "tools/list":
            await x.json(x.reply({"tools": self.tools, "resultType": "complete"}))
        elif method == "tools/call":
            await x.json(x.text(x.params["arguments"].get("text", "ok")))
        else:
            await x.json(x.error(-32601, "no such method"), 400)
