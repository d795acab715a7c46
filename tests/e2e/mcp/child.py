"""Child processes of the tests: servers that say when they are ready, and end with us."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from examples.tour.eliza import NODE

ROOT = Path(__file__).resolve().parents[3]
START = 60.0
"""Seconds in which a server must be ready, on a loaded machine."""
EVERYTHING = (sys.executable, "-m", "tests.e2e.mcp.everything")


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Ours, with this tree importable from any folder, and Node where the children of npm look for it."""
    path = f"{NODE.parent}:{os.environ.get('PATH', '')}"
    return {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), **(more or {})}


@asynccontextmanager
async def child(command: Sequence[str], cwd: Path = ROOT, **env: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """The process, in a group of its own; its standard input stays open until it is to end."""
    process = await asyncio.create_subprocess_exec(
        *command, cwd=cwd, env=environment(env), start_new_session=True, limit=2**24,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        yield process
    finally:
        await end(process)


async def end(process: asyncio.subprocess.Process) -> None:
    """Asks it to end, and ends it if it does not; its pipes are closed."""
    if process.stdin:
        process.stdin.close()
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), 10)
            break
    if process.stdout:
        await process.stdout.read()


async def line_with(process: asyncio.subprocess.Process, words: str) -> str:
    """The first line that contains the words; raises with what was printed if the process ends before."""
    assert process.stdout
    seen: list[str] = []
    async with asyncio.timeout(START):
        async for raw in process.stdout:
            line = raw.decode("utf-8", "replace")
            if words in line:
                return line
            seen.append(line)
    raise RuntimeError(f"it ended before it was ready: {''.join(seen)[-2000:]}")


@asynccontextmanager
async def everything(page: int = 1000, token: str = "") -> AsyncIterator[str]:
    """The server that does everything, over HTTP; its URL."""
    async with child([*EVERYTHING, "0", str(page)], TOKEN=token) as process:
        ready: dict[str, Any] = json.loads(await line_with(process, '"ready"'))
        yield str(ready["ready"])
