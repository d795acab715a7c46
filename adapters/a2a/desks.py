"""What serves the agents: for each a handler of the official SDK, its faces and cards. Its import takes a second."""

import ipaddress
import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any
from urllib.parse import urlsplit

import orjson
from a2a.server.context import ServerCallContext
from a2a.server.request_handlers import DefaultRequestHandler
from a2a.server.routes import create_agent_card_routes, create_rest_routes
from a2a.server.routes.common import DefaultServerCallContextBuilder
from a2a.server.routes.jsonrpc_dispatcher import JsonRpcDispatcher
from a2a.types import AgentCard
from starlette.requests import Request
from starlette.routing import Router

from adapters.a2a import FaceOptions, cards
from adapters.a2a.executor import Executor
from adapters.a2a.inbound import CARD
from adapters.a2a.tasks import Tasks
from adapters.a2a.teller import Teller
from adapters.a2a.user import KnownUser
from adapters.a2a.user import context as context_of
from adapters.asgi import respond
from adapters.errors import Unknown
from adapters.spi import Agent, Caller, Catalog, Host, Invoke, Json, Receive, Scope, Send

KEPT = 2_000
"""Agents whose handlers are kept."""


class Contexts(DefaultServerCallContextBuilder):
    """Puts the caller and the agent into the context of a request."""

    def __init__(self, slug: str) -> None:
        self._slug = slug

    def build(self, request: Request) -> ServerCallContext:
        built = super().build(request)
        caller: Caller = request.scope["caller"]
        state = {**built.state, "caller": caller}
        made = context_of(self._slug, KnownUser(caller), state)
        made.requested_extensions = built.requested_extensions
        return made


@dataclass(slots=True)
class Desk:
    """What serves one agent: its handler, and its two faces of HTTP. `card` is served as it stands, drawn
    when the agent had this `score`."""

    agent: Agent
    score: Mapping[str, Json] | None
    handler: DefaultRequestHandler
    rpc: JsonRpcDispatcher
    rest: Router
    card: Any


