"""`box`: a gateway in one process, for tests of adapters. Found by pytest through its entry point."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from adapters.load import Adapters, Found
from adapters.spi import Adapter, Caller, Calls, Catalog, Invoke, Manifest, Outbound, Report, Tool, Upstream

if TYPE_CHECKING:
    pass


class Box:
    """A gateway on a database of its own."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.folder = folder
        self._settings = settings
        self._upstreams: list[Upstream] = []
        self._adapters: dict[str, Adapter] = {}
        self._stack = AsyncExitStack()
        self.caller = Caller("tester", network="test")

    async def open(self) -> None:
        from gateway.app import Gateway
        from gateway.settings import Settings

        said = {"data_dir": self.folder / ".doolittle", "refresh": {"every": 3600, "timeout": 10}, **self._settings}
        self.gateway: Gateway = Gateway(Settings.model_validate(said), self._found())
        await self._stack.enter_async_context(self.gateway)
        self._standing = asyncio.all_tasks()

    def _found(self) -> Adapters:
        """The installed adapters, those of the test before them."""
        installed = [f for f in Adapters.installed().all() if f.name not in self._adapters]
        own: list[Found] = []
        for name, adapter in self._adapters.items():
            kept = [f.manifest for f in Adapters.installed().all() if f.name == name and f.manifest]
            manifest = getattr(adapter, "manifest", None) or (kept[0] if kept else None)
            assert isinstance(manifest, Manifest)
            own.append(Found(name, manifest, "", None, adapter))
        return Adapters([*installed, *own])

    async def close(self) -> None:
        await self._stack.aclose()

    @property
    def invoke(self) -> Invoke:
        return self.gateway.invoke

    @property
    def catalog(self) -> Catalog:
        return self.gateway.catalog

    @property
    def calls(self) -> Calls:
        return self.gateway.calls

    async def add(self, upstream: Upstream, adapter: Adapter | None = None) -> None:
        """Returns after the first list, good or bad. `adapter`: in place of the installed one."""
        if adapter is not None:
            self._adapters[upstream.network] = adapter
            self.gateway.adapters._found = self._found()._found
        await self.gateway.upstreams.add(upstream, keep=False)
        self._upstreams.append(upstream)
        self._standing |= {t for t in asyncio.all_tasks() if t.get_name() == f"upstream {upstream.name}"}

    async def remove(self, name: str) -> None:
        live = self.gateway.upstreams.find(name)
        await self.gateway.upstreams._stop(live.upstream.name, forget=True)
        self._upstreams = [u for u in self._upstreams if u.name != name]

    async def refresh(self, name: str) -> bool:
        """One list now; whether it was complete."""
        return (await self.gateway.upstreams.refresh(name)).complete

    def tools(self, upstream: str) -> tuple[Tool, ...]:
        """Listed now."""
        return tuple(t for t in self.gateway.registry.snapshot.tools if t.address.upstream == upstream)

    def degraded(self, upstream: str) -> str | None:
        """Why the upstream is away; None while it is not."""
        return self.gateway.upstreams.find(upstream).reason or None

    def outbound(self, upstream: str) -> Outbound:
        return self.gateway.upstreams.find(upstream).outbound

    async def report(self, upstream: Upstream) -> Report:
        """What `check` says of it."""
        return await self.gateway.upstreams.check(upstream)

    async def restart(self) -> None:
        """Closes this gateway, and opens another on the same database with the same upstreams."""
        await self._stack.aclose()
        self._stack = AsyncExitStack()
        await self.open()
        for upstream in self._upstreams:
            await self.gateway.upstreams.add(upstream, keep=False)

    async def serve(self) -> str:
        """On a free port of loopback, in this event loop; the base URL."""
        from gateway.serve import beside

        url = await self._stack.enter_async_context(beside(self.gateway))
        self._standing |= asyncio.all_tasks()
        return url

    async def key(
        self, name: str, allow: tuple[str, ...] = ("*",), roles: tuple[str, ...] = ("call",), **more: Any
    ) -> str:
        """A new key's secret. `more`: as in `gateway.keys.Wanted`."""
        from gateway.keys import Wanted

        return (await self.gateway.keys.create(Wanted(name, allow, roles, **more)))[1]

    def pending_tasks(self) -> "set[asyncio.Task[Any]]":
        """Tasks beyond the standing ones and the test's own."""
        names = ("call ", "parked", "resume")
        return {t for t in asyncio.all_tasks() - self._standing if t.get_name().startswith(names)}


@pytest.fixture
async def box(tmp_path: Path) -> AsyncIterator[Box]:
    """A gateway without upstreams."""
    made = Box(tmp_path)
    await made.open()
    yield made
    await made.close()
