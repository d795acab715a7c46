"""How this server's tools are made: a table of entries, and the world that they share."""

import asyncio
import weakref
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import mcp_types as t
from mcp.server.subscriptions import InMemorySubscriptionBus, PromptsListChanged, ResourceUpdated, ToolsListChanged

MODERN = "2026"
"""Revisions from here on have no sessions, and no requests from the server."""


@dataclass(slots=True)
class World:
    """What all connections share. `seen` counts what tests want to know of."""

    bus: InMemorySubscriptionBus = field(default_factory=InMemorySubscriptionBus)
    connections: "weakref.WeakSet[Any]" = field(default_factory=lambda: weakref.WeakSet[Any]())
    held: dict[str, asyncio.Event] = field(default_factory=dict[str, asyncio.Event])
    seen: "Counter[str]" = field(default_factory=Counter[str])
    subscribed: set[str] = field(default_factory=set[str])
    secret: bytes = b"the seal of requestState"
    page: int = 1000

    async def tools_changed(self) -> None:
        self.seen["tool changes"] += 1
        await self.bus.publish(ToolsListChanged())
        for connection in list(self.connections):
            await connection.send_tool_list_changed()

    async def prompts_changed(self) -> None:
        self.seen["prompt changes"] += 1
        await self.bus.publish(PromptsListChanged())
        for connection in list(self.connections):
            await connection.send_prompt_list_changed()

    async def resource_changed(self, uri: str) -> None:
        await self.bus.publish(ResourceUpdated(uri))
        if uri in self.subscribed:
            for connection in list(self.connections):
                await connection.send_resource_updated(uri)


Answer: TypeAlias = t.CallToolResult | t.InputRequiredResult
Run: TypeAlias = Callable[[World, Any, t.CallToolRequestParams], Awaitable[Answer]]


@dataclass(frozen=True, slots=True)
class Entry:
    """A tool as it is listed, and what it does."""

    tool: t.Tool
    run: Run


TOOLS: dict[str, Entry] = {}


def tool(name: str, description: str, schema: dict[str, Any] | None = None, **more: Any) -> Callable[[Run], Run]:
    """Enters the function under that name; `more` are further fields of the listed tool."""

    def enter(run: Run) -> Run:
        listed = t.Tool(name=name, description=description, input_schema=schema or fields(), **more)
        TOOLS[name] = Entry(listed, run)
        return run

    return enter


def fields(*required: str, **properties: Any) -> dict[str, Any]:
    """An object schema; a property given as a text is a string described by it."""
    full = {n: {"type": "string", "description": p} if isinstance(p, str) else p for n, p in properties.items()}
    found: dict[str, Any] = {"type": "object", "properties": full}
    return {**found, "required": list(required)} if required else found


def text(said: str, **more: Any) -> t.CallToolResult:
    return t.CallToolResult(content=[t.TextContent(type="text", text=said)], **more)


def modern(ctx: Any) -> bool:
    return str(ctx.protocol_version) >= MODERN
