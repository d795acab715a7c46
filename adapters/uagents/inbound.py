"""`/uagents/submit`, one endpoint for every published agent, and `/uagents/agents`, which says who they are."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any

import orjson
from uagents_core.envelope import Envelope

from adapters.asgi import read, respond, until_gone
from adapters.errors import BadArguments, Conflict, Denied, Full, GatewayError, Unknown
from adapters.spi import Caller, Catalog, Evidence, Host, Invoke, Receive, Route, Scope, Send
from adapters.uagents import FaceOptions, envelopes, typed
from adapters.uagents.almanac import Almanac
from adapters.uagents.exchange import Post, exchange
from adapters.uagents.registrar import Registrar
from adapters.uagents.roster import NETWORK, Entry, Roster
from adapters.uagents.speaking import Message, Request, Speaker

SUBMIT = "/uagents/submit"
ROOM = 2000
"""Messages that are answered at once; beyond, envelopes are refused."""
REACH = 30.0
"""Seconds in which an agent that is answered must take the envelope."""
TOLD = frozenset({413, 429, 503})
"""Numbers of refusals that say more than the protocol's 400."""
GET: dict[str, Any] = {
    "paths": {
        "/uagents/agents": {
            "get": {
                "summary": "The agents that have an address on the uAgents network",
                "operationId": "listUagents",
                "tags": ["uagents"],
                "responses": {
                    "200": {"description": "Each with its address.", "content": {"application/json": {"schema": {}}}},
                    "401": {"description": "No valid key.", "content": {"application/problem+json": {"schema": {}}}},
                },
            }
        }
    }
}


