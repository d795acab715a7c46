"""Sessions on a server: opened for calls, kept for conversations, closed when nobody needs them any more."""

import asyncio
import uuid
from collections import OrderedDict
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from adapters.coral import Options, translate
from adapters.coral.server import Lost, Puppet, Server
from adapters.coral.translate import Entry
from adapters.coral.watch import Watch
from adapters.errors import ConnectFailed, Full, GatewayError, Refused, TimedOut
from adapters.spi import Host, Json

Key = tuple[str, ...]
GRACE = 2.0
"""Seconds for agents that are connected to say that they listen: some never do."""
LOOK = 0.5
CLOSING = 10.0


@dataclass(slots=True)
class Session:
    """One session of ours. `thread`: where the next message goes; blank: in a new one."""

    id: str
    members: tuple[str, ...]
    puppet: Puppet
    watch: Watch
    thread: str = ""
    used: float = field(default_factory=monotonic)
    lost: bool = False
    settled: bool = True
    """Whether the last call in it ended as it should."""

    @property
    def good(self) -> bool:
        """Whether a follow-up may go here."""
        return not self.lost and all(self.watch.presence.get(name) != "stopped" for name in self.members)


@dataclass(slots=True)
class Slot:
    """A conversation: its session, if it has one, and whose turn it is."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    waiting: int = 0
    session: Session | None = None


class Sessions:
    """All of one upstream."""

    def __init__(self, server: Server, host: Host, options: Options) -> None:
        self._server = server
        self._host = host
        self._options = options
        self._slots: OrderedDict[Key, Slot] = OrderedDict()
        self._closing: set[asyncio.Task[None]] = set()
        self._version = ""
        self.open = 0
        """Sessions that are there, or about to be."""

    # -- turns ----------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def turn(self, key: Key | None, entries: Sequence[Entry]) -> AsyncIterator[Session]:
        """A session with these agents, for one call. `key`: of a conversation, whose calls go one after the other."""
        if key is None:
            session = await self._opened(entries)
            try:
                yield session
            finally:
                self._soon(self._close(session))
            return
        slot = self._slots.setdefault(key, Slot())
        self._slots.move_to_end(key)
        slot.waiting += 1
        try:
            async with slot.lock:
                session = await self._kept(slot, entries)
                session.settled = False
                try:
                    yield session
                finally:
                    session.used = monotonic()
                    if not session.settled:
                        self._forsake(slot, session)
        finally:
            slot.waiting -= 1
            if slot.session is None and not slot.waiting:
                self._slots.pop(key, None)

    async def _kept(self, slot: Slot, entries: Sequence[Entry]) -> Session:
        if slot.session is not None and not slot.session.good:
            self._soon(self._close(slot.session))
            slot.session = None
        if slot.session is None:
            slot.session = await self._opened(entries)
        return slot.session

    def _forsake(self, slot: Slot, session: Session) -> None:
        """After a call that did not end as it should: what may still come must not be taken for the next answer."""
        if slot.session is not session:
            return
        if session.lost:
            slot.session = None
            self._soon(self._close(session))
        elif session.thread:
            self._soon(self._drop(session.puppet, session.thread))
            session.thread = ""

    async def _drop(self, puppet: Puppet, thread: str) -> None:
        with suppress(GatewayError, Lost):
            await puppet.close(thread, "The call was given up.")

    # -- opening --------------------------------------------------------------------------------------------------

    async def _opened(self, entries: Sequence[Entry]) -> Session:
        old = self._resting() if self.open >= self._options.sessions else None
        self.open += 1
        try:
            if old is not None:
                await self._close(old)
            return await self._open(entries)
        except BaseException:
            self.open -= 1
            raise

    def _resting(self) -> Session:
        """The session of the conversation that rests for the longest; it is one no more. Raises `Full`."""
        for key, slot in self._slots.items():
            if slot.session is not None and not slot.waiting:
                session, slot.session = slot.session, None
                del self._slots[key]
                return session
        raise Full(f"{self._options.sessions} sessions run already", retry_after=5)

    async def _open(self, entries: Sequence[Entry]) -> Session:
        options, names = self._options, tuple(entry.name for entry in entries)
        ours = "caller-" + uuid.uuid4().hex[:8]
        members = [translate.member(e, options.options.get(e.name, {}), options.runtime) for e in entries]
        self._version = self._version or await self._puppet_version()
        puppet = {
            "id": {"name": options.puppet, "version": self._version, "registrySourceId": {"type": "local"}},
            "name": ours,
            "description": "Whoever asks. Answer in the thread, and mention this agent.",
            "provider": {"type": "local", "runtime": "function"},
        }  # fmt: skip
        request: dict[str, Json] = {
            "agentGraphRequest": {"agents": [*members, puppet], "groups": [[*names, ours]]},
            "namespaceProvider": {"type": "create_if_not_exists", "namespaceRequest": {"name": options.namespace}},
            "execution": {"mode": "immediate", "runtimeSettings": {"ttl": int(options.ttl * 1000)}},
        }
        opening = asyncio.create_task(self._server.open(request), name="coral opens a session")
        try:
            id = await asyncio.shield(opening)
        except asyncio.CancelledError:
            self._soon(self._close_unborn(opening))  # it may be there all the same
            raise
        except Refused:
            self._version = ""  # it may be another by now
            raise
        watch = Watch(self._server, options.namespace, id)
        session = Session(id, names, self._server.puppet(options.namespace, id, ours), watch)
        try:
            await watch.opened()
            await watch.poll()
        except BaseException as fault:
            self.open += 1  # `_close` counts it out
            self._soon(self._close(session))
            if isinstance(fault, Lost):
                raise ConnectFailed(str(fault), delivered="no") from fault
            raise
        return session

    async def _puppet_version(self) -> str:
        """Raises `Refused` for a server without a puppet."""
        registry = await self._server.get("/api/v1/registry")
        for _, name, version in translate.listed(registry, ("local",)):
            if name == self._options.puppet:
                return version
        raise Refused(
            f"the server has no agent '{self._options.puppet}' under whose name to speak; set includeDebugAgents "
            "in its [registry]", delivered="no",
        )  # fmt: skip

    async def ready(self, session: Session) -> None:
        """Returns when all its agents listen. Raises `TimedOut`, and `Refused` where one has left; and `Lost`."""
        watch = session.watch

        def there() -> bool:
            states = [watch.presence.get(name, "waiting") for name in session.members]
            if "stopped" in states:
                return True
            rested = monotonic() - watch.moved > GRACE
            return all(s == "listening" or (rested and s == "connected") for s in states)

        try:
            async with asyncio.timeout(self._options.start):
                await watch.until(there, LOOK)
        except TimeoutError as fault:
            away = [n for n in session.members if watch.presence.get(n) not in ("listening", "connected")]
            text = f"{', '.join(away)} did not join the session in {self._options.start:g} seconds"
            raise TimedOut(text, delivered="no") from fault
        self.require_present(session, delivered=False)

    def require_present(self, session: Session, *, delivered: bool = True) -> None:
        """Raises `Refused` where an agent has left."""
        if gone := [name for name in session.members if session.watch.presence.get(name) == "stopped"]:
            session.lost = True
            text = f"{', '.join(gone)} left the session without an answer"
            raise Refused(text, delivered="yes" if delivered else "no")

    # -- closing --------------------------------------------------------------------------------------------------

    async def _close_unborn(self, opening: "asyncio.Task[str]") -> None:
        with suppress(GatewayError, Lost):
            await self._server.close(self._options.namespace, await opening)

    async def _close(self, session: Session) -> None:
        self.open -= 1
        session.lost = True
        await session.watch.stop()
        try:
            await self._server.close(self._options.namespace, session.id)
        except Lost:
            return
        except GatewayError as fault:
            said = {"session": session.id, "said": fault.public, "detail": fault.detail}
            self._host.log.info("a session was not closed; it ends by its time to live", **said)

    def _soon(self, closing: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(closing, name="coral closes")
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """While it is open, conversations that rest are closed in time; at its end, all are."""
        reaper = asyncio.create_task(self._reap(), name="coral reaps")
        try:
            yield
        finally:
            reaper.cancel()
            for slot in list(self._slots.values()):
                if slot.session is not None:
                    self._soon(self._close(slot.session))
                    slot.session = None
            self._slots.clear()
            if self._closing:
                await asyncio.wait(self._closing, timeout=CLOSING)
            await asyncio.gather(reaper, return_exceptions=True)

    async def _reap(self) -> None:
        while True:
            await asyncio.sleep(min(30.0, self._options.idle / 4))
            old = monotonic() - self._options.idle
            for key, slot in list(self._slots.items()):
                if slot.session is not None and not slot.waiting and slot.session.used < old:
                    session, slot.session = slot.session, None
                    del self._slots[key]
                    await self._close(session)
