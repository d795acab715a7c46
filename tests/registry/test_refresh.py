"""A source is read under bounds: what it does wrong stays its own."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

from registry.bounds import MOST_SCHEMA
from registry.model import Agent, Tool
from registry.refresh import MOST_TOOLS, Backoff, refresh
from registry.registry import Registry
from registry.store import Store
from tests.registry.samples import agent


def source(*agents: Agent, fault: Exception | None = None, hang: bool = False) -> Callable[[], AsyncIterator[Agent]]:
    async def read() -> AsyncIterator[Agent]:
        for one in agents:
            yield one
        if hang:
            await asyncio.Event().wait()
        if fault:
            raise fault

    return read


class Place:
    network, name, trusted = "fake", "u", True


async def test_a_list_that_breaks_off_or_hangs_is_incomplete(opened: tuple[Store, Registry]) -> None:
    _, registry = opened
    await refresh(source(agent("a", "ask"), agent("b", "ask")), registry, Place(), 5)
    for broken in (source(agent("a", "ask"), fault=ValueError("cut")), source(agent("a", "ask"), hang=True)):
        for _ in range(3):
            change = await refresh(broken, registry, Place(), 0.02)
            assert change.fault
            assert not change.complete
    assert len(registry.snapshot.tools) == 2


async def test_too_much_is_cut_and_noted(opened: tuple[Store, Registry]) -> None:
    _, registry = opened
    huge = replace(agent("a"), tools=(Tool("t", "x" * 9999, b'{"x":"' + b"y" * MOST_SCHEMA + b'"}'),), name="n" * 999)
    change = await refresh(source(huge), registry, Place(), 5)
    (tool,) = registry.snapshot.tools
    assert (len(tool.description), tool.input_schema) == (4096, b'{"type":"object"}')
    assert change.notes
    many = source(*(agent(f"a{n}", "ask") for n in range(1100)))
    change = await refresh(many, registry, Place(), 20)
    assert not change.complete
    assert len(registry.snapshot.agents) <= 1001


def test_backoff_doubles_up_to_its_cap() -> None:
    backoff = Backoff(1, 8)
    waits = [backoff.next() for _ in range(6)]
    assert all(0.75 * n <= wait <= 1.25 * n for wait, n in zip(waits, [1, 2, 4, 8, 8, 8], strict=True))
    backoff.reset()
    assert backoff.next() <= 1.25


async def test_an_agent_with_too_many_tools_keeps_the_first(opened: tuple[Store, Registry]) -> None:
    _, registry = opened
    tool = agent("a", "t").tools[0]
    huge = replace(agent("a"), tools=tuple(replace(tool, native=f"t{n}") for n in range(MOST_TOOLS + 1)))
    change = await refresh(source(huge, agent("b", "ask")), registry, Place(), 20)
    assert (change.tools, change.complete) == (MOST_TOOLS, False)
    assert len(change.notes) == 1


async def test_a_source_that_is_left_early_is_closed(opened: tuple[Store, Registry]) -> None:
    _, registry = opened
    kept: list[Any] = []
    closed: list[bool] = []

    async def read() -> AsyncIterator[Agent]:
        try:
            for n in range(5000):
                yield agent(f"a{n}")
        finally:
            closed.append(True)

    def begin() -> AsyncIterator[Agent]:
        kept.append(read())
        return kept[0]

    await refresh(begin, registry, Place(), 20)
    assert closed


async def test_a_fault_of_the_sources_own_is_told_as_it_is(opened: tuple[Store, Registry]) -> None:
    _, registry = opened
    change = await refresh(source(fault=TimeoutError("the socket")), registry, Place(), 20)
    assert str(change.fault) == "the socket"
    change = await refresh(source(hang=True), registry, Place(), 0.01)
    assert "within 0.01 seconds" in str(change.fault)


async def test_a_dead_source_wakes_nobody(opened: tuple[Store, Registry]) -> None:
    _, registry = opened
    await refresh(source(agent("a", "ask")), registry, Place(), 5)
    registry.degrade("fake", "u", "no answer")
    before = registry.snapshot
    await refresh(source(fault=ConnectionError("no")), registry, Place(), 5)
    assert registry.snapshot is before
    assert before.agents["a"].degraded


async def test_one_list_does_not_wait_for_another(opened: tuple[Store, Registry]) -> None:
    _, registry = opened

    class Other(Place):
        name = "other"

    hanging = asyncio.create_task(refresh(source(hang=True), registry, Place(), 60))
    assert (await refresh(source(agent("a", "ask")), registry, Other(), 5)).added
    hanging.cancel()
    await asyncio.gather(hanging, return_exceptions=True)