class Desks:
    """All agents of the catalogue, each with tasks of its own. Use `serving`, then the apps of the paths."""

    def __init__(self, host: Host, options: FaceOptions, invoke: Invoke, catalog: Catalog) -> None:
        self._host = host
        self._options = options
        self._invoke = invoke
        self._catalog = catalog
        self._desks: OrderedDict[str, Desk] = OrderedDict()
        self._others: list[DefaultRequestHandler] = []
        self._own: JsonRpcDispatcher | None = None
        self._signer: cards.Signer | None = None
        self._tasks = Tasks(host)
        self._teller = Teller(host.client(*options.push_to), self._tasks.pushes)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        logging.getLogger("a2a").setLevel(logging.CRITICAL)  # what goes wrong is told to the caller, and audited
        async with AsyncExitStack() as stack:
            due = await self._tasks.load()
            stack.push_async_callback(self._tasks.close)
            stack.push_async_callback(self._teller.close)
            stack.push_async_callback(self._close)
            for ear, task in due:
                self._teller.catch_up(ear, task)
            if self._options.grpc:
                from adapters.a2a.grpc_face import serve as serve_grpc  # gRPC is loaded by those who want it

                await stack.enter_async_context(serve_grpc(self._options.grpc, self._host, self._handler))
            yield

    async def _close(self) -> None:
        for handler in (*(desk.handler for desk in self._desks.values()), *self._others):
            await handler.aclose()

    # -- desks ----------------------------------------------------------------------------------------------------

    def _desk(self, slug: str, caller: Caller | None = None) -> Desk:
        """Raises `Unknown` for an agent that is not there, or not for this caller."""
        who = caller or Caller("cards")
        agent = next((a for a in self._catalog.agents(who) if a.slug == slug), None)
        if agent is None:
            raise Unknown(f"no agent is called '{slug[:80]}'; the gateway's card names them: {CARD}")
        desk = self._desks.get(slug)
        if desk is None or (caller is None and (desk.agent is not agent or desk.score is not self._host.score(slug))):
            desk = self._desks[slug] = self._made(agent, desk)
            while len(self._desks) > KEPT:
                self._desks.popitem(last=False)
        return desk

    def _made(self, agent: Agent, before: Desk | None) -> Desk:
        """What runs goes on in the handler that there was."""
        whole = next((a for a in self._catalog.agents(Caller("cards")) if a.slug == agent.slug), agent)
        score = self._host.score(agent.slug)
        card = self._signed(self._drawn(whole))
        handler = before.handler if before is not None else self._handled(agent.slug, card)
        contexts = Contexts(agent.slug)
        rpc = JsonRpcDispatcher(handler, contexts, enable_v0_3_compat=True)
        rest = Router(create_rest_routes(handler, contexts, enable_v0_3_compat=True), redirect_slashes=False)
        return Desk(whole, score, handler, rpc, rest, _page(card))

    def _handled(self, slug: str, card: AgentCard) -> DefaultRequestHandler:
        async def extended(_card: AgentCard, context: ServerCallContext) -> AgentCard:
            if not slug:
                return self._own_card_for(context.state["caller"])
            agent = self._desk(slug, context.state["caller"]).agent
            tools = self._catalog.tools(context.state["caller"], slug)
            return self._signed(self._drawn(agent, tools))

        return DefaultRequestHandler(
            agent_executor=Executor(slug, self._invoke, self._catalog), task_store=self._tasks, agent_card=card,
            push_config_store=self._tasks.pushes, push_sender=self._teller,
            extended_agent_card=card, extended_card_modifier=extended, push_url_validator=self._may_push,
        )  # fmt: skip

    def _handler(self, slug: str, caller: Caller) -> tuple[str, DefaultRequestHandler]:
        """For gRPC: who names no agent means the only one that there is. Raises `Unknown`."""
        if not slug:
            agents = self._catalog.agents(caller)
            if len(agents) != 1:
                raise Unknown("the tenant of a request is the agent's slug, and is not set")
            slug = agents[0].slug
        return slug, self._desk(slug, caller).handler

    async def _may_push(self, url: str) -> bool:
        """Where it cannot lead is refused at once; names are looked at when they are connected to."""
        try:
            found = urlsplit(url)
            host, origin = found.hostname or "", f"{found.scheme}://{found.netloc}"
        except ValueError:
            return False
        if found.scheme not in ("http", "https") or found.username is not None:
            return False
        return origin in self._options.push_to or (_outside(host) if host else False)

    # -- cards ----------------------------------------------------------------------------------------------------

    def _drawn(self, agent: Agent, tools: Any = None) -> AgentCard:
        place = cards.Place(self._host.base_url, self._options.grpc, self._options.old_clients)
        return cards.card(agent, place, tools, self._host.score(agent.slug))

    def _signed(self, card: AgentCard) -> AgentCard:
        return self._sign.sign(card)

    @property
    def _sign(self) -> cards.Signer:
        if self._signer is None:
            self._signer = cards.Signer(self._host.keyring, self._host.base_url)
        return self._signer

    async def card(self, scope: Scope, receive: Receive, send: Send) -> None:
        """With the skills that the caller may use; cards that are public have all."""
        caller, slug = scope.get("caller"), scope["path_params"]["agent"]
        desk = self._desk(slug) if caller is None else self._desk(slug, caller)
        seen = desk.agent.tools if caller is None else self._catalog.tools(caller, slug)
        whole = self._desk(slug)
        if len(seen) < len(whole.agent.tools):
            await _page(self._signed(self._drawn(whole.agent, seen)))(scope, receive, send)
        else:
            await whole.card(scope, receive, send)

    async def own_card(self, scope: Scope, receive: Receive, send: Send) -> None:
        await _page(self._own_card_for(scope.get("caller") or Caller("cards")))(scope, receive, send)

    def _own_card_for(self, caller: Caller) -> AgentCard:
        return self._signed(cards.gateway(self._catalog.agents(caller), self._host.base_url))

    async def keys(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        await respond(send, 200, orjson.dumps(self._sign.keys))

    # -- calls ----------------------------------------------------------------------------------------------------

    async def rpc(self, scope: Scope, receive: Receive, send: Send) -> None:
        desk = self._desk(scope["path_params"]["agent"], scope["caller"])
        response = await desk.rpc.handle_requests(Request(scope, receive))
        await response(scope, receive, send)

    async def own_rpc(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The gateway as an agent whose skills are the agents."""
        if self._own is None:
            handler = self._handled("", self._own_card_for(Caller("cards")))
            self._own = JsonRpcDispatcher(handler, Contexts(""), enable_v0_3_compat=False)
            self._others.append(handler)
        response = await self._own.handle_requests(Request(scope, receive))
        await response(scope, receive, send)

    async def rest(self, scope: Scope, receive: Receive, send: Send) -> None:
        desk = self._desk(scope["path_params"]["agent"], scope["caller"])
        path = "/" + scope["path_params"]["path"]
        inner = {**scope, "path": path, "raw_path": path.encode(), "root_path": "", "path_params": {}}
        own = b"a2a+json" in dict(scope["headers"]).get(b"accept", b"")
        await desk.rest(inner, receive, send if own else _plain(send))


def _page(card: AgentCard) -> Any:
    """The app that serves a card, as the SDK writes it, with what caches ask for."""
    page = create_agent_card_routes(card, cache_control="max-age=60")[0].app

    async def dated(scope: Scope, receive: Receive, send: Send) -> None:
        async def with_date(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"last-modified", drawn)]
            await send(message)

        await page(scope, receive, with_date)

    drawn = formatdate(usegmt=True).encode()
    return dated


def _plain(send: Send) -> Send:
    """JSON under its usual name, as section 11.1 says; the SDK writes A2A's own."""

    async def plain(message: Any) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [
                (name, value.replace(b"a2a+json", b"json") if name.lower() == b"content-type" else value)
                for name, value in message["headers"]
            ]
        await send(message)

    return plain


def _outside(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_global
    except ValueError:
        return "." in host.strip(".")
