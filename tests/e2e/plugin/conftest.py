"""The plugin as npm would give it: its packages installed, and built."""

import json
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from adapters.spi import Upstream
from examples.tour.eliza import NODE, ElizaServer, install, npm_ci
from gateway.testing import Box
from tests.conftest import ROOT
from tests.e2e.conftest import CANARY, KEY
from tests.e2e.plugin.agents import Line, User, character
from tests.e2e.plugin.inside import ACTIONS, FIXED, NEAR, Inside
from tests.e2e.plugin.wire import PLUGIN

HERE = Path(__file__).parent


def node(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """A program of the plugin's packages, in its folder."""
    command = [NODE, PLUGIN / "node_modules" / words[0], *words[1:]]
    return subprocess.run(command, cwd=PLUGIN, capture_output=True, text=True, timeout=110)


@pytest.fixture(scope="session")
def packages() -> None:
    npm_ci(PLUGIN, print)


@pytest.fixture(scope="session")
def built(packages: None) -> Path:
    """The module that an agent loads."""
    done = node("tsup/dist/cli-default.js")
    assert done.returncode == 0, done.stdout + done.stderr
    return PLUGIN / "dist" / "index.js"


@dataclass
class Place:
    """A gateway, a server with agents that know it, and the line between them."""

    box: Box
    server: ElizaServer
    line: Line
    url: str


def prompts(place: Place, words: str) -> list[str]:
    """What the model was asked, where it heard these words."""
    lines = [json.loads(line) for line in place.server.model_log.read_text().splitlines()]
    return [line["prompt"] for line in lines if words in line["prompt"]]


@pytest.fixture(scope="module")
async def place(built: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    """Eliza and Pickering (who works in steps) hold a key; Higgins has the plugin, and no gateway."""
    folder = tmp_path_factory.mktemp("place")
    box = Box(folder)
    await box.open()
    url = await box.serve()
    line = Line(url)
    async with line.listening() as at:
        known = {"DOOLITTLE_URL": at, "DOOLITTLE_TIMEOUT": "3"}
        aided = {**known, "DOOLITTLE_SIDEKICK": "sidekick__analyze", "DOOLITTLE_FRAMEWORK": "langchain"}
        eliza = character(folder, "eliza", **aided, DOOLITTLE_KEY=await box.key("eliza", agent="eliza"))
        pickering = character(folder, "pickering", **known, DOOLITTLE_KEY=await box.key("pickering", agent="pickering"))
        install(print)
        env = {"PLUGINS": str(built), "MODEL_PROMPTS": "1", "LOG_LEVEL": "warn"}
        server = await ElizaServer(folder / "elizaos", key=KEY, agents=f"{eliza},{pickering},higgins", env=env).start()
        await box.add(Upstream("home", "elizaos", server.url, KEY))
        await box.add(Upstream("world", "fake", "fake://plugin"))
        servers = {"words": ROOT / "examples" / "mcp_server" / "server.py", "sidekick": HERE / "sidekick.py"}
        for name, path in servers.items():
            await box.add(Upstream(name, "mcp", command=(sys.executable, str(path)), options={"era": "handshake"}))
        yield Place(box, server, line, at)
        await server.stop()
    await box.close()


@pytest.fixture
async def user(place: Place) -> AsyncIterator[User]:
    """Somebody who talks with Eliza."""
    async with User(place.server, "Eliza") as made:
        yield made


@pytest.fixture(scope="session")
async def inside(built: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Inside]:
    """Eliza and Pickering register themselves, each with a key of its own; Higgins has a fixed one, and does not."""
    folder = tmp_path_factory.mktemp("inside")
    box = Box(folder, registration=NEAR)
    await box.open()
    url = await box.serve()
    keys = {name: await box.key(name, roles=("call", "register")) for name in ("eliza", "pickering")}
    line = Line(url)
    async with line.listening() as at:
        for_eliza = {"DOOLITTLE_URL": at, "DOOLITTLE_KEY": keys["eliza"], "DOOLITTLE_ACTIONS": ACTIONS}
        agents = [
            character(folder, "eliza", **for_eliza),
            character(folder, "pickering", DOOLITTLE_URL=at, DOOLITTLE_KEY=keys["pickering"]),
            character(folder, "higgins", DOOLITTLE_ROUTE_KEY=FIXED, DOOLITTLE_ACTIONS="*"),
        ]
        install(print)
        env = {"PLUGINS": str(built), "TEST_ACTIONS": "1", "MODEL_PROMPTS": "1", "CANARY_SECRET": CANARY}
        server = await ElizaServer(folder / "elizaos", key=KEY, agents=",".join(agents), env=env).start()
        place = Inside(box, server, line, keys)
        await place.listed("eliza", "pickering")
        yield place
        await server.stop()
    await box.close()
