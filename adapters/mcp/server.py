"""The official SDK's server over the same answers: for what begins a connection, and what is not a plain request."""

import asyncio
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from typing import Any

import mcp_types as t
import orjson
from mcp.server.lowlevel import NotificationOptions, Server
from mcp.server.subscriptions import (
    InMemorySubscriptionBus,
    ListenHandler,
    PromptsListChanged,
    ResourcesListChanged,
    ResourceUpdated,
    ToolsListChanged,
)  # fmt: skip
from mcp.shared.exceptions import MCPError

from adapters.errors import GatewayError
from adapters.mcp import own_tools, translate
from adapters.mcp.dialogue import Fault, Needs, Raw, Reply
from adapters.mcp.near import Near
from adapters.mcp.rpc import INVALID_PARAMS, NOT_FOUND, Message
from adapters.mcp.subscriptions import EACH
from adapters.spi import Answer, Ask, Part, Progress

PAGE = 200
TTL = 30_000
NAME = "doolittle"
INSTRUCTIONS = (
    "Each tool belongs to an agent, named before the double underscore. Agents that talk have a tool `ask`; give the "
    "same `conversation` to go on with one. Agents can be slow: wait for the answer rather than asking again."
)
INFO: Message = {"name": NAME, "title": "Doolittle", "version": version("doolittle")}
Respond = Callable[[str, Message, Message, Any], Any]
"""Method, parameters, `_meta` and peer; gives a `Reply`."""

Watch = Callable[[Near, str, Callable[[str], None]], Awaitable[asyncio.Task[None]]]
"""`Subscriptions.start`."""


class SdkPeer:
    """A client that the SDK talks with. It is not asked while it waits: this path has no way back."""

    def __init__(self, ctx: Any, near: Near) -> None:
        self.near = near
        self._session = ctx.session
        self._id = ctx.request_id
        self._step = -1.0

    async def progress(self, of: Progress | Part) -> None:
        if isinstance(of, Progress) and of.raw is not None and of.raw_format == translate.LOG_FORMAT:
            said = orjson.loads(of.raw)
            if self.near.hears(said.get("level")):
                line = t.LoggingMessageNotification(params=t.LoggingMessageNotificationParams.model_validate(said))
                await self._session.send_notification(line, related_request_id=self._id)
            return
        message, total = translate.progress(of)
        done = of.done if isinstance(of, Progress) and of.done is not None else self._step + 1
        self._step = done if done > self._step else self._step + 1e-6
        await self._session.report_progress(self._step, total, message or None)

    async def beat(self) -> None:
        await self.progress(Progress("still working", max(self._step, 0) + 1e-3))

    async def answer(self, ask: Ask) -> Answer | None:
        return None


