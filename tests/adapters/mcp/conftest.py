"""Clients of a machine that is made up, and a door to a real gateway in this process."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from adapters.mcp.clients.platform import Platform
from adapters.spi import Door
from gateway.cli.house import HouseDoor, Place
from gateway.cli.house import house as opened
from tests.adapters.mcp.house import House, standing
from tests.adapters.mcp.raw import Raw


@pytest.fixture
def platform(tmp_path: Path) -> Platform:
    """A machine with Linux, on whose PATH the command stands."""
    program = tmp_path / "bin" / "doolittle"
    program.parent.mkdir()
    program.touch(0o755)
    home = tmp_path / "home"
    project = home / "project"
    project.mkdir(parents=True)
    return Platform("linux", home, {"PATH": str(program.parent)}, project, str(program))


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[HouseDoor]:
    """What a command gets when no server runs."""
    async with opened(Place(tmp_path / "doolittle.toml")) as here:
        yield await here.door()


class Told:
    """Runs commands, and keeps what they said."""

    door: Any
    """A whole `Door`, or what a test needs of one."""

    def __init__(self, door: Door, platform: Platform, capsys: pytest.CaptureFixture[str]) -> None:
        self.door = door
        self.platform = platform
        self._capsys = capsys
        self.code = 0
        self.err = ""

    async def __call__(self, function: Any, *args: str) -> str:
        self._capsys.readouterr()
        self.code = await function(self.door, args, self.platform)
        said = self._capsys.readouterr()
        self.err = said.err
        return said.out


@pytest.fixture
def run(door: HouseDoor, platform: Platform, capsys: pytest.CaptureFixture[str]) -> Told:
    return Told(door, platform, capsys)


@pytest.fixture(scope="module")
async def shared_house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    """A gateway for all tests of a module; when it has closed, nothing is left of it."""
    made = House(tmp_path_factory.mktemp("house"))
    await made.open()
    yield made
    await made.close()
    await made.settled()


@pytest.fixture
async def house(shared_house: House) -> AsyncIterator[House]:
    """The gateway without upstreams; those that a test adds leave nothing when they go."""
    before = standing()
    yield shared_house
    for upstream in list(shared_house.box._upstreams):
        await shared_house.box.remove(upstream.name)
    await shared_house.settled(before)


@pytest.fixture
async def raw(house: House) -> AsyncIterator[Raw]:
    """A sound server of the handshake era, that a test makes unsound; it closes before the gateway does."""
    server = Raw()
    await server.open()
    yield server
    await server.close()
