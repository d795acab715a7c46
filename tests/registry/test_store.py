"""One database, one thread, one schema."""

import asyncio
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from registry import tables
from registry.registry import Registry
from registry.store import MIGRATIONS, Store, StoreFault
from tests.conftest import ROOT


async def test_the_migrations_make_what_the_tables_say(opened: tuple[Store, Registry]) -> None:
    store, _ = opened
    assert await store.run(lambda c: compare_metadata(MigrationContext.configure(c), tables.metadata)) == []
    assert ScriptDirectory(str(MIGRATIONS)).get_heads() == [tables.HEAD]
    assert await store.run(lambda c: c.execute(text("pragma journal_mode")).scalar()) == "wal"


async def test_a_database_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path}/x.db")
    await store.open()
    await store.run(lambda c: c.execute(text("update alembic_version set version_num = '9999'")) and None)
    await store.close()
    again = Store(f"sqlite:///{tmp_path}/x.db")
    with pytest.raises(StoreFault, match="newer"):
        await again.open()
    await again.close()


def test_an_up_to_date_database_is_opened_without_alembic(tmp_path: Path) -> None:
    script = f"""
import asyncio, sys
from registry.store import Store
async def main():
    store = Store("sqlite:///{tmp_path}/x.db")
    await store.open()
    await store.close()
    print("alembic" in sys.modules)
asyncio.run(main())
"""
    said = [
        subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True).stdout.strip()
        for _ in "12"
    ]
    assert said == ["True", "False"]


async def test_two_that_start_at_once_make_one_schema(tmp_path: Path) -> None:
    script = f"""
import asyncio, sys
from registry.model import Address, Agent, Tool
from registry.registry import Listed, Registry
from registry.store import Store
async def main():
    import alembic.command, alembic.config  # all are then equally quick
    print("ready", flush=True)
    sys.stdin.readline()
    store = Store("sqlite:///{tmp_path}/x.db")
    await store.open()
    registry = Registry(store)
    await registry.load()
    one = Agent(Address("fake", "", "a"), sys.argv[1], tools=(Tool("ask"),))
    await registry.take(Listed("fake", sys.argv[1], [one]))
    await store.close()
asyncio.run(main())
"""
    pipe = asyncio.subprocess.PIPE
    started = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", script, f"u{n}", cwd=ROOT, stdin=pipe, stdout=pipe, stderr=pipe
        )
        for n in range(3)
    ]
    for one in started:
        assert one.stdout is not None
        await one.stdout.readline()
    said = await asyncio.gather(*(one.communicate(b"\n") for one in started))
    assert [(one.returncode, fault) for one, (_, fault) in zip(started, said, strict=True)] == [(0, b"")] * 3
    store = Store(f"sqlite:///{tmp_path}/x.db")
    await store.open()
    registry = Registry(store)
    await registry.load()
    assert list(registry.snapshot.agents) == ["u0", "u1", "u2"]
    await store.close()


@pytest.mark.parametrize("place", ["x.txt", "x.txt/x.db", "."])
async def test_what_is_no_database_is_refused_in_words(tmp_path: Path, place: str) -> None:
    (tmp_path / "x.txt").write_text("this is a text, and not a database at all\n" * 100)
    store = Store(f"sqlite:///{tmp_path}/{place}")
    with pytest.raises(StoreFault, match="cannot be used"):
        await store.open()
    await store.close()


async def test_a_password_is_not_told() -> None:
    store = Store("postgresql+nodriver://me:sesame@127.0.0.1:9/x")
    with pytest.raises(StoreFault) as fault:
        await store.open()
    assert "sesame" not in str(fault.value)
    await store.close()


async def test_the_folder_is_its_owners(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path}/deep/x.db")
    await store.open()
    assert (tmp_path / "deep").stat().st_mode & 0o777 == 0o700
    await store.close()


async def test_work_that_was_given_is_done_before_it_closes(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path}/x.db")
    await store.open()
    gate = threading.Event()

    def wait(_: Connection) -> bool:
        return gate.wait(30)

    first = asyncio.ensure_future(store.run(wait))
    second = asyncio.ensure_future(store.run(lambda c: c.execute(text("select 7")).scalar()))
    await asyncio.sleep(0)
    closing = asyncio.create_task(store.close())
    await asyncio.sleep(0)
    gate.set()
    await closing
    assert (await first, await second) == (True, 7)
    await store.close()
    with pytest.raises(StoreFault, match="not open"):
        await store.run(lambda _: None)


async def test_a_work_that_raises_leaves_nothing(opened: tuple[Store, Registry]) -> None:
    store, _ = opened

    def half(connection: Connection) -> None:
        connection.execute(text("insert into state values ('n', 'k', 'v')"))
        raise ValueError("half")

    with pytest.raises(ValueError, match="half"):
        await store.run(half)
    assert await store.run(lambda c: c.execute(text("select count(*) from state")).scalar()) == 0


async def test_a_migration_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "x.db")) as other:
        other.execute("create table state (x)")
    store = Store(f"sqlite:///{tmp_path}/x.db")
    with pytest.raises(StoreFault, match="already exists"):
        await store.open()
    await store.close()
    with closing(sqlite3.connect(tmp_path / "x.db")) as other:
        assert other.execute("select name from sqlite_master where type = 'table'").fetchall() == [("state",)]
        other.execute("drop table state")
    store = Store(f"sqlite:///{tmp_path}/x.db")
    await store.open()
    await store.close()


async def test_work_sees_one_state_of_the_database(tmp_path: Path) -> None:
    stores = [Store(f"sqlite:///{tmp_path}/x.db") for _ in "12"]
    for store in stores:
        await store.open()
    began, go_on = threading.Event(), threading.Event()
    count = text("select count(*) from state")

    def twice(connection: Connection) -> tuple[int, int]:
        first = connection.execute(count).scalar_one()
        began.set()
        go_on.wait(0.2)
        return first, connection.execute(count).scalar_one()

    reading = asyncio.ensure_future(stores[0].run(twice))
    await asyncio.to_thread(began.wait, 10)
    writing = asyncio.ensure_future(
        stores[1].run(lambda c: c.execute(text("insert into state values ('n', 'k', 'v')")) and None)
    )
    writing.add_done_callback(lambda _: go_on.set())
    assert await reading == (0, 0)
    await writing
    for store in stores:
        await store.close()
