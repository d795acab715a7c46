"""The MCP server over a catalogue and `invoke`: one for all views, eras and transports (low-level `mcp` SDK)."""

import uuid
from collections.abc import Callable, Sequence
from contextlib import aclosing
from importlib.metadata import version
from typing import Any

import mcp_types as t
from mcp.server.caching import CacheHint
from mcp.server.lowlevel import Server
from mcp.shared.exceptions import MCPError

from adapters.errors import GatewayError
from adapters.mcp import translate
from adapters.spi import LAST, Caller, Catalog, Error, Event, Invoke, Part, Progress, Tool

PAGE = 200
TTL = 30_000
INSTRUCTIONS = (
    "Each tool belongs to an agent, named before the double underscore. Agents that talk have a tool `ask`; give the "
    "same `conversation` to go on with one. Agents can be slow: wait for the answer rather than asking again."
)

Who = Callable[[Any], tuple[Caller, str | None]]
"""From a request context: the caller, and the agent to which the view is narrowed."""


class ToolServer:
    """`server` is the SDK's; `who` tells callers and views apart."""

    def __init__(self, invoke: Invoke, catalog: Catalog, who: Who) -> None:
        self._invoke = invoke
        self._catalog = catalog
        self._who = who
        self._listed: dict[str, t.Tool] = {}
        self._revision = -1
        self.server: Server[Any] = Server(
            "doolittle",
            version=version("doolittle"),
            title="Doolittle",
            description="Agents of many networks, as tools",
            instructions=INSTRUCTIONS,
            cache_hints={"tools/list": CacheHint(ttl_ms=TTL, scope="private")},
            get_tool_input_schema=self._input_schema,
            on_list_tools=self._list,
            on_call_tool=self._call,
        )

    async def _list(self, ctx: Any, params: t.PaginatedRequestParams | None) -> t.ListToolsResult:
        caller, agent = self._who(ctx)
        tools = self._visible(caller, agent)
        after = params.cursor if params and params.cursor else ""
        rest = [tool for tool in tools if tool.name > after]
        page = rest[:PAGE]
        more = page[-1].name if len(rest) > PAGE else None
        return t.ListToolsResult(tools=[self._shown(tool) for tool in page], next_cursor=more)

    def _visible(self, caller: Caller, agent: str | None) -> Sequence[Tool]:
        return self._catalog.tools(caller, agent)

    def _shown(self, tool: Tool) -> t.Tool:
        """The SDK's form of a tool, made once per revision of the catalogue."""
        if self._revision != self._catalog.revision:
            self._listed, self._revision = {}, self._catalog.revision
        shown = self._listed.get(tool.name)
        if shown is None:
            shown = self._listed[tool.name] = translate.tool(tool)
        return shown

    def _input_schema(self, name: str) -> dict[str, Any] | None:
        """For the SDK's header check, which would list all tools for each call without it."""
        shown = self._listed.get(name) if self._revision == self._catalog.revision else None
        return shown.input_schema if shown else None

    async def _call(self, ctx: Any, params: t.CallToolRequestParams) -> t.CallToolResult:
        caller, agent = self._who(ctx)
        try:
            call = translate.call(params, ctx.meta or {}, caller, uuid.uuid4().hex)
            tool = self._catalog.tool(params.name, caller)
        except GatewayError as fault:
            if translate.is_protocol_error(fault):
                raise MCPError(t.INVALID_PARAMS, fault.public) from fault
            return translate.answer(Error(fault), None, "")
        if agent is not None and tool.agent != agent:
            raise MCPError(t.INVALID_PARAMS, f"no tool of '{agent}' is called '{params.name[:80]}'")
        last = await self._follow(self._invoke(call), ctx)
        return translate.answer(last, tool, call.id)

    async def _follow(self, events: Any, ctx: Any) -> Event:
        """The last event; progress goes to the client as it comes, its number always growing."""
        step = 0.0
        async with aclosing(events) as stream:
            async for event in stream:
                if isinstance(event, LAST):
                    return event
                if isinstance(event, Progress | Part):
                    message, total = translate.progress(event)
                    done = event.done if isinstance(event, Progress) and event.done is not None else step + 1
                    step = max(done, step + 1e-6)
                    await ctx.session.report_progress(step, total, message)
        raise MCPError(t.INTERNAL_ERROR, "the call ended without a result")
