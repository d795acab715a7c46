"""`make wire`: the part of the gateway's OpenAPI document that the plugin speaks, and its types in TypeScript."""

import asyncio
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import httpx2
import orjson

from examples.tour.eliza import NODE, npm_ci
from gateway.testing import Box
from tests.conftest import ROOT

PLUGIN = ROOT / "plugin-ts"
CALLED = ("/v1/agents", "/v1/tools", "/v1/tools/{tool}", "/v1/tools/{tool}/calls")
PATHS = (*CALLED, "/v1/registrations/{name}")


async def document(box: Box) -> bytes:
    """What a gateway says of these paths, with the schemas that they name."""
    async with httpx2.AsyncClient(base_url=await box.serve()) as client:
        whole = (await client.get("/openapi.json")).json()
    paths = {path: whole["paths"][path] for path in PATHS}
    schemas: dict[str, Any] = {}
    open_ends = _named(paths)
    while open_ends:
        name = open_ends.pop()
        if name not in schemas:
            schemas[name] = whole["components"]["schemas"][name]
            open_ends |= _named(schemas[name])
    said = {"openapi": whole["openapi"], "info": {"title": "Doolittle, as the plugin speaks it", "version": "1"}}
    kept = {**said, "paths": paths, "components": {"schemas": schemas}}
    return orjson.dumps(kept, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS) + b"\n"


def _named(shape: Any) -> set[str]:
    """The schemas that are referred to in it."""
    if isinstance(shape, dict):
        own = {str(shape["$ref"]).rpartition("/")[2]} if "$ref" in shape else set[str]()
        return own.union(*(_named(value) for value in shape.values()))
    return set[str]().union(*(_named(value) for value in shape)) if isinstance(shape, list) else set()


def types(described: Path, to: Path) -> None:
    """Writes the TypeScript of a document."""
    maker = PLUGIN / "node_modules" / "openapi-typescript" / "bin" / "cli.js"
    command = [NODE, maker, described, "--empty-objects-unknown", "-o", to]
    subprocess.run(command, cwd=PLUGIN, check=True, capture_output=True, timeout=60)


async def main() -> None:
    npm_ci(PLUGIN, print)
    with tempfile.TemporaryDirectory() as folder:
        box = Box(Path(folder))
        await box.open()
        (PLUGIN / "openapi.json").write_bytes(await document(box))
        await box.close()
    types(PLUGIN / "openapi.json", PLUGIN / "src" / "wire.ts")


if __name__ == "__main__":
    asyncio.run(main())
