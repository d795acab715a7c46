"""`POST /v1/tools/{tool}/calls`, `GET` and `DELETE /v1/calls/{id}`, and `/v1/views/{view}/…`, where each tool takes its
arguments alone: raw ASGI, no framework on the call path."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any

import orjson
from starlette.requests import ClientDisconnect, Request

from adapters.asgi import respond, until_gone
from adapters.errors import BadArguments
from adapters.http import openapi, translate, typed
from adapters.spi import (
    LAST,
    Call,
    Caller,
    Catalog,
    Error,
    Event,
    Host,
    Invoke,
    Receive,
    Result,
    Route,
    Scope,
    Send,
    Tool,
)

HEARTBEAT = 15.0
"""Seconds after which a stream without events gets a comment, so that nobody between cuts it."""
ADMITTED = 0.05
"""Seconds in which a call that is refused is known to be refused."""
SSE = b"text/event-stream"


class HttpInbound:
    """The face of plain HTTP."""

    def __init__(self, host: Host) -> None:
        self._host = host

    @asynccontextmanager
    async def serve(self, invoke: Invoke, catalog: Catalog) -> AsyncIterator[Sequence[Route]]:
        self._invoke = invoke
        self._catalog = catalog
        yield [
            Route("/v1/tools/{tool}/calls", self._calls, ("POST",), openapi=openapi.CALLS),
            Route("/v1/calls/{id}", self._call, ("GET", "DELETE"), openapi=openapi.CALL),
            Route("/v1/views/{view}/openapi.json", self._describe, ("GET",), openapi=openapi.VIEW),
            Route("/v1/views/{view}/tools/{tool}", self._direct, ("POST",), openapi=openapi.VIEW_TOOL),
            Route("/v1/views/{view}/answers", self._answers, ("POST",), openapi=openapi.VIEW_ANSWERS),
        ]

    async def _calls(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            body = await request.body()
        except ClientDisconnect:
            return
        call = translate.call(scope["path_params"]["tool"], body, scope["caller"], request.headers, uuid.uuid4().hex)
        if wants_stream(scope):
            await stream(self._invoke(call), receive, send, call.id)
        elif call.detached:
            await self._detach(call, send)
        else:
            await until_gone(self._answer(call, send), receive)

    async def _answer(self, call: Call, send: Send) -> None:
        last = await self._last(call, call.caller.patience)
        if last is None:
            await answer(send, 202, translate.record(self._host.calls.get(call.id, call.caller)))
        else:
            await answer(send, 200, translate.outcome(call.id, last))

    async def _last(self, call: Call, patience: float | None) -> Event | None:
        """The last event; None where the caller's patience ran out before: the call then goes on. Raises errors."""
        async with aclosing(self._invoke(call)) as events:
            if not patience:
                return good(await ending(events))
            waiting = asyncio.ensure_future(ending(events))
            try:
                await asyncio.wait({waiting}, timeout=patience)
                if waiting.done():
                    return good(waiting.result())
                self._host.calls.detach(call.id, call.caller)
                return None
            finally:
                waiting.cancel()
                await asyncio.gather(waiting, return_exceptions=True)

    async def _detach(self, call: Call, send: Send) -> None:
        """Answers as soon as the call was admitted; an error before that is answered as one."""
        async with aclosing(self._invoke(call)) as events:
            first = asyncio.ensure_future(anext(events))
            await asyncio.wait({first}, timeout=ADMITTED)
            if first.done() and isinstance(event := first.result(), Error):
                raise event.error
            if not first.done():
                first.cancel()
                await asyncio.gather(first, return_exceptions=True)
        await answer(send, 202, translate.record(self._host.calls.get(call.id, call.caller)))

    async def _call(self, scope: Scope, receive: Receive, send: Send) -> None:
        id, caller, calls = scope["path_params"]["id"], scope["caller"], self._host.calls
        if scope["method"] == "DELETE":
            await answer(send, 200, translate.record(await calls.cancel(id, caller)))
        elif wants_stream(scope):
            await stream(calls.follow(id, caller), receive, send, id)
        else:
            await answer(send, 200, translate.record(calls.get(id, caller)))

    # -- through a view -------------------------------------------------------------------------------------------

    async def _describe(self, scope: Scope, receive: Receive, send: Send) -> None:
        name, caller = scope["path_params"]["view"], scope["caller"]
        catalog = self._catalog.view(name, caller)
        base = self._host.base_url or f"{scope['scheme']}://{Request(scope).headers['host']}"
        made = await asyncio.to_thread(typed.document, name, catalog.seen, catalog.tools(caller), base)
        await answer(send, 200, made)

    async def _direct(self, scope: Scope, receive: Receive, send: Send) -> None:
        request, caller = Request(scope, receive), scope["caller"]
        catalog = self._catalog.view(scope["path_params"]["view"], caller)
        tool = catalog.tool(scope["path_params"]["tool"], caller)
        try:
            body = await request.body()
        except ClientDisconnect:
            return
        call = translate.direct(catalog.public(tool.name), body, caller, request.headers, uuid.uuid4().hex)
        await until_gone(self._plain(call, tool, patience(caller, catalog), send), receive)

    async def _answers(self, scope: Scope, receive: Receive, send: Send) -> None:
        request, caller = Request(scope, receive), scope["caller"]
        catalog = self._catalog.view(scope["path_params"]["view"], caller)
        try:
            name, said = translate.answered(await request.body())
        except ClientDisconnect:
            return
        tool = catalog.tool(name, caller)
        call = Call(uuid.uuid4().hex, catalog.public(tool.name), {}, caller, answer=said)
        await until_gone(self._plain(call, tool, patience(caller, catalog), send), receive)

    async def _plain(self, call: Call, tool: Tool, seconds: float | None, send: Send) -> None:
        """What the tool's own schema says; 202 with the call where it asks back or goes on."""
        last = await self._last(call, seconds)
        if isinstance(last, Result):
            await answer(send, 200, translate.plain(last, tool))
        elif last is None:
            await answer(send, 202, translate.record(self._host.calls.get(call.id, call.caller)))
        else:
            await answer(send, 202, translate.outcome(call.id, last))


