"""What the suites are pointed at: the fixture, and a gateway process with the fixture as its upstream."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
from mcp import Client

from registry.names import tool as public_name
from tests.e2e.mcp.child import START, child
from tests.e2e.mcp.everything.server import documents
from tests.e2e.mcp.everything.tool import TOOLS

UPSTREAM = "everything"
VIEW = "conformance"
assert documents.PROMPTS

CONFIG = """
log = "error"
data_dir = {data}
[server]
port = 0
[upstreams.everything]
network = "mcp"
url = {url}
"""


def renames() -> dict[str, str]:
    """The fixture's tools under their own names, as far as those are legal in a view."""
    return {public_name(UPSTREAM, native, ()): native for native in TOOLS if "." not in native and len(native) <= 64}


@asynccontextmanager
async def gateway(far: str, folder: Path) -> AsyncIterator[str]:
    """`doolittle serve` with that upstream, ready; the URL of the view in which nothing has a prefix."""
    config = folder / "doolittle.toml"
    config.write_text(CONFIG.format(url=json.dumps(far), data=json.dumps(str(folder / "data"))))
    command = [sys.executable, "-m", "gateway.cli", "--config", str(config), "serve"]
    async with child(command, cwd=folder) as process:
        running = await _running(process, folder / "data")
        base, ours = str(running["url"]), {"authorization": f"Bearer {running['secret']}"}
        async with httpx2.AsyncClient(base_url=base, headers=ours, timeout=30) as http:
            view: dict[str, Any] = {"include": [f"{UPSTREAM}__*"], "renames": renames()}
            answer = await http.put(f"/v1/views/{VIEW}", json=view)
            if answer.is_error:
                raise RuntimeError(f"PUT /v1/views/{VIEW}: {answer.status_code} {answer.text[:500]}")
        url = f"{base}/mcp/views/{VIEW}"
        await _listed(url)
        yield url


async def _running(process: asyncio.subprocess.Process, data: Path) -> dict[str, Any]:
    """What stands in the file by which the command finds a running server."""
    async with asyncio.timeout(START):
        while process.returncode is None:
            if (path := data / "run.json").exists() and path.read_text():
                return dict(json.loads(path.read_text()))
            await asyncio.sleep(0.1)
    assert process.stdout
    raise RuntimeError(f"doolittle serve ended: {(await process.stdout.read()).decode()[-2000:]}")


async def _listed(url: str) -> None:
    """Returns when the upstream's tools are there."""
    seen: list[str] = []
    async with asyncio.timeout(START), Client(url, mode="auto", cache=None) as client:
        while "test_simple_text" not in seen:
            seen = [tool.name for tool in (await client.list_tools()).tools]
            await asyncio.sleep(0.1)
