"""A gateway with the kit's agent, gRPC on, and a second one behind keys."""

from collections.abc import AsyncIterator

import pytest

from adapters.spi import Upstream
from gateway.testing import Box
from tests.e2e.a2a.kit import PORTS, free
from tests.e2e.a2a.scenarios import Scenarios


@pytest.fixture(scope="module")
async def kit(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """The URL of a gateway that has the kit's agent, and pushes to this machine."""
    grpc = f"127.0.0.1:{free()}"
    push = free()
    networks = {"a2a": {"grpc": grpc, "push_to": [f"http://127.0.0.1:{push}"], "old_clients": False}}
    box = Box(tmp_path_factory.mktemp("kit"), networks=networks)
    await box.open()
    await box.add(Upstream("kit", "scenarios"), Scenarios())
    PORTS["push"] = push
    yield await box.serve()
    await box.close()
