"""A stand-in for a Coral server, one for each test."""

from collections.abc import AsyncIterator

import pytest

from adapters.fake.world import WORLDS, World, world
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


@pytest.fixture
async def far(box: Box) -> World:
    """A far side that the agents of that gateway stand for."""
    WORLDS.pop("fake://coral", None)
    made = world("fake://coral")
    await box.add(Upstream("behind", "fake", "fake://coral"))
    return made
