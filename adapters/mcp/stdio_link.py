"""An MCP server as a child process: JSON lines on its standard input and output, its standard error in our log."""

import asyncio
import os
import signal
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
        self._process: asyncio.subprocess.Process | None = None
        self._tasks: list[asyncio.Task[None]] = []
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
        environment = {k: v for k in INHERITED if (v := os.environ.get(k))} | dict(self._child.env)
        self.version = ""
        try:
            self._process = await asyncio.create_subprocess_exec(
                *self._child.command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE, env=environment, cwd=self._child.cwd, limit=EVENT_LIMIT,
                start_new_session=True,
            )  # fmt: skip
        except (OSError, ValueError) as fault:
            said = getattr(fault, "strerror", None) or str(fault)
            command = self._child.command[0]
            raise ConnectFailed(f"'{self._child.name}' cannot be started: {command}: {said}", delivered="no") from fault
        self._tasks = [
            asyncio.create_task(self._read(self._process), name=f"mcp child {self._child.name}"),
            asyncio.create_task(self._log(self._process), name=f"mcp log {self._child.name}"),
        ]

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
        process = self._process
        if process is None or process.returncode is not None or process.stdin is None or process.stdin.is_closing():
            raise NotDelivered("the child has ended")
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

    async def _read(self, process: asyncio.subprocess.Process) -> None:
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
            for queue in list(self._open.values()):
                queue.put_nowait(fault)
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
        if is_response(message):
            return self._open.get(message.get("id"))
        params = message.get("params")
        if message.get("method") == "notifications/progress" and isinstance(params, dict):
            return self._open.get(params.get("progressToken"))
        return None

    async def _log(self, process: asyncio.subprocess.Process) -> None:
        assert process.stderr is not None
        with suppress(ValueError):
            async for line in process.stderr:
                self.tail.append(_shown(line))
                self._host.log.info("child", upstream=self._child.name, said=self.tail[-1])

    async def close(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        for number in (None, signal.SIGTERM, signal.SIGKILL):
            if number is not None:
                _signal(process, number)
            with suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), GRACE)
                break
        _signal(process, signal.SIGKILL)  # what it has started itself
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._tasks = []


def _signal(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    """To the child and all that it started."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def _shown(line: bytes) -> str:
    text = line[:500].decode("utf-8", "replace").strip()
    return "".join(c if c.isprintable() else " " for c in text)
