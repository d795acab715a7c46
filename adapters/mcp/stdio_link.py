"""An MCP server as a child process: JSON lines on its standard input and output, its standard error in our log."""

import asyncio
import os
import signal
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import orjson

from adapters.errors import Broken, ConnectFailed
from adapters.mcp.rpc import EVENT_LIMIT, Message, NotDelivered, is_response, parse
from adapters.spi import Host

INHERITED = ("PATH", "HOME", "USER", "LANG", "LC_ALL", "TMPDIR", "TZ", "SHELL", "TERM", "NODE_EXTRA_CA_CERTS")
"""All that a child gets of our environment; the rest may hold secrets of others."""
WAITING = 1000
"""Messages that may wait for one call; a flood beyond is dropped, since the response decides."""
GRACE = 2.0
"""Seconds for each step of ending a child: its input closed, SIGTERM, SIGKILL."""
TAIL = 20
SHORT = 10.0
"""Seconds; a child that ends sooner was short-lived, and the next one of a row of those waits longer each time."""


class _Exits(asyncio.subprocess.SubprocessStreamProtocol):
    """Says that the child has ended, also while its own children hold its pipes."""

    def __init__(self) -> None:
        super().__init__(limit=EVENT_LIMIT, loop=asyncio.get_running_loop())
        self.exited = asyncio.Event()

    def process_exited(self) -> None:
        super().process_exited()
        self.exited.set()


@dataclass(slots=True)
class _Life:
    """One child that was started. `over`: nothing more is heard of it."""

    process: asyncio.subprocess.Process
    transport: asyncio.SubprocessTransport
    exited: asyncio.Event
    over: bool = False
    tasks: list[asyncio.Task[None]] = field(default_factory=list[asyncio.Task[None]])
    began: float = field(default_factory=time.monotonic)


@dataclass(frozen=True, slots=True)
class Child:
    """What is started, and with what. `env` is added to a few harmless variables of ours."""

    name: str
    command: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    cwd: str | None = None


