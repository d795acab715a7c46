"""`/a2a/{agent}`: JSON-RPC, HTTP+JSON under `/rest`, the cards; and gRPC on its own port.

The paths are claimed at once; what serves them is loaded when the first one is asked for, or when there is something to
look after: gRPC, or tasks that were kept.
"""

import asyncio
import importlib
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

from adapters.a2a import FaceOptions, documents
from adapters.spi import Catalog, Host, Invoke, Receive, Route, Scope, Send

if TYPE_CHECKING:
    from adapters.a2a.desks import Desks

CARD = "/.well-known/agent-card.json"
OLD_CARD = "/.well-known/agent.json"
JSON = ("application/json", "application/a2a+json")


class A2aInbound:
    """The face of A2A."""

    def __init__(self, host: Host, options: FaceOptions) -> None:
        self._host = host
        self._options = options
        self._desks: Desks | None = None
        self._loading = asyncio.Lock()

    @asynccontextmanager
    async def serve(self, invoke: Invoke, catalog: Catalog) -> AsyncIterator[Sequence[Route]]:
        async with AsyncExitStack() as stack:

            async def load() -> "Desks":
                made: Any = await asyncio.to_thread(importlib.import_module, "adapters.a2a.desks")
                desks: Desks = made.Desks(self._host, self._options, invoke, catalog)
                await stack.enter_async_context(desks.serving())
                return desks

            self._load = load
            if self._options.grpc or await self._host.state("tasks").items():
                await self._ready()
            yield self._routes()

    async def _ready(self) -> "Desks":
        if self._desks is None:
            async with self._loading:
                self._desks = self._desks or await self._load()
        return self._desks

    def _at(self, face: str) -> Any:
        async def run(scope: Scope, receive: Receive, send: Send) -> None:
            await getattr(await self._ready(), face)(scope, receive, send)

        return run

    def _routes(self) -> list[Route]:
        public = self._options.cards == "public"
        found = [Route("/a2a/keys", self._at("keys"), ("GET",), open=True, openapi=documents.KEYS)]
        for path in (CARD, OLD_CARD):
            card, own = documents.card(path), documents.own_card(path)
            found.append(Route(f"/a2a/{{agent}}{path}", self._at("card"), ("GET",), open=public, openapi=card))
            found.append(Route(path, self._at("own_card"), ("GET",), open=public, openapi=own))
        for path, document in (("/a2a/{agent}", documents.RPC), ("/a2a/{agent}/", {})):
            found.append(Route(path, self._at("rpc"), ("POST",), openapi=document))
        found.append(Route("/a2a", self._at("own_rpc"), ("POST",), openapi=documents.OWN_RPC))
        methods = ("GET", "POST", "DELETE")
        found.append(Route("/a2a/{agent}/rest/{path:path}", self._at("rest"), methods, JSON, openapi=documents.REST))
        return found
