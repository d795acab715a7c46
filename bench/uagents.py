"""Signed envelopes of the uAgents network: the gateway beside a stock Agent, and what 1,000 identities cost.

Requests are made and signed before the clock runs; 64 senders, 16 connections, each answer looked at. The gateway
answers by the MCP protocol from the fake network, with audit, metrics and the replay log on; the stock Agent by a
model. `python -m bench.uagents` prints these alone.
"""

import asyncio
import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import httpx2
import orjson
from uagents_core.envelope import Envelope
from uagents_core.models import Model

from adapters.uagents import calling, envelopes
from adapters.uagents.signing import Signer
from bench.process import ROOT, Server, free_port, run

CALLS = int(os.environ.get("CALLS", "1500"))
ROUNDS = int(os.environ.get("ROUNDS", "3"))
SENDERS, CONNECTIONS = 64, 16
AIMS = {"CPU ms": 1.3, "identities s": 2.0, "identities MB": 20.0}
SYNC = b"content-type: application/json\r\nx-uagents-connection: sync\r\n"
MANY = 1000


class Ping(Model):
    text: str


class Pong(Model):
    text: str


AGENT = """
import asyncio, sys
asyncio.set_event_loop(asyncio.new_event_loop())
from uagents import Agent, Context, Model
class Ping(Model):
    text: str
class Pong(Model):
    text: str
class Off:
    async def register(self, *a, **k): pass
class Quiet(Agent):
    async def _update_agent_status(self, active): return None
agent = Quiet(name="bench", seed="bench", port=int(sys.argv[1]), registration_policy=Off(), report_events=False,
              enable_agent_inspector=False, mark_inactive_on_shutdown=False, log_level="ERROR")
@agent.on_message(Ping, replies={Pong})
async def on(ctx: Context, sender: str, message: Ping) -> None:
    await ctx.send(sender, Pong(text=message.text))
with open("address", "w") as file:
    file.write(agent.address)
agent.run()
"""
"""A stock Agent that answers at once, with all switched off that would call others."""

Make = Callable[[Signer, str, int], Envelope]


def by_tool(signer: Signer, target: str, number: int) -> Envelope:
    said = {"tool": "echo", "args": {"text": f"text {number}"}}
    return envelopes.make(signer, target, uuid.uuid4(), (calling.CALL_TOOL, said), 3000)


def by_model(signer: Signer, target: str, number: int) -> Envelope:
    return envelopes.make(signer, target, uuid.uuid4(), Ping(text=f"text {number}"), 3000)


async def load(server: Server, path: str, bodies: list[bytes]) -> tuple[float, float]:
    """Requests a second, and CPU of the server for each."""
    waiting = list(enumerate(bodies))[::-1]
    before, began = server.cpu, time.perf_counter()

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        while waiting:
            number, body = waiting.pop()
            head = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1:{server.port}\r\ncontent-length: {len(body)}\r\n"
            writer.write(head.encode() + SYNC + b"\r\n" + body)
            answer = await asyncio.wait_for(_answer(reader), 60)
            if f"text {number}" not in envelopes.payload(Envelope.model_validate_json(answer)).decode():
                raise RuntimeError(f"an answer to another question: {answer[:300]!r}")
        writer.close()

    await asyncio.gather(*(client() for _ in range(CONNECTIONS)))
    seconds = time.perf_counter() - began
    return len(bodies) / seconds, (server.cpu - before) * 1000 / len(bodies)


async def _answer(reader: asyncio.StreamReader) -> bytes:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    if b"content-length: " in head:
        return await reader.readexactly(int(head.split(b"content-length: ")[1].split(b"\r\n")[0]))
    found = b""
    while size := int(await reader.readline(), 16):
        found += await reader.readexactly(size)
        await reader.readexactly(2)
    await reader.readexactly(2)
    return found


def gateway(folder: Path, agents: int) -> Server:
    folder.mkdir()
    (folder / "doolittle.toml").write_text(
        'log = "error"\n[refresh]\nevery = 3600\n'
        f'[upstreams.w]\nnetwork = "fake"\nurl = "fake://bench"\nagents = {agents}\n'
    )
    port = free_port()
    words = (sys.executable, "-m", "gateway.cli", "--config", str(folder / "doolittle.toml"), "serve")
    return Server(run(*words, "--port", str(port)), port)


