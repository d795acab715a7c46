"""The fake network's far side for the conformance suite."""

import itertools

from adapters.conformance import FarSide, Trial
from adapters.fake import translate
from adapters.fake.outbound import RELAYS
from adapters.fake.world import WORLDS, World, world
from adapters.spi import Invoke, Json, Upstream

_numbers = itertools.count()


class FakeFarSide(FarSide):
    """A world of its own for each check."""

    world: World

    async def open(self) -> None:
        self._url = f"fake://check{next(_numbers)}"
        self.world = world(self._url)
        self.world.cut_jobs = True
        self.upstream = Upstream("world", "fake", self._url)

    async def close(self) -> None:
        WORLDS.pop(self._url)
        RELAYS.pop(self._url, None)

    def say(self, text: str) -> Trial:
        return Trial("echo", {"text": text}, text)

    def count(self, n: int) -> Trial:
        return Trial("count", {"n": n}, f"counted to {n}")

    def fail(self, code: str) -> Trial:
        return Trial("fail", {"kind": code})

    def codes(self) -> tuple[str, ...]:
        return tuple(sorted(translate.KINDS))

    def hang(self) -> Trial:
        return Trial("hang")

    def crash(self) -> Trial:
        return Trial("crash")

    def garbage(self) -> tuple[Trial, ...]:
        return (*self.broken(), Trial("garbage", {"how": "two results"}))

    def broken(self) -> tuple[Trial, ...]:
        return tuple(Trial("garbage", {"how": h}) for h in ("nothing", "not an event", "early close"))

    def ask(self, live: bool) -> Trial:
        return Trial("wait" if live else "ask")

    def job(self, text: str) -> Trial:
        return Trial("job", {"text": text}, f"done: {text}")

    def big(self, size: int) -> Trial:
        return Trial("big", {"bytes": size})

    def talk(self, text: str) -> Trial:
        return Trial("remember", {"text": text})

    def outage(self, on: bool) -> None:
        self.world.outage(on)

    def add(self, native: str) -> None:
        self.world.add(native)

    def remove(self, native: str) -> None:
        self.world.remove(native)

    def alter(self, native: str, description: str) -> None:
        self.world.alter(native, description)

    def cut_list(self, after: int | None) -> None:
        self.world.cut = after

    def delivered(self, call: str) -> int:
        return self.world.seen[f"deliver/{call}"]

    def running(self) -> int:
        return self.world.running

    def chain(self, call: str) -> str:
        return self.world.hops[call]

    def relay(self, invoke: Invoke, tool: str, arguments: dict[str, Json]) -> Trial:
        RELAYS[self._url] = invoke
        return Trial("relay", {"tool": tool, "arguments": arguments})
