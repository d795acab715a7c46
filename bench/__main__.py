"""`make bench`: the gateway between MCP clients and an MCP server, beside the least a gateway can be, in one run.

Rows: calls straight to the server; through the floor; through the gateway with a key, audit and metrics on, over each
transport, in each era; the gateway with the fake network behind it; with PEERS=1 other gateways too; then the sidekicks
(`bench/sidekick.py`). ROUNDS and CALLS make it longer, ONLY=words picks rows. Writes build/bench.json; ratios and CPU
are worth more than rates.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

import orjson
import uvloop

from bench import peers, process, sidekick, uagents
from bench.load import CALLS, NEW, OLD, Face, first_call, measure
from bench.process import ROOT, Server

ROUNDS = int(os.environ.get("ROUNDS", "3"))
ONLY = os.environ.get("ONLY", "").split(",")
CONNECTIONS = (1, 32)
COLUMNS = ("calls/s", "p50 ms", "p99 ms", "CPU ms", "upstream requests", "new connections", "MB")
AIMS = {"x floor CPU": 1.5, "x floor p50": 1.6, "upstream requests": 1.0, "new connections": 0.0, "MB": 110.0}
"""What is aimed at with the fast transport, at one connection."""
START_AIM = 2.5


def direct(echo: Server) -> list[Face]:
    return [
        Face(f"direct {OLD}", echo, "/mcp", "echo", OLD, session=True),
        Face(f"direct {NEW}", echo, "/mcp", "echo", NEW),
    ]


def floors(server: Server) -> list[Face]:
    return [Face(f"floor {era}", server, "/mcp", "echo__echo", era) for era in (OLD, NEW)]


def gateways(server: Server, transport: str, beside: list[Face]) -> list[Face]:
    return [
        Face(f"mcp>mcp {OLD} {transport}", server, "/mcp", "old__echo", OLD, beside=beside[0], session=True),
        Face(f"mcp>mcp {NEW} {transport}", server, "/mcp", "new__echo", NEW, beside=beside[1]),
    ]


def fakes(server: Server, beside: list[Face]) -> list[Face]:
    return [
        Face("http>fake", server, "/v1/tools/all__echo/calls", "all__echo", beside=beside[0]),
        Face(f"mcp>fake {OLD}", server, "/mcp", "all__echo", OLD, beside=beside[0], session=True),
        Face(f"mcp>fake {NEW}", server, "/mcp", "all__echo", NEW, beside=beside[1]),
    ]


async def start(folder: Path, stack: ExitStack) -> tuple[Server, list[Face]]:
    """All servers, each up and answering."""
    echo = process.echo()
    stack.callback(echo.stop)
    faces = direct(echo)
    await first_call(faces[0])
    floor = process.floor(echo.port)
    stack.callback(floor.stop)
    beside = floors(floor)
    faces += beside
    for transport in ("fast", "plain"):
        server = process.gateway(folder / transport, echo.port, transport)
        stack.callback(server.stop)
        own = gateways(server, transport, beside)
        await first_call(own[0])
        if not beside[0].start:
            await first_call(beside[0])
        faces += own + (fakes(server, beside) if transport == "fast" else [])
    for face in peers.start(echo) if os.environ.get("PEERS") else []:
        stack.callback(face.server.stop)
        face.beside = beside[face.era == NEW]
        faces.append(face)
    return echo, [f for f in faces if f in beside or any(words in f.name for words in ONLY)]


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        echo, faces = await start(Path(folder), stack)
        for face in list(faces):
            try:
                if not face.start and face.name.startswith("peer"):
                    await first_call(face)
                await measure(face, 1, echo, min(100, face.calls))
            except RuntimeError as fault:
                print(f"left out: {fault}")
                faces.remove(face)
        for _ in range(ROUNDS):
            for connections in CONNECTIONS:
                for face in faces:
                    face.figures.setdefault(connections, []).append(await measure(face, connections, echo))
        rows = [row for face in faces for row in report(face)]
    if any(words in "uagents" for words in ONLY):
        rows += await uagents.main()
    if any(words in "sidekick" for words in ONLY):
        rows += await sidekick.rows()
    (ROOT / "build").mkdir(exist_ok=True)
    (ROOT / "build" / "bench.json").write_bytes(orjson.dumps(rows, option=orjson.OPT_INDENT_2))


def middle(face: Face, connections: int) -> dict[str, float]:
    """Medians of the rounds, and what they are of the floor's."""
    rounds = face.figures[connections]
    found = {name: median(one[name] for one in rounds) for name in COLUMNS}
    if face.beside is not None:
        floor = middle(face.beside, connections)
        found["x floor CPU"] = found["CPU ms"] / max(floor["CPU ms"], 1e-3)
        found["x floor p50"] = found["p50 ms"] / floor["p50 ms"]
    return found


def report(face: Face) -> Iterator[dict[str, Any]]:
    """Prints the face's lines of the table; gives its rows. A row is not ok where an aim is missed."""
    if face.name == f"direct {OLD}":
        print(HEADING)
    for connections in face.figures:
        found = middle(face, connections)
        print(line(face.name, connections, found))
        note = f"{connections} connections, median of {len(face.figures[connections])} rounds of {face.calls} calls"
        for name, value in found.items():
            aim = AIMS.get(name, value) if connections == 1 and face.name.endswith(" fast") else value
            what = f"{face.name}, {connections}/{name}"
            unit = name if name in COLUMNS[:4] else "x" if name.startswith("x ") else "MB" if name == "MB" else "a call"
            yield {"name": what, "ok": value <= aim + 0.005, "value": round(value, 3), "unit": unit, "note": note}
    if face.start:
        ok = not face.name.endswith(" fast") or face.start["start CPU s"] <= START_AIM
        print(f"{'':26}first call after {face.start['start s']:.1f} s, {face.start['start CPU s']:.2f} CPU s")
        for name, value in face.start.items():
            yield {"name": f"{face.name}/{name}", "ok": ok, "value": round(value, 2), "unit": name[6:], "note": ""}


HEADING = (
    f"{'':26}{'conns':>6}{'calls/s':>9}{'p50 ms':>8}{'p99 ms':>8}{'CPU ms':>8}{'x CPU':>7}{'x p50':>7}"
    f"{'reqs':>6}{'conns':>6}{'MB':>6}"
)


def line(name: str, connections: int, found: dict[str, float]) -> str:
    ratios = "".join(f"{found[x]:>7.1f}" if x in found else f"{'':7}" for x in ("x floor CPU", "x floor p50"))
    upstream = f"{found['upstream requests']:>6.2f}{found['new connections']:>6.2f}"
    return (
        f"{name:26}{connections:>6}{found['calls/s']:>9.0f}{found['p50 ms']:>8.2f}{found['p99 ms']:>8.2f}"
        f"{found['CPU ms']:>8.3f}{ratios}{upstream}{found['MB']:>6.0f}"
    )


if __name__ == "__main__":
    print(f"{os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}, {ROUNDS} rounds of {CALLS} calls")
    uvloop.run(main())
