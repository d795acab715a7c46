"""`POST /v1/chat/completions` and `GET /v1/models`: raw ASGI, no framework on the call path."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import orjson
from starlette.requests import Request

from adapters import hops
from adapters.asgi import read, respond, until_gone
from adapters.errors import BadArguments, GatewayError, Unauthenticated, Unknown
from adapters.openai import documents, translate
from adapters.openai.conversations import Conversations, Place
from adapters.openai.translate import Chat
from adapters.spi import (
    Agent,
    Answer,
    Ask,
    Call,
    Caller,
    Catalog,
    Error,
    Event,
    Evidence,
    Host,
    Invoke,
    Part,
    Progress,
    Receive,
    Result,
    Route,
    Scope,
    Send,
    Text,
)
from adapters.talk import Talk, question, talk, tells, values

NETWORK = "openai"
HEARTBEAT = 15.0
ADMITTED = 0.05
"""Seconds in which a call that is refused is known to be refused."""
ANSWERS = frozenset({"form", "visit"})
"""Questions back that a chat can answer: the next message does."""
STARTED = int(time.time())


@dataclass(frozen=True, slots=True)
class Turn:
    """One message on its way: who it is for, and where its conversation stands. `owner` of the history; blank where the
    client names its conversation, or the far side is told the whole history each time."""

    chat: Chat
    talk: Talk
    call: Call
    place: Place
    owner: str = ""


class OpenAiInbound:
    """The face of chat completions."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._conversations = Conversations()

    @asynccontextmanager
    async def serve(self, invoke: Invoke, catalog: Catalog) -> AsyncIterator[Sequence[Route]]:
        self._invoke = invoke
        self._catalog = catalog
        yield [
            self._route("/v1/chat/completions", "POST", self._complete, documents.COMPLETIONS),
            self._route("/v1/models", "GET", self._models, documents.MODELS),
            self._route("/v1/models/{model}", "GET", self._model, documents.MODEL),
        ]

    def _route(self, path: str, method: str, answer: Any, document: Any) -> Route:
        return Route(path, self._told(answer), (method,), open=True, openapi=document)

    def _told(self, answer: Any) -> Any:
        """Errors in the words of this API: its clients read no others."""

        async def run(scope: Scope, receive: Receive, send: Send) -> None:
            try:
                scope["caller"] = await self._who(scope)
                await answer(scope, receive, send)
            except GatewayError as fault:
                await respond(send, fault.status, orjson.dumps(translate.fault(fault)))

        return run

    async def _who(self, scope: Scope) -> Caller:
        """The caller. These clients must send a key, if there is one or not: where none is needed, any will do."""
        said = Request(scope).headers.get("authorization", "").partition(" ")[2].strip()
        try:
            return await self._host.authenticate(Evidence(NETWORK, "bearer", said))
        except Unauthenticated as fault:
            try:
                return await self._host.authenticate(Evidence(NETWORK, "bearer", ""))
            except Unauthenticated:
                raise fault from None

    # -- models ---------------------------------------------------------------------------------------------------

    async def _models(self, scope: Scope, _receive: Receive, send: Send) -> None:
        talking = [agent for agent in self._catalog.agents(scope["caller"]) if talk(agent) and not agent.paused]
        await respond(send, 200, orjson.dumps(translate.models(talking, STARTED)))

    async def _model(self, scope: Scope, _receive: Receive, send: Send) -> None:
        agent, _ = self._find(scope["path_params"]["model"], scope["caller"])
        await respond(send, 200, orjson.dumps(translate.model(agent, STARTED)))

    def _find(self, model: str, caller: Caller) -> tuple[Agent, Talk]:
        """Raises `Unknown`, also for agents that do not talk."""
        agents = self._catalog.agents(caller)
        agent = next((a for a in agents if a.slug == model.partition("__")[0]), None)
        if agent is not None:
            tool = next((t for t in agent.tools if t.name == model), None)
            found = tells(tool) if tool is not None else talk(agent) if agent.slug == model else None
            if found is not None:
                return agent, found
            raise Unknown(f"'{model[:80]}' does not talk: call its tools over MCP, or POST /v1/tools/{{tool}}/calls")
        talking = ", ".join([a.slug for a in agents if talk(a)][:10])
        raise Unknown(f"no agent is called '{model[:80]}'; there are: {talking or 'none that talk'}")

    # -- completions ----------------------------------------------------------------------------------------------

    async def _complete(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await read(receive)
        if body is None:
            return
        turn = self._turn(translate.chat(body), scope)
        answered = False
        try:
            events = self._invoke(turn.call)
            if turn.chat.stream:
                answered = await self._stream(turn, events, receive, send)
            else:
                done: list[bool] = []
                await until_gone(self._whole(turn, events, send, done), receive)
                answered = bool(done)
        finally:
            if not answered and turn.owner:
                self._conversations.put(turn.owner, turn.chat.before, turn.place)

    def _turn(self, chat: Chat, scope: Scope) -> Turn:
        request, caller = Request(scope), scope["caller"]
        agent, talk = self._find(chat.model, caller)
        chain = hops.read(request.headers.get("doolittle-hops", ""))
        call = Call(
            uuid.uuid4().hex, talk.tool.name, {}, caller, trace=request.headers.get("traceparent"), hops=chain,
            parent=chain[-1].call if chain else None, answers=ANSWERS,
        )  # fmt: skip
        if agent.address.network == NETWORK:  # it takes what the client says as it is, the history too
            given = {key: value for key, value in chat.given.items() if key not in translate.OWN}
            arguments = {talk.argument: chat.said or "(nothing)"}
            return Turn(chat, talk, replace(call, arguments=arguments, meta={translate.GIVEN: given}), Place(""))
        translate.require_plain(chat, agent.address.network)
        named = request.headers.get("doolittle-conversation", "")
        if not (len(named) <= 256 and (named.isprintable() or not named)):
            raise BadArguments("'doolittle-conversation' is a text of at most 256 printable characters")
        if named:
            said = replace(call, arguments={talk.argument: chat.said}, conversation=named)
            return Turn(chat, talk, said, Place(named, known=True))
        owner = f"{caller.id}\0{talk.tool.name}"
        place = self._conversations.take(owner, chat.before)
        if place.ask is not None:
            token, ask = place.ask
            answer = Answer(token, values(ask, chat.said))
            return Turn(chat, talk, replace(call, answer=answer, conversation=place.conversation), place, owner)
        arguments = {talk.argument: chat.said if place.known else translate.told(chat, talk.longest)}
        return Turn(chat, talk, replace(call, arguments=arguments, conversation=place.conversation), place, owner)

    def _remember(self, turn: Turn, said: str, ask: Ask | None = None) -> None:
        """The history that the client will send with its next message leads here."""
        if turn.owner:
            place = Place(turn.place.conversation, True, (ask.token, ask) if ask is not None else None)
            self._conversations.put(turn.owner, [*turn.chat.messages, ("assistant", said)], place)

    async def _whole(self, turn: Turn, events: Any, send: Send, done: list[bool]) -> None:
        async with aclosing(events):
            async for event in events:
                match event:
                    case Error():
                        raise event.error
                    case Result() if event.raw_format == translate.RAW and event.raw is not None:
                        await respond(send, 200, event.raw)
                    case Result() | Ask():
                        said = question(event) if isinstance(event, Ask) else translate.text(event)
                        self._remember(turn, said, event if isinstance(event, Ask) else None)
                        done.append(True)
                        whole = translate.completion(turn.call.id, turn.chat.model, said)
                        await respond(send, 200, orjson.dumps(whole))
                    case _:
                        pass

    async def _stream(self, turn: Turn, events: Any, receive: Receive, send: Send) -> bool:
        """Whether it was answered. What is refused at once is answered as an error, and not as a stream."""
        stream = Stream(turn, send)
        async with aclosing(events):
            step: asyncio.Future[Event | None] = asyncio.ensure_future(anext(events, None))
            try:
                done, _ = await asyncio.wait({step}, timeout=ADMITTED)
                if done and isinstance(first := step.result(), Error):
                    raise first.error
                await stream.begin()
                await until_gone(self._pump(stream, events, step), receive)
            finally:
                step.cancel()
                await asyncio.gather(step, return_exceptions=True)
        return stream.answered

    async def _pump(self, stream: "Stream", events: Any, step: "asyncio.Future[Event | None]") -> None:
        try:
            while True:
                done, _ = await asyncio.wait({step}, timeout=HEARTBEAT)
                event = step.result() if done else Progress("working")
                if event is None:
                    break
                await stream.show(event, self._remember)
                if done:
                    step = asyncio.ensure_future(anext(events, None))
        finally:
            step.cancel()
            await asyncio.gather(step, return_exceptions=True)
        await stream.end()


class Stream:
    """The chunks of one answer. Pieces are shown as they come; where the result is another text, it follows them."""

    def __init__(self, turn: Turn, send: Send) -> None:
        self._turn = turn
        self._send = send
        self._shown = ""
        self.answered = False

    async def begin(self) -> None:
        headers = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-store")]
        await self._send({"type": "http.response.start", "status": 200, "headers": headers})
        await self._chunk({"role": "assistant", "content": ""})

    async def show(self, event: Event, remember: Any) -> None:
        match event:
            case Part(content=Text(said)):
                self._shown += said
                await self._chunk({"content": said})
            case Progress():
                await self._write(b": %b\n\n" % " ".join(event.message.split())[:200].encode())
            case Error():
                await self._data(translate.fault(event.error))
            case Result() if event.raw_format == translate.RAW and event.raw is not None:
                self.answered = True
                for one in translate.chunks(orjson.loads(event.raw), self._shown, counts=self._turn.chat.counts):
                    await self._data(one)
            case Result() | Ask():
                await self._decide(event, remember)
            case _:
                pass

    async def _decide(self, event: Result | Ask, remember: Any) -> None:
        said = question(event) if isinstance(event, Ask) else translate.text(event)
        rest = said[len(self._shown) :] if said.startswith(self._shown) else f"\n\n{said}"
        if rest:
            self._shown += rest
            await self._chunk({"content": rest})
        self.answered = True
        remember(self._turn, self._shown, event if isinstance(event, Ask) else None)
        await self._chunk({}, "stop")

    async def end(self) -> None:
        await self._write(b"data: [DONE]\n\n")
        await self._send({"type": "http.response.body", "body": b""})

    async def _chunk(self, delta: dict[str, Any], end: str | None = None) -> None:
        await self._data(translate.chunk(self._turn.call.id, self._turn.chat.model, delta, end))

    async def _data(self, document: Any) -> None:
        await self._write(b"data: %b\n\n" % orjson.dumps(document))

    async def _write(self, block: bytes) -> None:
        await self._send({"type": "http.response.body", "body": block, "more_body": True})
