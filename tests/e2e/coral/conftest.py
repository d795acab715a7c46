"""A stand-in for a Coral server, one for each test."""

from collections.abc import AsyncIterator

import pytest

from adapters.spi import Upstream
from gateway.testing import Box
from tests.e2e.coral import definitions
from tests.e2e.coral.standin import CoralServer, served


@pytest.fixture
async def coral() -> AsyncIterator[CoralServer]:
    """Served, with the agent `echo`."""
    server = CoralServer()
    server.define(definitions.function("echo", definitions.echo, "Says what it hears."))
    async with served(server):
        yield server


@pytest.fixture
async def reef(box: Box, coral: CoralServer) -> Box:
    """A gateway with that server as its upstream `reef`."""
    await box.add(Upstream("reef", "coral", coral.url, coral.key))
    return box
