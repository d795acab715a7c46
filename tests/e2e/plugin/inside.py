"""Real ElizaOS agents that registered themselves, and are called by the plugin's routes."""

import asyncio
import json
from typing import Any

from adapters.errors import GatewayError
from adapters.spi import Call, Error, Event, Result
from examples.tour.eliza import ElizaServer
from gateway.testing import Box
from tests.e2e.plugin.agents import Line

ACTIONS = "TEST_WELL,TEST_FAILS,TEST_TELL,TEST_NEVER,TEST_THROWS,TEST_COUNT,NOT_THERE"
FIXED = "the-key-of-higgins"
NEAR = {"networks": ["127.0.0.0/8"]}
_ids = iter(range(100_000))


class Inside:
    """A gateway with which the agents of a server have registered themselves."""

    def __init__(self, box: Box, server: ElizaServer, line: Line, keys: dict[str, str]) -> None:
        self.box = box
        self.server = server
        self.line = line
        self.keys = keys

    async def restart(self) -> None:
        """The gateway anew, at the address that the agents know."""
        self.line.turn(None)
        await self.box.restart()
        self.line.turn(await self.box.serve())

    def call(self, tool: str, arguments: dict[str, Any], **more: Any) -> Call:
        return Call(f"in{next(_ids)}", tool, arguments, more.pop("caller", self.box.caller), **more)

    async def events(self, message: str, **arguments: Any) -> list[Event]:
        call = self.call("eliza__ask", {"message": message, **arguments})
        return [event async for event in self.box.invoke(call)]

    async def said(self, message: str, **arguments: Any) -> str:
        last = (await self.events(message, **arguments))[-1]
        assert isinstance(last, Result), last
        return last.text

    async def fault(self, message: str, **arguments: Any) -> GatewayError:
        return await self.broken(self.call("eliza__ask", {"message": message, **arguments}))

    async def broken(self, call: Call) -> GatewayError:
        last = [event async for event in self.box.invoke(call)][-1]
        assert isinstance(last, Error), last
        return last.error

    def noted(self, *kinds: str) -> int:
        """How many model calls and actions began so far."""
        return sum(line["kind"] in kinds for line in self._log())

    def prompts(self, words: str) -> list[str]:
        """What the model was asked when the user said this."""
        return [str(line["prompt"]) for line in self._log() if line["user"] == words]

    def _log(self) -> list[dict[str, Any]]:
        log = self.server.model_log
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []

    def id(self, name: str) -> str:
        return next(str(agent["id"]) for agent in self.server.facts["agents"] if agent["name"] == name)

    async def listed(self, *slugs: str) -> None:
        """Waits until these are there, and well."""
        for _ in range(300):
            agents = self.box.gateway.registry.snapshot.agents
            if all(slug in agents and not agents[slug].degraded for slug in slugs):
                return
            await asyncio.sleep(0.1)
        raise AssertionError(f"{self.server.log[-2000:]} {self.box.gateway.upstreams.all()}")
