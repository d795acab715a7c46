"""The answer to one POST: plain JSON if the end comes before anything else, a stream of events otherwise."""

import asyncio
from typing import Any

import orjson

from adapters.asgi import JSON
from adapters.mcp import translate
from adapters.mcp.dialogue import HEARTBEAT, Fault, Needs, Raw, Reply
from adapters.mcp.near import KNOWN, Near
from adapters.mcp.rpc import SERVER_KEY, Message
from adapters.mcp.server import INFO, of_era
from adapters.spi import Answer, Ask, Part, Progress, Send

STREAM = [
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),
]
STATUS = {-32700: 400, -32600: 400, -32602: 400, -32020: 400, -32021: 400, -32022: 400, -32601: 404}
"""HTTP statuses of the modern era, by error code (2026-07-28, Streamable HTTP)."""
ANSWER_WAIT = 600.0
STAMP = b',"resultType":"complete","_meta":' + orjson.dumps({SERVER_KEY: INFO}) + b"}"


class Table:
    """Requests of handshake sessions that run, and questions that wait for their clients' answers."""

    def __init__(self) -> None:
        self.running: dict[tuple[str, Any], asyncio.Task[None]] = {}
        self.cancelled: set[asyncio.Task[None]] = set()
        self.asked: dict[tuple[str, Any], asyncio.Future[Any]] = {}
        self.levels: dict[str, str] = {}
        self.numbers = 0

    def set_level(self, session: str, level: str) -> None:
        """From which level on a session hears log lines. Beyond `KNOWN` sessions, the oldest word is forgotten."""
        self.levels.pop(session, None)
        self.levels[session] = level
        if len(self.levels) > KNOWN:
            del self.levels[next(iter(self.levels))]

    def heard(self, session: str, message: Message) -> None:
        """A notification or a response of a client's."""
        if message.get("method") == "notifications/cancelled":
            params = message.get("params")
            id = params.get("requestId") if isinstance(params, dict) else None
            task = self.running.get((session, id)) if isinstance(id, str | int) else None
            if task is not None:
                self.cancelled.add(task)
                task.cancel()
        elif "method" not in message and isinstance(message.get("id"), str | int):
            waiting = self.asked.get((session, message["id"]))
            if waiting is not None and not waiting.done():
                waiting.set_result(message.get("result"))


