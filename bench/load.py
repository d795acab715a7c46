"""Load: raw sockets in a closed loop. Each connection is one client: it opens its session, then calls."""

import asyncio
import os
import time
from dataclasses import dataclass, field
from typing import Any

import orjson

from bench.process import Server

CALLS = int(os.environ.get("CALLS", "1500"))
OLD, NEW = "2025-11-25", "2026-07-28"
META = {
    "io.modelcontextprotocol/protocolVersion": NEW,
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": {"name": "bench", "version": "1"},
}
OPENING = {"protocolVersion": OLD, "capabilities": {}, "clientInfo": {"name": "bench", "version": "1"}}


@dataclass(slots=True)
class Face:
    """One way to call one server. `era` is "" for plain HTTP; `calls`: of a round; `beside`: what it is compared to."""

    name: str
    server: Server
    path: str
    tool: str
    era: str = ""
    calls: int = CALLS
    beside: "Face | None" = None
    session: bool = False
    figures: dict[int, list[dict[str, float]]] = field(default_factory=dict[int, list[dict[str, float]]])
    start: dict[str, float] = field(default_factory=dict[str, float])

    def headers(self) -> dict[str, str]:
        found = {"host": f"127.0.0.1:{self.server.port}", "content-type": "application/json"}
        if self.server.key:
            found["authorization"] = f"Bearer {self.server.key}"
        if self.era:
            found |= {"accept": "application/json, text/event-stream", "mcp-protocol-version": self.era}
        if self.era == NEW:
            found |= {"mcp-method": "tools/call", "mcp-name": self.tool}
        return found

    def call(self, number: int) -> Any:
        arguments = {"text": f"text {number}"}
        if not self.era:
            return {"arguments": arguments}
        params = {"name": self.tool, "arguments": arguments, **({"_meta": META} if self.era == NEW else {})}
        return rpc("tools/call", params, number + 1)


def rpc(method: str, params: Any, id: int | None = None) -> Any:
    return {"jsonrpc": "2.0", "method": method, "params": params, **({} if id is None else {"id": id})}


class Client:
    """One kept connection."""

    def __init__(self, face: Face) -> None:
        self._face = face
        self._headers = face.headers()
        self._head = b""

    async def open(self) -> None:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._face.server.port)
        if self._face.session:
            head = await self._opening(rpc("initialize", OPENING, 0))
            before, found, _ = head.lower().partition(b"mcp-session-id: ")
            if found:
                self._headers["mcp-session-id"] = head[len(before) + len(found) :].split(b"\r\n")[0].decode()
            await self._opening(rpc("notifications/initialized", {}))
        self._head = self._written()

    async def _opening(self, message: Any) -> bytes:
        self._head = self._written()
        return (await asyncio.wait_for(self._exchange(message), 20))[0]

    def _written(self) -> bytes:
        lines = "".join(f"{name}: {value}\r\n" for name, value in self._headers.items())
        return f"POST {self._face.path} HTTP/1.1\r\n{lines}content-length: ".encode()

    async def call(self, number: int) -> float:
        """Milliseconds to the answer, which is looked at."""
        began = time.perf_counter()
        _, answer = await asyncio.wait_for(self._exchange(self._face.call(number)), 20)
        took = (time.perf_counter() - began) * 1000
        if f"text {number}".encode() not in answer:
            raise RuntimeError(f"{self._face.name}: {answer[:300]!r}")
        return took

    async def _exchange(self, message: Any) -> tuple[bytes, bytes]:
        body = orjson.dumps(message)
        self._writer.write(b"%b%d\r\n\r\n%b" % (self._head, len(body), body))
        reader = self._reader
        head = await reader.readuntil(b"\r\n\r\n")
        low = head.lower()
        if b"content-length: " in low:
            size = int(low.split(b"content-length: ")[1].split(b"\r\n")[0])
            return head, await reader.readexactly(size)
        if b"transfer-encoding: chunked" not in low:
            return head, b""
        found = b""
        while size := int(await reader.readline(), 16):
            found += await reader.readexactly(size)
            await reader.readexactly(2)
        await reader.readexactly(2)
        return head, found

    def close(self) -> None:
        self._writer.close()


async def connection(face: Face, calls: int, gate: asyncio.Barrier) -> list[float]:
    client = Client(face)
    await client.open()
    await gate.wait()
    seen = [await client.call(number) for number in range(calls)]
    client.close()
    return seen


async def counts(echo: Server) -> tuple[int, int]:
    """Requests that the upstream has seen, and connections."""
    reader, writer = await asyncio.open_connection("127.0.0.1", echo.port)
    writer.write(b"GET /counts HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    said = orjson.loads((await reader.read()).partition(b"\r\n\r\n")[2])
    writer.close()
    return sum(said["requests"].values()), said["connections"]


async def measure(face: Face, connections: int, echo: Server, calls: int = 0) -> dict[str, float]:
    """One round: its rate, latencies, CPU for each call, and what the upstream saw. Sessions are open before it."""
    each = max(1, (calls or face.calls) // connections)
    gate = asyncio.Barrier(connections + 1)
    tasks = [asyncio.create_task(connection(face, each, gate)) for _ in range(connections)]
    while gate.n_waiting < connections:
        await asyncio.sleep(0.002)
        for task in tasks:
            if task.done():
                task.result()
    before, used, began = await counts(echo), face.server.cpu, time.perf_counter()
    await gate.wait()
    seen = sorted(took for found in await asyncio.gather(*tasks) for took in found)
    seconds, used, after = time.perf_counter() - began, face.server.cpu - used, await counts(echo)
    return {
        "calls/s": len(seen) / seconds,
        "p50 ms": seen[len(seen) // 2],
        "p99 ms": seen[int(len(seen) * 0.99)],
        "CPU ms": used * 1000 / len(seen),
        "upstream requests": (after[0] - before[0]) / len(seen),
        "new connections": (after[1] - before[1]) / len(seen),
        "MB": face.server.rss,
    }


async def first_call(face: Face, seconds: float = 60) -> None:
    """Waits for the first served call: seconds, CPU seconds and megabytes until then."""
    began = time.perf_counter()
    while True:
        try:
            await connection(face, 1, asyncio.Barrier(1))
        except (OSError, RuntimeError, ValueError, asyncio.IncompleteReadError, TimeoutError) as fault:
            if time.perf_counter() - began > seconds or face.server.process.poll() is not None:
                raise RuntimeError(f"{face.name} does not answer: {fault!r}") from fault
            await asyncio.sleep(0.01)
        else:
            server = face.server
            face.start = {"start s": time.perf_counter() - began, "start CPU s": server.cpu, "start MB": server.rss}
            return
