"""The upstreams: one supervising task each, which connects, lists, and connects again."""

import asyncio
import json
import re
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from typing import Any, cast

import structlog
from sqlalchemy import Connection, delete, insert, select

from adapters import options
from adapters.errors import BadArguments, Conflict, ConnectFailed, GatewayError, Unknown
from adapters.load import Adapters
from adapters.spi import Host, Outbound, Report, Upstream
from gateway.seal import Seal
from gateway.settings import NAME, RefreshSettings
from gateway.telemetry import Metrics
from registry.refresh import Backoff, refresh
from registry.registry import Registry
from registry.store import Store
from registry.tables import upstreams as table

PATIENCE = 10.0
"""Seconds for which a call waits while its upstream is just connecting."""
TURN = 5.0
"""Seconds for which an upstream that was never listed waits for those before it in the file."""
log = structlog.get_logger()


class LiveUpstream:
    """One upstream: its outbound adapter, and whether it is connected."""

    def __init__(self, upstream: Upstream, outbound: Outbound, resumes: bool) -> None:
        self.upstream = upstream
        self.outbound = outbound
        self.resumes = resumes
        self.connected = False
        self.reason = "it was not reached yet"
        self.wake = asyncio.Event()
        self.attempt = asyncio.Event()
        """Set after each attempt to connect and list, however it ended."""
        self.complete = False
        self.task: asyncio.Task[None] | None = None
        self.before: tuple[LiveUpstream, ...] = ()
        """Those before it in the file, when both started."""

    async def turn(self, seconds: float) -> None:
        """Waits until each of those before it was tried once, at most so long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                for one in self.before:
                    await one.attempt.wait()

    async def ready(self, seconds: float | None) -> None:
        """Waits while an attempt runs. Raises `ConnectFailed` if the upstream is not connected after it."""
        if self.connected:
            return
        if self.task is None:
            raise self._gone()
        if self.attempt.is_set():
            self.attempt.clear()
            self.wake.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(min(PATIENCE, seconds or PATIENCE)):
                await self.attempt.wait()
        if not self.connected:
            raise self._gone()

    def _gone(self) -> ConnectFailed:
        """Of one that registered itself, no more is told to callers: it could be a way to look at other addresses."""
        why = "" if self.upstream.origin == "self" and self.task else f": {self.reason}"
        return ConnectFailed(f"the upstream '{self.upstream.name}' is away{why}", detail=self.reason, delivered="no")


@dataclass(frozen=True, slots=True)
class Needs:
    """What the upstreams stand on."""

    adapters: Adapters
    registry: Registry
    store: Store
    seal: Seal
    metrics: Metrics
    host: Callable[[Upstream], Host]
    settings: RefreshSettings


class UpstreamTable:
    """All upstreams of this gateway: the operator's file, and those added over `/v1`, which the store keeps."""

    def __init__(self, needs: Needs) -> None:
        self._needs = needs
        self._live: dict[str, LiveUpstream] = {}
        self._adding = asyncio.Lock()
        self.faults: dict[str, str] = {}
        """Upstreams that cannot be used as they are configured, each with what is wrong."""

    async def start(self, configured: list[Upstream]) -> None:
        """Starts those of the file, then those of the store; the file wins clashes.

        On an empty store names are given in the order of the file, not of who answered first.
        """
        for upstream in configured:
            before = tuple(self._live.values())
            self._try(upstream)
            if upstream.name in self._live:
                self._live[upstream.name].before = before
        for upstream in await self._stored():
            if upstream.name not in self._live and upstream.name not in self.faults:
                self._try(upstream)

    async def reload(self, configured: list[Upstream]) -> dict[str, list[str]]:
        """Takes over a changed file; what was added, removed, changed."""
        new = {u.name: u for u in configured}
        old = {n: u.upstream for n, u in self._live.items() if u.upstream.origin == "file"}
        gone = sorted(old.keys() - new.keys())
        changed = sorted(n for n in new.keys() & old.keys() if new[n] != old[n])
        for name in (*gone, *changed):
            moved = name in new and new[name].network != old[name].network
            await self._stop(name, forget=name in gone or moved)
        self.faults = {n: f for n, f in self.faults.items() if n not in new}
        added = sorted(new.keys() - old.keys())
        for name in (*added, *changed):
            if name in self._live:
                await self._stop(name, forget=False)
            self._try(new[name])
        return {"added": added, "removed": gone, "changed": changed}

    def _try(self, upstream: Upstream) -> None:
        try:
            self._begin(upstream, self.prepare(upstream))
        except GatewayError as fault:
            self.faults[upstream.name] = fault.public
            log.error("an upstream cannot be used", upstream=upstream.name, said=fault.public)

    def prepare(self, upstream: Upstream) -> tuple[Outbound, bool]:
        """The outbound adapter for it. Raises `CallerError`s that say what is wrong with the settings."""
        if not NAME.match(upstream.name) or len(upstream.name) > 24:
            raise BadArguments(f"upstream names are like 'my-agent', at most 24 characters; not '{upstream.name[:40]}'")
        found = self._needs.adapters.find(upstream.network)
        adapter = found.load()
        if found.manifest is None or "outbound" not in found.manifest.roles:
            raise BadArguments(f"'{upstream.network}' is a network that calls us; it has no upstreams")
        options.read(adapter.options, upstream.options, f"upstream '{upstream.name}'")
        return adapter.outbound(upstream, self._needs.host(upstream)), "resume" in found.manifest.can

    def _begin(self, upstream: Upstream, prepared: tuple[Outbound, bool]) -> LiveUpstream:
        live = LiveUpstream(upstream, *prepared)
        self._live[upstream.name] = live
        live.task = asyncio.create_task(self._supervise(live), name=f"upstream {upstream.name}")
        return live

    async def _supervise(self, live: LiveUpstream) -> None:
        """Connect, list, wait, list …; after a fault, wait longer each time, and connect again."""
        backoff = Backoff()
        while True:
            try:
                async with AsyncExitStack() as stack:
                    await self._connect(live, stack)
                    if not self._needs.registry.knows(live.upstream.network, live.upstream.name):
                        await live.turn(TURN)
                    while True:
                        live.complete = await self._list(live)
                        backoff.reset()
                        await self._wait(live, self._needs.settings.every)
            except Exception as fault:  # noqa: BLE001 - one upstream's fault, whatever it is, must not reach the others
                self._away(live, fault)
                await self._wait(live, backoff.next())

    async def _connect(self, live: LiveUpstream, stack: AsyncExitStack) -> None:
        """In this task, which also leaves it again. Raises `ConnectFailed` where it does not end in time."""
        seconds = self._needs.settings.timeout
        try:
            async with asyncio.timeout(seconds):
                await stack.enter_async_context(live.outbound.connect())
        except TimeoutError as fault:
            raise ConnectFailed(f"no connection within {seconds:g} seconds", delivered="no") from fault

    async def _list(self, live: LiveUpstream) -> bool:
        needs, upstream = self._needs, live.upstream
        live.connected = live.connected or upstream.origin != "self"  # nobody vouches for that one before it answered
        change = await refresh(live.outbound.agents, needs.registry, upstream, needs.settings.timeout)
        if change.fault is not None:
            raise change.fault
        live.connected = True
        if live.reason:
            log.info("upstream is up", upstream=upstream.name, agents=change.agents, tools=change.tools)
        live.reason = ""
        needs.metrics.upstreams.labels(upstream.name).set(1)
        for note in change.notes:
            log.warning("upstream listed something odd", upstream=upstream.name, note=note)
        if change.pending:
            log.warning("changed tools wait for approval", upstream=upstream.name, tools=list(change.pending))
        return change.complete

    def _away(self, live: LiveUpstream, fault: Exception) -> None:
        said = fault.public if isinstance(fault, GatewayError) else f"{type(fault).__name__}: {fault}"
        if said != live.reason:
            detail = fault.detail if isinstance(fault, GatewayError) else repr(fault)
            log.warning("upstream is away", upstream=live.upstream.name, said=said, detail=detail)
        live.connected, live.complete, live.reason = False, False, said
        self._needs.metrics.upstreams.labels(live.upstream.name).set(0)
        self._needs.registry.degrade(live.upstream.network, live.upstream.name, said)

    async def _wait(self, live: LiveUpstream, seconds: float) -> None:
        live.attempt.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):  # `wait_for` of 3.11 loses a cancel that comes with the wake
                await live.wake.wait()
        live.wake.clear()

    async def _stop(self, name: str, *, forget: bool) -> None:
        live = self._live.pop(name)
        if live.task:
            live.task.cancel()
            await asyncio.gather(live.task, return_exceptions=True)
        live.attempt.set()  # whoever waits for it waits in vain
        if forget:
            await self._needs.registry.forget(live.upstream.network, name)

    async def settle(self, seconds: float) -> None:
        """Waits until each upstream was tried once, at most so long."""
        attempts = [asyncio.create_task(live.attempt.wait()) for live in self._live.values()]
        if attempts:
            _, late = await asyncio.wait(attempts, timeout=seconds)
            for task in late:
                task.cancel()

    async def stop(self) -> None:
        for name in list(self._live):
            await self._stop(name, forget=False)

    # -- used by the call path, `/v1` and the command -------------------------------------------------------------

    def live(self, network: str, name: str) -> LiveUpstream:
        """Raises `ConnectFailed` for an upstream that is listed and not configured any more."""
        found = self._live.get(name)
        if found is None or found.upstream.network != network:
            raise ConnectFailed(f"the upstream '{name}' is not running", delivered="no")
        return found

    def all(self) -> list[LiveUpstream]:
        return [self._live[name] for name in sorted(self._live)]

    def find(self, name: str) -> LiveUpstream:
        """Raises `Unknown`."""
        if name not in self._live:
            raise Unknown(f"no upstream is called '{name[:80]}'; there are: {', '.join(sorted(self._live)) or 'none'}")
        return self._live[name]

    def changed(self, name: str) -> None:
        """Lists the upstream again soon."""
        if name in self._live:
            self._live[name].wake.set()

    async def refresh(self, name: str) -> LiveUpstream:
        """Lists the upstream now, and waits for the end of it."""
        live = self.find(name)
        if live.task is not None:
            live.attempt.clear()
            live.wake.set()
            await live.attempt.wait()
        return live

    async def add(self, upstream: Upstream, *, keep: bool = True) -> LiveUpstream:
        """Starts it and waits for the first list, good or bad. `keep`: in the store, its secret sealed.

        Raises `Conflict` if the name is taken, `BadArguments` for settings that its adapter refuses.
        """
        async with self._adding:
            prepared = self._fresh(upstream)
            if keep:
                await self._needs.store.run(lambda c: _insert(c, upstream, self._needs.seal))
            live = self._begin(upstream, prepared)
        await live.attempt.wait()
        return live

    def _fresh(self, upstream: Upstream) -> tuple[Outbound, bool]:
        if upstream.name in self._live or upstream.name in self.faults:
            raise Conflict(f"an upstream is called '{upstream.name}' already")
        return self.prepare(upstream)

    async def lease(self, upstream: Upstream) -> LiveUpstream:
        """One that registered itself: started, or started anew where it is another than it was, and not waited for.

        Raises as `add`.
        """
        async with self._adding:
            live = self._live.get(upstream.name)
            if live is not None and live.upstream.origin == "self":
                if live.upstream == upstream and live.task is not None:
                    return live
                self.prepare(upstream)
                await self._stop(upstream.name, forget=False)
            return self._begin(upstream, self._fresh(upstream))

    async def lapse(self, name: str, reason: str) -> None:
        """Nobody speaks for it any more: it stays listed as degraded, and is not reached for."""
        async with self._adding:
            live = self._live.get(name)
            if live is None or live.upstream.origin != "self":
                return
            await self._stop(name, forget=False)
            live.task = None
            self._live[name] = live
            self._away(live, ConnectFailed(reason))

    async def withdraw(self, name: str) -> None:
        """One that registered itself goes: its agents are withdrawn."""
        async with self._adding:
            if name in self._live and self._live[name].upstream.origin == "self":
                await self._stop(name, forget=True)

    async def remove(self, name: str) -> None:
        """Raises `Unknown`, and `Conflict` for those of the operator's file."""
        live = self.find(name)
        if live.upstream.origin == "file":
            raise Conflict(f"'{name}' stands in the operator's file; remove it there")
        await self._needs.store.run(lambda c: c.execute(delete(table).where(table.c.name == name)) and None)
        await self._stop(name, forget=True)

    async def check(self, upstream: Upstream) -> Report:
        """Tries an upstream, running or not; never raises for what is wrong with it."""
        try:
            outbound, _ = self.prepare(upstream)
            async with asyncio.timeout(self._needs.settings.timeout):
                return await outbound.check()
        except GatewayError as fault:
            return Report(False, fault.public)
        except TimeoutError:
            return Report(False, f"no answer within {self._needs.settings.timeout:g} seconds")
        except Exception:
            log.exception("an adapter failed at a check", upstream=upstream.name, network=upstream.network)
            return Report(False, f"the adapter '{upstream.network}' failed at this check; the gateway's log says why")

    async def _stored(self) -> list[Upstream]:
        rows = await self._needs.store.run(lambda c: [dict(r) for r in c.execute(select(table)).mappings()])
        return [_from_row(row, self._needs.seal) for row in rows]


