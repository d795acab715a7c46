"""The database: SQLite in WAL by default, Postgres by URL. One thread does all its work, off the call path."""

import asyncio
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from registry.tables import HEAD

T = TypeVar("T")
TURNS = 100
MIGRATIONS = Path(__file__).parent / "migrations"


class StoreFault(Exception):
    """The database cannot be used; the text says why and how to mend it."""


class Store:
    """Open it, `run` work in it, close it. Every `run` is one transaction on the store's own thread."""

    def __init__(self, url: str) -> None:
        self._url = make_url(url)
        self._engine: Engine | None = None
        self._thread = ThreadPoolExecutor(1, "store")
        self._closed = False

    async def open(self) -> None:
        """Connects, and brings the schema up to date. Raises `StoreFault`."""
        try:
            if self._url.get_backend_name() == "sqlite" and self._url.database not in (None, "", ":memory:"):
                Path(str(self._url.database)).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._engine = _engine(self._url)
            await self.run(_upgrade)
        except (OSError, ImportError, SQLAlchemyError) as fault:
            why = str(getattr(fault, "orig", None) or fault).partition("\n")[0]
            raise StoreFault(f"the database {self._url.render_as_string()} cannot be used: {why}") from fault

    async def run(self, work: Callable[[Connection], T]) -> T:
        """The work's own value; its writes are committed together, or not at all if it raises.

        A caller who is cancelled no longer waits; the work is done all the same.
        """
        if self._engine is None or self._closed:
            raise StoreFault("the store is not open")
        return await asyncio.get_running_loop().run_in_executor(self._thread, _transaction, self._engine, work)

    async def close(self) -> None:
        """Ends the work that it was given, and takes no more. Once is enough."""
        if self._closed:
            return
        self._closed = True
        if self._engine is not None:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._engine.dispose)
        self._thread.shutdown(wait=True)


def _transaction(engine: Engine, work: Callable[[Connection], T]) -> T:
    with engine.begin() as connection:
        return work(connection)


def _engine(url: URL) -> Engine:
    if url.get_backend_name() != "sqlite":
        return create_engine(url, pool_size=1, max_overflow=0)
    from sqlalchemy.pool import StaticPool

    engine = create_engine(url, poolclass=StaticPool, connect_args={"check_same_thread": False, "timeout": 30})

    @event.listens_for(engine, "connect")
    def _pragmas(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None  # else the driver begins at the first write, and reads are in no transaction
        connection.execute("PRAGMA busy_timeout=30000")
        _write_ahead(connection)
        for pragma in ("synchronous=NORMAL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        driver: Any = connection.connection.dbapi_connection
        driver.execute("BEGIN IMMEDIATE")  # waits for another process now, instead of failing at a write

    return engine


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Switches to WAL. Where others switch a new file just now, SQLite says that it is locked, and does not wait."""
    for attempt in range(TURNS):
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError:
            if attempt == TURNS - 1:
                raise
            time.sleep(0.05)


def _upgrade(connection: Connection) -> None:
    """Alembic is imported only when there is something to do: it costs every start a third of a second."""
    present = _present(connection)
    if present == HEAD:
        return
    from alembic import command
    from alembic.config import Config
    from alembic.util.exc import CommandError

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as fault:
        raise StoreFault(
            f"the database is of a newer doolittle (revision {present}); update, or take another"
        ) from fault


def _present(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("select version_num from alembic_version")).scalar()