class StdioLink:
    """`adapters.mcp.rpc.Link`."""

    def __init__(self, child: Child, host: Host) -> None:
        self._child = child
        self._host = host
        self._life: _Life | None = None
        self._began = -SHORT
        self._short = 0
        self._open: dict[Any, asyncio.Queue[Message | Exception]] = {}
        self._writing = asyncio.Lock()
        self.version = ""
        self.hears = True
        self.hangs_up = False
        self.unasked: Callable[[Message], None] = lambda _: None
        self.ended: Callable[[], None] = lambda: None
        """Called when the child ends by itself."""
        self.tail: deque[str] = deque(maxlen=TAIL)
        """The last lines of its standard error, for the operator."""

    async def open(self) -> None:
        self.version = ""
        await asyncio.sleep(self._pause())
        self._life = life = await self._start()
        life.tasks = [
            asyncio.create_task(self._read(life), name=f"mcp child {self._child.name}"),
            asyncio.create_task(self._log(life.process), name=f"mcp log {self._child.name}"),
            asyncio.create_task(_bury(life), name=f"mcp end {self._child.name}"),
        ]

    def _pause(self) -> float:
        """Seconds before the next start: none, unless several in a row lived shortly."""
        now = time.monotonic()
        self._short = self._short + 1 if now - self._began < SHORT else 0
        return min(0.1 * 2**self._short, 30) if self._short > 1 else 0

    async def _start(self) -> _Life:
        environment = {k: v for k in INHERITED if (v := os.environ.get(k))} | dict(self._child.env)
        loop = asyncio.get_running_loop()
        pipe = asyncio.subprocess.PIPE
        try:
            transport, exits = await loop.subprocess_exec(
                _Exits, *self._child.command, stdin=pipe, stdout=pipe, stderr=pipe, env=environment,
                cwd=self._child.cwd, start_new_session=True,
            )  # fmt: skip
        except (OSError, ValueError) as fault:
            said = getattr(fault, "strerror", None) or str(fault)
            what = getattr(fault, "filename", None) or self._child.command[0]
            raise ConnectFailed(f"'{self._child.name}' cannot be started: {what}: {said}", delivered="no") from fault
        finally:
            self._began = time.monotonic()
        return _Life(asyncio.subprocess.Process(transport, exits, loop), transport, exits.exited)

    def begin(self) -> None: ...

    async def request(self, message: Message) -> AsyncGenerator[Message, None]:
        message.pop("headers", None)
        id = message["id"]
        queue: asyncio.Queue[Message | Exception] = asyncio.Queue()
        self._open[id] = queue
        try:
            await self._write(message)
            while True:
                found = await queue.get()
                if isinstance(found, Exception):
                    raise found
                yield found
                if is_response(found):
                    return
        finally:
            self._open.pop(id, None)

    async def _write(self, message: Message) -> None:
        life = self._life
        if life is None or life.over or life.process.returncode is not None:
            raise NotDelivered("the child has ended")
        process = life.process
        if process.stdin is None or process.stdin.is_closing():
            raise NotDelivered("the child's input is closed")
        async with self._writing:
            try:
                process.stdin.write(orjson.dumps(message) + b"\n")
                await process.stdin.drain()
            except (BrokenPipeError, ConnectionResetError) as fault:
                raise NotDelivered("the child's input is closed") from fault

    async def tell(self, message: Message) -> None:
        with suppress(NotDelivered):
            await self._write(message)

    # -- the child's words ----------------------------------------------------------------------------------------

    async def _read(self, life: _Life) -> None:
        process = life.process
        fault: Exception = ConnectFailed(f"'{self._child.name}' ended in the middle of the call")
        try:
            assert process.stdout is not None
            async for line in process.stdout:
                if line.strip():
                    self._heard(line)
        except ValueError:
            fault = Broken(f"'{self._child.name}' sent a line of more than {EVENT_LIMIT >> 20} MB")
            _signal(process, signal.SIGKILL)
        finally:
            life.over = True
            for queue in list(self._open.values()):
                queue.put_nowait(fault)
        if self._life is life:
            self.ended()

    def _heard(self, line: bytes) -> None:
        try:
            message = parse(line, self._child.name)
        except Broken:
            self._host.log.info("child prints what is no message", upstream=self._child.name, said=_shown(line))
            return
        queue = self._of(message)
        if queue is None:
            self.unasked(message)
        elif is_response(message) or queue.qsize() < WAITING:
            queue.put_nowait(message)

    def _of(self, message: Message) -> "asyncio.Queue[Message | Exception] | None":
        """The request to which a message says that it belongs."""
        id: Any = None
        params = message.get("params")
        if is_response(message):
            id = message.get("id")
        elif message.get("method") == "notifications/progress" and isinstance(params, dict):
            id = params.get("progressToken")
        return self._open.get(id) if type(id) is int else None

    async def _log(self, process: asyncio.subprocess.Process) -> None:
        assert process.stderr is not None
        while not process.stderr.at_eof():
            with suppress(ValueError):  # a line that is too long is left out
                line = await process.stderr.readline()
                if line:
                    self.tail.append(_shown(line))
                    self._host.log.info("child", upstream=self._child.name, said=self.tail[-1])

    async def close(self) -> None:
        """To the end, also where who closes is cancelled: then at once."""
        life, self._life = self._life, None
        if life is None:
            return
        ending = asyncio.create_task(_end(life), name=f"mcp close {self._child.name}")
        try:
            await asyncio.shield(ending)
        except asyncio.CancelledError:
            _signal(life.process, signal.SIGKILL)
            await ending
            raise


async def _bury(life: _Life) -> None:
    """Ends what the child has started itself, which might hold its pipes for ever."""
    await life.exited.wait()
    _signal(life.process, signal.SIGKILL)


async def _end(life: _Life) -> None:
    if life.process.stdin is not None:
        life.process.stdin.close()
    for number in (None, signal.SIGTERM, signal.SIGKILL):
        if number is not None:
            _signal(life.process, number)
        with suppress(TimeoutError):
            await asyncio.wait_for(life.exited.wait(), GRACE)
            break
    _signal(life.process, signal.SIGKILL)
    if life.tasks:
        await asyncio.wait(life.tasks, timeout=0.5)  # its last words
        for task in life.tasks:
            task.cancel()
        await asyncio.gather(*life.tasks, return_exceptions=True)
    life.transport.close()
    with suppress(TimeoutError):
        await asyncio.wait_for(life.process.wait(), GRACE)


def _signal(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    """To the child and all that it started."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def _shown(line: bytes) -> str:
    text = line[:500].decode("utf-8", "replace").strip()
    return "".join(c if c.isprintable() else " " for c in text)
