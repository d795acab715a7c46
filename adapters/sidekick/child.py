"""One child: a process in a group of its own that runs one framework, JSON lines on its input and output."""

import asyncio
import itertools
import os
import secrets
import signal
import time
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from adapters.errors import Broken, ConnectFailed
from adapters.sidekick.frameworks import RUNNER
from adapters.spi import Host

INHERITED = ("PATH", "LANG", "LC_ALL", "TMPDIR", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR", "NO_PROXY")
"""All that a child gets of our environment; the rest may hold secrets. Keys of models come with each run."""
LINE = 64 * 2**20
START = 120.0
"""Seconds in which a child must have imported its framework; a cold disk is slow."""
GRACE = 2.0
"""Seconds in which a run that is cancelled must have stopped, and a child that is asked to end."""
PING = 10.0
"""Seconds in which a child that does nothing must answer."""
ACK = 16
"""Events after which the child is told that they were read."""
TAIL = 20

Message = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Wanted:
    """A tool that a run wants called. `key`: the same for the same step of a run that was resumed; `tell` puts a
    message among the run's events."""

    name: str
    arguments: Message
    key: str
    tell: Callable[[Message], None]


CallTool = Callable[[Wanted], Awaitable[Message]]
"""To `{"text", "ok"}`. What it raises ends the run."""


@dataclass(frozen=True, slots=True)
class Starting:
    """What a child is started with."""

    name: str
    python: Path
    backend: Path
    home: Path
    memory: int
    stops: bool
    env: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)


class _Run:
    """One run of a child's, as the gateway sees it."""

    def __init__(self, call_tool: CallTool) -> None:
        self.id = secrets.token_hex(8)
        self.token = secrets.token_hex(16)
        """Known to this run alone: what comes with it was said by this run."""
        self.call_tool = call_tool
        self.heard: asyncio.Queue[Message | Exception] = asyncio.Queue()
        self.ended = asyncio.Event()
        self.tools: set[asyncio.Task[None]] = set()

    def answered(self, task: "asyncio.Task[None]") -> None:
        """A tool has answered; what it raised is raised where the run is read."""
        self.tools.discard(task)
        if not task.cancelled() and isinstance(fault := task.exception(), Exception):
            self.heard.put_nowait(fault)


