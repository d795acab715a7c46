"""Tools are found by words."""

import asyncio
import gc
import weakref
from dataclasses import replace

from registry.model import Tool
from registry.registry import Registry
from registry.search import search
from registry.snapshot import Snapshot
from registry.store import Store
from tests.registry.samples import agent, listed


async def test_search_by_words(opened: tuple[Store, Registry]) -> None:
    _, registry = opened
    weather = replace(agent("w", "forecast"), tools=(Tool("forecast", "Tells the weather of a city."),))
    await registry.take(listed(weather, agent("b", "ask", description="Talks of anything.")))
    assert await search(registry.snapshot, "what is the weather", 5) == ["w__forecast"]
    assert await search(registry.snapshot, "forecasts", 5) == ["w__forecast"], "by stems"
    for nothing in ("", "the of", "zzzz", '" OR 1=1 --', "NEAR(", "*", "a" * 5000, "\x00"):
        assert await search(registry.snapshot, nothing, 5) == []
    assert all(await asyncio.gather(*(search(registry.snapshot, "weather", 5) for _ in range(10))))


async def test_an_index_goes_with_its_snapshot() -> None:
    one = replace(agent("a"), slug="a", tools=(Tool("ask", name="a__ask", agent="a"),))
    snapshot = Snapshot(1, [one])
    assert await search(snapshot, "ask", 5) == ["a__ask"]
    gone = weakref.ref(snapshot)
    del snapshot
    gc.collect()
    assert gone() is None


async def test_who_stops_waiting_does_not_stop_the_others() -> None:
    one = replace(agent("a"), slug="a", tools=(Tool("ask", name="a__ask", agent="a"),))
    snapshot = Snapshot(1, [one])
    first, second = (asyncio.create_task(search(snapshot, "ask", 5)) for _ in "12")
    await asyncio.sleep(0)
    first.cancel()
    assert await second == ["a__ask"]
