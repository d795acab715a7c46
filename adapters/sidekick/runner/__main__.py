"""The child: `python -I __main__.py BACKEND.py MEGABYTES`. Standard library, and what its backend imports.

JSON-RPC, one object a line. In: `run`, `cancel`, `ack`, `ping`, answers to `tool.call`. Out: `ready`, `event`,
`tool.call` (the gateway carries it out, and says what may be called), results. It ends when its input does.
"""

import asyncio
import ctypes
import itertools
import json
import os
import resource
import signal
import sys
import time
from importlib import util
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from sidekick_protocol import Answer, Final, Question, Refused, Run, Token, Usage

WINDOW = 64
"""Events of one run that the gateway may leave unread; then the run waits."""
EVERY = 0.05
"""Seconds in which tokens are gathered into one event."""
LINE = 64 * 2**20


class Work:
    """One run: its task, and how many of its events the gateway has not read."""

    def __init__(self, token: str) -> None:
        self.token = token
        self.task: asyncio.Task[None] | None = None
        self.unread = 0
        self.room = asyncio.Event()
        self.numbers = itertools.count(1)


class Runner:
    """Carries out runs, several at once."""

    def __init__(self, backend: Any, out: Any) -> None:
        self._backend = backend
        self._out = out
        self._ids = itertools.count(1)
        self._waiting: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self._works: dict[str, Work] = {}

    def send(self, message: dict[str, Any]) -> None:
        self._out.write(json.dumps({"jsonrpc": "2.0", **message}, default=str) + "\n")
        self._out.flush()

    async def serve(self) -> None:
        reader = asyncio.StreamReader(limit=LINE)
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        self.send({"method": "ready", "params": {"versions": self._backend.versions(), "pid": os.getpid()}})
        while line := await reader.readline():
            self._heard(json.loads(line))

    def _heard(self, message: dict[str, Any]) -> None:
        method, params = message.get("method"), message.get("params") or {}
        if method is None:
            future = self._waiting.pop(message["id"], None)
            if future is not None and not future.done():
                future.set_result(message["result"])
        elif method == "run":
            work = self._works[params["run"]] = Work(params["token"])
            work.task = asyncio.create_task(self._carry_out(message["id"], params, work))
        elif method == "ping":
            self.send({"id": message["id"], "result": {}})
        elif (work := self._works.get(params["run"])) is not None:
            self._of(work, method, params)

    def _of(self, work: Work, method: str, params: dict[str, Any]) -> None:
        if method == "ack":
            work.unread -= params["n"]
            work.room.set()
        elif method == "cancel" and work.task is not None:
            work.task.cancel()

    async def _carry_out(self, id: Any, params: dict[str, Any], work: Work) -> None:
        """One run to its result, whatever happens."""
        try:
            result = await self._events(params, work)
        except asyncio.CancelledError:
            result = {"status": "cancelled"}
        except Refused as fault:
            result = {"status": "refused", "said": str(fault)}
        except MemoryError:
            result = {"status": "memory"}
        except Exception as fault:
            result = {"status": "failed", "kind": type(fault).__name__, "said": str(fault)[:2000]}
        finally:
            del self._works[params["run"]]
        self.send({"id": id, "result": result})

    async def _events(self, params: dict[str, Any], work: Work) -> dict[str, Any]:
        run = Run.of(params["order"])
        gathered, sent = "", 0.0
        await self._tell(work, {"type": "started"})
        async for event in self._backend.run(run, self._caller(work)):
            if isinstance(event, Usage):
                await self._counted(work, event)
                continue
            if isinstance(event, Token):
                gathered += event.text
                if time.monotonic() - sent < EVERY:
                    continue
            if gathered:
                await self._tell(work, {"type": "token", "text": gathered})
                gathered, sent = "", time.monotonic()
            if isinstance(event, Question):
                return {"status": "asking", "items": event.items}
            if isinstance(event, Final):
                return {"status": "completed", "text": event.text, "stop": event.stop, "score": event.score}
            if not isinstance(event, Token):
                await self._tell(work, {"type": "step", "name": event.name})
        raise RuntimeError("the backend ended without a result")

    async def _counted(self, work: Work, event: Usage) -> None:
        if event.prompt or event.completion:
            await self._tell(work, {"type": "usage", "prompt": event.prompt, "completion": event.completion})

    async def _tell(self, work: Work, event: dict[str, Any]) -> None:
        """Sends an event; waits while the gateway does not read."""
        while work.unread >= WINDOW:
            work.room.clear()
            await work.room.wait()
        work.unread += 1
        self.send({"method": "event", "params": {"token": work.token, "seq": next(work.numbers), **event}})

    def _caller(self, work: Work) -> Any:
        async def call_tool(name: str, arguments: dict[str, Any], key: str = "") -> Answer:
            id = f"t{next(self._ids)}"
            future = self._waiting[id] = asyncio.get_running_loop().create_future()
            params = {"token": work.token, "name": name, "arguments": arguments, "key": key}
            self.send({"id": id, "method": "tool.call", "params": params})
            try:
                said = await future
            finally:
                self._waiting.pop(id, None)
            return Answer(said["text"], said["ok"])

        return call_tool


def confined(megabytes: int) -> None:
    """Limits that this process cannot raise again, and an end with the gateway's own."""
    if megabytes:
        resource.setrlimit(resource.RLIMIT_AS, (megabytes << 20, megabytes << 20))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def backend(path: str) -> Any:
    """The module of a backend; importing it imports its framework."""
    spec = util.spec_from_file_location("sidekick_backend", path)
    assert spec is not None
    assert spec.loader is not None
    module = util.module_from_spec(spec)
    sys.modules["sidekick_backend"] = module
    spec.loader.exec_module(module)
    return module


def main() -> None:
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what is printed goes where errors go, and never into the protocol
    confined(int(sys.argv[2]))
    asyncio.run(Runner(backend(sys.argv[1]), out).serve())
    os._exit(0)


if __name__ == "__main__":
    main()
