"""The suite against the real server, by each way: one server for all checks, a fresh upstream for each."""

from typing import ClassVar

import pytest

from adapters.conformance import FarSide, Trial, suite
from adapters.spi import Upstream
from examples.tour.eliza import ElizaServer
from tests.e2e.conftest import KEY, ROUTE_KEY

pytestmark = pytest.mark.e2e


class PlainFarSide(FarSide):
    """The agents of the test run's server by its own API, by the words that its offline model obeys."""

    server: ClassVar[ElizaServer]

    async def open(self) -> None:
        self.upstream = Upstream("home", "elizaos", self.server.url, KEY)

    def say(self, text: str) -> Trial:
        return Trial("ask", {"message": text}, f"You said: {text}")

    def talk(self, text: str) -> Trial:
        return Trial("ask", {"message": f"!talk {text}"})

    def fail(self, code: str) -> Trial:
        return Trial("ask", {"message": "!fail"})

    def codes(self) -> tuple[str, ...]:
        return ("refused",)

    def garbage(self) -> tuple[Trial, ...]:
        return tuple(Trial("ask", {"message": word}) for word in ("!garbage", "!ignore", "!act NOPE now"))

    def hang(self) -> Trial:
        return Trial("ask", {"message": "!slow 30000"})

    def big(self, size: int) -> Trial:
        return Trial("ask", {"message": f"!long {size}"})


class ElizaFarSide(PlainFarSide):
    """The same by the plugin's routes."""

    async def open(self) -> None:
        self.upstream = Upstream(
            "home", "elizaos", self.server.url, KEY, options={"plugin": {"key": ROUTE_KEY}}
        )  # fmt: skip

    def count(self, n: int) -> Trial:
        return Trial("ask", {"message": f"!act TEST_COUNT {n}"}, f"counted to {n}")


@pytest.fixture(scope="module", autouse=True)
async def _server(eliza: ElizaServer) -> None:
    PlainFarSide.server = eliza


TestElizaOs = suite("elizaos", ElizaFarSide)
TestElizaOsPlain = suite("elizaos", PlainFarSide)
delattr(TestElizaOsPlain, "test_what_is_claimed_is_offered")  # the plain API neither streams nor tells steps
