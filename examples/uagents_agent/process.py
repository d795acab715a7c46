"""Starts the real uAgent of this folder: for the tour, and for the tests."""

import asyncio
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import httpx2

CONTEXT = httpx2.create_ssl_context()
HERE = Path(__file__).resolve().parent
START = 120.0
"""Seconds in which the agent must be ready: its library alone may take 15 to import on a loaded machine."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class UAgent:
    """One agent in a process of its own, in a folder that takes its files."""

    def __init__(self, folder: Path, almanac: str) -> None:
        self._folder = folder
        self._almanac = almanac
        self.port = free_port()
        self.address = ""
        self.lines: list[str] = []
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def start(self) -> "UAgent":
        """Returns when it is registered and answers. Raises `RuntimeError` with its last lines if it does not."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, str(HERE / "agent.py"), str(self.port), self._almanac, cwd=self._folder,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._reader = asyncio.create_task(self._read(ready))
        try:
            self.address = await asyncio.wait_for(ready, START)
        except TimeoutError as fault:
            await self.stop()
            raise RuntimeError("the agent did not start:\n" + "\n".join(self.lines[-20:])) from fault
        return self

    async def _read(self, ready: "asyncio.Future[str]") -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            text = line.decode(errors="replace").rstrip()
            self.lines.append(text)
            if text.startswith("ready ") and not ready.done():
                ready.set_result(text[6:])
        if not ready.done():
            ready.set_exception(RuntimeError("the agent ended:\n" + "\n".join(self.lines[-20:])))

    async def order(self, door: str, **said: Any) -> dict[str, Any]:
        """Makes it call another agent; what it heard."""
        said = {"target": "", "text": "", "timeout": 30, **said}
        async with httpx2.AsyncClient(base_url=self.url, timeout=120, trust_env=False, verify=CONTEXT) as client:
            found: dict[str, Any] = (await client.post(f"/{door}", json=said)).json()
        return found

    async def stop(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(signal.SIGKILL)
            await self._process.wait()
        if self._reader is not None:
            await self._reader
