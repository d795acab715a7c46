"""A benchmark's session for the conformance suite: the harness's own door, in this process, with nobody behind it but a
worker that obeys the words of a call."""

import asyncio
import itertools
from collections import Counter
from contextlib import AsyncExitStack, suppress
from typing import Any

from adapters.conformance import FarSide, Trial
from adapters.inspect.harness.door import Door, Wanted
from adapters.spi import Upstream

TEXT = {
    "type": "object",
    "properties": {"text": {"type": "string"}},
    "required": ["text"],
    "additionalProperties": False,
}
BROKEN: dict[str, Any] = {"no text": {"ok": True}, "a number": {"text": 1}, "a list": [], "nothing": None}
"""Answers that the harness never gives."""
_numbers = itertools.count()


def _tool(name: str, description: str) -> dict[str, Any]:
    return {"name": name, "description": description, "schema": TEXT}


class InspectFarSide(FarSide):
    """One session. `door` parks each call until the worker, in place of the harness, has carried it out."""

    async def open(self) -> None:
        self._stack = AsyncExitStack()
        self.door = await self._stack.enter_async_context(Door().open())
        self.door.tools = [
            _tool("say", "Says the text again."), _tool("big", "Answers with so many letters."),
            _tool("hang", "Never answers."), _tool("garbage", "Breaks the protocol."),
        ]  # fmt: skip
        self.door.open_for_calls = True
        self._seen: Counter[str] = Counter()
        self._parked: list[Wanted] = []
        self._worker = asyncio.create_task(self._work(), name="harness of the suite")
        self.upstream = Upstream(f"b{next(_numbers)}", "inspect", self.door.url, self.door.token)

    async def close(self) -> None:
        self._worker.cancel()
        with suppress(asyncio.CancelledError):
            await self._worker
        await self._stack.aclose()

    async def _work(self) -> None:
        while True:
            wanted = await self.door.wanted.get()
            self._seen[wanted.call] += 1
            text = str(wanted.arguments["text"])
            match wanted.name:
                case "hang":
                    self._parked.append(wanted)
                case "garbage":
                    wanted.done.set_result(BROKEN[text])
                case "big":
                    wanted.done.set_result({"text": "x" * int(text), "ok": True})
                case _:
                    wanted.done.set_result({"text": text, "ok": True})

    def say(self, text: str) -> Trial:
        return Trial("say", {"text": text}, text)

    def big(self, size: int) -> Trial:
        return Trial("big", {"text": str(size)})

    def hang(self) -> Trial:
        return Trial("hang", {"text": ""})

    def garbage(self) -> tuple[Trial, ...]:
        return self.broken()

    def broken(self) -> tuple[Trial, ...]:
        return tuple(Trial("garbage", {"text": how}) for how in BROKEN)

    def delivered(self, call: str) -> int:
        return self._seen[call]

    def running(self) -> int:
        """Calls that wait, and whose caller has not hung up."""
        return sum(not wanted.done.done() for wanted in self._parked)
