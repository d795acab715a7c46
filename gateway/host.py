"""What the gateway gives to an adapter (`adapters.spi.Host`), and the adapter's durable map."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import httpx2
import structlog
from sqlalchemy import Connection, bindparam, delete, insert, select
from sqlalchemy.exc import SQLAlchemyError

from adapters.errors import Full
from adapters.spi import Call, Caller, Calls, Catalog, Evidence, Invoke, Json, Keyring, State, Tool, Within
from gateway.egress import Clients
from gateway.keys import Keys
from gateway.replay import Replay
from gateway.seal import Seal
from gateway.within import OwnWithin, acting
from registry.store import Store
from registry.tables import state as table


@dataclass(frozen=True, slots=True)
class OwnHost:
    """One for each upstream or face; `name` keeps what they seal and store apart."""

    name: str
    urls: tuple[str, ...]
    egress: Clients
    http: httpx2.AsyncClient
    options: Mapping[str, Json]
    base_url: str
    calls: Calls
    keyring: Keyring
    replay: Replay
    secrets: Seal
    keys: Keys
    store: Store
    on_change: Callable[[str], None]
    clients: Mapping[str, float]
    folder: Path
    catalog: Catalog
    invoke: Invoke
    scored: Callable[[str], Mapping[str, Json] | None]

    @property
    def log(self) -> Any:
        return structlog.get_logger().bind(of=self.name)

    def client(self, *urls: str) -> httpx2.AsyncClient:
        return self.egress.client(*self.urls, *urls)

    async def addresses(self, url: str, *urls: str) -> Sequence[str]:
        return await self.egress.addresses(url, (*self.urls, *urls))

    def seal(self, plain: bytes) -> bytes:
        return self.secrets.seal(plain, f"host\0{self.name}")

    def open(self, sealed: bytes) -> bytes:
        return self.secrets.open(sealed, f"host\0{self.name}")

    async def authenticate(self, evidence: Evidence) -> Caller:
        return await self.keys.authenticate(evidence)

    def state(self, namespace: str) -> State:
        return StoredState(self.store, f"{self.name}\0{namespace}")

    def within(self, call: Call, tool: Tool, allow: Sequence[str] = ("*",), parts: Sequence[str] = ()) -> Within:
        return OwnWithin(call, acting(call, tool, allow, parts), self.catalog, self.invoke)

    def patience(self, client: str, usual: float) -> float:
        return next((seconds for glob, seconds in self.clients.items() if fnmatchcase(client, glob)), usual)

    def score(self, agent: str) -> Mapping[str, Json] | None:
        return self.scored(agent)

    def changed(self, upstream: str) -> None:
        self.on_change(upstream)


class StoredState:
    """A namespace of the table `state`."""

    def __init__(self, store: Store, namespace: str) -> None:
        self._store = store
        self._namespace = namespace

    async def get(self, key: str) -> bytes | None:
        return await self._store.run(lambda c: c.execute(select(table.c.value).where(*self._at(key))).scalar())

    async def put(self, key: str, value: bytes) -> None:
        def write(connection: Connection) -> None:
            connection.execute(delete(table).where(*self._at(key)))
            connection.execute(insert(table).values(namespace=self._namespace, key=key, value=value))

        await self._store.run(write)

    async def delete(self, key: str) -> None:
        def write(connection: Connection) -> None:
            connection.execute(delete(table).where(*self._at(key)))

        await self._store.run(write)

    async def write(self, changes: Mapping[str, bytes | None]) -> None:
        gone = delete(table).where(table.c.namespace == self._namespace, table.c.key == bindparam("at"))
        kept = [
            {"namespace": self._namespace, "key": key, "value": value}
            for key, value in changes.items()
            if value is not None
        ]

        def write(connection: Connection) -> None:
            if not changes:
                return
            connection.execute(gone, [{"at": key} for key in changes])
            if kept:
                connection.execute(insert(table), kept)

        try:
            await self._store.run(write)
        except SQLAlchemyError as fault:
            raise Full("the database takes no writes", detail=str(getattr(fault, "orig", fault))) from fault

    async def items(self) -> Sequence[tuple[str, bytes]]:
        here = table.c.namespace == self._namespace
        wanted = select(table.c.key, table.c.value).where(here).order_by(table.c.key)
        return await self._store.run(lambda c: [(key, value) for key, value in c.execute(wanted)])

    def _at(self, key: str) -> tuple[Any, Any]:
        return (table.c.namespace == self._namespace, table.c.key == key)
