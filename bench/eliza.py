"""`python -m bench.eliza`: what the gateway adds to a call of an ElizaOS agent, beside its runtime called directly.

One real server with the offline model; each message is said once by each way in turn: to the runtime inside the
server; by the plugin's route alone; through the gateway with the plugin's route behind it; through the gateway with the
server's plain API. Each with a fresh room a call, and in one conversation a round. ROUNDS and CALLS make it longer (the
plain API takes 1,000 requests in 15 minutes). Writes build/bench-eliza.json; ratios are worth more than milliseconds.
"""

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles
from typing import Any
from uuid import uuid4

import httpx2
import orjson

from bench.process import ROOT, free_port, run
from examples.tour.eliza import PLUGIN, ElizaServer, install

ROUNDS = int(os.environ.get("ROUNDS", "5"))
CALLS = int(os.environ.get("CALLS", "30"))
KEY, ROUTE = "the-key-of-the-server", "the-key-of-the-route"
CONFIG = """
log = "error"
[server]
port = {port}
[upstreams.home]
network = "elizaos"
url = "{url}"
plugin = {{ key = "{route}", agents = ["{agent}"] }}
[upstreams.plain]
network = "elizaos"
url = "{url}"
key = "{key}"
"""
Talk = Callable[[list[str], str], Awaitable[list[float]]]


@dataclass(slots=True)
class Way:
    """A way to the agent: says messages in a room, or without one; the milliseconds of each."""

    name: str
    talk: Talk
    figures: dict[str, list[float]] = field(default_factory=dict[str, list[float]])


class Ways:
    """All ways to one agent."""

    def __init__(self, server: ElizaServer, gateway: str, slugs: dict[str, str]) -> None:
        self._agent = str(server.facts["agents"][0]["id"])
        self._eliza = httpx2.AsyncClient(base_url=server.url, timeout=60)
        self._gateway = httpx2.AsyncClient(base_url=gateway, timeout=60)
        self._slugs = slugs
        self._user = str(uuid4())

    def all(self) -> list[Way]:
        return [
            Way("the runtime, in the server", self._direct),
            Way("the plugin's route", self._route),
            Way("http>elizaos by the plugin", self._through("home")),
            Way("http>elizaos by the plain API", self._through("plain")),
        ]

    async def _direct(self, messages: list[str], room: str) -> list[float]:
        said = {"messages": messages, "room": room}
        times: list[float] = (await self._eliza.post(f"/bench/run?agentId={self._agent}", json=said)).json()
        return times

    async def _route(self, messages: list[str], room: str) -> list[float]:
        async def say(message: str) -> str:
            said = {"message": message, "user": self._user, "room": room or str(uuid4()), "kept": bool(room)}
            path, headers = f"/doolittle/messages?agentId={self._agent}", {"authorization": f"Bearer {ROUTE}"}
            lines = (await self._eliza.post(path, json=said, headers=headers)).text.splitlines()
            return str(orjson.loads(lines[-1])["content"]["text"])

        return [await timed(say, message) for message in messages]

    def _through(self, upstream: str) -> Talk:
        async def talk(messages: list[str], room: str) -> list[float]:
            async def say(message: str) -> str:
                said = {"arguments": {"message": message}, **({"conversation": room} if room else {})}
                path = f"/v1/tools/{self._slugs[upstream]}__ask/calls"
                return str((await self._gateway.post(path, json=said)).json()["result"]["text"])

            return [await timed(say, message) for message in messages]

        return talk


async def timed(say: Callable[[str], Awaitable[str]], message: str) -> float:
    began = time.perf_counter()
    heard = await say(message)
    ms = (time.perf_counter() - began) * 1000
    if heard != f"You said: {message}":
        raise RuntimeError(f"heard: {heard}")
    return ms


