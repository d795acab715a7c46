"""Real servers, one for the whole run."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from adapters.spi import Upstream
from examples.tour.eliza import PLUGIN, ElizaServer, install
from gateway.testing import Box

KEY = "the-key-of-the-test-server"
ROUTE_KEY = "the-key-of-the-plugin's-routes"
CANARY = "canary-4711-must-not-be-seen"


@pytest.fixture(scope="session")
async def eliza(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ElizaServer]:
    """An ElizaOS server with two agents that have the plugin; its environment holds a secret that must stay there."""
    server = await _server(tmp_path_factory.mktemp("eliza"))
    yield server
    await server.stop()


@pytest.fixture(scope="session")
async def poisoned(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ElizaServer]:
    """Another one, for tests that leave it in a bad state; it hangs up after 4 s of silence, not the usual 30."""
    server = await _server(tmp_path_factory.mktemp("poisoned"), "eliza,pickering", SOCKET_TIMEOUT_MS="4000")
    yield server
    await server.stop()


async def _server(folder: Path, agents: str = "eliza,higgins", **more: str) -> ElizaServer:
    install(print)
    plugin = {"PLUGINS": str(PLUGIN), "DOOLITTLE_ROUTE_KEY": ROUTE_KEY, "DOOLITTLE_ACTIONS": "TEST_WELL"}
    environment = {"TEST_ACTIONS": "1", "CANARY_SECRET": CANARY, **plugin, **more}
    return await ElizaServer(folder, key=KEY, agents=agents, env=environment).start()


@pytest.fixture
async def home(box: Box, eliza: ElizaServer) -> Box:
    """A gateway with that server as its upstream `home`."""
    await box.add(Upstream("home", "elizaos", eliza.url, KEY))
    return box
