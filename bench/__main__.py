"""`make bench`: the gateway with the fake network behind it, beside a bare ASGI app, interleaved in one run.

Calls a second, p50, p99, CPU per call (of the server's process, by the kernel's count), memory, start-up. With a key,
audit and metrics on. Writes build/bench.json; ratios and CPU are worth more than rates, which depend on the machine.
"""

import asyncio
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import httpx2
import orjson
import uvloop

ROOT = Path(__file__).resolve().parent.parent
TICK = os.sysconf("SC_CLK_TCK")
ROUNDS = int(os.environ.get("ROUNDS", "3"))
CALLS = int(os.environ.get("CALLS", "1500"))
VERSION = "2026-07-28"
META = {
    "io.modelcontextprotocol/protocolVersion": VERSION,
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": {"name": "bench", "version": "1"},
}


def cpu(pid: int) -> float:
    """Seconds of CPU that the process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def rss(pid: int) -> float:
    """Megabytes in memory."""
    line = next(x for x in Path(f"/proc/{pid}/status").read_text().splitlines() if x.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


@dataclass(slots=True)
class Face:
    """One way to call one server."""

    name: str
    pid: int
    port: int
    path: str
    headers: str
    body: Callable[[int], bytes]
    figures: dict[int, list[dict[str, float]]] = field(default_factory=dict[int, list[dict[str, float]]])

    def request(self, number: int) -> bytes:
        body = self.body(number)
        head = f"POST {self.path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\ncontent-type: application/json\r\n"
        return f"{head}{self.headers}content-length: {len(body)}\r\n\r\n".encode() + body


async def exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> bytes:
    """One request on a kept connection, and the whole answer."""
    writer.write(request)
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    if b"content-length: " in head:
        return await reader.readexactly(int(head.split(b"content-length: ")[1].split(b"\r\n")[0]))
    body = b""
    while size := int(await reader.readline(), 16):
        body += await reader.readexactly(size)
        await reader.readexactly(2)
    await reader.readexactly(2)
    return body


async def connection(face: Face, calls: int, seen: list[float]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", face.port)
    for number in range(calls):
        began = time.perf_counter()
        answer = await asyncio.wait_for(exchange(reader, writer, face.request(number)), 20)
        seen.append((time.perf_counter() - began) * 1000)
        if f"text {number}".encode() not in answer:
            raise RuntimeError(f"{face.name}: {answer[:300]!r}")
    writer.close()


async def measure(face: Face, connections: int) -> None:
    """One round: its rate, latencies, and CPU for each call."""
    seen: list[float] = []
    used, began = cpu(face.pid), time.perf_counter()
    await asyncio.gather(*(connection(face, CALLS // connections, seen) for _ in range(connections)))
    seconds, used = time.perf_counter() - began, cpu(face.pid) - used
    seen.sort()
    face.figures.setdefault(connections, []).append(
        {
            "calls/s": len(seen) / seconds,
            "p50 ms": seen[len(seen) // 2],
            "p99 ms": seen[int(len(seen) * 0.99)],
            "CPU ms": used * 1000 / len(seen),
        }
    )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def mcp_body(number: int) -> bytes:
    params = {"name": "all__echo", "arguments": {"text": f"text {number}"}, "_meta": META}
    return orjson.dumps({"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params})


def session_body(number: int) -> bytes:
    params = {"name": "all__echo", "arguments": {"text": f"text {number}"}}
    return orjson.dumps({"jsonrpc": "2.0", "id": number + 1, "method": "tools/call", "params": params})


def http_body(number: int) -> bytes:
    return orjson.dumps({"arguments": {"text": f"text {number}"}})


def start_floor() -> tuple[subprocess.Popen[bytes], int]:
    port = free_port()
    return subprocess.Popen([sys.executable, str(ROOT / "bench" / "floor.py"), str(port)]), port


def start_gateway(folder: Path) -> tuple[subprocess.Popen[bytes], int, str]:
    """With a key of its own; its log at `error`."""
    (folder / "doolittle.toml").write_text('log = "error"\n[upstreams.w]\nnetwork = "fake"\nurl = "fake://bench"\n')
    command = [sys.executable, "-m", "gateway.cli", "--config", str(folder / "doolittle.toml")]
    made = subprocess.run(
        [*command, "--json", "keys", "create", "bench", "--role", "call", "--role", "admin"], capture_output=True
    )
    key = json.loads(made.stdout)["secret"]
    port = free_port()
    return subprocess.Popen([*command, "serve", "--port", str(port)], stdout=subprocess.DEVNULL), port, key


async def first_call(face: Face) -> tuple[float, float, float]:
    """Seconds and CPU seconds until the first served call, and megabytes then."""
    began = time.perf_counter()
    while True:
        try:
            await connection(face, 1, [])
            return time.perf_counter() - began, cpu(face.pid), rss(face.pid)
        except (OSError, RuntimeError, asyncio.IncompleteReadError) as fault:
            if time.perf_counter() - began > 30:
                raise RuntimeError(f"{face.name} does not answer: {fault}") from fault
            await asyncio.sleep(0.01)


async def session(port: int, key: str) -> str:
    """The id of a session of the handshake era."""
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        params = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "bench", "version": "1"}}
        headers = {"authorization": f"Bearer {key}", "accept": "application/json, text/event-stream"}
        said = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}
        id = (await client.post("/mcp", json=said, headers=headers)).headers["mcp-session-id"]
        headers |= {"mcp-session-id": id, "mcp-protocol-version": "2025-11-25"}
        await client.post("/mcp", json={"jsonrpc": "2.0", "method": "notifications/initialized"}, headers=headers)
        return str(id)


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        floor, floor_port = start_floor()
        server, port, key = start_gateway(Path(folder))
        try:
            rows = await run(floor, floor_port, server, port, key)
        finally:
            for process in (floor, server):
                process.terminate()
                process.wait()
    (ROOT / "build").mkdir(exist_ok=True)
    (ROOT / "build" / "bench.json").write_bytes(orjson.dumps(rows, option=orjson.OPT_INDENT_2))


async def run(floor: Any, floor_port: int, server: Any, port: int, key: str) -> list[dict[str, Any]]:
    auth = f"authorization: Bearer {key}\r\n"
    accept = "accept: application/json, text/event-stream\r\n"
    modern = f"{auth}{accept}mcp-protocol-version: {VERSION}\r\nmcp-method: tools/call\r\nmcp-name: all__echo\r\n"
    bare = Face("bare ASGI", floor.pid, floor_port, "/", "authorization: Bearer bench\r\n", mcp_body)
    http = Face("http>fake", server.pid, port, "/v1/tools/all__echo/calls", auth, http_body)
    seconds, used, memory = await first_call(http)
    await first_call(bare)
    id = await session(port, key)
    kept = f"{auth}{accept}mcp-session-id: {id}\r\nmcp-protocol-version: 2025-11-25\r\n"
    faces = [
        bare,
        http,
        Face(f"mcp>fake {VERSION}", server.pid, port, "/mcp", modern, mcp_body),
        Face("mcp>fake 2025-11-25", server.pid, port, "/mcp", kept, session_body),
    ]
    for face in faces:
        await connection(face, 100, [])
    for _ in range(ROUNDS):
        for connections in (1, 32):
            for face in faces:
                if face.name.endswith("2025-11-25") and connections > 1:
                    continue  # the ids of one session would collide
                await measure(face, connections)
    return report(faces, {"start s": seconds, "start CPU s": used, "start MB": memory, "end MB": rss(server.pid)})


def report(faces: list[Face], start: dict[str, float]) -> list[dict[str, Any]]:
    """Prints the table (medians of the rounds), and gives the rows."""
    rows: list[dict[str, Any]] = []
    print(f"{'':24}{'conns':>6}{'calls/s':>10}{'p50 ms':>9}{'p99 ms':>9}{'CPU ms':>9}{'x bare CPU':>12}")
    for face in faces:
        for connections, rounds in face.figures.items():
            middle = {name: median(r[name] for r in rounds) for name in rounds[0]}
            floor = median(r["CPU ms"] for r in faces[0].figures[connections])
            numbers = (
                f"{middle['calls/s']:>10.0f}{middle['p50 ms']:>9.2f}{middle['p99 ms']:>9.2f}{middle['CPU ms']:>9.3f}"
            )
            print(f"{face.name:24}{connections:>6}{numbers}{middle['CPU ms'] / floor:>12.1f}")
            note = f"{connections} connections, median of {len(rounds)} rounds of {CALLS} calls"
            rows += [
                {"name": f"{face.name}/{n}", "ok": True, "value": round(v, 3), "unit": n, "note": note}
                for n, v in middle.items()
            ]
    for name, value in start.items():
        print(f"gateway {name:16}{value:>10.2f}")
        rows.append(
            {"name": f"gateway/{name}", "ok": True, "value": round(value, 2), "unit": name.split()[-1], "note": ""}
        )
    return rows


if __name__ == "__main__":
    uvloop.run(main())
