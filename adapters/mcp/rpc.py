"""JSON-RPC as MCP speaks it, both eras: messages, versions, and what is common to HTTP and stdio. No SDK."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from typing import Any, Protocol, TypeAlias

import orjson

from adapters.errors import Broken

Message: TypeAlias = dict[str, Any]
MODERN = "2026-07-28"
"""The revision without sessions: each request brings version and capabilities along."""
HANDSHAKE = ("2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05")
"""The revisions that begin with `initialize`, newest first."""
VERSION_KEY = "io.modelcontextprotocol/protocolVersion"
CAPABILITIES_KEY = "io.modelcontextprotocol/clientCapabilities"
CLIENT_KEY = "io.modelcontextprotocol/clientInfo"
SERVER_KEY = "io.modelcontextprotocol/serverInfo"
LOG_KEY = "io.modelcontextprotocol/logLevel"
OWN_KEYS = frozenset({VERSION_KEY, CAPABILITIES_KEY, CLIENT_KEY, "progressToken"})
"""Keys of `_meta` that are said anew at each hop."""
INVALID_REQUEST, METHOD_NOT_FOUND, INVALID_PARAMS, INTERNAL = -32600, -32601, -32602, -32603
UNSUPPORTED_VERSION = -32022
NOT_FOUND = -32002
"""No such resource, in the handshake era; the modern one says `INVALID_PARAMS`."""
NAMED: Mapping[str, str] = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}
"""Methods whose object is named in the header `Mcp-Name`, and the parameter that names it."""
EVENT_LIMIT = 16 * 2**20
"""Bytes of one message."""


class RpcFault(Exception):
    """The far side's own JSON-RPC error: `error` is its object {code, message, data?}."""

    def __init__(self, error: Message) -> None:
        super().__init__(str(error.get("message", "")))
        self.error = error
        self.code = error.get("code")


class NotDelivered(Exception):
    """The request did not reach the server's work: its session is gone, or the pipe was broken before the write."""


class Link(Protocol):
    """A connection on which requests are made, by many tasks at once."""

    unasked: Callable[[Message], None]
    """Gets what belongs to no request."""
    hangs_up: bool
    """Whether closing a request early is itself heard as a cancel, in the modern era."""

    @property
    def hears(self) -> bool:
        """Whether anything may come now that belongs to no request."""
        ...

    @property
    def version(self) -> str:
        """The negotiated revision; "" before that."""
        ...

    @version.setter
    def version(self, said: str) -> None: ...

    async def open(self) -> None:
        """Raises `ConnectFailed`."""
        ...

    def request(self, message: Message) -> AsyncGenerator[Message, None]:
        """Messages about this request as they come, its response last. Closing early tells the far side where only
        that does. Raises `NotDelivered`, and errors of the contract."""
        ...

    async def tell(self, message: Message) -> None:
        """A notification, or a response. Faults are swallowed: nobody waits for it."""
        ...

    def begin(self) -> None:
        """The handshake is done: hear what the server says of itself."""
        ...

    async def close(self) -> None: ...


def parse(data: bytes, name: str) -> Message:
    """One message. Raises `Broken` for what is none."""
    try:
        found = orjson.loads(data)
    except orjson.JSONDecodeError as fault:
        raise Broken(f"'{name}' sent what is not JSON", detail=repr(data[:200])) from fault
    if not isinstance(found, dict):
        raise Broken(f"'{name}' sent what is not a JSON-RPC message", detail=repr(data[:200]))
    return found


def is_response(message: Message) -> bool:
    return "method" not in message and ("result" in message or "error" in message)


def answers(message: Message, id: Any) -> bool:
    """Whether it is the response to the request of that id."""
    said = message.get("id")
    return said == id and said is not True and is_response(message)


def is_request(message: Message) -> bool:
    return "method" in message and message.get("id") is not None


def result(message: Message, name: str) -> Message:
    """The result in a response. Raises `RpcFault` with the error in it, `Broken` for neither."""
    error = message.get("error")
    if isinstance(error, dict):
        raise RpcFault(error)
    found = message.get("result")
    if not isinstance(found, dict):
        raise Broken(f"'{name}' answered without a result", detail=repr(message)[:200])
    return found


def reply(id: Any, result: Any) -> Message:
    return {"jsonrpc": "2.0", "id": id, "result": result}


def refusal(id: Any, code: int, text: str) -> Message:
    return {"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": text}}


class ServerSent:
    """One event of a stream: `data`, and what it says of resuming."""

    __slots__ = ("data", "id", "retry")

    def __init__(self, data: bytes, id: str | None, retry: float | None) -> None:
        self.data = data
        self.id = id
        self.retry = retry


async def server_sent(chunks: AsyncIterator[bytes], name: str) -> AsyncGenerator[ServerSent, None]:
    """The events of a stream of bytes (WHATWG HTML, 9.2.6). Raises `Broken` for one that is too large."""
    data, size = list[bytes](), 0
    id: str | None = None
    retry: float | None = None
    async for line in _lines(chunks, name):
        if not line:
            if data or id is not None or retry is not None:
                yield ServerSent(b"\n".join(data), id, retry)
            data, size, id, retry = [], 0, None, None
            continue
        key, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if key == b"data":
            data.append(value)
            size += len(value)
            _require_small(size, name)
        elif key == b"id":
            id = value.decode("utf-8", "replace")
        elif key == b"retry" and value.isdigit():
            retry = int(value) / 1000


async def _lines(chunks: AsyncIterator[bytes], name: str) -> AsyncGenerator[bytes, None]:
    """Lines that end with any of CR LF, LF, CR; each byte is looked at a few times, however long a line is."""
    pieces, held = list[bytes](), 0
    async for chunk in chunks:
        pieces.append(chunk)
        held += len(chunk)
        _require_small(held, name)
        if b"\n" not in chunk and b"\r" not in chunk and not pieces[0].endswith(b"\r"):
            continue
        buffer = b"".join(pieces)
        if b"\r" in buffer:
            last = b"\r" if buffer.endswith(b"\r") else b""  # of CR LF, maybe
            buffer = buffer[: len(buffer) - len(last)].replace(b"\r\n", b"\n").replace(b"\r", b"\n") + last
        *lines, rest = buffer.split(b"\n")
        pieces, held = [rest], len(rest)
        for line in lines:
            yield line


def _require_small(size: int, name: str) -> None:
    if size > EVENT_LIMIT:
        raise Broken(f"'{name}' sent an event of more than {EVENT_LIMIT >> 20} MB")
