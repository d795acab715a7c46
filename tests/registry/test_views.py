"""What a view shows, and how views are kept."""

import asyncio
import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import create_engine, text

from registry import tables
from registry.model import Tool, View
from registry.registry import Registry
from registry.store import MIGRATIONS, Store
from registry.views import ViewFault, Window, require_sound, shows
from tests.registry.samples import agent, listed


def tools(*names: str) -> list[Tool]:
    return [Tool(name, name=name, agent=name.partition("__")[0]) for name in names]


def shown(view: View, *names: str) -> dict[str, str]:
    window = Window(view, tools(*names))
    return {tool.name: window.public(tool.name) for tool in window.tools}


def test_a_view_takes_leaves_out_and_renames() -> None:
    view = View("v", include=("a__*", "b__ask"), exclude=("*__secret",), renames={"b__ask": "ask_b", "c__x": "x"})
    names = ("a__one", "a__secret", "b__ask", "b__other", "c__x")
    assert shown(view, *names) == {"a__one": "a__one", "ask_b": "b__ask"}
    window = Window(view, tools(*names))
    assert window.find("b__ask") is None, "by the name that is shown alone"
    assert window.find("x") is None, "a rename takes nothing in"
    assert (window.public("c__x"), window.renamed, window.nearest("ask_a", 1)) == ("c__x", ("ask_b",), ["ask_b"])
    assert shown(View("v", renames={"a__x": "b__x", "b__x": "a__x"}), "a__x", "b__x") == {
        "a__x": "b__x",
        "b__x": "a__x",
    }


def test_a_rename_keeps_its_name_also_while_its_tool_is_away() -> None:
    view = View("v", renames={"a__x": "b__x"})
    for names in (("a__x", "b__x"), ("b__x", "a__x")):
        assert shown(view, *names) == {"b__x": "a__x"}
        assert Window(view, tools(*names)).left_out == ("b__x",)
    assert shown(view, "b__x") == {}


@pytest.mark.parametrize(
    "view",
    [
        View("Bad"), View(""), View("all"), View("a" * 25), View("v", include=("",)), View("v", exclude=("x" * 201,)),
        View("v", renames={"a__x": "not legal"}), View("v", renames={"a b": "x"}), View("v", renames={"a": "x" * 65}),
        View("v", renames={"a__x": "x", "a__y": "x"}), View("v", patience=-1), View("v", pinned=("*",) * 1001),
    ],
)  # fmt: skip
def test_what_no_view_can_be_is_refused(view: View) -> None:
    with pytest.raises(ViewFault):
        require_sound(view)


NAMES = st.sampled_from([f"{a}__{t}" for a in "ab" for t in ("x", "y", "z")])
GLOBS = st.lists(st.one_of(NAMES, st.sampled_from(["*", "a__*", "*__x"])), max_size=3).map(tuple)
SHOWN = st.one_of(NAMES, st.sampled_from(["p", "q"]))
VIEWS = st.builds(View, st.just("v"), include=GLOBS, exclude=GLOBS, renames=st.dictionaries(NAMES, SHOWN, max_size=4))


@given(VIEWS, st.sets(NAMES), st.randoms())
def test_names_go_through_a_view_and_back(view: View, present: set[str], order: object) -> None:
    try:
        require_sound(view)
    except ViewFault:
        return
    window = Window(view, tools(*sorted(present)))
    assert len({t.name for t in window.tools}) == len(window.tools)
    for tool in window.tools:
        public = window.public(tool.name)
        assert window.find(tool.name) == tool == window.of(public)
        assert public in present
        assert shows(view, public)
        assert tool.name == view.renames.get(public, public)
    hidden = present - {window.public(t.name) for t in window.tools}
    assert hidden == {n for n in present if not shows(view, n)} | set(window.left_out)


async def test_views_are_kept_and_the_revision_grows(opened: tuple[Store, Registry]) -> None:
    store, registry = opened
    await registry.take(listed(agent("a", "x", "y")))
    view = View("v", "About", ("a__*",), ("*__y",), {"a__x": "ex"}, ("a__x",), True, 4.5)
    told: list[int] = []

    async def listen() -> None:
        async for revision in registry.changes():
            told.append(revision)

    listening = asyncio.create_task(listen())
    await asyncio.sleep(0)
    before = registry.snapshot.revision
    await registry.put_view(view)
    first = registry.snapshot
    assert first.revision > before
    await registry.put_view(replace(view))
    assert registry.snapshot is first, "the same again changes nothing"
    await asyncio.sleep(0)
    assert told == [first.revision]
    listening.cancel()
    again = Registry(store)
    await again.load()
    assert again.snapshot.views == {"v": view}
    assert await again.delete_view("v")
    assert not await again.delete_view("v")
    assert again.snapshot.window("v") is None
    third = Registry(store)
    await third.load()
    assert third.snapshot.views == {}


async def test_a_view_that_takes_the_name_of_another_tool_is_refused(opened: tuple[Store, Registry]) -> None:
    _, registry = opened
    await registry.take(listed(agent("a", "x", "y")))
    with pytest.raises(ViewFault, match="a__y"):
        await registry.put_view(View("v", renames={"a__x": "a__y"}))
    await registry.put_view(View("v", exclude=("a__y",), renames={"a__x": "a__y"}))
    await registry.put_view(View("w", renames={"a__x": "a__new"}))
    await registry.take(listed(agent("a", "x", "y", "new")))
    window = registry.snapshot.window("w")
    assert window is not None
    assert window.left_out == ("a__new",)
    assert [t.name for t in window.tools] == ["a__new", "a__y"]
    assert registry.snapshot.window("w") is window, "made once for each revision"


async def test_declared_views_win_and_are_not_kept(opened: tuple[Store, Registry]) -> None:
    store, registry = opened
    await registry.put_view(View("v", "stored"))
    registry.declare([View("v", "declared"), View("w")])
    assert [v.description for v in registry.snapshot.views.values()] == ["declared", ""]
    assert (registry.is_declared("v"), registry.is_declared("x")) == (True, False)
    with pytest.raises(ViewFault):
        registry.declare([View("Bad")])
    assert len(registry.snapshot.views) == 2
    registry.declare([])
    assert [v.description for v in registry.snapshot.views.values()] == ["stored"]
    again = Registry(store)
    await again.load()
    assert list(again.snapshot.views) == ["v"]


async def test_a_database_of_the_first_version_keeps_its_data(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        connection.execute(text("insert into agents values ('a', 'fake', 'u', 'a', 'A', '', '{}', 0, 0, 0)"))
        said = {"description": "d", "title": "", "input": "{}", "output": None, "annotations": {}, "meta": {}}
        body = json.dumps(said | {"price": None})
        insert = text("insert into tools values ('a__x', 'a', 'x', :body, null, 0, 0)")
        connection.execute(insert, {"body": body})
        connection.execute(
            text("""insert into keys values ('k1', 'ann', 'h', '["*"]', '["call"]', '', 1, null, null)""")
        )
        connection.execute(text("insert into revision values (1, 7)"))
    engine.dispose()
    store = Store(f"sqlite:///{path}")
    await store.open()
    registry = Registry(store)
    await registry.load()
    assert [t.name for t in registry.snapshot.tools] == ["a__x"]
    assert registry.snapshot.revision == 7
    await registry.put_view(View("v"))
    await store.close()
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("select version_num from alembic_version").fetchone() == (tables.HEAD,)
        row = database.execute("select id, rate, concurrent, daily, views, patience, last_used, day, calls from keys")
        assert row.fetchone() == ("k1", "", None, None, "[]", None, None, 0, 0)
