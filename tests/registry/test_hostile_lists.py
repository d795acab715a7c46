"""Lists as hostile or broken far sides send them, and a store that fails in the middle."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from registry.model import ANYTHING, Address, Agent, Price, Tool, schema
from registry.refresh import refresh
from registry.registry import Change, Listed, Registry
from registry.search import search
from registry.store import Store, StoreFault


class Place:
    network, name, trusted = "fake", "u", True


@pytest.fixture
async def opened(tmp_path: Path) -> AsyncIterator[tuple[Store, Registry]]:
    store = Store(f"sqlite:///{tmp_path}/x.db")
    await store.open()
    registry = Registry(store)
    await registry.load()
    yield store, registry
    await store.close()


def agent(native: str, *tools: Tool, **more: Any) -> Agent:
    return Agent(Address("fake", "u", native), more.pop("name", native), tools=tools or (Tool("ask"),), **more)


async def listing(registry: Registry, *agents: Agent) -> Change:
    async def read() -> AsyncIterator[Agent]:
        for one in agents:
            yield one

    return await refresh(read, registry, Place(), 5)


async def reopened(store: Store) -> Registry:
    again = Registry(store)
    await again.load()
    return again


HALF = "half \ud800 a character"
NESTED: dict[str, Any] = {"a": [{"b": HALF}]}


@pytest.mark.parametrize(
    "odd",
    [
        agent("odd", name="odd \ud800"),
        agent("odd", description=HALF),
        agent("odd", meta=NESTED),
        agent("odd", meta={"n": 10**30}),
        agent("odd", meta={1: "x"}),
        agent("odd", meta={"x": "y" * 300_000}),
        agent("odd", Tool("ask", HALF)),
        agent("odd", Tool("ask", title=HALF)),
        agent("odd", Tool("ask", annotations=NESTED)),
        agent("odd", Tool("ask", annotations={"n": 2**64})),
        agent("odd", Tool("ask", meta={"n": -(2**64)})),
        agent("odd", Tool("ask"), Tool(HALF)),
        agent("odd", Tool("ask"), Tool("x" * 100_000)),
        agent("odd", Tool("ask", input_schema=b"\xff not utf-8")),
        agent("odd", Tool("ask", output_schema=b"\xff")),
        agent("odd\0zero", name="odd"),
    ],
    ids=range(16),
)
async def test_one_odd_agent_hides_nothing(opened: tuple[Store, Registry], odd: Agent) -> None:
    store, registry = opened
    for _ in range(2):
        change = await listing(registry, agent("first"), odd, agent("last"))
        assert change.fault is None
    assert {"first__ask", "last__ask", "odd__ask"} <= {t.name for t in registry.snapshot.tools}
    kept = await reopened(store)
    assert [(t.name, t.pin) for t in kept.snapshot.tools] == [(t.name, t.pin) for t in registry.snapshot.tools]


@pytest.mark.parametrize("native", [HALF, "x" * 100_000, ""], ids=["half", "long", "empty"])
async def test_an_agent_that_cannot_be_named_is_left_out_with_a_note(
    opened: tuple[Store, Registry], native: str
) -> None:
    _, registry = opened
    change = await listing(registry, agent(native, name="odd"), agent("well"))
    assert [t.name for t in registry.snapshot.tools] == ["well__ask"]
    assert change.notes


async def test_a_schema_that_is_not_json_breaks_no_list_of_tools(opened: tuple[Store, Registry]) -> None:
    _, registry = opened
    for said in (b'{"type":"object"}', b"not json"):
        tool = Tool("ask", f"with {said!r}", input_schema=said)
        change = await registry.take(Listed("fake", "u", [agent("a", tool)], trusted=False))
    assert "no JSON" in change.notes[0]
    assert registry.pending()[0]["new"]["input_schema"] == {"type": "object"}
    assert await registry.approve("a__ask") == ["a__ask"]
    assert registry.snapshot.tools[0].input_schema == ANYTHING


async def test_prices_and_all_else_outlive_a_restart(opened: tuple[Store, Registry]) -> None:
    from decimal import Decimal

    store, registry = opened
    tool = Tool(
        "ask", "d", schema({"type": "object"}), schema({"type": "string"}), "T", {"readOnlyHint": True},
        Price(Decimal("0.10"), "USDC", "base"), {"a": [1, None]},
    )  # fmt: skip
    await registry.take(Listed("fake", "u", [agent("a", tool, description="d", meta={"x": "é"})]))
    kept = await reopened(store)
    assert kept.snapshot.tools == registry.snapshot.tools
    assert kept.snapshot.agents["a"] == replace(registry.snapshot.agents["a"], degraded=True)
    assert not (await kept.take(Listed("fake", "u", [agent("a", tool, description="d", meta={"x": "é"})]))).changed


async def test_what_a_failing_store_did_not_take_is_written_by_the_next_list(opened: tuple[Store, Registry]) -> None:
    store, registry = opened
    await registry.take(Listed("fake", "u", [agent("a")]))
    engine, store._engine = store._engine, None
    with pytest.raises(StoreFault):
        await registry.take(Listed("fake", "u", [agent("a"), agent("b")]))
    assert list(registry.snapshot.agents) == ["a"], "what is not kept is not shown"
    store._engine = engine
    await registry.take(Listed("fake", "u", [agent("a"), agent("b")]))
    assert list(registry.snapshot.agents) == ["a", "b"]
    assert list((await reopened(store)).snapshot.agents) == ["a", "b"]


async def test_what_waits_keeps_waiting_over_a_restart_and_goes_when_it_is_taken_back(
    opened: tuple[Store, Registry],
) -> None:
    store, registry = opened

    def said(text: str) -> Listed:
        return Listed("fake", "u", [agent("a", Tool("ask", text))], trusted=False)

    await registry.take(said("old"))
    await registry.take(said("new"))
    kept = await reopened(store)
    assert [w["new"]["description"] for w in kept.pending()] == ["new"]
    assert (await kept.take(said("newer"))).pending == ("a__ask",)
    assert [w["new"]["description"] for w in kept.pending()] == ["newer"]
    await kept.take(said("old"))
    assert kept.pending() == []
    assert kept.snapshot.tools[0].description == "old"


async def test_a_tool_absent_from_two_complete_lists_goes_and_returns_by_its_name(
    opened: tuple[Store, Registry],
) -> None:
    _, registry = opened
    both = Listed("fake", "u", [agent("a", Tool("Get It"), Tool("get.it"))])
    await registry.take(both)
    before = [t.name for t in registry.snapshot.tools]
    assert len(set(before)) == 2
    one = Listed("fake", "u", [agent("a", Tool("get.it"))])
    assert (await registry.take(one)).withdrawn == ()
    assert len((await registry.take(one)).withdrawn) == 1
    await registry.take(both)
    assert [t.name for t in registry.snapshot.tools] == before
    natives = {t.native: t.name for t in registry.snapshot.tools}
    assert natives["Get It"] in before


async def test_degraded_until_the_next_list_and_told_once(opened: tuple[Store, Registry]) -> None:
    _, registry = opened
    await registry.take(Listed("fake", "u", [agent("a")]))
    registry.degrade("fake", "u", "away")
    after = registry.snapshot.revision
    registry.degrade("fake", "u", "still away")
    assert (registry.snapshot.revision, registry.snapshot.agents["a"].degraded) == (after, True)
    await registry.take(Listed("fake", "u", [agent("a")]))
    assert not registry.snapshot.agents["a"].degraded
    assert registry.snapshot.revision > after


async def test_pausing_what_is_not_there(opened: tuple[Store, Registry]) -> None:
    with pytest.raises(KeyError):
        await opened[1].pause("nobody", True)


async def test_two_upstreams_with_the_same_agent_have_two_names(opened: tuple[Store, Registry]) -> None:
    store, registry = opened
    for upstream in ("u", "v", "u"):
        await registry.take(Listed("fake", upstream, [agent("Same")]))
    slugs = list(registry.snapshot.agents)
    assert len(slugs) == 2
    assert "same" in slugs
    assert list((await reopened(store)).snapshot.agents) == slugs


async def test_reading_while_lists_come_sees_whole_snapshots(opened: tuple[Store, Registry]) -> None:
    _, registry = opened
    sizes: set[int] = set()
    done = asyncio.Event()

    async def read() -> None:
        while not done.is_set():
            snapshot = registry.snapshot
            assert {t.agent for t in snapshot.tools} == set(snapshot.agents)
            sizes.add(len(snapshot.tools))
            await asyncio.sleep(0)

    reader = asyncio.create_task(read())
    for n in range(1, 6):
        await registry.take(Listed("fake", "u", [agent(f"a{n}") for n in range(n)]))
    done.set()
    await reader
    assert sizes <= set(range(6))
    assert 5 in {len(registry.snapshot.tools)}


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(query=st.text(max_size=80))
def test_no_query_breaks_the_search(query: str) -> None:
    from registry.snapshot import Snapshot

    one = agent("a", Tool("ask", "Tells the weather.", name="a__ask", agent="a"), slug="a")
    found = asyncio.run(search(Snapshot(1, [one]), query, 5))
    assert found in ([], ["a__ask"])
