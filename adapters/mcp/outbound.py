"""MCP servers as upstreams: the server is itself the agent."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from typing import Any

import orjson
from mcp.shared.inbound import find_invalid_x_mcp_header, mcp_param_headers, x_mcp_header_map

from adapters.errors import BadArguments, Broken, GatewayError, Refused
from adapters.mcp import Options, content
from adapters.mcp.far import Far
from adapters.mcp.http_link import HttpLink, Place
from adapters.mcp.rpc import (
    INVALID_PARAMS,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    Message,
    RpcFault,
    is_request,
    is_response,
    refusal,
    reply,
)
from adapters.mcp.stdio_link import Child, StdioLink
from adapters.mcp.translate import UPDATE_FORMAT
from adapters.parking import Parking
from adapters.spi import LAST, Agent, Ask, Call, Event, Host, Progress, Report, Result, Tool, Upstream

Source = AsyncGenerator[Message, None]
STEPS = 20
"""Times that a server may put off its answer in a row without a question."""
PLACES = 100
WAIT = 600.0


class McpOutbound:
    """One server. Questions that it asks live are parked with the stream that waits for them."""

    def __init__(self, upstream: Upstream, host: Host, options: Options) -> None:
        self._upstream = upstream
        self._host = host
        self._options = options
        self._name = upstream.name
        self._far = self._make()
        self._parking: Parking[Source] = Parking(_hang_up, places=PLACES, seconds=WAIT)
        self._mirrored: dict[str, Mapping[tuple[str, ...], str]] = {}

    def _make(self) -> Far:
        upstream, options = self._upstream, self._options
        if upstream.command:
            child = StdioLink(Child(self._name, upstream.command, options.env, options.cwd or None), self._host)
            child.ended = self._changed
            return Far(self._name, child, options.era, self._changed)
        if not upstream.url.startswith(("http://", "https://")):
            raise BadArguments(f"'{self._name}': the url of an MCP server is like http://127.0.0.1:3000/mcp")
        headers = {name.lower(): value for name, value in options.headers.items()}
        if upstream.secret:
            headers["authorization"] = f"Bearer {upstream.secret}"
        return Far(
            self._name, HttpLink(Place(self._name, upstream.url, headers), self._host), options.era, self._changed
        )

    def _changed(self) -> None:
        self._host.changed(self._name)

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[None]:
        await self._far.open()
        try:
            yield
        finally:
            await self._parking.clear()
            await self._far.close()

    async def agents(self) -> AsyncIterator[Agent]:
        far = self._far
        try:
            tools: list[Tool] = []
            if isinstance(far.capabilities.get("tools"), dict):
                tools = [tool async for said in far.pages("tools/list", "tools") if (tool := content.tool(said))]
        except RpcFault as fault:
            raise Refused(f"'{self._name}' does not list its tools: {fault}"[:300]) from fault
        except TimeoutError as fault:
            raise Broken(f"'{self._name}' does not list its tools in time") from fault
        self._mirrored = {tool.native: _mirrored(tool) for tool in tools if b"x-mcp-header" in tool.input_schema}
        said = {"info": far.info, "instructions": far.instructions, "capabilities": far.capabilities}
        said |= {"version": far.link.version, "lists": far.changes}
        yield content.agent(self._name, said, tuple(tools))

    # -- calls ----------------------------------------------------------------------------------------------------

    async def invoke(self, call: Call, tool: Tool) -> AsyncIterator[Event]:
        if call.method == "resources/subscribe":
            async with aclosing(self._watched(str(call.arguments.get("uri", "")))) as changes:
                async for event in changes:
                    yield event
            return
        answered: Message = {}
        if call.answer is not None:
            state = call.answer.state
            if "parked" in state:
                source = self._parking.take(state["parked"])
                await self._answer(state, call, source)
                async with aclosing(self._events(source, call, tool)) as events:
                    async for event in events:
                        yield event
                return
            given = {id: content.response(kind, id, call.answer) for id, kind in state["kinds"].items()}
            answered = {"inputResponses": {id: value for id, value in given.items() if value is not None}}
            answered |= {"requestState": state["again"]} if state["again"] is not None else {}
        for _ in range(STEPS):
            source = self._begin(call, tool, answered)
            async with aclosing(self._events(source, call, tool)) as events:
                async for event in events:
                    if isinstance(event, Ask) and not event.requests:
                        answered = {"requestState": event.state["again"]}
                        break
                    yield event
                    if isinstance(event, LAST):
                        return
        raise Broken(f"'{self._name}' puts its answer off for ever")

    async def _watched(self, uri: str) -> AsyncGenerator[Event, None]:
        """A progress when the server has agreed, and one for each change, until the caller goes away."""
        try:
            async with aclosing(self._far.watch(uri)) as changes:
                async for message in changes:
                    params = orjson.dumps(message.get("params") or {}) if message else None
                    yield Progress(
                        f"{uri} has changed" if message else "watching", raw=params, raw_format=UPDATE_FORMAT
                    )
        except RpcFault as fault:
            yield content.fault(fault.error, self._name)
            return
        except TimeoutError as fault:
            raise Broken(f"'{self._name}' does not answer resources/subscribe") from fault
        yield Result()

    def _begin(self, call: Call, tool: Tool, answered: Message) -> Source:
        if call.method == "tools/call":
            params = {**content.params(call, tool.native), **answered}
            mirrored = self._mirrored.get(tool.native)
            headers = mcp_param_headers(mirrored, call.arguments) if mirrored else {}
        else:
            params = {**call.arguments, "_meta": {**content.meta(call), **call.arguments.get("_meta", {})}, **answered}
            headers = {}
        return self._far.exchange(call.method, params, content.capabilities(call), headers)

    async def _events(self, source: Source, call: Call, tool: Tool) -> AsyncGenerator[Event, None]:
        """Until the end, or a question: then the stream is parked, or was ended by the far side."""
        parked = False
        try:
            async for message in source:
                if is_response(message):
                    yield self._last(message, call)
                    return
                if is_request(message):
                    ask = await self._asked(message, call, source)
                    if ask is not None:
                        parked = True
                        yield ask
                        return
                    continue
                event = _notified(message)
                if event is not None:
                    yield event
        finally:
            if not parked:
                await source.aclose()
        raise Broken(f"'{self._name}' ended without an answer")

    def _last(self, message: Message, call: Call) -> Event:
        error = message.get("error")
        if isinstance(error, dict):
            return content.fault(error, self._name, call.method, modern=self._far.modern)
        said: Any = message.get("result")
        if not isinstance(said, dict):
            raise Broken(f"'{self._name}' answered without a result", detail=repr(message)[:200])
        if said.get("resultType") == "input_required":
            return self._required(said, call)
        return content.result(said, self._name) if call.method == "tools/call" else content.other(said, call.method)

    def _required(self, said: Message, call: Call) -> Ask:
        ask = content.input_required(said, self._name)
        beyond = sorted(set(ask.state["kinds"].values()) - call.answers)
        if beyond:
            raise Refused(f"'{self._name}' asks what the caller cannot answer: {', '.join(beyond)}")
        return ask

    async def _asked(self, message: Message, call: Call, source: Source) -> Ask | None:
        """The question in a server's live request; None where it was answered at once."""
        id, method, params = message["id"], message["method"], message.get("params") or {}
        kind = content.kind(method, params)
        if method == "ping":
            await self._far.link.tell(reply(id, {}))
        elif not isinstance(params, dict):
            await self._far.link.tell(refusal(id, INVALID_PARAMS, "parameters are an object"))
        elif not kind:
            await self._far.link.tell(refusal(id, METHOD_NOT_FOUND, f"'{str(method)[:80]}' is not carried"))
        elif kind not in call.answers:
            text = f"the caller cannot answer a request of the kind '{kind}'"
            await self._far.link.tell(refusal(id, INVALID_REQUEST, text))
        else:
            asked = content.request("ask", method, params)
            return Ask((asked,), state={"parked": self._parking.put(source), "id": id, "kind": kind})
        return None

    async def _answer(self, state: Message, call: Call, source: Source) -> None:
        """Tells the far side; cut short, it hangs up."""
        assert call.answer is not None
        given = content.response(state["kind"], "ask", call.answer)
        refused = refusal(state["id"], -1, "the caller declined")
        try:
            await self._far.link.tell(refused if given is None else reply(state["id"], given))
        except BaseException:
            await source.aclose()
            raise

    # -- trial ----------------------------------------------------------------------------------------------------

    async def check(self) -> Report:
        other = McpOutbound(self._upstream, self._host, self._options.model_copy())
        other._far._changed = _nothing
        if isinstance(other._far.link, StdioLink):
            other._far.link.ended = _nothing
        try:
            async with other.connect():
                found = [agent async for agent in other.agents()]
        except (GatewayError, OSError) as fault:
            return Report(False, _reason(fault, other._far))
        far, tools = other._far, len(found[0].tools)
        name = str(far.info.get("name") or "a server without a name")
        facts = {"server": name, "protocol": far.link.version, "tools": tools}
        return Report(True, f"{name}, MCP {far.link.version}, {tools} tool{'s' * (tools != 1)}", facts)


def _nothing() -> None: ...


def _reason(fault: Exception, far: Far) -> str:
    said = fault.public if isinstance(fault, GatewayError) else str(fault)
    tail = list(far.link.tail)[-3:] if isinstance(far.link, StdioLink) else []
    return said + "".join(f"\n    {line}" for line in tail)


def _notified(message: Message) -> Event | None:
    params = message.get("params")
    if not isinstance(params, dict):
        return None
    match message.get("method"):
        case "notifications/progress":
            return content.progress(params)
        case "notifications/message":
            return content.logged(params)
        case _:
            return None


def _mirrored(tool: Tool) -> Mapping[tuple[str, ...], str]:
    """Arguments that travel as headers too; none where the marks are not as they must be."""
    described = orjson.loads(tool.input_schema)
    return {} if find_invalid_x_mcp_header(described) else x_mcp_header_map(described)


async def _hang_up(source: Source) -> None:
    await source.aclose()
