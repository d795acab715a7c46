"""What is heard of one session: its events over a WebSocket, and its state by asking, where no event comes.

Events are previews: what was said before the socket was open, or while it was broken, is in the state alone. So each
message is known by its id, whichever way it came, and none is lost or told twice.
"""

import asyncio
import logging
from collections.abc import Callable
from time import monotonic
from typing import Any

import orjson
import structlog
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from adapters.coral import translate
from adapters.coral.server import Server
from adapters.coral.translate import Message
from adapters.errors import Broken, ConnectFailed, TimedOut
from adapters.wire import LIMIT

OPENING = 3.0
"""Seconds for the socket; without it, the state is asked for."""
LIVE, QUIET = 10.0, (0.2, 2.0)
"""Seconds after which the state is asked for: with the socket, and without it from the first to the last."""
AWAY = 3.0
"""Seconds for which a server may be away in the middle of a call."""
SILENT = logging.getLogger("adapters.coral.silent")
"""The socket's own log would hold the key: it is in the URL."""
SILENT.addHandler(logging.NullHandler())
SILENT.propagate = False
PRESENCE = {
    "runtime_started": "running", "runtime_stopped": "stopped", "agent_connected": "connected",
    "agent_wait_start": "listening", "agent_wait_stop": "connected",
}  # fmt: skip


class _Socket(connect):
    """Goes where it was told, and nowhere else."""

    def process_redirect(self, exc: Exception) -> Exception:
        return exc


class Watch:
    """One session. `heard` holds the messages of each thread, in their order."""

    def __init__(self, server: Server, namespace: str, session: str) -> None:
        self._server = server
        self._place = (namespace, session)
        self.presence: dict[str, str] = {}
        self.moved = monotonic()
        """When the presence of anybody changed."""
        self.heard: dict[str, dict[str, Message]] = {}
        self.closed: set[str] = set()
        self._news = asyncio.Event()
        self._opened = asyncio.Event()
        self._live = False
        self._pause = QUIET[0]
        self._away: float | None = None
        self._task = asyncio.create_task(self._listen(), name="coral events")

    async def opened(self) -> None:
        """Once events come; or without them, after a while."""
        try:
            async with asyncio.timeout(OPENING):
                await self._opened.wait()
        except TimeoutError:
            structlog.get_logger().info("the events of a session are not to be had; its state is asked for")

    async def stop(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    # -- events ---------------------------------------------------------------------------------------------------

    async def _listen(self) -> None:
        wait = QUIET[0]
        while True:
            try:
                async with _Socket(
                    self._server.events(*self._place), proxy=None, compression=None, max_size=LIMIT, logger=SILENT,
                    close_timeout=1, open_timeout=OPENING,
                ) as socket:  # fmt: skip
                    self._live, wait = True, QUIET[0]
                    self._opened.set()
                    async for frame in socket:
                        self._take(frame)
            except (OSError, WebSocketException, TimeoutError):
                pass
            finally:
                self._live, self._pause = False, QUIET[0]
                self._news.set()
            await asyncio.sleep(wait)
            wait = min(2 * wait, LIVE)

    def _take(self, frame: str | bytes) -> None:
        """What cannot be read is left out: the state is asked for in time."""
        try:
            event: Any = orjson.loads(frame)
            kind = str(event["type"])
            if kind == "thread_message_sent":
                self._hear(translate.message(event["message"]))
            elif kind == "thread_closed":
                self.closed.add(str(event["threadId"]))
            elif kind in PRESENCE:
                self._move(str(event["name"]), PRESENCE[kind])
        except (orjson.JSONDecodeError, KeyError, TypeError, Broken):
            return
        self._news.set()

    def _hear(self, message: Message) -> None:
        self.heard.setdefault(message.thread, {}).setdefault(message.id, message)

    def _move(self, name: str, presence: str) -> None:
        if self.presence.get(name) != presence:
            self.presence[name] = presence
            self.moved = monotonic()

    # -- the state ------------------------------------------------------------------------------------------------

    async def poll(self, thread: str = "") -> None:
        """Asks for the state. Raises `Lost`; `ConnectFailed` only for a server that is away for long."""
        try:
            state = await self._server.state(*self._place)
        except (ConnectFailed, TimedOut) as fault:
            self._away = self._away or monotonic()
            if monotonic() - self._away > AWAY:
                raise ConnectFailed("the Coral server went away", detail=fault.detail) from fault
            return
        self._away = None
        for name, presence in translate.presences(state).items():
            self._move(name, presence)
        if thread:
            self._learn(thread, translate.messages(state, thread))

    def _learn(self, thread: str, said: list[Message] | None) -> None:
        if said is None:
            self.closed.add(thread)
            return
        whole = {message.id: message for message in said}
        before = self.heard.get(thread, {})
        self.heard[thread] = whole | {id: message for id, message in before.items() if id not in whole}

    # -- waiting --------------------------------------------------------------------------------------------------

    async def news(self, thread: str = "") -> None:
        """Returns when something happened, or the state was asked for. Raises as `poll`."""
        if not self._news.is_set():
            try:
                async with asyncio.timeout(LIVE if self._live else self._pause):
                    await self._news.wait()
            except TimeoutError:
                self._pause = min(2 * self._pause, QUIET[1])
                await self.poll(thread)
        self._news.clear()

    async def until(self, holds: Callable[[], bool], every: float) -> None:
        """Returns when it holds; looked at when something happened, and every so many seconds. Raises as `poll`."""
        while not holds():
            try:
                async with asyncio.timeout(every):
                    await self._news.wait()
            except TimeoutError:
                await self.poll()
            self._news.clear()
