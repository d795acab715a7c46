"""The model of the tour's sidekicks: one that obeys, or a real small one."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from examples.scripted_model.server import ScriptedModel
from examples.tour.eliza import HERE, NODE


@asynccontextmanager
async def serving(model: str) -> AsyncIterator[str]:
    """Its URL, on loopback. Raises `RuntimeError` where it does not start."""
    if model != "smollm2":
        async with ScriptedModel().serving() as scripted:
            yield scripted.url
        return
    process = await asyncio.create_subprocess_exec(
        NODE, "--no-warnings", "serve.ts", cwd=HERE / "smollm2", stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE, env={"PATH": str(NODE.parent)},
    )  # fmt: skip
    try:
        yield await _url(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _url(process: asyncio.subprocess.Process) -> str:
    assert process.stdout
    while line := await process.stdout.readline():
        if line.startswith(b'{"ready"'):
            return str(json.loads(line)["ready"]["url"])
    raise RuntimeError("the small model did not start; what it said stands above")