def stock(folder: Path) -> Server:
    folder.mkdir()
    (folder / "agent.py").write_text(AGENT)
    port = free_port()
    child = subprocess.Popen(
        (sys.executable, "agent.py", str(port)), cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    return Server(child, port)


async def published(server: Server, count: int = 1) -> list[dict[str, Any]]:
    """The gateway's agents, once they are there."""
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{server.port}", trust_env=False) as client:
        for _ in range(1200):
            try:
                found: list[dict[str, Any]] = (await client.get("/uagents/agents")).json()
                if len(found) >= count:
                    return found
            except (httpx2.TransportError, ValueError):
                pass
            await asyncio.sleep(0.05)
    raise RuntimeError("the gateway publishes nobody")


async def listens(server: Server) -> None:
    for _ in range(1200):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        except OSError:
            await asyncio.sleep(0.05)
            continue
        writer.close()
        return
    raise RuntimeError("the stock agent does not listen")


async def beside(folder: Path) -> list[dict[str, Any]]:
    """The gateway and the stock Agent, round after round."""
    ours, theirs = gateway(folder / "gateway", 1), stock(folder / "stock")
    try:
        address = (await published(ours))[0]["address"]
        await listens(theirs)
        other = (folder / "stock" / "address").read_text()
        faces = [
            ("gateway", ours, "/uagents/submit", address, by_tool),
            ("stock Agent", theirs, "/submit", other, by_model),
        ]
        figures: dict[str, list[tuple[float, float]]] = {}
        for number in range(ROUNDS + 1):
            for name, server, path, target, make in faces:
                found = await load(server, path, _bodies(make, target, CALLS if number else 200))
                figures.setdefault(name, []).extend([found] if number else [])
    finally:
        ours.stop()
        theirs.stop()
    return [row for name, found in figures.items() for row in _rows(name, found)]


def _bodies(make: Make, target: str, count: int) -> list[bytes]:
    senders = [Signer.fresh() for _ in range(SENDERS)]
    return [make(senders[n % SENDERS], target, n).model_dump_json().encode() for n in range(count)]


def _rows(name: str, found: list[tuple[float, float]]) -> list[dict[str, Any]]:
    rate, cpu = median(one[0] for one in found), median(one[1] for one in found)
    print(f"{name:12} {rate:7.0f} signed requests/s {cpu:7.2f} CPU ms")
    note = f"{SENDERS} senders, {CONNECTIONS} connections, median of {len(found)} rounds of {CALLS} signed requests"
    ok = name != "gateway" or cpu <= AIMS["CPU ms"]
    return [
        {"name": f"uagents {name}/CPU ms", "ok": ok, "value": round(cpu, 3), "unit": "ms", "note": note},
        {"name": f"uagents {name}/requests/s", "ok": True, "value": round(rate), "unit": "calls/s", "note": note},
    ]


IDENTITIES = """
import asyncio, json, resource, sys, time
from dataclasses import replace
from adapters.spi import Address, Agent, Tool
from adapters.uagents.roster import Roster
class Catalog:
    revision = 1
    def agents(self, caller): return AGENTS
class Keyring:
    revision = 1
    def seed(self, *path): return RING.seed(*path)
def rss():
    return int(next(x for x in open("/proc/self/status") if x.startswith("VmRSS")).split()[1]) / 1024
async def main():
    global RING, AGENTS
    from gateway.keyring import MasterKeyring
    from gateway.seal import Seal
    from registry.store import Store
    store = Store("sqlite:///" + sys.argv[1])
    await store.open()
    RING = MasterKeyring(store, Seal(bytes(32)))
    await RING.load()
    tool = Tool("ask", "Talks.")
    AGENTS = [Agent(Address("fake", "w", f"a{n}"), f"Agent {n}", slug=f"agent{n}",
              tools=(replace(tool, name=f"agent{n}__ask", agent=f"agent{n}"),)) for n in range(COUNT)]
    one = Roster(Catalog(), Keyring(), ["agent0"])
    assert len(one.current) == 1
    before, began, used = rss(), time.perf_counter(), time.process_time()
    roster = Roster(Catalog(), Keyring(), ["*"])
    assert len(roster.current) == COUNT
    print(json.dumps({"s": time.perf_counter() - began, "cpu": time.process_time() - used, "MB": rss() - before}))
    await store.close()
asyncio.run(main())
"""


def identities(folder: Path) -> list[dict[str, Any]]:
    """What the face adds at its start for so many agents: derived from the real keyring, each time in a new process."""
    found: list[dict[str, float]] = []
    for number in range(3):
        words = (sys.executable, "-c", IDENTITIES.replace("COUNT", str(MANY)), str(folder / f"i{number}.db"))
        done = subprocess.run(words, cwd=ROOT, capture_output=True, check=True)
        found.append(orjson.loads(done.stdout))
    seconds, megabytes = median(one["s"] for one in found), median(one["MB"] for one in found)
    print(f"{MANY} identities: {seconds:.2f} s, {megabytes:.1f} MB")
    note = f"{MANY} published identities, beyond one; median of 3 processes"
    return [
        {"name": "uagents identities/s", "ok": seconds < AIMS["identities s"], "value": round(seconds, 3), "unit": "s",
         "note": note},
        {"name": "uagents identities/MB", "ok": megabytes < AIMS["identities MB"], "value": round(megabytes, 2),
         "unit": "MB", "note": note},
    ]  # fmt: skip


async def whole(folder: Path) -> list[dict[str, Any]]:
    """A whole gateway with so many agents: from its start until all have an address, beside one with a single agent."""
    seen: dict[int, float] = {}
    for count in (1, MANY):
        began = time.perf_counter()
        server = gateway(folder / f"whole{count}", count)
        try:
            await published(server, count)
            seen[count] = time.perf_counter() - began
        finally:
            server.stop()
    print(f"a gateway with {MANY} agents: all published {seen[MANY]:.1f} s after its start; with one {seen[1]:.1f} s")
    note = f"from its start until {MANY} agents of the fake network are listed and published; with one {seen[1]:.2f}"
    return [{"name": "uagents gateway/start s", "ok": True, "value": round(seen[MANY], 2), "unit": "s", "note": note}]


async def main() -> list[dict[str, Any]]:
    """The rows for `build/bench.json`."""
    with tempfile.TemporaryDirectory() as folder:
        return [*await beside(Path(folder)), *identities(Path(folder)), *await whole(Path(folder))]


if __name__ == "__main__":
    asyncio.run(main())
