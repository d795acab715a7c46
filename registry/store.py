"""The database: SQLite in WAL by default, Postgres by URL. One thread does all its work, off the call path."""

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.engine import make_url

from registry.tables import HEAD

T = TypeVar("T")
MIGRATIONS = Path(__file__).parent / "migrations"


class StoreFault(Exception):
    """The database cannot be used; the text says why and how to mend it."""


class Store:
    """Open it, `run` work in it, close it. Every `run` is one transaction on the store's own thread."""

    def __init__(self, url: str) -> None:
        self._url = make_url(url)
        self._engine: Engine | None = None
        self._thread = ThreadPoolExecutor(1, "store")

    async def open(self) -> None:
        """Connects, and brings the schema up to date. Raises `StoreFault`."""
        if self._url.get_backend_name() == "sqlite" and self._url.database not in (None, "", ":memory:"):
            Path(str(self._url.database)).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._engine = _engine(self._url)
        await self.run(_upgrade)

    async def run(self, work: Callable[[Connection], T]) -> T:
        """The work's own value; its writes are committed together, or not at all if it raises."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._transaction, work)

    def _transaction(self, work: Callable[[Connection], T]) -> T:
        if self._engine is None:
            raise StoreFault("the store is not open")
        with self._engine.begin() as connection:
            return work(connection)

    async def close(self) -> None:
        """Waits for work that was begun."""
        engine, self._engine = self._engine, None
        if engine is not None:
            await asyncio.get_running_loop().run_in_executor(self._thread, engine.dispose)
        self._thread.shutdown(wait=True)


def _engine(url: Any) -> Engine:
    if url.get_backend_name() != "sqlite":
        return create_engine(url, pool_size=1, max_overflow=0)
    from sqlalchemy.pool import StaticPool

    engine = create_engine(url, poolclass=StaticPool, connect_args={"check_same_thread": False, "timeout": 30})

    @event.listens_for(engine, "connect")
    def _pragmas(connection: sqlite3.Connection, _record: object) -> None:
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON", "busy_timeout=30000"):
            connection.execute(f"PRAGMA {pragma}")

    return engine


def _upgrade(connection: Connection) -> None:
    """Alembic is imported only when there is something to do: it costs every start a third of a second."""
    present = _present(connection)
    if present == HEAD:
        return
    from alembic import command
    from alembic.config import Config
    from alembic.util.exc import CommandError

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
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
