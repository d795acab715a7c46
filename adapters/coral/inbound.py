"""`/coral/…`: mentions that our process in a session hands on, and tools that a Coral server calls over HTTP."""

import asyncio
import hmac
import uuid
from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from hashlib import sha256
from typing import Any

import orjson

from adapters.asgi import read, respond, until_gone
from adapters.coral import FaceOptions, translate
from adapters.coral.exchange import exchange
from adapters.coral.speaking import Mention, Speaker, last, said
from adapters.errors import BadArguments, CallerError, Full, Unauthenticated
from adapters.spi import Ask, Call, Catalog, Evidence, Host, Invoke, Json, Receive, Result, Route, Scope, Send
from adapters.talk import question, speech

SIGNATURE = b"x-coral-signature"
PATIENCE = 12.0
"""Seconds after which a custom tool answers without its result: a Coral server hangs up after 15."""
WAITING = 1000
"""Calls of custom tools whose results wait to be fetched."""
LATER = "This is still being worked at. Call the tool again with the same arguments to hear the result."


def _fragment(path: str, method: str, summary: str, operation: str) -> dict[str, Any]:
    responses = {
        "200": {"description": "As it is said above.", "content": {"application/json": {"schema": {}}}},
        "default": {"description": "An error.", "content": {"application/problem+json": {"schema": {}}}},
    }
    said = {"summary": summary, "operationId": operation, "tags": ["coral"], "responses": responses}
    return {"paths": {path: {method: said}}}


TOOLS = _fragment("/coral/tools", "get", "Our tools as customTools of a session request", "listCoralTools")


class CoralInbound:
    """The face of the Coral network."""

    def __init__(self, host: Host, options: FaceOptions) -> None:
        self._host = host
        self._secret = options.secret.encode()
        self._exchange = exchange(host)
        self._working: OrderedDict[tuple[str, ...], asyncio.Task[Result | Ask]] = OrderedDict()

    @asynccontextmanager
    async def serve(self, invoke: Invoke, catalog: Catalog) -> AsyncIterator[Sequence[Route]]:
        self._invoke = invoke
        self._catalog = catalog
        self._speaker = Speaker(invoke, catalog, self._exchange)
        try:
            yield [
                Route("/coral/agents/{slug}", self._agent, ("GET",)),
                Route("/coral/agents/{slug}/mentions", self._mention, ("POST",)),
                Route("/coral/tools", self._tools, ("GET",), openapi=TOOLS),
                Route("/coral/tools/{tool}/{session}/{agent}", self._tool, ("POST",), open=True),
            ]
        finally:
            for task in self._working.values():
                task.cancel()
            await asyncio.gather(*self._working.values(), return_exceptions=True)

    # -- agents that joined ---------------------------------------------------------------------------------------

    async def _agent(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = self._speaker.agent(scope["path_params"]["slug"], scope["caller"])
        names = [tool.name for tool in found.tools]
        shown = {"agent": found.slug, "name": found.name, "description": found.description, "tools": names}
        await respond(send, 200, orjson.dumps(shown))

    async def _mention(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await read(receive)
        if body is None:
            return
        told = _object(body)
        if not all(isinstance(told.get(key), str) and told[key] for key in ("session", "thread", "text")):
            raise BadArguments("a mention has a session, a thread and a text")
        slug = scope["path_params"]["slug"]
        whose = speech(told.get("sender"), told.get("among"))
        to = Mention(scope["caller"], slug, told["session"], told["thread"], told["text"], whose)

        async def work() -> None:
            await respond(send, 200, orjson.dumps(await self._speaker.answer(to)))

        await until_gone(work(), receive)

    # -- custom tools ---------------------------------------------------------------------------------------------

    async def _tools(self, scope: Scope, receive: Receive, send: Send) -> None:
        base = self._host.base_url
        found = {tool.name: translate.custom_tool(tool, base) for tool in self._catalog.tools(scope["caller"])}
        await respond(send, 200, orjson.dumps({"customTools": found}))

    async def _tool(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await read(receive)
        if body is None:
            return
        self._require_signed(dict(scope["headers"]).get(SIGNATURE, b""), body)
        caller = await self._host.authenticate(Evidence(translate.NETWORK, "envelope", "server"))
        arguments = _object(body)
        place = scope["path_params"]
        session, agent = place["session"], place["agent"]
        chain = self._exchange.chain(session)
        call = Call(
            id=uuid.uuid4().hex, tool=self._catalog.public(place["tool"]), arguments=arguments, caller=caller,
            conversation=f"{session}/{agent}", hops=chain, parent=chain[-1].call if chain else None,
            answers=frozenset(),
        )  # fmt: skip
        key = (session, agent, call.tool, sha256(body).hexdigest())

        async def work() -> None:
            try:
                text = await self._carried_out(key, call)
            except CallerError as fault:  # the server tells its agent no more than the number of another status
                if isinstance(fault, Unauthenticated):
                    raise
                text = f"Error ({fault.code}): {fault.public}"
            await _text(send, text)

        await until_gone(work(), receive)

    def _require_signed(self, signature: bytes, body: bytes) -> None:
        """Raises `Unauthenticated`. The signature covers the body alone: not the tool, the session, or the time."""
        if not self._secret:
            raise Unauthenticated(
                "custom tools are off; the operator gives their secret, in the file: [networks.coral] secret"
            )
        wanted = hmac.new(self._secret, body, sha256).hexdigest()
        if not hmac.compare_digest(signature.lower(), wanted.encode()):
            raise Unauthenticated("the signature does not hold")

    async def _carried_out(self, key: tuple[str, ...], call: Call) -> str:
        """The result, or that it takes longer; who calls again in the same way hears how it ended."""
        task = self._working.get(key)
        if task is None:
            if len(self._working) >= WAITING:
                self._make_room()
            task = asyncio.create_task(last(self._invoke, call), name="coral tool")
            self._working[key] = task
        try:
            await asyncio.wait({task}, timeout=PATIENCE)
        except asyncio.CancelledError:
            task.cancel()
            self._working.pop(key, None)
            raise
        if not task.done():
            return LATER
        self._working.pop(key, None)
        end = task.result()
        if isinstance(end, Ask):
            raise BadArguments(f"'{call.tool}' asks back, and a tool cannot answer: {question(end)}")
        return said(end)

    def _make_room(self) -> None:
        """Raises `Full`."""
        done = next((key for key, task in self._working.items() if task.done()), None)
        if done is None:
            raise Full("too many custom tools are being carried out", retry_after=5)
        task = self._working.pop(done)
        if not task.cancelled() and (fault := task.exception()):
            self._host.log.info("nobody heard how a custom tool ended", said=str(fault))


def _object(body: bytes) -> dict[str, Json]:
    """Of a call without arguments, Coral's body is `null`. Raises `BadArguments`."""
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError as fault:
        raise BadArguments("the body is not JSON") from fault
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise BadArguments("the body is no JSON object")
    return found


async def _text(send: Send, text: str) -> None:
    body = text.encode()
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
