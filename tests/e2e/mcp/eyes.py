"""One way to ask through every official client: a method's name and its params, as the TypeScript clients have them."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeAlias

import mcp_types as t
from mcp import Client
from mcp.shared.exceptions import MCPError

from examples.tour.eliza import NODE
from tests.e2e.mcp.child import child

HERE = Path(__file__).parent
LONGEST = 60.0
Eyes: TypeAlias = Callable[[str, dict[str, Any]], Awaitable[dict[str, Any]]]
"""Raises `MCPError`, as the official Python client does."""


def python(client: Client, timeout: float | None = None) -> Eyes:
    """The Python client. `timeout`: for calls of tools."""

    async def ask(method: str, params: dict[str, Any]) -> dict[str, Any]:
        match method:
            case "listTools":
                found: Any = await client.list_tools(cursor=params.get("cursor"))
            case "listResources":
                found = await client.list_resources()
            case "listResourceTemplates":
                found = await client.list_resource_templates()
            case "listPrompts":
                found = await client.list_prompts()
            case "readResource":
                found = await client.read_resource(params["uri"])
            case "getPrompt":
                found = await client.get_prompt(params["name"], params["arguments"])
            case "complete":
                found = await client.complete(t.PromptReference(name=params["ref"]["name"]), params["argument"])
            case _:
                found = await client.call_tool(params["name"], params["arguments"], read_timeout_seconds=timeout)
        return dict(found.model_dump(mode="json", by_alias=True, exclude_none=True))

    return ask


@asynccontextmanager
async def typescript(which: str, url: str, key: str = "", timeout: float | None = None) -> AsyncIterator[Eyes]:
    """A TypeScript client, "v1" or "v2", in a Node process."""
    options = {"timeout": timeout * 1000} if timeout else {}
    async with child([str(NODE), "lines.mjs", which, url, key], cwd=HERE) as process:
        await _answer(process)

        async def ask(method: str, params: dict[str, Any]) -> dict[str, Any]:
            assert process.stdin
            process.stdin.write(json.dumps([method, params, options]).encode() + b"\n")
            return await _answer(process)

        yield ask


async def _answer(process: asyncio.subprocess.Process) -> dict[str, Any]:
    """The next line that is an answer; what else it prints is kept for the error."""
    assert process.stdout
    seen: list[str] = []
    async with asyncio.timeout(LONGEST):
        async for raw in process.stdout:
            line = raw.decode()
            if line.startswith('{"ok"'):
                return dict(json.loads(line)["ok"])
            if line.startswith('{"error"'):
                said = json.loads(line)["error"]
                raise MCPError(int(said["code"]) if isinstance(said["code"], int) else 0, said["message"])
            seen.append(line)
    raise RuntimeError(f"the client ended: {''.join(seen)[-2000:]}")
