"""The outbound role passes the suite, against the stand-in."""

import pytest

from adapters.conformance import Talker, Trial, suite
from adapters.spi import Upstream
from tests.e2e.coral import definitions
from tests.e2e.coral.agents import Mirror
from tests.e2e.coral.standin import CoralServer, served

pytestmark = pytest.mark.e2e


class CoralFarSide(Talker):
    """A server with one agent, which mentions whom it answers."""

    async def open(self) -> None:
        self.server, self.mirror = CoralServer(), Mirror()
        self.server.define(definitions.function("mirror", self.mirror, "Says what it hears."))
        self._serving = served(self.server)
        await self._serving.__aenter__()
        options = {"until": "mention"}
        self.upstream = Upstream("reef", "coral", self.server.url, self.server.key, options=options)

    async def close(self) -> None:
        await self._serving.__aexit__(None, None, None)

    def counted(self, n: int) -> str:
        return f"counted to {n}"

    def talk(self, text: str) -> Trial:
        return self.told(f"!talk {text}", text)

    def fail(self, code: str) -> Trial:
        return Trial("ask", {"message": "!close"})

    def outage(self, on: bool) -> None:
        self.server.outage(on)

    def cut_list(self, after: int | None) -> None:
        self.server.cut = after

    def add(self, native: str) -> None:
        self.server.define(definitions.function(native, definitions.echo, f"The agent {native}."))

    def remove(self, native: str) -> None:
        self.server.registry = [one for one in self.server.registry if one.name != native]

    def alter(self, native: str, description: str) -> None:
        self.remove(native)
        self.server.define(definitions.function(native, definitions.echo, description))

    def delivered(self, call: str) -> int:
        return self.mirror.seen[f"call {call}"]

    def running(self) -> int:
        return self.mirror.working


TestCoral = suite("coral", CoralFarSide)