class HttpPeer:
    """The client of one POST (`adapters.mcp.dialogue.Peer`)."""

    def __init__(self, near: Near, message: Message, send: Send, table: Table) -> None:
        self.near = near
        self._id = message["id"]
        self._send = send
        self._table = table
        meta = (message.get("params") or {}).get("_meta") or {}
        self._token = meta.get("progressToken")
        self._streaming = False
        self._step = -1.0

    async def progress(self, of: Progress | Part) -> None:
        if isinstance(of, Progress) and of.raw is not None and of.raw_format == translate.LOG_FORMAT:
            said = orjson.loads(of.raw)
            if self.near.hears(said.get("level")):
                await self._notify("notifications/message", said)
            return
        message, total = translate.progress(of)
        done = of.done if isinstance(of, Progress) and of.done is not None else self._step + 1
        await self._progress(done if done > self._step else self._step + 1e-6, total, message)

    async def _progress(self, step: float, total: float | None, message: str) -> None:
        if self._token is None:
            return
        self._step = step
        params: Message = {"progressToken": self._token, "progress": step}
        if total is not None:
            params["total"] = total
        if message:
            params["message"] = message
        await self._notify("notifications/progress", params)

    async def beat(self) -> None:
        if self._token is not None:
            await self._progress(max(self._step, 0) + 1e-3, None, "still working")
        else:
            await self._write(b": working\r\n\r\n")

    async def _notify(self, method: str, params: Message) -> None:
        await self._event({"jsonrpc": "2.0", "method": method, "params": params})

    async def _event(self, message: Message) -> None:
        await self._write(b"event: message\r\ndata: " + orjson.dumps(message) + b"\r\n\r\n")

    async def _write(self, data: bytes) -> None:
        if not self._streaming:
            self._streaming = True
            await self._send({"type": "http.response.start", "status": 200, "headers": STREAM})
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    # -- questions ------------------------------------------------------------------------------------------------

    async def answer(self, ask: Ask) -> Answer | None:
        """Asks on this stream; the client answers by another POST."""
        assert self.near.session is not None
        waiting: dict[str, asyncio.Future[Any]] = {}
        keys: list[tuple[str, Any]] = []
        try:
            for one in ask.requests:
                method, params = translate.request(one)
                self._table.numbers += 1
                id = f"ask-{self._table.numbers}"
                keys.append((self.near.session.id, id))
                waiting[one.id] = self._table.asked[keys[-1]] = asyncio.get_running_loop().create_future()
                await self._event({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
            left = ANSWER_WAIT
            while left > 0 and not all(f.done() for f in waiting.values()):
                await asyncio.wait(waiting.values(), timeout=HEARTBEAT)
                await self._write(b": waiting\r\n\r\n")
                left -= HEARTBEAT
        finally:
            for key in keys:
                self._table.asked.pop(key, None)
        if not any(f.done() for f in waiting.values()):
            return None
        values = {
            id: found
            for id, said in waiting.items()
            if said.done()
            and (found := translate.value(said.result()) if isinstance(said.result(), dict) else None)
            is not translate.CANCELLED
        }
        return Answer(ask.token, values)

    # -- the end --------------------------------------------------------------------------------------------------

    async def finish(self, reply: Reply) -> None:
        """The response, and the end of the answer."""
        id = orjson.dumps(self._id)
        status = 200
        reply = of_era(reply, self.near.modern)
        if isinstance(reply, Fault):
            body = b'{"jsonrpc":"2.0","id":' + id + b',"error":' + orjson.dumps(reply.error) + b"}"
            status = STATUS.get(reply.error["code"], 200) if self.near.modern else 200
        else:
            body = b'{"jsonrpc":"2.0","id":' + id + b',"result":' + self._result(reply) + b"}"
        if self._streaming:
            data = b"event: message\r\ndata: " + body + b"\r\n\r\n"
            await self._send({"type": "http.response.body", "body": data})
            return
        headers = [JSON, (b"content-length", b"%d" % len(body))]
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})

    def _result(self, reply: Raw | Needs) -> bytes:
        if isinstance(reply, Needs):
            meta = {SERVER_KEY: INFO}
            said: Message = {"resultType": "input_required", "requestState": reply.state, "_meta": meta}
            if reply.requests:
                said["inputRequests"] = reply.requests
            return orjson.dumps(said)
        body = reply.body
        if not self.near.modern:
            return _objects_only(body)
        if b'"_meta"' not in body and b'"resultType"' not in body and len(body) > 2:
            return body[:-1] + STAMP
        found = orjson.loads(body)
        meta = found.get("_meta")
        found["_meta"] = {**(meta if isinstance(meta, dict) else {}), SERVER_KEY: INFO}
        return orjson.dumps({"resultType": "complete", **found})

    async def hang_up(self) -> None:
        """Ends the answer without a response: the client has cancelled."""
        if not self._streaming:
            await self._send({"type": "http.response.start", "status": 200, "headers": STREAM})
        await self._send({"type": "http.response.body", "body": b""})


KEY = b'"structuredContent":'


def _objects_only(body: bytes) -> bytes:
    """The handshake era knows structured content that is an object only."""
    at = body.find(KEY)
    if at < 0 or body[at + len(KEY) : at + len(KEY) + 1] == b"{":
        return body
    found = orjson.loads(body)
    if isinstance(found.get("structuredContent"), dict) or "structuredContent" not in found:
        return body
    del found["structuredContent"]
    return orjson.dumps(found)
