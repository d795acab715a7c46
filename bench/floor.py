"""The yardstick: a bare ASGI app that does the same work with nothing around it: JSON in, a key checked, JSON out."""

import sys
from collections.abc import Awaitable, Callable
from hashlib import sha256
from typing import Any

import orjson
import uvicorn

KEYS = {sha256(b"bench").hexdigest()}
JSON = (b"content-type", b"application/json")


async def app(scope: Any, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]) -> None:
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    key = next((v[7:] for n, v in scope["headers"] if n == b"authorization"), b"")
    known = sha256(key).hexdigest() in KEYS
    said = orjson.loads(body)
    params = said.get("params") or said
    text = params["arguments"]["text"] if known else "no"
    answer = {"jsonrpc": "2.0", "id": said.get("id"), "result": {"content": [{"type": "text", "text": text}]}}
    out = orjson.dumps(answer)
    await send({"type": "http.response.start", "status": 200, "headers": [JSON, (b"content-length", b"%d" % len(out))]})
    await send({"type": "http.response.body", "body": out})


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="error", access_log=False, lifespan="off")
