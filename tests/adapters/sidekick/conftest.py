"""A gateway with the sidekicks of the framework without a framework."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

import pytest

from adapters.fake.world import World, world
from adapters.sidekick.outbound import SidekickOutbound
from adapters.sidekick.pool import Pool
from adapters.sidekick.testing import SidekickFarSide
from adapters.spi import Call, Error, Event, Result, Upstream
from gateway.testing import Box

ids = count()


@dataclass
class Scripted:
    """What these tests work with."""

    box: Box
    far: SidekickFarSide

    def call(self, task: str, tool: str = "sidekick__analyze", **more: Any) -> Call:
        arguments = {"task" if tool.endswith("analyze") else "message": task, **more.pop("arguments", {})}
        caller = more.pop("caller", self.box.caller)
        return Call(more.pop("id", f"scripted{next(ids)}"), tool, arguments, caller, **more)

    async def last(self, call: Call) -> Event:
        return [event async for event in self.box.invoke(call)][-1]

    async def result(self, task: str, tool: str = "sidekick__analyze", **more: Any) -> Result:
        last = await self.last(self.call(task, tool, **more))
        assert isinstance(last, Result), last
        return last

    async def said(self, task: str, tool: str = "sidekick__analyze", **more: Any) -> str:
        """What a call that fails says."""
        last = await self.last(self.call(task, tool, **more))
        assert isinstance(last, Error), last
        return f"{last.error.code}: {last.error.public}"

    @property
    def outbound(self) -> SidekickOutbound:
        found = self.box.outbound("helpers")
        assert isinstance(found, SidekickOutbound)
        return found

    @property
    def pool(self) -> Pool:
        return self.outbound._pools["scripted", ""]

    async def again(self, **options: Any) -> None:
        """The same with other options."""
        await self.box.remove("helpers")
        said = {**self.far.upstream.options, **options}
        await self.box.add(replace(self.far.upstream, options=said))


@pytest.fixture
async def scripted(box: Box) -> AsyncIterator[Scripted]:
    far = SidekickFarSide()
    await far.open()
    await box.add(far.upstream)
    yield Scripted(box, far)
    await far.close()


@pytest.fixture
async def world_of_tools(box: Box) -> World:
    await box.add(Upstream("w", "fake", "fake://scripted"))
    found = world("fake://scripted")
    found.seen.clear()
    return found
