"""A lean MCP server: one tool that gives its text back, both eras, raw ASGI. It counts requests and connections.

`GET /counts` says what it has seen, and is not counted itself.
"""

import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
import uvicorn

INFO = {"name": "echo", "version": "1"}
TEXT = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
TOOLS = {"tools": [{"name": "echo", "description": "Gives the text back.", "inputSchema": TEXT}]}
MODERN = {"resultType": "complete", "ttlMs": 3_600_000, "cacheScope": "private"}
HANDSHAKE = {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": INFO}
DISCOVERED = {
    **MODERN,
    "supportedVersions": ["2026-07-28"],
    "capabilities": {"tools": {}},
    "_meta": {"io.modelcontextprotocol/serverInfo": INFO},
}
JSON = (b"content-type", b"application/json")

requests: Counter[str] = Counter()
connections: set[tuple[str, int]] = set()


def result(method: str, params: Any, modern: bool) -> Any:
    match method:
        case "tools/call":
            said = {"content": [{"type": "text", "text": params["arguments"]["text"]}], "isError": False}
            return {**said, "resultType": "complete"} if modern else said
        case "tools/list":
            return {**TOOLS, **MODERN} if modern else TOOLS
        case "initialize":
            return HANDSHAKE
        case "server/discover":
            return DISCOVERED
        case _:
            return {}


async def body(receive: Callable[[], Awaitable[Any]]) -> bytes:
    found, more = b"", True
    while more:
        message = await receive()
        found += message.get("body", b"")
        more = message.get("more_body", False)
    return found


async def answer(send: Callable[[Any], Awaitable[None]], status: int, out: bytes) -> None:
    size = (b"content-length", b"%d" % len(out))
    await send({"type": "http.response.start", "status": status, "headers": [JSON, size]})
    await send({"type": "http.response.body", "body": out})


async def app(scope: Any, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]) -> None:
    said = await body(receive)
    if scope["path"] == "/counts":
        await answer(send, 200, orjson.dumps({"requests": requests, "connections": len(connections)}))
        return
    connections.add(tuple(scope["client"]))
    if scope["method"] != "POST":
        requests[scope["method"]] += 1
        await answer(send, 405 if scope["method"] == "GET" else 200, b"")
        return
    message = orjson.loads(said)
    requests[message["method"]] += 1
    if "id" not in message:
        await answer(send, 202, b"")
        return
    modern = (b"mcp-protocol-version", b"2026-07-28") in scope["headers"]
    found = result(message["method"], message.get("params"), modern)
    await answer(send, 200, orjson.dumps({"jsonrpc": "2.0", "id": message["id"], "result": found}))


if __name__ == "__main__":
    uvicorn.run(
        app, host="127.0.0.1", port=int(sys.argv[1]), log_level="error", access_log=False, lifespan="off",
        timeout_keep_alive=600,
    )  # fmt: skip