class Child:
    """Starts with `open`; carries out runs until it is closed, killed, or dies."""

    def __init__(self, starting: Starting, host: Host) -> None:
        self.starting = starting
        self._host = host
        self._ids = itertools.count(1)
        self._runs: dict[int, _Run] = {}
        self._tokens: dict[str, _Run] = {}
        self._pings: dict[int, asyncio.Future[None]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._process: asyncio.subprocess.Process | None = None
        self.busy = 0
        """Runs that were promised to it; whoever takes the child counts."""
        self.idle_since = time.monotonic()
        self.versions: dict[str, str] = {}
        self.why = ""
        """Why it was killed, if we did it."""
        self.tail: deque[str] = deque(maxlen=TAIL)
        self.gone: Callable[[Child], None] = lambda _: None
        self.freed: Callable[[], None] = lambda: None
        """Called when it is gone, and when a run that was cancelled has stopped."""

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.returncode is None and not self.why

    @property
    def pid(self) -> int:
        return self._process.pid if self._process else 0

    @property
    def rss(self) -> float:
        """Megabytes in memory, of the process itself."""
        with suppress(OSError, StopIteration):
            status = Path(f"/proc/{self.pid}/status").read_text().splitlines()
            return int(next(line for line in status if line.startswith("VmRSS")).split()[1]) / 1024
        return 0.0

    async def open(self) -> None:
        """Returns when its framework is imported. Raises `ConnectFailed`, delivered "no"."""
        said = self.starting
        said.home.mkdir(parents=True, exist_ok=True)
        env = {k: v for k in INHERITED if (v := os.environ.get(k))} | {"HOME": str(said.home), **said.env}
        try:
            self._process = await asyncio.create_subprocess_exec(
                said.python, "-I", RUNNER, said.backend, str(said.memory), stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env=env, cwd=said.home,
                start_new_session=True, limit=LINE,
            )  # fmt: skip
        except OSError as fault:
            text = f"the runner of '{said.name}' cannot be started: {fault.strerror}"
            raise ConnectFailed(text, delivered="no") from fault
        ready: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._tasks = [
            asyncio.create_task(self._read(ready), name=f"runner {said.name}"),
            asyncio.create_task(self._log(), name=f"runner log {said.name}"),
        ]
        try:
            async with asyncio.timeout(START):
                self.versions = dict((await ready).get("versions", {}))
        except TimeoutError as fault:
            self.kill("it did not start in time")
            text = f"the runner of '{said.name}' did not start within {START:g} seconds"
            raise ConnectFailed(text, delivered="no") from fault
        except BaseException:
            self.kill("it did not start")
            raise

    # -- runs -----------------------------------------------------------------------------------------------------

    async def run(self, order: Message, call_tool: CallTool) -> AsyncGenerator[Message, None]:
        """The run's events, its result last (the one with a `status`). Closing it cancels the run.

        Raises `ConnectFailed` where the child ends before the run does.
        """
        run, id = _Run(call_tool), next(self._ids)
        if not self.alive:
            raise ConnectFailed(self._end(), delivered="no")
        self._runs[id] = self._tokens[run.token] = run
        read = 0
        try:
            params = {"run": run.id, "token": run.token, "order": order}
            await self._send({"id": id, "method": "run", "params": params})
            while True:
                message = await run.heard.get()
                if isinstance(message, Exception):
                    if read == 0 and isinstance(message, ConnectFailed):
                        message = ConnectFailed(message.public, delivered="no")  # its first word is that it begins
                    raise message
                yield message
                if "status" in message:
                    return
                read += "seq" in message
                if "seq" in message and read % ACK == 0:
                    await self._send({"method": "ack", "params": {"run": run.id, "n": ACK}})
        finally:
            self._tokens.pop(run.token, None)
            for task in run.tools:
                task.cancel()
            if not run.ended.is_set() and self.alive:
                self._cancel(run)
                self._tasks.append(asyncio.create_task(self._stopped(id, run), name=f"runner stop {run.id}"))
            else:
                self._runs.pop(id, None)

    def _cancel(self, run: _Run) -> None:
        """At once, in the same turn of the loop: what asks a model must not ask it once more."""
        if not self.starting.stops:
            self.kill("its run was cancelled, and the framework does not stop by itself")
            return
        self._write({"method": "cancel", "params": {"run": run.id}})

    async def _stopped(self, id: int, run: _Run) -> None:
        """Kills the child whose run does not stop."""
        try:
            async with asyncio.timeout(GRACE):
                await run.ended.wait()
        except TimeoutError:
            self.kill(f"a cancelled run went on for {GRACE:g} seconds")
        self._runs.pop(id, None)
        self.freed()
        self._tasks = [task for task in self._tasks if not task.done() and task is not asyncio.current_task()]

    @property
    def stopping(self) -> int:
        """Runs that were cancelled and have not stopped yet."""
        return len(self._runs) - len(self._tokens)

    def _write(self, message: Message) -> None:
        process = self._process
        if process is not None and process.stdin is not None and not process.stdin.is_closing():
            process.stdin.write(orjson.dumps({"jsonrpc": "2.0", **message}) + b"\n")

    async def _send(self, message: Message) -> None:
        self._write(message)
        with suppress(ConnectionError):
            if self._process is not None and self._process.stdin is not None:
                await self._process.stdin.drain()

    # -- what the child says --------------------------------------------------------------------------------------

    async def _read(self, ready: "asyncio.Future[Message]") -> None:
        process = self._process
        assert process is not None
        assert process.stdout is not None
        try:
            async for line in process.stdout:
                self._heard(_message(line), ready)
        except (ValueError, KeyError):
            self.kill("it broke the protocol")
        code = await process.wait()
        fault = Broken(self._end(code)) if self.why == "it broke the protocol" else ConnectFailed(self._end(code))
        for run in self._runs.values():
            run.ended.set()
            run.heard.put_nowait(fault)
        for ping in self._pings.values():
            ping.cancel()
        if not ready.done():
            ready.set_exception(ConnectFailed(self._end(code), detail="\n".join(self.tail), delivered="no"))
        self._kill()  # what it has started itself
        self.gone(self)

    def _end(self, code: int | None = None) -> str:
        name = self.starting.name
        if self.why:
            return f"the runner of '{name}' was ended: {self.why}"
        if code is not None and code < 0:
            return f"the runner of '{name}' was killed ({signal.Signals(-code).name})"
        return f"the runner of '{name}' ended by itself" + (f" ({self.tail[-1][:200]})" if self.tail else "")

    def _heard(self, message: Message, ready: "asyncio.Future[Message]") -> None:
        method = message.get("method")
        if method == "ready":
            ready.set_result(message["params"])
        elif method == "event":
            if run := self._tokens.get(message["params"]["token"]):
                run.heard.put_nowait(message["params"])
        elif method == "tool.call":
            self._tool(message)
        elif message["id"] in self._pings:
            self._pings.pop(message["id"]).set_result(None)
        elif run := self._runs.get(message["id"]):
            run.ended.set()
            run.heard.put_nowait(_result(message))

    def _tool(self, message: Message) -> None:
        params = message["params"]
        run = self._tokens.get(params["token"])
        if run is None:
            self._write({"id": message["id"], "result": {"text": "Error: this run has ended.", "ok": False}})
            return
        given = params.get("arguments")
        arguments = given if isinstance(given, dict) else {}
        wanted = Wanted(str(params["name"]), arguments, str(params.get("key") or ""), run.heard.put_nowait)
        task = asyncio.create_task(self._answer(run, message["id"], wanted), name=f"runner tool {wanted.name[:40]}")
        run.tools.add(task)
        task.add_done_callback(run.answered)

    async def _answer(self, run: _Run, id: Any, wanted: Wanted) -> None:
        await self._send({"id": id, "result": await run.call_tool(wanted)})

    async def _log(self) -> None:
        process = self._process
        assert process is not None
        assert process.stderr is not None
        while not process.stderr.at_eof():
            with suppress(ValueError):
                line = (await process.stderr.readline())[:500].decode("utf-8", "replace").strip()
                if line:
                    self.tail.append("".join(c if c.isprintable() else " " for c in line))
                    self._host.log.debug("runner", framework=self.starting.name, said=self.tail[-1])

    # -- its health and its end -----------------------------------------------------------------------------------

    async def ping(self) -> bool:
        """Whether it answers in time."""
        id = next(self._ids)
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pings[id] = future
        try:
            await self._send({"id": id, "method": "ping"})
            async with asyncio.timeout(PING):
                await future
        except (TimeoutError, asyncio.CancelledError):
            if (task := asyncio.current_task()) is not None and task.cancelling():
                raise
            return False
        finally:
            self._pings.pop(id, None)
        return True

    def kill(self, why: str) -> None:
        """Now, with all that it has started."""
        self.why = self.why or why
        self._kill()

    def _kill(self) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)

    async def close(self) -> None:
        """Asks it to end, and ends it; returns when it is gone."""
        process = self._process
        if process is None:
            return
        if self.alive and process.stdin is not None:
            process.stdin.close()
            with suppress(TimeoutError):
                async with asyncio.timeout(GRACE):
                    await process.wait()
        self.kill("it is not needed any more")
        await asyncio.wait(self._tasks, timeout=GRACE)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def _message(line: bytes) -> Message:
    """What a child said. Raises `ValueError`."""
    said = orjson.loads(line)
    if not isinstance(said, dict) or not isinstance(said.get("params", {}), dict):
        raise ValueError("no message")
    if "method" in said and "token" not in said["params"] and said["method"] != "ready":
        raise ValueError("said by no run")
    return said


def _result(message: Message) -> Message:
    """Raises `ValueError`."""
    found = message["result"]
    if not isinstance(found, dict) or not isinstance(found.get("status"), str):
        raise ValueError("no result")
    return found
