"""What a command works with: the running server if one answers, else a gateway in this process, under its lock."""

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from adapters.errors import BadArguments, ConnectFailed, GatewayError
from adapters.spi import Caller, Catalog, Invoke, Json, Report, Upstream
from gateway.cli import remote
from gateway.settings import ConfigFault, Settings, read

SETTLE = 15.0
"""Seconds for which a gateway in this process waits for its upstreams."""
MEET = 20.0
"""Seconds for which a command waits for another that holds the lock: clients start several at once."""


@dataclass(slots=True)
class Place:
    """What the words before the command say."""

    config: Path
    url: str = ""
    key: str = ""
    as_json: bool = False
    _settings: Settings | None = field(default=None, repr=False)

    def changed(self) -> None:
        """The file was written: read it anew."""
        self._settings = None

    @property
    def settings(self) -> Settings:
        """Raises `ConfigFault`."""
        if self._settings is None:
            self._settings = read(self.config)
        return self._settings


class HouseDoor:
    """`adapters.spi.Door` on a house."""

    def __init__(self, house: "House", invoke: Invoke, catalog: Catalog, caller: Caller) -> None:
        self.invoke = invoke
        self.catalog = catalog
        self.caller = caller
        self.config = house.place.config.absolute()
        self.folder = house.place.settings.data_dir
        self.url = house.reached_at
        self.words = ("--url", house.place.url) if house.place.url else ("--config", str(self.config))
        self.address = house.address
        self._house = house

    async def manage(self, method: str, path: str, document: Json = None) -> Json:
        return await self._house.ask(method, path, json=document)

    async def configure(self, upstream: Upstream) -> Report:
        from gateway.cli import operator_file

        said: dict[str, Any] = {"network": upstream.network}
        said |= {"url": upstream.url} if upstream.url else {"command": list(upstream.command)}
        said |= {"key": upstream.secret} if upstream.secret else {}
        said |= {"trusted": False} if not upstream.trusted else {}
        try:
            said |= upstream.options
            report = await operator_file.configure(self._house, self._house.place, upstream.name, said)
        except ConfigFault as fault:
            raise BadArguments(str(fault)) from fault
        return Report(report["ok"], report["text"], report["facts"])


class House:
    """`http` manages, `door` calls. `running`: whether a server answers."""

    def __init__(self, place: Place, stack: AsyncExitStack) -> None:
        self.place = place
        self._stack = stack
        self._client: httpx2.AsyncClient | None = None
        self._gateway: Any = None
        self._look()

    def _look(self) -> None:
        self._url, self._key = find(self.place)
        self.running = bool(self._url)
        self._passing = self.running and not self.place.url and bool(_said(self.place).get("passing"))

    @property
    def opened(self) -> bool:
        """Whether a gateway runs already, in a server or in this process, with the file as it was then."""
        return self.running or self._gateway is not None

    @property
    def reached_at(self) -> str:
        """Where clients on this machine reach the gateway when it serves; blank for a port that is not fixed."""
        if self.running and not self._passing:
            return self._url.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")
        said = self.place.settings.server
        if said.base_url or not said.port:
            return said.base_url.rstrip("/")
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(said.host, said.host)  # noqa: S104 - compared with
        return f"http://{f'[{host}]' if ':' in host else host}:{said.port}"

    async def http(self) -> httpx2.AsyncClient:
        if self._client is None:
            if self.running:
                transport, url = None, self._url
            else:
                gateway = await self._own()
                transport, url = httpx2.ASGITransport(gateway.management()), "http://127.0.0.1"
            headers = {"authorization": f"Bearer {self._key}"} if self._key else {}
            client = httpx2.AsyncClient(
                transport=transport, base_url=url, headers=headers, timeout=600, trust_env=False
            )
            self._client = await self._stack.enter_async_context(client)
        return self._client

    async def door(self) -> HouseDoor:
        """An `adapters.spi.Door`."""
        if not self.running:
            await self._own_or_others()
        if self.running:
            far = remote.RemoteDoor(await self.http())
            try:
                await far.catalog.load()
            except httpx2.TransportError as fault:
                raise ConnectFailed(f"the gateway at {self._url} does not answer: {fault}") from fault
            return HouseDoor(self, far.invoke, far.catalog, far.caller)
        from gateway.keys import LOCAL

        gateway = await self._own()
        return HouseDoor(self, gateway.invoke, gateway.catalog, LOCAL)

    async def address(self) -> tuple[str, str]:
        """As `adapters.spi.Door.address`."""
        if not self._url:
            from gateway.serve import beside, run_file

            gateway = await self._own()
            self._url = await self._stack.enter_async_context(beside(gateway))
            self._stack.enter_context(run_file(gateway, self._key, passing=True))
        return self._url, self.place.key or self._key

    async def _own_or_others(self) -> None:
        """A gateway in this process; or, while another process holds the lock, that one's as soon as it serves."""
        from gateway.serve import Taken

        ends = time.monotonic() + MEET
        while not self.running:
            try:
                await self._own()
                return
            except Taken:
                if time.monotonic() > ends:
                    raise
                await asyncio.sleep(0.1)
                self._look()

    async def _own(self) -> Any:
        if self._gateway is None:
            from gateway.app import Gateway
            from gateway.serve import locked

            settings = self.place.settings
            self._stack.enter_context(locked(settings.data_dir))
            gateway = Gateway(settings, config_file=self.place.config)
            self._key = secrets.token_urlsafe(32)
            gateway.keys.admit_master(self._key)
            await self._stack.enter_async_context(gateway)
            await gateway.upstreams.settle(SETTLE)
            self._gateway = gateway
        return self._gateway

    async def ask(self, method: str, path: str, **more: Any) -> Any:
        """The document that `/v1` answers with. Raises the `GatewayError` that it reports."""
        client = await self.http()
        try:
            response = await client.request(method, path, **more)
        except httpx2.TransportError as fault:
            raise ConnectFailed(f"the gateway at {self._url} does not answer: {fault}") from fault
        if response.status_code >= 400:
            raise remote.fault(response.content, response.status_code)
        return response.json() if response.content else None


def find(place: Place) -> tuple[str, str]:
    """URL and key of the running server: the one that was named, or the one of this data directory; or two blanks."""
    if place.url:
        return place.url.rstrip("/"), place.key
    said = _said(place)
    if not said:
        return "", ""
    try:
        httpx2.get(said["url"] + "/healthz", timeout=2, trust_env=False).raise_for_status()
    except (httpx2.HTTPError, ValueError, KeyError):
        return "", ""
    return said["url"], place.key or said["secret"]


def _said(place: Place) -> dict[str, Any]:
    """What the server of this data directory left for the command line; empty if none runs."""
    try:
        return dict(json.loads((place.settings.data_dir / "run.json").read_text()))
    except (OSError, ValueError):
        return {}


@asynccontextmanager
async def house(place: Place) -> AsyncIterator[House]:
    async with AsyncExitStack() as stack:
        yield House(place, stack)


def exit_code(fault: GatewayError) -> int:
    """0 well; 1 the far side or the gateway failed; 2 the words or settings; 3 not reached or busy; 4 not allowed."""
    return {400: 2, 401: 4, 402: 4, 403: 4, 404: 2, 409: 2, 413: 2, 429: 3, 503: 3, 504: 3}.get(
        fault.status, 3 if fault.code in ("connect_failed", "unreachable") else 1
    )


def columns(rows: Sequence[dict[str, Any]], *names: str) -> list[list[str]]:
    return [[str(row.get(name, "")) for name in names] for row in rows]
