"""An agent of ours in a Coral session: it waits for mentions, has them answered, and says the answers in their threads.

A wait only wakes. What was said is in the resource `coral://state`, thread by thread: the wait gives the first message
that fits, in the order of threads and not of time, from a whole millisecond on, so that it alone would lose what was
said meanwhile or in the same millisecond. A thread only grows at its end: by its place in it a message is known.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2
from mcp.client.client import Client
from mcp.client.sse import sse_client

from adapters.coral import translate
from adapters.coral.translate import Thread
from adapters.errors import Broken, ConnectFailed

WAIT = 5000
"""Milliseconds of one wait; after each, the state is read."""
SETTLED = 0.002
"""Seconds after which nothing more is said in a millisecond that has passed."""
BACK = 1000
"""Milliseconds before the newest message, from which on waits begin at the earliest."""
AT_ONCE = 64
"""Mentions that are answered at once."""
TURNS = 200
"""Answers in one thread: two agents that thank each other end there."""
READ = 30.0
"""Seconds for an answer of the server's: over SSE, one that is lost is never told."""
AWAY = (0.5, 60.0)
"""Seconds between tries to reach the server again, and after which it is given up."""


@dataclass(frozen=True, slots=True)
class Mention:
    """What was said to us, by whom and where; `among`: who else spoke or was spoken to there."""

    thread: str
    sender: str
    text: str
    among: tuple[str, ...] = ()


Answerer = Callable[[Mention], Awaitable[str]]


class Over(Exception):
    """The session is over: its server does not know our secret any more."""


def _others(thread: Thread, known: set[str]) -> tuple[str, ...]:
    """All who take part in the thread, but these."""
    spoke = {sender for sender, _, _ in thread.messages}
    return tuple(sorted(spoke.union(*(names for _, _, names in thread.messages)) - known))


@dataclass(slots=True)
class Ledger:
    """Which mentions were seen, thread by thread. Pure."""

    name: str
    places: dict[str, int] = field(default_factory=dict[str, int])

    def new(self, threads: list[Thread]) -> list[Mention]:
        """Those that were not seen before, each once, in the order of each thread.

        In a thread that is new to us, what we answered before is left out: for each sender, so many of its mentions as
        we mentioned it in turn. So a process that is started again does not answer twice.
        """
        found: list[Mention] = []
        for thread in threads:
            if not thread.open:
                continue
            first = self.places.get(thread.id)
            answered: Counter[str] = Counter()
            if first is None:
                answered.update(n for sender, _, names in thread.messages if sender == self.name for n in names)
            for sender, text, names in thread.messages[first or 0 :]:
                if self.name in names and answered[sender] > 0:
                    answered[sender] -= 1
                elif self.name in names:
                    found.append(Mention(thread.id, sender, text, _others(thread, {self.name, sender})))
            self.places[thread.id] = len(thread.messages)
        return found


