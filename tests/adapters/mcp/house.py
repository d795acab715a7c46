"""A gateway with one MCP upstream under test, whose leavings are counted when it closes."""

import asyncio
import gc
import itertools
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from adapters.errors import GatewayError
from adapters.spi import LAST, Answer, Ask, Call, Error, Event, Result, Upstream
from gateway.testing import Box

_ids = itertools.count()


def files() -> int:
    """Open files, sockets and pipes of this process."""
    return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0


def children() -> set[int]:
    """Processes that this one has begun, zombies too."""
    path = Path(f"/proc/self/task/{os.getpid()}/children")
    return {int(word) for word in path.read_text().split()} if path.exists() else set()


async def until(holds: Callable[[], bool], what: str, seconds: float = 10) -> None:
    """Waits, with a bound, for what another task brings about."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"never happened: {what}"
        await asyncio.sleep(0.005)


class House:
    """Words to call with."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        gc.collect()
        self._before = (len(asyncio.all_tasks()), files(), children())
        self.box = Box(folder, **settings)

    async def open(self) -> None:
        await self.box.open()

    async def add(self, url: str = "", **more: Any) -> None:
        await self.box.add(Upstream("far", "mcp", url, **more))

    async def close(self) -> None:
        """Closes the gateway; nothing is left of it."""
        await self.box.close()

    async def settled(self) -> None:
        """No task, no file and no child is left, of whomever."""
        tasks, open_, kin = self._before
        gc.collect()
        await until(lambda: len(asyncio.all_tasks()) <= tasks, f"{tasks} tasks are left: {asyncio.all_tasks()}")
        await until(lambda: children() <= kin, "no child is left")
        await until(lambda: files() <= open_, f"{open_} files are left")

    def call(self, text: str = "ok", **more: Any) -> Call:
        more.setdefault("tool", "far__say")
        arguments = more.pop("arguments", {"text": text})
        caller = more.pop("caller", self.box.caller)
        return Call(f"call{next(_ids)}", more.pop("tool"), arguments, caller, **more)

    async def events(self, call: Call) -> list[Event]:
        """All events; exactly the last of them ends the stream."""
        found = [event async for event in self.box.invoke(call)]
        assert [isinstance(e, LAST) for e in found] == [False] * (len(found) - 1) + [True], found
        return found

    async def last(self, call: Call) -> Event:
        return (await self.events(call))[-1]

    async def text(self, text: str = "ok", **more: Any) -> str:
        event = await self.last(self.call(text, **more))
        assert isinstance(event, Result), event
        return event.text

    async def fault(self, text: str = "ok", **more: Any) -> GatewayError:
        event = await self.last(self.call(text, **more))
        assert isinstance(event, Error), event
        return event.error

    async def ask(self, text: str = "ok", **more: Any) -> tuple[Call, Ask]:
        call = self.call(text, **more)
        event = await self.last(call)
        assert isinstance(event, Ask), event
        return call, event

    async def answer(self, asked: tuple[Call, Ask], values: dict[str, Any], **more: Any) -> Event:
        call, ask = asked
        answers = more.pop("answers", call.answers)
        return await self.last(self.call(answer=Answer(ask.token, values), tool=call.tool, answers=answers, **more))

    def deadline(self, seconds: float) -> float:
        return time.time() + seconds

    @property
    def far(self) -> Any:
        """The adapter under test."""
        return self.box.outbound("far")
