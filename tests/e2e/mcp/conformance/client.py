"""`python -m tests.e2e.mcp.conformance.client URL`: what a client suite starts.

It lets the gateway's outbound side do what the scenario (MCP_CONFORMANCE_SCENARIO) wants: a gateway in this process
has the scenario's server as its upstream, and an MCP client calls that gateway. THROUGH=direct leaves the gateway
out, and so shows what the official client does by itself.
"""

import asyncio
import contextlib
import json
import os
import sys
import tempfile
import warnings
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import mcp_types as t
from mcp import Client
from mcp.shared.exceptions import MCPError

from adapters.spi import Upstream
from gateway.telemetry import start_log
from gateway.testing import Box

FAR = "far"
KNOWN: dict[str, dict[str, Any]] = {"add_numbers": {"a": 5, "b": 3}}
SAMPLES: dict[str, Any] = {"string": "text", "integer": 1, "number": 1.5, "boolean": True, "object": {}, "array": []}
Public = Callable[[str], str]
"""The name under which a far tool is called."""


async def accept(context: Any, params: Any) -> t.ElicitResult:
    """Takes every default, and agrees to what has none."""
    properties: dict[str, Any] = getattr(params, "requested_schema", {}).get("properties", {})
    content = {name: p.get("default", SAMPLES.get(p.get("type"))) for name, p in properties.items()}
    return t.ElicitResult(action="accept", content=content)


def arguments(tool: t.Tool, native: str) -> dict[str, Any]:
    """Known ones, or a sample of each that is required."""
    if native in KNOWN:
        return KNOWN[native]
    properties = tool.input_schema.get("properties", {})
    return {n: SAMPLES.get(properties.get(n, {}).get("type")) for n in tool.input_schema.get("required", [])}


@contextlib.asynccontextmanager
async def connected(url: str) -> AsyncIterator[tuple[Client, dict[str, str]]]:
    """A client, and the far names of the tools that it sees, by their names here."""
    if os.environ.get("THROUGH") == "direct":
        async with Client(url, mode="auto", elicitation_callback=accept) as client:
            yield client, {}
        return
    with tempfile.TemporaryDirectory() as folder:
        box = Box(Path(folder))
        await box.open()
        try:
            await box.add(Upstream(FAR, "mcp", url=url))
            natives = {tool.name: tool.native for tool in box.tools(FAR)}
            at = f"{await box.serve()}/mcp/agents/{FAR}"
            async with Client(at, mode="auto", elicitation_callback=accept, cache=None) as client:
                yield client, natives
        finally:
            await box.close()


async def every_tool(client: Client, natives: dict[str, str]) -> None:
    for tool in (await client.list_tools()).tools:
        with contextlib.suppress(MCPError):
            await client.call_tool(tool.name, arguments(tool, natives.get(tool.name, tool.name)))


async def every_document(client: Client) -> None:
    for resource in (await client.list_resources()).resources:
        with contextlib.suppress(MCPError):
            await client.read_resource(str(resource.uri))
    for prompt in (await client.list_prompts()).prompts:
        with contextlib.suppress(MCPError):
            await client.get_prompt(prompt.name)


async def wanted_calls(client: Client, natives: dict[str, str]) -> None:
    """The calls that the suite names in its context."""
    public = {native: name for name, native in natives.items()}
    await client.list_tools()
    for call in json.loads(os.environ["MCP_CONFORMANCE_CONTEXT"])["toolCalls"]:
        native = str(call["name"])
        with contextlib.suppress(MCPError):
            await client.call_tool(public.get(native, native), call["arguments"])


async def echo_schema(client: Client, natives: dict[str, str]) -> None:
    """Hands a tool's schema back as it was listed."""
    public = {native: name for name, native in natives.items()}
    rich = public.get("json_schema_2020_12_tool", "json_schema_2020_12_tool")
    schema = next(tool.input_schema for tool in (await client.list_tools()).tools if tool.name == rich)
    await client.call_tool(public.get("json_schema_echo", "json_schema_echo"), {"schema": schema})


async def run(url: str) -> None:
    async with connected(url) as (client, natives):
        match os.environ.get("MCP_CONFORMANCE_SCENARIO", ""):
            case "initialize" | "request-metadata" | "json-schema-ref-no-deref":
                await client.list_tools()
            case "http-custom-headers":
                await wanted_calls(client, natives)
            case "json-schema-2020-12-preservation":
                await echo_schema(client, natives)
            case "http-standard-headers":
                await every_tool(client, natives)
                await every_document(client)
            case _:
                await every_tool(client, natives)


def cause(fault: BaseException) -> BaseException:
    """The first fault inside groups of them."""
    while isinstance(fault, BaseExceptionGroup):
        fault = fault.exceptions[0]
    return fault


if __name__ == "__main__":
    warnings.simplefilter("default")
    start_log("error")
    try:
        asyncio.run(run(sys.argv[-1]))
    except Exception as fault:  # noqa: BLE001 - the suite's log gets one line, whatever it was
        first = cause(fault)
        print("fault:", type(first).__name__, " ".join(str(first).split())[:500], file=sys.stderr)
        sys.exit(1)