@asynccontextmanager
async def standing(folder: Path) -> AsyncIterator[list[Way]]:
    """A server and a gateway before it, each up; the ways to its one agent."""
    install(print)
    inside = ROOT / "bench" / "inside.ts"
    env = {"PLUGINS": f"{PLUGIN},{inside}", "DOOLITTLE_ROUTE_KEY": ROUTE}
    server = await ElizaServer(folder / "elizaos", key=KEY, agents="eliza", env=env).start()
    port, agent = free_port(), server.facts["agents"][0]["id"]
    said = CONFIG.format(port=port, url=server.url, route=ROUTE, key=KEY, agent=agent)
    (folder / "doolittle.toml").write_text(said)
    gateway = run(sys.executable, "-m", "gateway.cli", "--config", str(folder / "doolittle.toml"), "serve")
    try:
        url = f"http://127.0.0.1:{port}"
        yield Ways(server, url, await listed(url, gateway)).all()
    finally:
        gateway.terminate()
        gateway.wait(20)
        await server.stop()


async def listed(url: str, gateway: "subprocess.Popen[bytes]") -> dict[str, str]:
    """The slug of the agent on each upstream, once both were listed."""
    async with httpx2.AsyncClient(base_url=url) as client:
        for _ in range(400):
            if gateway.poll() is not None:
                break
            try:
                agents = (await client.get("/v1/agents")).json()
            except httpx2.TransportError:
                agents = []
            if len(agents) == 2:
                return {agent["upstream"]: agent["slug"] for agent in agents}
            await asyncio.sleep(0.05)
    raise RuntimeError("the gateway did not come up")


def report(ways: list[Way]) -> list[dict[str, Any]]:
    """Prints the table; its rows."""
    rows: list[dict[str, Any]] = []
    print(f"{'':46}{'p50 ms':>8}{'p99 ms':>8}{'x p50':>7}{'x p99':>7}{'+ ms':>8}")
    for kind in ("fresh", "conversation"):
        base = [percentile(ways[0].figures[kind], q) for q in (50, 99)]
        for way in ways:
            p50, p99 = (percentile(way.figures[kind], q) for q in (50, 99))
            name = f"{way.name}, {kind}"
            added = median(b - a for a, b in zip(ways[0].figures[kind], way.figures[kind], strict=True))
            print(f"{name:46}{p50:>8.1f}{p99:>8.1f}{p50 / base[0]:>7.2f}{p99 / base[1]:>7.2f}{added:>8.1f}")
            note = f"{ROUNDS} rounds of {CALLS} calls, interleaved; offline model"
            found = {
                "p50": (p50, "ms"),
                "p99": (p99, "ms"),
                "x p50": (p50 / base[0], "x"),
                "x p99": (p99 / base[1], "x"),
            }
            for what, (value, unit) in found.items():
                rows.append(
                    {"name": f"{name}/{what}", "ok": True, "value": round(value, 3), "unit": unit, "note": note}
                )
    return rows


def percentile(times: list[float], q: int) -> float:
    return median(times) if q == 50 else quantiles(times, n=100, method="inclusive")[q - 1]


async def main() -> None:
    print(f"{os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}, {ROUNDS} rounds of {CALLS} calls")
    with tempfile.TemporaryDirectory() as folder:
        async with standing(Path(folder)) as ways:
            for way in ways:
                await way.talk([f"warm {n}" for n in range(10)], "")
            for number in range(ROUNDS):
                rooms = {way.name: {"fresh": "", "conversation": str(uuid4())} for way in ways}
                for n in range(CALLS):
                    for kind in ("fresh", "conversation"):
                        for way in ways:
                            times = await way.talk([f"round {number}, message {n}"], rooms[way.name][kind])
                            way.figures.setdefault(kind, []).extend(times)
    rows = report(ways)
    (ROOT / "build").mkdir(exist_ok=True)
    (ROOT / "build" / "bench-eliza.json").write_bytes(orjson.dumps(rows, option=orjson.OPT_INDENT_2))


if __name__ == "__main__":
    asyncio.run(main())