def _insert(connection: Connection, upstream: Upstream, seal: Seal) -> None:
    secret = seal.seal(upstream.secret.encode(), _purpose(upstream.name)) if upstream.secret else None
    connection.execute(delete(table).where(table.c.name == upstream.name))
    connection.execute(
        insert(table).values(
            name=upstream.name,
            network=upstream.network,
            url=upstream.url,
            secret=secret,
            trusted=upstream.trusted,
            options=seal.seal(json.dumps(dict(upstream.options)).encode(), _purpose(upstream.name)).hex(),
            created=time.time(),
        )  # fmt: skip
    )


def _from_row(row: dict[str, Any], seal: Seal) -> Upstream:
    secret = seal.open(row["secret"], _purpose(row["name"])).decode() if row["secret"] else ""
    kept: str = row["options"]  # sealed whole, for headers may carry keys; rows of before are plain
    plain = kept.encode() if kept.startswith("{") else seal.open(bytes.fromhex(kept), _purpose(row["name"]))
    options = cast("dict[str, Any]", json.loads(plain))
    return Upstream(
        row["name"], row["network"], row["url"], secret, options=options, origin="api", trusted=bool(row["trusted"])
    )


def _purpose(name: str) -> str:
    return f"upstream\0{name}"


TELLING = re.compile(r"(?i)(token|key|secret|passw|pwd|auth|credential|bearer|header|cookie)|^-[HpuU]$")
"""Flags after which a secret stands."""
SETS = re.compile(r"(?P<name>--?[\w.-]+|[A-Za-z_]\w*)=.+", re.DOTALL)


def shown(command: Sequence[str]) -> str:
    """A command fit to be shown: without what follows a telling flag, and without values of variables."""
    words: list[str] = []
    hidden = False
    for word in command:
        flag, sets = word.startswith("-"), SETS.fullmatch(word)
        if hidden:
            words.append("***")
        elif sets and (not flag or TELLING.search(sets["name"])):
            words.append(f"{sets['name']}=***")
        else:
            words.append(USER_INFO.sub("://***@", word))
        hidden = not hidden and flag and not sets and TELLING.search(word) is not None
    return " ".join(words)


USER_INFO = re.compile(r"://[^/@\s]+@")