class UagentsInbound:
    """The face of the uAgents network."""

    def __init__(self, host: Host, options: FaceOptions) -> None:
        self._host = host
        self._options = options
        self._tasks: set[asyncio.Task[None]] = set()
        client = host.client(options.almanac, *options.endpoints.values(), *options.private)
        self._post = Post(client, Almanac(client, options.almanac, options.endpoints, options.key))
        self._exchange = exchange(host)

    @asynccontextmanager
    async def serve(self, invoke: Invoke, catalog: Catalog) -> AsyncIterator[Sequence[Route]]:
        self._roster = Roster(catalog, self._host.keyring, self._options.publish)
        self._catalog = catalog
        self._speaker = Speaker(invoke, catalog)
        self._exchange.url = self._host.base_url + SUBMIT
        self._exchange.published = lambda: self._roster.current
        self.registrar = Registrar(self._host, self._options, self._post.almanac, self._roster)
        standing = self._standing()
        try:
            yield [
                Route(SUBMIT, self._submit, ("POST", "HEAD"), open=True, refuse=refuse),
                Route("/uagents/agents", self._list, ("GET",), openapi=GET),
                Route("/uagents/agents/{slug}", self._one, ("GET", "POST")),
            ]
        finally:
            self._exchange.url = ""
            self._exchange.published = frozenset
            for task in (*standing, *self._tasks):
                task.cancel()
            await asyncio.gather(*standing, *self._tasks, return_exceptions=True)

    def _standing(self) -> list["asyncio.Task[None]"]:
        if self._options.registration == "off":
            return []
        made = [asyncio.create_task(self.registrar.run(), name="uagents registration")]
        if self._options.mailbox:
            made.append(asyncio.create_task(self.registrar.fetch(self._fetched), name="uagents mailbox"))
        return made

    # -- envelopes ------------------------------------------------------------------------------------------------

    async def _submit(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        if scope["method"] == "HEAD":
            await self._ready(headers.get(b"x-uagents-address"), send)
            return
        body = await read(receive)
        if body is None:
            return
        sync = headers.get(b"x-uagents-connection") == b"sync"
        request = await self._taken(envelopes.read(body), _bearer(headers), sync=sync)
        if request is None:
            await respond(send, 200, b"{}")
        elif sync:
            await until_gone(self._reply(request, send), receive)
        else:
            self._begin(request)
            await respond(send, 200, b"{}")

    async def _ready(self, address: bytes | None, send: Send) -> None:
        state = b"indeterminate"
        if address is not None:
            state = b"ready" if address.decode("latin-1") in self._roster.current else b"not-ready"
        headers = [(b"x-uagents-status", state), (b"content-length", b"0")]
        headers += [(b"x-uagents-response-time-hint", b"5")] if state == b"ready" else []
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    async def _taken(self, envelope: Envelope, bearer: str = "", *, sync: bool = False) -> Request | None:
        """The envelope, held against all that it must show; None where one of our callers waited for it.

        Raises `GatewayError`s in the words of the protocol. It is in the replay log before anything is done.
        """
        entry = self._roster.current.get(envelope.target)
        if entry is None and envelope.target not in self._exchange.ours:
            raise BadArguments("unable to route envelope")
        signed = envelopes.require_valid(envelope, self._options.unsigned and entry is not None)
        caller = None if entry is None else await self._caller(envelope, bearer)
        if len(self._tasks) >= ROOM:
            raise Full("too many messages are being answered", retry_after=1)
        if not envelopes.anonymous(envelope) and not await self._host.replay.admit(
            signed, float(envelope.expires or 0) + envelopes.SKEW
        ):
            raise Conflict("replayed envelope")
        if entry is None or caller is None:
            self._exchange.deliver(envelope)
            return None
        id = signed.hex()[:32] if not envelopes.anonymous(envelope) else uuid.uuid4().hex
        return Request(entry, envelope, caller, id, sync)

    async def _caller(self, envelope: Envelope, bearer: str) -> Caller:
        if bearer:
            return await self._host.authenticate(Evidence(NETWORK, "bearer", bearer))
        who = "unsigned" if envelopes.anonymous(envelope) else envelope.sender
        return await self._host.authenticate(Evidence(NETWORK, "envelope", who))

    async def _reply(self, request: Request, send: Send) -> None:
        message = await self._speaker.once(request)
        left = float(request.envelope.expires or 0) - time.time()
        made = self._made(request, message, max(1.0, left))
        await respond(send, 200, made.model_dump_json().encode())

    def _made(self, request: Request, message: Message, life: float) -> Envelope:
        came = request.envelope
        return envelopes.make(request.entry.signer, came.sender, came.session, message, life)

    def _begin(self, request: Request) -> None:
        task = asyncio.create_task(self._answer(request), name="uagents answer")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, request: Request) -> None:
        """Sends what there is to say to where the sender is, one after the other."""
        async with aclosing(self._speaker.answer(request)) as messages:
            async for message in messages:
                try:
                    await self._post.send(self._made(request, message, envelopes.LIFE / 60), REACH)
                except GatewayError as fault:
                    said = {"to": request.envelope.sender, "agent": request.entry.agent.slug, "said": fault.public}
                    self._host.log.info("an answer was not delivered", **said, detail=fault.detail)
                    return

    async def _fetched(self, body: bytes) -> None:
        """An envelope of the mailbox. What does not hold is dropped."""
        try:
            request = await self._taken(envelopes.read(body))
        except GatewayError as fault:
            self._host.log.info("an envelope of the mailbox was refused", said=fault.public)
            return
        if request is not None:
            self._begin(request)

    # -- who they are ---------------------------------------------------------------------------------------------

    async def _list(self, scope: Scope, receive: Receive, send: Send) -> None:
        seen = {agent.slug for agent in self._catalog.agents(scope["caller"])}
        found = [e for e in self._roster.current.values() if e.agent.slug in seen]
        await respond(send, 200, orjson.dumps([self._shown(entry) for entry in found]))

    async def _one(self, scope: Scope, receive: Receive, send: Send) -> None:
        slug, caller = scope["path_params"]["slug"], scope["caller"]
        entry = self._roster.find(slug)
        if entry is None or all(agent.slug != slug for agent in self._catalog.agents(caller)):
            raise Unknown(f"no agent '{slug[:80]}' is published on this network; see publish in [networks.uagents]")
        registered = ""
        if scope["method"] == "POST":
            if not all("admin" in who.roles for who in caller.chain()):
                raise Denied("this needs a key with the role 'admin'")
            registered = await self.registrar.register([entry])
        source = await asyncio.to_thread(typed.source, entry.agent, entry.signer.address)
        shown = {**self._shown(entry), "protocols": entry.protocols, "source": source, "registered": registered}
        await respond(send, 200, orjson.dumps(shown))

    def _shown(self, entry: Entry) -> Mapping[str, Any]:
        return {"agent": entry.agent.slug, "address": entry.signer.address, "endpoint": self._exchange.url}


def _bearer(headers: Mapping[bytes, bytes]) -> str:
    kind, _, value = headers.get(b"authorization", b"").partition(b" ")
    return value.decode("latin-1").strip() if kind.lower() == b"bearer" else ""


async def refuse(fault: GatewayError, send: Send) -> None:
    """As the protocol says it: 400, and an object with an error."""
    status = fault.status if fault.status in TOLD else 400
    body = orjson.dumps({"error": "invalid content-type" if fault.status == 415 else fault.public})
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    headers += [(b"connection", b"close")] if fault.status == 413 else []
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
