"""Checks of an inbound role: a real client of the network calls a gateway that has the fake network behind it."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from adapters import hops
from adapters.conformance.far_side import Box, NearSide
from adapters.fake.translate import KINDS
from adapters.fake.world import World, world
from adapters.spi import Hop, Upstream

URL = "fake://inbound"


@dataclass(slots=True)
class Desk:
    """The gateway at `url`, the world behind it, and clients of the network."""

    box: Box
    far: World
    url: str
    side: type[NearSide]

    def client(self, key: str = "") -> NearSide:
        return self.side(self.url, key)


async def ready(box: Box, side: type[NearSide]) -> Desk:
    from adapters.fake.world import WORLDS

    WORLDS.pop(URL, None)
    far = world(URL)
    await box.add(Upstream("behind", "fake", URL))
    return Desk(box, far, await box.serve(), side)


Check = Callable[[Desk], Awaitable[None]]
CHECKS: list[tuple[str, frozenset[str], Check]] = []


def check(*needs: str) -> Callable[[Check], Check]:
    def register(function: Check) -> Check:
        CHECKS.append((getattr(function, "__name__", "check"), frozenset(needs), function))
        return function

    return register


@check()
async def unary(d: Desk) -> None:
    """A call is answered."""
    assert (await d.client().call("all__echo", {"text": "hello"})).text == "hello"


@check()
async def the_tools_are_listed(d: Desk) -> None:
    """All of them, under the public names."""
    assert set(await d.client().tools()) == {tool.name for tool in d.box.tools("behind")}


@check()
async def structured_answers_pass(d: Desk) -> None:
    """As they are."""
    assert (await d.client().call("all__add", {"a": 1, "b": 2})).structured == {"sum": 3}


@check("progress")
async def progress_is_shown(d: Desk) -> None:
    """While the call runs."""
    assert (await d.client().call("all__count", {"n": 4})).previews >= 4


@check()
async def each_error_is_told(d: Desk) -> None:
    """With the code of its class."""
    for code in sorted(KINDS):
        assert (await d.client().call("all__fail", {"kind": code})).code == code


@check()
async def a_crash_is_told_without_its_text(d: Desk) -> None:
    """Callers do not read an adapter's insides."""
    outcome = await d.client().call("all__crash", {})
    assert outcome.code == "bug"
    assert "secret" not in outcome.text


@check()
async def unknown_tool(d: Desk) -> None:
    """Refused, with the nearest name."""
    outcome = await d.client().call("all__ecko", {"text": "x"})
    assert outcome.code == "unknown"
    assert "all__echo" in outcome.text


@check()
async def bad_arguments(d: Desk) -> None:
    """Refused, with what is wrong, and not delivered."""
    outcome = await d.client().call("all__echo", {"text": 5})
    assert outcome.code == "bad_arguments"
    assert "text" in outcome.text
    assert d.far.seen["deliver"] == 0


@check()
async def sixty_four_at_once(d: Desk) -> None:
    """Each answer belongs to its question."""
    client = d.client()
    outcomes = await asyncio.gather(*(client.call("all__echo", {"text": f"n{n}"}) for n in range(64)))
    assert [outcome.text for outcome in outcomes] == [f"n{n}" for n in range(64)]


@check("cancel")
async def hanging_up_reaches_the_far_side(d: Desk) -> None:
    """The client goes away, the far side stops."""
    task = asyncio.create_task(d.client().call("all__hang", {}))
    await _until(lambda: d.far.running == 1)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await _until(lambda: d.far.running == 0)


@check()
async def without_a_key_nobody_calls_once_keys_exist(d: Desk) -> None:
    """No key, a wrong one, and one that may not."""
    key = await d.box.key("ann", ("all__add",))
    for bad in ("", "dk_wrong"):
        try:
            outcome: Any = await d.client(bad).call("all__echo", {"text": "x"})
        except Exception:  # noqa: BLE001 - some clients raise, others answer: both are a refusal
            continue
        assert outcome.code == "unauthenticated"
    assert (await d.client(key).call("all__add", {"a": 1, "b": 1})).structured == {"sum": 2}
    assert (await d.client(key).call("all__echo", {"text": "x"})).code in ("denied", "unknown")
    assert await d.client(key).tools() == ["all__add"]
    assert d.far.seen["deliver"] == 1


@check("chain")
async def the_chain_is_kept(d: Desk) -> None:
    """By the carrier that the manifest names."""
    before = hops.write((Hop("outer", "somebody", "somebody__ask"),))
    await d.client().call("all__echo", {"text": "x"}, before)
    (passed,) = d.far.hops.values()
    assert hops.read(passed)[0].call == "outer"
    assert (await d.client().call("all__echo", {"text": "x"}, passed)).code == "loop_cut"


async def _until(holds: Callable[[], bool]) -> None:
    for _ in range(500):
        if holds():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("never happened")
