"""Hostile lists: whatever comes is named, kept, and the same after a restart."""

import re
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from registry.bounds import MOST_META, MOST_NATIVE
from registry.model import Address, Agent, Price, Tool
from registry.registry import Registry
from registry.store import Store
from tests.registry.samples import agent, listed

WORD = st.text(max_size=300) | st.sampled_from(
    [
        "",
        " ",
        "Ask",
        "ask",
        "a.sk",
        "a_sk",
        "a-sk",
        "__",
        "x" * 300,
        "é",
        "é",
        "名前",
        "\ud800",
        "a\0b",
        "🙂",
        "AGENT",
        "agent",
    ]
)
VALUE = st.none() | st.integers() | st.floats() | WORD | st.binary(max_size=5) | st.sets(st.integers(), max_size=2)
META = st.dictionaries(WORD | st.integers(), VALUE, max_size=2)
SCHEMA = st.sampled_from([b'{"type":"object"}', b"", b"[]", b"true", b"\xff", b"{", b'{"$ref":"#"}'])
TOOLS = st.builds(Tool, WORD, WORD, SCHEMA, st.none() | SCHEMA, WORD, META, meta=META)
AGENTS = st.builds(
    Agent,
    st.builds(Address, st.just("fake"), st.just("u"), WORD),
    WORD,
    WORD,
    st.lists(TOOLS, max_size=4).map(tuple),
    META,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.lists(AGENTS, max_size=4), st.booleans(), st.booleans()), min_size=1, max_size=4))
async def test_names_are_legal_given_once_and_kept(lists: Sequence[tuple[list[Agent], bool, bool]]) -> None:
    store = Store("sqlite://")
    await store.open()
    registry = Registry(store)
    given_names: dict[tuple[Any, ...], str] = {}
    for agents, complete, trusted in lists:
        said = listed(*agents, complete=complete, trusted=trusted)
        await registry.take(said)
        for one in registry.snapshot.agents.values():
            assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", one.slug)
            assert len(one.slug) <= 24
            assert given_names.setdefault((one.address,), one.slug) == one.slug
            for tool in one.tools:
                assert re.fullmatch(r"[a-z0-9-]+__[a-zA-Z0-9_-]+", tool.name)
                assert len(tool.name) <= 64
                assert given_names.setdefault((one.address, tool.native), tool.name) == tool.name
        assert len(set(given_names.values())) == len(given_names), "never given to another"
        kept = registry.snapshot
        assert not (await registry.take(replace(said, complete=False))).seen
        assert registry.snapshot is kept, "the same list again"
    again = Registry(store)
    await again.load()
    loaded = [replace(a, degraded=False) for a in again.snapshot.agents.values()]
    assert loaded == list(registry.snapshot.agents.values())
    change = await again.take(listed(*lists[-1][0], complete=False, trusted=lists[-1][2]))
    assert not change.seen, "a restart does not look like a change"
    await store.close()


async def test_what_cannot_be_kept_is_mended_and_said(opened: tuple[Store, Registry]) -> None:
    _, registry = opened
    odd = Tool(
        "t",
        "half \ud800 of\0 it",
        b"not json",
        b"\xff",
        annotations=cast("Any", {1: 2}),
        meta={"a": 10**40},
        title="x" * 999,
    )
    change = await registry.take(listed(replace(agent("a"), tools=(odd,), meta={"a": "x" * MOST_META})))
    (tool,) = registry.snapshot.tools
    assert (tool.description, tool.input_schema, tool.output_schema) == ("half ? of it", b'{"type":"object"}', None)
    assert (tool.annotations, tool.meta, len(tool.title)) == ({"1": 2}, {}, 256)
    assert len(change.notes) == 4
    assert registry.pending() == []


@pytest.mark.parametrize(
    "odd",
    [
        "x",
        None,
        agent(cast("Any", 5)),
        agent("b", name=cast("Any", ["x"])),
        replace(agent("b"), tools=cast("Any", ["t"])),
        replace(agent("b"), tools=(Tool("t", cast("Any", None)),)),
        replace(agent("b"), tools=(Tool("t", price=cast("Any", 3)),)),
    ],
)
async def test_what_is_no_agent_hides_no_other_and_withdraws_none(opened: tuple[Store, Registry], odd: Any) -> None:
    _, registry = opened
    await registry.take(listed(agent("a", "ask"), agent("b", "ask")))
    for _ in range(3):
        change = await registry.take(listed(agent("a", "ask", "sing"), odd))
        assert change.notes
        assert not change.complete
    assert [t.name for t in registry.snapshot.tools] == ["a__ask", "a__sing", "b__ask"]


async def test_an_id_is_never_cut_or_mended(opened: tuple[Store, Registry]) -> None:
    _, registry = opened
    natives = ["x" * MOST_NATIVE, "x" * (MOST_NATIVE + 1), "\ud800", ""]
    change = await registry.take(listed(*(agent(n, "ask", *natives) for n in natives)))
    assert len(registry.snapshot.agents) == 1
    assert len(registry.snapshot.tools) == 2
    assert len(change.notes) == 6


async def test_notes_are_bounded(opened: tuple[Store, Registry]) -> None:
    _, registry = opened
    change = await registry.take(listed(*(agent("") for _ in range(100))))
    assert len(change.notes) == 21
    assert change.notes[-1] == "and 80 more like these"


async def test_prices_come_back_as_they_were(opened: tuple[Store, Registry]) -> None:
    store, registry = opened
    price = Price(Decimal("0.10"), "USDC", "base")
    await registry.take(listed(replace(agent("a"), tools=(Tool("t", price=price),))))
    again = Registry(store)
    await again.load()
    assert again.snapshot.tools == registry.snapshot.tools
    assert again.snapshot.tools[0].price == price
