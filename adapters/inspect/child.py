"""The harness's process: orders in, what it says out, one JSON object a line."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import orjson

from adapters.errors import Broken, ConnectFailed
from adapters.inspect.venv import CHILD

LINE = 64 * 2**20
PASSED = ("PATH", "LANG", "LC_ALL", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR")
"""Variables that it gets; no secret of this process is among them."""
LAST = 2000


class Child:
    """One process. `order` first, then `read` until it says `end`; then the next order."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.said = bytearray()
        self._errors = asyncio.create_task(self._listen(), name="harness errors")

    @classmethod
    @asynccontextmanager
    async def running(cls, python: Path, folder: Path) -> AsyncIterator["Child"]:
        """It ends with the context, whatever it does. `folder`: where it keeps its files."""
        folder.mkdir(parents=True, exist_ok=True)
        env = {name: os.environ[name] for name in PASSED if name in os.environ} | {"HOME": str(folder)}
        process = await asyncio.create_subprocess_exec(
            str(python), "-I", str(CHILD), cwd=folder, env=env, start_new_session=True, limit=LINE,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        child = cls(process)
        try:
            yield child
        finally:
            await child.stop()

    async def stop(self) -> None:
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            await self._process.wait()
        await self._errors
        if self._process.stdin:
            self._process.stdin.close()
            with suppress(ConnectionError):
                await self._process.stdin.wait_closed()

    async def say(self, message: dict[str, Any]) -> None:
        """Raises `ConnectFailed` where it is gone."""
        assert self._process.stdin
        try:
            self._process.stdin.write(orjson.dumps(message) + b"\n")
            await self._process.stdin.drain()
        except ConnectionError as fault:
            raise self._gone() from fault

    async def read(self) -> dict[str, Any]:
        """The next line. Raises `ConnectFailed`, `Broken`."""
        assert self._process.stdout
        line = await self._process.stdout.readline()
        if not line:
            raise self._gone()
        try:
            return dict(orjson.loads(line))
        except (ValueError, TypeError) as fault:
            raise Broken("the harness broke its protocol", detail=line[:LAST].decode("utf-8", "replace")) from fault

    def _gone(self) -> ConnectFailed:
        last = self.said.decode("utf-8", "replace").strip().splitlines()
        return ConnectFailed(f"the harness ended: {last[-1] if last else 'it said nothing'}")

    async def _listen(self) -> None:
        assert self._process.stderr
        while piece := await self._process.stderr.read(65536):
            self.said += piece
            del self.said[:-LAST]
