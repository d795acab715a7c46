"""The yardstick: the least that a gateway in Python can do. A key checked by its hash, the tool found by its name, the
call sent on over one pool of connections, the answer handed back. No session, no list, no limit, no record."""

import sys
from collections.abc import Awaitable, Callable
from hashlib import sha256
from typing import Any

import aiohttp
import orjson
import uvicorn

KEYS = {sha256(b"bench").digest()}
TOOLS = {"echo__echo": (sys.argv[2], "echo")}
JSON = (b"content-type", b"application/json")
HEADERS = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
pool: list[aiohttp.ClientSession] = []


async def call(message: Any, version: str) -> bytes:
    if not pool:
        pool.append(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=64)))
    url, message["params"]["name"] = TOOLS[message["params"]["name"]]
    headers = {**HEADERS, "mcp-protocol-version": version}
    async with pool[0].post(url, data=orjson.dumps(message), headers=headers) as response:
        return await response.read()


async def app(scope: Any, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]) -> None:
    body, more = b"", True
    while more:
        event = await receive()
        body += event.get("body", b"")
        more = event.get("more_body", False)
    headers = dict(scope["headers"])
    status, out = 200, b""
    if sha256(headers.get(b"authorization", b"")[7:]).digest() not in KEYS:
        status = 401
    elif (message := orjson.loads(body))["method"] == "tools/call":
        out = await call(message, headers[b"mcp-protocol-version"].decode())
    else:
        status = 202
    size = (b"content-length", b"%d" % len(out))
    await send({"type": "http.response.start", "status": status, "headers": [JSON, size]})
    await send({"type": "http.response.body", "body": out})


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="error", access_log=False, lifespan="off")
