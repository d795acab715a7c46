"""One real agent for all, and an Almanac that stands in for the real one."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from adapters.spi import Upstream
from examples.uagents_agent.process import UAgent
from gateway.settings import NetworkSettings
from gateway.testing import Box
from tests.e2e.uagents.almanac import Almanac, served


@dataclass(slots=True)
class Town:
    """The Almanac, where it is, and the real agent that is registered there."""

    almanac: Almanac
    url: str
    freddy: UAgent

    @property
    def upstream(self) -> Upstream:
        private = [f"http://127.0.0.1:{self.freddy.port}"]
        return Upstream("freddy", "uagents", f"agent://{self.freddy.address}", options={
            "almanac": self.url, "private": private,
        })  # fmt: skip

    def face(self, **more: object) -> NetworkSettings:
        private = [f"http://127.0.0.1:{self.freddy.port}"]
        return NetworkSettings.model_validate({"almanac": self.url, "private": private, **more})


@pytest.fixture(scope="session")
async def town(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    almanac = Almanac()
    async with served(almanac) as url:
        freddy = await UAgent(tmp_path_factory.mktemp("freddy"), url).start()
        yield Town(almanac, url, freddy)
        await freddy.stop()


@pytest.fixture
async def street(box: Box, town: Town) -> Box:
    """A gateway that is served, is made known to the Almanac, and has the agent as its upstream `freddy`."""
    box.gateway.settings.networks["uagents"] = town.face(registration="almanac")
    await box.serve()
    await box.add(town.upstream)
    return box
