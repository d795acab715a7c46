"""A real uAgent passes the suite; the Almanac beside it is the stand-in."""

from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from adapters.conformance import Talker, Trial, suite
from adapters.uagents import almanac as directory
from adapters.uagents import chat
from adapters.uagents.signing import Signer
from gateway.testing import Box
from tests.e2e.uagents.conftest import Town

pytestmark = pytest.mark.e2e
RECORDS = "/v1/almanac/agents/"


class UagentsFarSide(Talker):
    """The agent of the town, by chat; who comes and goes is a record at the Almanac alone. `town` is set before."""

    town: Town

    async def open(self) -> None:
        self.upstream = self.town.upstream
        self._signers: dict[str, Signer] = {}
        options = {**self.upstream.options, "search": "guest-of-the-suite"}
        self.upstream = type(self.upstream)("freddy", "uagents", self.upstream.url, options=options)

    async def close(self) -> None:
        self.town.almanac.broken.clear()
        for signer in self._signers.values():
            self.town.almanac.agents.pop(signer.address, None)

    def counted(self, n: int) -> str:
        return f"counted to {n}"

    def talk(self, text: str) -> Trial:
        return self.told(f"!talk {text}", text)

    def fail(self, code: str) -> Trial:
        return Trial("Trouble", {"how": "refuse"})

    def big(self, size: int) -> Trial:
        return Trial("Big", {"size": size})

    def outage(self, on: bool) -> None:
        """Of the Almanac: without it, nobody knows where the agent is."""
        self.town.almanac.broken = {"/v1/": 0} if on else {}

    def cut_list(self, after: int | None) -> None:
        self.town.almanac.broken = {} if after is None else {RECORDS: after}

    def add(self, native: str) -> None:
        self._signers.setdefault(native, Signer.fresh())
        self._attest(native, native)

    def alter(self, native: str, description: str) -> None:
        self._attest(native, description)

    def remove(self, native: str) -> None:
        self.town.almanac.agents.pop(self._signers[native].address)

    def _attest(self, native: str, name: str) -> None:
        signer = self._signers[native]
        meta = {"name": name, "tag": "guest-of-the-suite"}
        self.town.almanac.attested(directory.attestation(signer, self.town.freddy.url, [chat.DIGEST], meta))

    def chain(self, call: str) -> str:
        said = {"target": "", "text": call}
        found: dict[str, Any] = httpx2.post(f"{self.town.freddy.url}/chain", json=said, trust_env=False).json()
        assert found["ok"], found
        return str(found["status"])


@pytest.fixture(autouse=True)
async def _served(box: Box, town: Town) -> AsyncIterator[None]:
    """Chats are answered at the face."""
    UagentsFarSide.town = town
    box.gateway.settings.networks["uagents"] = town.face()
    await box.serve()
    yield


TestUagents = suite("uagents", UagentsFarSide)