class SdkServer:
    """`server` is the SDK's; `near` makes a request's other end of its context, `respond` answers."""

    def __init__(self, near: Callable[[Any], Near], respond: Respond, watch: Watch) -> None:
        self._near = near
        self._watch = watch
        self._respond = respond
        self._buses: set[InMemorySubscriptionBus] = set()
        self.server: Server[Any] = Server(
            NAME, version=INFO["version"], title=INFO["title"],
            instructions=INSTRUCTIONS, get_tool_input_schema=None,
            on_list_tools=self._tools, on_call_tool=self._answering("tools/call", t.CallToolResult),
            on_list_prompts=self._answering("prompts/list", t.ListPromptsResult),
            on_get_prompt=self._answering("prompts/get", t.GetPromptResult),
            on_list_resources=self._answering("resources/list", t.ListResourcesResult),
            on_list_resource_templates=self._answering("resources/templates/list", t.ListResourceTemplatesResult),
            on_read_resource=self._answering("resources/read", t.ReadResourceResult),
            on_completion=self._answering("completion/complete", t.CompleteResult),
            on_subscriptions_listen=self._listen,
        )  # fmt: skip
        self.server.add_request_handler("logging/setLevel", t.SetLevelRequestParams, _nothing)
        self.server.add_request_handler("resources/subscribe", t.SubscribeRequestParams, _needs_session)
        self.server.add_request_handler("resources/unsubscribe", t.UnsubscribeRequestParams, _needs_session)
        options = self.server.create_initialization_options

        def changing(*_args: Any, **_more: Any) -> Any:
            return options(NotificationOptions(tools_changed=True, prompts_changed=True, resources_changed=True))

        self.server.create_initialization_options = changing

    async def changed(self) -> None:
        """Tells all streams of the modern era that the lists may have changed."""
        for bus in list(self._buses):
            for event in (ToolsListChanged(), PromptsListChanged(), ResourcesListChanged()):
                await bus.publish(event)

    async def _listen(self, ctx: Any, params: t.SubscriptionsListenRequestParams) -> Any:
        """A stream of changes, with a bus of its own: nobody hears of resources that another watches."""
        bus = InMemorySubscriptionBus()
        tasks: list[asyncio.Task[None]] = []
        publishing: set[asyncio.Future[None]] = set()

        def tell(uri: str) -> None:
            task = asyncio.ensure_future(bus.publish(ResourceUpdated(uri=uri)))
            publishing.add(task)
            task.add_done_callback(publishing.discard)

        try:
            for uri in (params.notifications.resource_subscriptions or ())[:EACH]:
                tasks.append(await self._watch(self._near(ctx), str(uri), tell))
            self._buses.add(bus)
            return await ListenHandler(bus)(ctx, params)
        except GatewayError as fault:
            raise MCPError(t.INVALID_PARAMS, fault.public) from fault
        finally:
            self._buses.discard(bus)
            for task in tasks:
                task.cancel()

    async def _tools(self, ctx: Any, params: t.PaginatedRequestParams | None) -> t.ListToolsResult:
        near = self._near(ctx)
        found = page(near, params.cursor if params else None)
        return t.ListToolsResult.model_validate(found)

    def _answering(self, method: str, kind: Any) -> Any:
        async def handle(ctx: Any, params: Any) -> Any:
            try:
                peer = SdkPeer(ctx, self._near(ctx))
                said = params.model_dump(mode="json", by_alias=True, exclude_none=True) if params else {}
                said.pop("_meta", None)
                reply = await self._respond(method, said, dict(ctx.meta or {}), peer)
                return model(of_era(reply, peer.near.modern), kind)
            except GatewayError as fault:
                raise MCPError(t.INVALID_PARAMS, fault.public) from fault

        return handle


def page(near: Near, cursor: str | None) -> Message:
    """One page of the tools."""
    rest = [tool for tool in own_tools.listed(near) if tool["name"] > (cursor or "")]
    found: Message = {"tools": rest[:PAGE]}
    if len(rest) > PAGE:
        found["nextCursor"] = rest[PAGE - 1]["name"]
    if near.modern:
        found |= {"ttlMs": TTL, "cacheScope": "private"}
    return found


def of_era(reply: Reply, modern: bool) -> Reply:
    """The error of a resource that is not there has a code of its own in the handshake era only."""
    if modern and isinstance(reply, Fault) and reply.error["code"] == NOT_FOUND:
        return Fault({**reply.error, "code": INVALID_PARAMS})
    return reply


def model(reply: Reply, kind: Any) -> Any:
    """The SDK's form of a reply. Raises `MCPError`."""
    match reply:
        case Raw():
            return kind.model_validate(orjson.loads(reply.body))
        case Needs():
            return t.InputRequiredResult.model_validate(
                {"inputRequests": reply.requests, "requestState": reply.state, "resultType": "input_required"}
            )
        case Fault():
            raise MCPError(reply.error["code"], reply.error["message"], reply.error.get("data"))


async def _needs_session(_ctx: Any, _params: Any) -> t.EmptyResult:
    raise MCPError(t.INVALID_REQUEST, "to watch a resource needs a session: initialize, and send its id along")


async def _nothing(_ctx: Any, _params: Any) -> t.EmptyResult:
    return t.EmptyResult()
