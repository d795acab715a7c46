"""`make run`: a real ElizaOS server, the gateway with it registered, and calls in every direction that is built.

TOUR=exit ends with the tour's status: 0 only if every call succeeded. MODEL=smollm2 lets the agent think with a real
small model. Each row goes to `build/tour.json`.
"""

import asyncio
import contextlib
import os
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

import httpx2
import orjson

from examples.tour import calls, coral, model, more, uagents
from examples.tour.eliza import PLUGIN, ElizaServer, install

ROOT = Path(__file__).resolve().parent.parent.parent
HOME = ROOT / ".doolittle" / "tour"
CONFIG = """\
# Written by `make run`.
log = "warning"

[server]
port = {port}

[upstreams.home]
network = "elizaos"
url = "{url}"
key = "env:TOUR_ELIZA_KEY"
plugin = {{ key = "env:TOUR_ROUTE_KEY", agents = {agents} }}

[registration]
networks = ["127.0.0.0/8"]

[upstreams.words]
network = "mcp"
command = ["{python}", "{server}"]
era = "handshake"

[upstreams.world]
network = "fake"
url = "fake://tour"

[upstreams.helpers]
network = "sidekick"
url = "{model}"
model = "{name}"
tools = ["words__*", "higgins__ask"]
venvs = "{venvs}"
"""
VENVS = ROOT / ".doolittle" / "sidekick"
"""The sidekicks' environments, shared with the tests."""
SERVER = ROOT / "examples" / "mcp_server" / "server.py"
CHARACTERS = ROOT / "examples" / "elizaos-agent" / "characters"
KEY = "tour-key-of-the-example-server"
ROUTE_KEY = "tour-key-of-the-plugins-routes"


def say(text: str) -> None:
    print(text, flush=True)


class Gateway:
    """`doolittle serve` in a process of its own."""

    def __init__(self, config: Path) -> None:
        self._config = config
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> str:
        """Its URL, once it listens and its upstreams were listed."""
        command = [str(Path(sys.executable).parent / "doolittle"), "--config", str(self._config), "serve"]
        self._process = await asyncio.create_subprocess_exec(
            *command,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "TOUR_ELIZA_KEY": KEY, "TOUR_ROUTE_KEY": ROUTE_KEY, "TOUR_CORAL_KEY": coral.KEY},
        )
        assert self._process.stdout
        while line := (await self._process.stdout.readline()).decode():
            if "listens at " in line:
                url = line.partition("listens at ")[2].split()[0]
                await self._listed(url)
                return url
        raise RuntimeError("the gateway did not start; what it said stands above")

    async def _listed(self, url: str) -> None:
        async with httpx2.AsyncClient(base_url=url, timeout=30) as client:
            for _ in range(200):
                if all(u["up"] for u in (await client.get("/v1/upstreams")).json()):
                    return
                await asyncio.sleep(0.05)

    async def stop(self) -> None:
        if self._process and self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)
            await self._process.wait()


Rows = Iterable[tuple[str, str, Callable[[], Awaitable[str]]]]


async def tour(every: Rows) -> list[dict[str, Any]]:
    """Every call, printed as it ends; the rows for `build/tour.json`."""
    rows: list[dict[str, Any]] = []
    say("")
    for name, note, call in every:
        rows.append(await _one(name, note, call))
    good = sum(row["ok"] for row in rows)
    say(f"\n{good} of {len(rows)} calls as they should be.")
    return rows


async def _one(name: str, note: str, call: Callable[[], Awaitable[str]]) -> dict[str, Any]:
    began = time.perf_counter()
    try:
        said, ok = await asyncio.wait_for(call(), 120), True
    except Exception as fault:  # noqa: BLE001 - a row of the tour fails, the others go on
        said, ok = f"{type(fault).__name__}: {fault}", False
    ms = (time.perf_counter() - began) * 1000
    short = " ".join(said.split())
    say(f"  {'ok ' if ok else 'NO '} {name:32} {ms:7.0f} ms  {short[:110]}{'…' if len(short) > 110 else ''}")
    return {"name": name, "ok": ok, "value": round(ms, 1), "unit": "ms", "note": note}


