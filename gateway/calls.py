"""Calls that are running or kept. A call is a task that the gateway owns; a stream is a subscription to it."""

import asyncio
import time
import uuid
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Coroutine
from hashlib import sha256
from typing import Any, Literal

import orjson

from adapters.errors import BadArguments, Cancelled, Conflict, Full, Unknown
from adapters.spi import LAST, Ask, Call, Caller, CallRecord, Error, Event, File, Part, Progress, Result, Text
from gateway.settings import CallSettings

KEPT_BYTES = 64 * 2**20
PREVIEWS = 10_000
"""Progress and parts kept of one call; further ones are dropped, since the result decides."""


def new_id() -> str:
    """An id for a call whose caller gave none."""
    return uuid.uuid4().hex


class Running:
    """One call, its events so far, and whoever listens."""

    __slots__ = (
        "arguments_bytes", "call", "counted", "detached", "digest", "ended", "events", "listeners", "root", "size",
        "started", "target", "task", "waiter",
    )  # fmt: skip

    def __init__(self, call: Call, digest: str, arguments_bytes: int) -> None:
        self.call = call
        self.digest = digest
        self.arguments_bytes = arguments_bytes
        self.root = call.id
        self.target = ""
        self.events: list[Event] = []
        self.size = arguments_bytes
        self.listeners = 0
        self.counted = False
        """Whether the limits count it among those that run."""
        self.detached = call.detached
        self.started = time.time()
        self.ended: float | None = None
        self.task: asyncio.Task[None] | None = None
        self.waiter: asyncio.Future[None] | None = None

    def add(self, event: Event) -> None:
        """Keeps the event and wakes the listeners."""
        if isinstance(event, Progress | Part) and len(self.events) >= PREVIEWS:
            return
        self.events.append(event)
        self.size += weight(event)
        if isinstance(event, LAST):
            self.ended = time.time()
        waiter, self.waiter = self.waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    async def follow(self) -> AsyncGenerator[Event, None]:
        """All events, from the first to the last."""
        seen = 0
        while True:
            while seen < len(self.events):
                event = self.events[seen]
                seen += 1
                yield event
                if isinstance(event, LAST):
                    return
            await self.more()

    async def more(self) -> None:
        """Waits for the next event. A waiter is shared by all who listen: one that is cancelled leaves it."""
        if self.waiter is None:
            self.waiter = asyncio.get_running_loop().create_future()
        await asyncio.shield(self.waiter)

    @property
    def state(self) -> Literal["working", "asking", "done", "failed"]:
        last = self.events[-1] if self.events else None
        if isinstance(last, Result):
            return "done"
        if isinstance(last, Ask):
            return "asking"
        return "failed" if isinstance(last, LAST) else "working"

    def record(self) -> CallRecord:
        return CallRecord(self.call, self.state, tuple(self.events), self.started, self.ended)


