"""One check's bench: the gateway, the far side, and short words to call with."""

import asyncio
import itertools
import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from adapters.conformance.far_side import Box, FarSide, Trial
from adapters.errors import GatewayError
from adapters.spi import LAST, Answer, Ask, Call, Caller, Error, Event, Manifest, Result

_ids = itertools.count()


@dataclass(slots=True)
class Bench:
    """Made anew for each check."""

    box: Box
    far: FarSide
    manifest: Manifest
    patience: float = 5.0
    """Seconds that `until` waits."""

    def name(self, native: str) -> str:
        """The public name of a tool of the far side."""
        return next(t.name for t in self.box.tools(self.far.upstream.name) if t.native == native)

    def call(self, trial: Trial, **more: Any) -> Call:
        caller = more.pop("caller", self.box.caller)
        return Call(more.pop("id", f"check{next(_ids)}"), self.name(trial.tool), trial.arguments, caller, **more)

    async def events(self, call: Call) -> list[Event]:
        """All events; exactly the last of them ends the stream."""
        found = [event async for event in self.box.invoke(call)]
        ends = [isinstance(event, LAST) for event in found]
        assert ends == [False] * (len(found) - 1) + [True], f"one last event, at the end: {found}"
        return found

    async def last(self, call: Call) -> Event:
        return (await self.events(call))[-1]

    async def text(self, call: Call) -> str:
        event = await self.last(call)
        assert isinstance(event, Result), f"a result, not {event}"
        return event.text

    async def fault(self, call: Call) -> GatewayError:
        event = await self.last(call)
        assert isinstance(event, Error), f"an error, not {event}"
        return event.error

    async def asked(self, trial: Trial, **more: Any) -> tuple[Call, Ask]:
        call = self.call(trial, **more)
        event = await self.last(call)
        assert isinstance(event, Ask), f"a question, not {event}"
        assert event.state is None, "the adapter's state stays inside"
        return call, event

    def answer(self, ask: Ask, trial: Trial, **more: Any) -> Call:
        values = {request.id: {"name": "Ada"} for request in ask.requests}
        return self.call(trial, answer=Answer(ask.token, values), **more)

    async def until(self, holds: Callable[[], bool], what: str) -> None:
        """Waits, with a bound, for what another task brings about."""
        end = time.monotonic() + self.patience
        while not holds():
            if time.monotonic() > end:
                raise AssertionError(f"never happened: {what}")
            await asyncio.sleep(0.01)

    async def settled(self, tasks: int, files: int) -> None:
        """No more tasks and open files than these, whoever's they are, and nobody at work."""
        await self.until(lambda: not self.box.pending_tasks(), "the calls' tasks end")
        await self.until(lambda: len(asyncio.all_tasks()) <= tasks, f"no more than {tasks} tasks are left")
        await self.until(lambda: sockets() <= files, f"no more than {files} files and sockets are open")

    def other(self, name: str) -> Caller:
        return Caller(name, network=self.box.caller.network)


def sockets() -> int:
    """Open files and sockets of this process."""
    return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0


Check = Callable[[Bench], Awaitable[None]]
CHECKS: list[tuple[str, frozenset[str], Check]] = []


def check(*needs: str) -> Callable[[Check], Check]:
    """Registers a check; it runs where the manifest can, and the far side offers, all of `needs`."""

    def register(function: Check) -> Check:
        CHECKS.append((getattr(function, "__name__", "check"), frozenset(needs), function))
        return function

    return register