def _registers_itself() -> Path:
    """Pickering's character, who is in no file of the operator's: he offers himself to the gateway."""
    character = orjson.loads((CHARACTERS / "pickering.json").read_bytes())
    character["settings"]["secrets"] = {"DOOLITTLE_REGISTER": "true"}
    path = HOME / "pickering.json"
    path.write_bytes(orjson.dumps(character))
    return path


def free_port(wanted: int) -> int:
    """The wanted port, or another one if something listens there."""
    for port in (wanted, 0):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return int(probe.getsockname()[1])
    return 0


async def main() -> int:
    began = time.monotonic()
    thinks = os.environ.get("MODEL", "") or "offline"
    install(say, thinks)
    HOME.mkdir(parents=True, exist_ok=True)
    say(f"starting ElizaOS 1.7.2 ({thinks} model) …")
    port = free_port(8700)
    known = {"PLUGINS": str(PLUGIN), "DOOLITTLE_URL": f"http://127.0.0.1:{port}", "DOOLITTLE_REGISTER": "false"}
    known |= {"DOOLITTLE_ROUTE_KEY": ROUTE_KEY, "DOOLITTLE_ACTIONS": "TEST_TELL, TEST_FAILS"}
    known |= {"DOOLITTLE_SIDEKICK": "sidekick__analyze"}
    env = {"TEST_ACTIONS": "1", "MODEL": thinks, **known}
    eliza = ElizaServer(HOME / "elizaos", key=KEY, agents=f"eliza,higgins,{_registers_itself()}", env=env)
    gateway, bureau = Gateway(HOME / "doolittle.toml"), uagents.Bureau(HOME / "uagent")
    reef = coral.Reef(HOME / "coral", HOME / "doolittle.toml")
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    stack = contextlib.AsyncExitStack()
    try:
        await asyncio.gather(eliza.start(), bureau.start(), reef.start())
        agents: dict[str, str] = {agent["name"]: agent["id"] for agent in eliza.facts["agents"]}
        say(f"ElizaOS answers at {eliza.url} with {', '.join(agents)} ({time.monotonic() - began:.0f} s so far)")
        config = HOME / "doolittle.toml"
        said = {"port": port, "url": eliza.url, "python": sys.executable, "server": SERVER, "venvs": VENVS}
        said |= {"agents": [agents["Eliza"], agents["Higgins"]]}
        said |= {"model": await stack.enter_async_context(model.serving(thinks)), "name": thinks}
        others = await stack.enter_async_context(more.neighbours(said["model"], say))
        config.write_text(CONFIG.format(**said) + bureau.config + others + reef.config)
        url = await gateway.start()
        say(f"Doolittle answers at {url} ({time.monotonic() - began:.0f} s so far)")
        user = calls.User(eliza)
        rows = await tour(
            (
                *calls.every(url, config, eliza),
                *uagents.every(url, bureau, user),
                *more.every(url, user),
                *coral.every(url, reef, user),
            )  # fmt: skip
        )
        (ROOT / "build").mkdir(exist_ok=True)
        (ROOT / "build" / "tour.json").write_bytes(orjson.dumps(rows, option=orjson.OPT_INDENT_2))
        if os.environ.get("TOUR") != "exit":
            _addresses(url, config.relative_to(ROOT))
            await stop.wait()
            say("\nstopping …")
            return 0
        return 0 if all(row["ok"] for row in rows) else 1
    finally:
        await eliza.stop()  # before the gateway, so that whoever registered itself says farewell
        await gateway.stop()
        await bureau.stop()
        await reef.stop()
        await stack.aclose()


def _addresses(url: str, config: Path) -> None:
    doolittle = f".venv/bin/doolittle --config {config}"
    say(f"""
It stays up; Ctrl-C ends it.
  MCP    {url}/mcp            (one agent: {url}/mcp/agents/eliza)
  HTTP   {url}/v1/tools       (what there is: {url}/openapi.json)
  uAgents {url}/uagents/agents (who is published, and where)
  A2A    {url}/a2a/eliza      (its card: {url}/a2a/eliza/.well-known/agent-card.json)
  OpenAI {url}/v1             (model="eliza")

Try:
  {doolittle} tools
  {doolittle} call eliza__ask message="How do you do?"
  curl -s {url}/v1/tools/eliza__ask/calls \\
    -H 'content-type: application/json' -d '{{"arguments":{{"message":"Hello"}}}}'""")


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