class CallTable:
    """All calls of this process (`adapters.spi.Calls`)."""

    def __init__(self, settings: CallSettings) -> None:
        self._settings = settings
        self._calls: OrderedDict[tuple[str, str], Running] = OrderedDict()
        self._by_id: dict[str, Running] = {}
        self._children: OrderedDict[str, int] = OrderedDict()
        self._bytes = 0

    # -- running --------------------------------------------------------------------------------------------------

    def begin(self, call: Call, drive: Callable[[Running], Coroutine[Any, Any, None]]) -> Running:
        """The call under this caller's id: the one that is there already, or a new one whose task is started.

        Raises `Conflict` if the id was used for another call, `BadArguments` for an id that is not one.
        """
        if not 0 < len(call.id) <= 128 or not call.id.isprintable():
            raise BadArguments("a call's id is 1 to 128 printable characters")
        try:
            said = [call.tool, call.method, dict(call.arguments)]
            body = orjson.dumps(said, default=str, option=orjson.OPT_SORT_KEYS)
        except TypeError as fault:
            raise BadArguments(f"the arguments cannot be written as JSON: {fault}") from fault
        answer = "" if call.answer is None else call.answer.token
        digest = sha256(body + answer.encode()).hexdigest()
        key = (call.caller.id, call.id)
        known = self._calls.get(key)
        if known is not None:
            if known.digest != digest:
                raise Conflict(f"the id '{call.id}' was used for another call; take a new one")
            return known
        running = Running(call, digest, len(body))
        self._make_room()
        self._calls[key] = running
        self._by_id.setdefault(call.id, running)
        running.task = asyncio.get_running_loop().create_task(drive(running), name=f"call {call.id}")
        running.task.add_done_callback(lambda _: self._ended(running))
        return running

    def _ended(self, running: Running) -> None:
        if running.ended is None:
            running.add(_never_began())
        self._bytes += running.size
        running.task = None  # a kept call is kept without what ran it

    async def subscribe(self, running: Running) -> AsyncGenerator[Event, None]:
        """The events; hanging up cancels the call unless it was detached or somebody else still listens."""
        running.listeners += 1
        seen = 0
        try:
            while True:
                while seen < len(running.events):
                    event = running.events[seen]
                    seen += 1
                    yield event
                    if isinstance(event, LAST):
                        return
                await running.more()
        finally:
            running.listeners -= 1
            if running.ended is None and not running.detached and running.listeners == 0 and running.task:
                running.task.cancel()

    def _make_room(self) -> None:
        """Drops ended calls that are too old or too many; running ones stay."""
        oldest = time.time() - self._settings.keep
        while self._calls:
            key, first = next(iter(self._calls.items()))
            if first.ended is None:
                if len(self._calls) < 2 * self._settings.keep_count:
                    self._calls.move_to_end(key)
                    if all(r.ended is None for r in list(self._calls.values())[:8]):
                        break
                    continue
                raise Full("too many calls are running", retry_after=1)
            if first.ended > oldest and len(self._calls) < self._settings.keep_count and self._bytes < KEPT_BYTES:
                break
            self._forget(key, first)

    def _forget(self, key: tuple[str, str], running: Running) -> None:
        del self._calls[key]
        self._bytes -= running.size
        if self._by_id.get(running.call.id) is running:
            del self._by_id[running.call.id]

    # -- chains ---------------------------------------------------------------------------------------------------

    def parent(self, call: Call) -> Running | None:
        """The running call that caused this one: named by the caller, else inferred from the agent's own key."""
        if call.parent:
            for_whom = call.caller.on_behalf_of  # ids are each caller's own: another's call of that id is no parent
            found = self._calls.get((for_whom.id, call.parent)) if for_whom else self._by_id.get(call.parent)
            return found if found is not None and found.ended is None else None
        if not call.caller.agent:
            return None
        running = [r for r in self._by_id.values() if r.ended is None and r.target == call.caller.agent]
        same = [r for r in running if call.conversation and r.call.conversation == call.conversation]
        return same[-1] if same else (running[0] if len(running) == 1 else None)

    def count_descendant(self, root: str) -> int:
        """How many calls the root has caused, this one included."""
        count = self._children.pop(root, 0) + 1
        self._children[root] = count
        if len(self._children) > self._settings.keep_count:
            self._children.popitem(last=False)
        return count

    # -- reading (adapters.spi.Calls) -----------------------------------------------------------------------------

    def find(self, id: str, caller: Caller) -> Running:
        """Raises `Unknown` for ids that are gone, or another's."""
        running = self._calls.get((caller.id, id))
        if running is None:
            raise Unknown(f"no call '{id}' of yours is kept; calls are kept for {self._settings.keep:g} seconds")
        return running

    def get(self, id: str, caller: Caller) -> CallRecord:
        return self.find(id, caller).record()

    def follow(self, id: str, caller: Caller) -> AsyncGenerator[Event, None]:
        return self.find(id, caller).follow()

    async def cancel(self, id: str, caller: Caller) -> CallRecord:
        running = self.find(id, caller)
        if running.ended is None and running.task:
            running.task.cancel()
            await asyncio.wait({running.task}, timeout=5)
        return running.record()

    def detach(self, id: str, caller: Caller) -> CallRecord:
        running = self.find(id, caller)
        running.detached = True
        return running.record()

    def running(self) -> list[Running]:
        return [r for r in self._calls.values() if r.ended is None]

    async def drain(self, seconds: float) -> int:
        """Waits for running calls, then cancels what is left; how many that were."""
        tasks = {r.task for r in self.running() if r.task}
        if not tasks:
            return 0
        _, left = await asyncio.wait(tasks, timeout=seconds)
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left, timeout=5)
        return len(left)


def _never_began() -> Error:
    return Error(Cancelled("the call was cancelled before it began", delivered="no"))


def weight(event: Event) -> int:
    """Roughly the bytes that the event holds."""
    match event:
        case Result():
            return 64 + len(event.raw or b"") + sum(_content(c) for c in event.content)
        case Part():
            return 64 + _content(event.content)
        case _:
            return 64


def _content(content: object) -> int:
    match content:
        case Text():
            return len(content.text)
        case File():
            return len(content.body or b"")
        case _:
            return 256