def patience(caller: Caller, catalog: Catalog) -> float | None:
    """The key's own, else the view's."""
    return catalog.seen.patience if caller.patience is None else caller.patience


def good(last: Event) -> Event:
    """The event, if it is not an error: that is raised."""
    if isinstance(last, Error):
        raise last.error
    return last


def wants_stream(scope: Scope) -> bool:
    return any(name == b"accept" and SSE in value for name, value in scope["headers"])


async def ending(events: AsyncIterator[Event]) -> Event:
    """The last event."""
    async for event in events:
        if isinstance(event, LAST):
            return event
    raise BadArguments("the call ended without an event")  # pragma: no cover - the call path forbids it


async def answer(send: Send, status: int, document: Any) -> None:
    await respond(send, status, orjson.dumps(document, default=str))


async def stream(events: Any, receive: Receive, send: Send, id: str) -> None:
    """Server-sent events: `event: progress|part|accepted|ask|result|error`, `data:` the document.

    A call that is refused at once is answered as an error, with its status, and not as a stream.
    """
    async with aclosing(events):
        step: asyncio.Future[Event | None] = asyncio.ensure_future(anext(events, None))
        try:
            done, _ = await asyncio.wait({step}, timeout=ADMITTED)
            if done and isinstance(first := step.result(), Error):
                raise first.error
            kept = (b"cache-control", b"no-store"), (b"doolittle-call", id.encode("latin-1", "replace"))
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", SSE), *kept]})
            await until_gone(_pump(events, step, send, id), receive)
        finally:
            step.cancel()
            await asyncio.gather(step, return_exceptions=True)


async def _pump(events: Any, step: "asyncio.Future[Event | None]", send: Send, id: str) -> None:
    try:
        while True:
            done, _ = await asyncio.wait({step}, timeout=HEARTBEAT)
            if not done:
                await send({"type": "http.response.body", "body": b": working\n\n", "more_body": True})
                continue
            event = step.result()
            if event is None:
                break
            name, document = translate.event(event)
            data = orjson.dumps({"call": id, **document}, default=str)
            block = b"event: %b\ndata: %b\n\n" % (name.encode(), data)
            await send({"type": "http.response.body", "body": block, "more_body": True})
            step = asyncio.ensure_future(anext(events, None))
    finally:
        step.cancel()
        await asyncio.gather(step, return_exceptions=True)
    await send({"type": "http.response.body", "body": b""})
