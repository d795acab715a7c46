"""A server in a process of its own, for as long as the tour lasts."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2


@asynccontextmanager
async def child(*command: str | Path, url: str = "", cwd: Path | None = None) -> AsyncIterator[str]:
    """Its URL, once it answers there with anything; without `url`, the one that it prints as {"ready": URL}. Raises
    `RuntimeError` if it does not."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, cwd=cwd, stdin=pipe, stdout=pipe)
    assert process.stdout
    try:
        if not url:
            line = await process.stdout.readline()
            if not line.startswith(b'{"ready"'):
                raise RuntimeError(f"{command[-1]} did not start")
            url = str(json.loads(line)["ready"])
        async with httpx2.AsyncClient(trust_env=False) as client:
            for _ in range(600):
                try:
                    await client.get(url)
                    break
                except httpx2.TransportError:
                    await asyncio.sleep(0.05)
            else:
                raise RuntimeError(f"nothing answers at {url}")
        yield url
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            await process.wait()
