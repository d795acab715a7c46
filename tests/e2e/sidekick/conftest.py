"""A gateway with sidekicks of every framework, a model that obeys, and tools of other networks."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import pytest

from adapters.sidekick.child import Child
from adapters.sidekick.outbound import SidekickOutbound
from adapters.spi import Call, Caller, Error, Event, Result, Upstream
from adapters.venvs import Venvs
from examples.scripted_model.server import ScriptedModel
from gateway.testing import Box
from tests.conftest import ROOT
from tests.e2e.sidekick.rooms import FRAMEWORKS, VENVS

MODEL_KEY = "sk-of-the-model-4711"
TASK = '!use words__count {"text": "the rain in Spain"}'
ids = count()


@dataclass
class Room:
    """What the tests work with."""

    box: Box
    model: ScriptedModel
    url: str
    options: dict[str, Any] = field(default_factory=dict[str, Any])

    def call(self, tool: str, task: str, **more: Any) -> Call:
        arguments = {"task" if tool.endswith("analyze") else "message": task, **more.pop("arguments", {})}
        caller: Caller = more.pop("caller", self.box.caller)
        return Call(more.pop("id", f"sidekick{next(ids)}"), tool, arguments, caller, **more)

    async def events(self, call: Call) -> list[Event]:
        return [event async for event in self.box.invoke(call)]

    async def result(self, call: Call) -> Result:
        last = (await self.events(call))[-1]
        assert isinstance(last, Result), last
        return last

    async def fault(self, call: Call) -> Error:
        last = (await self.events(call))[-1]
        assert isinstance(last, Error), last
        return last

    def outbound(self, upstream: str = "helpers") -> SidekickOutbound:
        found = self.box.outbound(upstream)
        assert isinstance(found, SidekickOutbound)
        return found

    def children(self, framework: str, upstream: str = "helpers") -> list[Child]:
        pools = self.outbound(upstream)._pools
        return [child for (name, _), pool in pools.items() if name == framework for child in pool.children]

    async def until(self, holds: Callable[[], bool], what: str) -> None:
        end = time.monotonic() + 60
        while not holds():
            assert time.monotonic() < end, f"never happened: {what}"
            await asyncio.sleep(0.01)

    async def quiet(self, framework: str) -> None:
        """No run of it is left, and the model does nothing."""
        await self.until(
            lambda: not self.model.running and not any(c.busy or c.stopping for c in self.children(framework)),
            "the runs stop",
        )


@pytest.fixture(scope="session")
async def venvs() -> Venvs:
    """The environments, made once for all runs of the tests."""
    made = Venvs(VENVS)
    await asyncio.gather(*(made.install(one) for one in FRAMEWORKS))
    return made


@pytest.fixture(scope="module")
async def room(venvs: Venvs, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Room]:
    box = Box(tmp_path_factory.mktemp("room"))
    await box.open()
    async with ScriptedModel().serving() as model:
        options = {
            "model": "scripted", "venvs": str(VENVS), "frameworks": [one.name for one in FRAMEWORKS],
            "tools": ["words__*", "all__*"], "ask_before": ["words__spell"],
        }  # fmt: skip
        server = ROOT / "examples" / "mcp_server" / "server.py"
        await box.add(Upstream("words", "mcp", command=(sys.executable, str(server)), options={"era": "handshake"}))
        await box.add(Upstream("world", "fake", "fake://sidekick"))
        await box.add(Upstream("helpers", "sidekick", model.url, MODEL_KEY, options=options))
        yield Room(box, model, await box.serve(), options)
        await box.close()