class Joined:
    """One agent in one session, from its start to its end."""

    def __init__(self, url: str, name: str, answer: Answerer, log: Callable[[str], None]) -> None:
        self._url = url
        self._answer = answer
        self._log = log
        self._ledger = Ledger(name)
        self._since = 0
        self._queues: dict[str, asyncio.Queue[Mention]] = {}
        self._workers: dict[str, asyncio.Task[None]] = {}
        self._turns: Counter[str] = Counter()
        self._gate = asyncio.Semaphore(AT_ONCE)
        self._client: Client | None = None
        self._there = asyncio.Event()

    async def run(self) -> None:
        """Until the session is over. Raises `ConnectFailed` for a server that is away for too long."""
        try:
            while True:
                try:
                    await self._connected()
                except Over:
                    return
        finally:
            for worker in self._workers.values():
                worker.cancel()
            await asyncio.gather(*self._workers.values(), return_exceptions=True)

    async def _connected(self) -> None:
        """One connection, until it breaks. Raises `Over`, and `ConnectFailed` in the end."""
        await self._reach()
        (broken,) = await asyncio.gather(self._joined(), return_exceptions=True)  # `_reach` finds out what is there now
        self._log(f"the connection broke: {_cause(broken)}")

    async def _joined(self) -> None:
        """Ends with whatever broke it."""
        try:
            async with self._open() as client:
                self._client = client
                self._there.set()
                self._log("joined")
                await self._listen(client)
        finally:
            self._there.clear()
            self._client = None

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[Client]:
        server: Any = sse_client(self._url) if self._url.rstrip("/").endswith("/sse") else self._url
        async with Client(server, mode="legacy", read_timeout_seconds=READ) as client:
            yield client

    async def _reach(self) -> None:
        """Returns when the server is there and knows us. Raises `Over`, and `ConnectFailed` after a while."""
        wait, most = AWAY
        loop = asyncio.get_running_loop()
        ends = loop.time() + most
        async with httpx2.AsyncClient(timeout=10, trust_env=False) as http:
            while True:
                try:
                    async with http.stream("GET", self._url, headers={"accept": "text/event-stream"}) as response:
                        if response.status_code == 401:
                            raise Over
                        return
                except httpx2.TransportError as fault:
                    if loop.time() > ends:
                        raise ConnectFailed("the Coral server does not answer any more") from fault
                await asyncio.sleep(wait)

    # -- what is said to us ---------------------------------------------------------------------------------------

    async def _listen(self, client: Client) -> None:
        while True:
            await self._sweep(client)
            said = await client.call_tool(
                "coral_wait_for_mention", {"currentUnixTime": self._since, "maxWaitMs": WAIT},
                read_timeout_seconds=WAIT / 1000 + READ,
            )  # fmt: skip
            if said.is_error:
                raise Broken("the server refuses to wait")
            message = (said.structured_content or {}).get("message")
            if message:
                self._since = max(self._since, translate.milliseconds(message["timestamp"]) + 1)
                await asyncio.sleep(SETTLED)

    async def _sweep(self, client: Client) -> None:
        read = await client.read_resource("coral://state")
        threads = translate.threads("\n".join(str(getattr(part, "text", "")) for part in read.contents))
        self._since = max(self._since, max((thread.newest for thread in threads), default=0) - BACK)
        for mention in self._ledger.new(threads):
            self._take(mention)

    def _take(self, mention: Mention) -> None:
        """One after the other in a thread, and threads side by side."""
        self._queues.setdefault(mention.thread, asyncio.Queue()).put_nowait(mention)
        if mention.thread not in self._workers:
            worker = asyncio.create_task(self._work(mention.thread), name="coral thread")
            self._workers[mention.thread] = worker

    async def _work(self, thread: str) -> None:
        queue = self._queues[thread]
        while not queue.empty():
            async with self._gate:
                await self._one(queue.get_nowait())
        del self._queues[thread], self._workers[thread]

    async def _one(self, mention: Mention) -> None:
        self._turns[mention.thread] += 1
        if self._turns[mention.thread] > TURNS:
            self._log(f"thread {mention.thread} has {TURNS} answers; nothing more is said in it")
            return
        text = await self._answer(mention)
        while True:
            await self._there.wait()
            if await self._say(mention, text):
                return

    async def _say(self, mention: Mention, text: str) -> bool:
        """Whether it was said, or cannot be. A connection that breaks leaves it to the next one."""
        client = self._client
        if client is None:
            return False
        arguments = {"threadId": mention.thread, "content": text, "mentions": [mention.sender]}
        saying = client.call_tool("coral_send_message", arguments)
        (said,) = await asyncio.gather(saying, return_exceptions=True)
        if isinstance(said, BaseException):
            self._log(f"an answer waits for the next connection: {_cause(said)}")
            await asyncio.sleep(SETTLED)
            return False
        if said.is_error:
            self._log(f"an answer was refused: {_text(said)[:300]}")
        return True


def _text(said: Any) -> str:
    return " ".join(str(getattr(part, "text", "")) for part in said.content)


def _cause(fault: BaseException | None) -> str:
    """The innermost of a group; without the URL, which holds the secret."""
    while isinstance(fault, BaseExceptionGroup):
        fault = fault.exceptions[0]
    return type(fault).__name__
