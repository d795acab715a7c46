"""A call by MCP from first to last: progress, questions, patience. The same for every era and way in."""

import asyncio
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeAlias

import orjson

from adapters.errors import BadArguments, Cancelled, Expired, GatewayError, Unknown
from adapters.mcp import translate
from adapters.mcp.near import Near
from adapters.mcp.rpc import INTERNAL, INVALID_PARAMS, Message
from adapters.spi import LAST, Answer, Ask, Call, Calls, Catalog, Error, Event, Invoke, Part, Progress, Result, Tool

HEARTBEAT = 10.0
"""Seconds of silence after which the client is told that the call still runs."""
MISSING_CAPABILITY = -32021
ROUNDS = 50
"""Questions that one call may ask."""


class Peer(Protocol):
    """The client, while its request runs."""

    near: Near

    async def progress(self, of: Progress | Part) -> None: ...

    async def beat(self) -> None:
        """Nothing happened for a while."""
        ...

    async def answer(self, ask: Ask) -> Answer | None:
        """None: it cannot answer while it waits."""
        ...


@dataclass(frozen=True, slots=True)
class Raw:
    """A result as JSON bytes, of neither era."""

    body: bytes


@dataclass(frozen=True, slots=True)
class Fault:
    """A JSON-RPC error."""

    error: Message


@dataclass(frozen=True, slots=True)
class Needs:
    """The modern era's `input_required`."""

    requests: Message
    state: str


Reply: TypeAlias = Raw | Fault | Needs


class Dialogue:
    """Carries calls through `invoke`."""

    def __init__(self, invoke: Invoke, calls: Calls) -> None:
        self._invoke = invoke
        self.calls = calls
        self._releasing: set[asyncio.Task[None]] = set()

    async def call(self, params: Message, meta: Message, peer: Peer) -> Reply:
        """`tools/call`. The answer to a question may come without a `name`."""
        near = peer.near
        try:
            call, tool = self._prepare(params, meta, near)
        except GatewayError as fault:
            if isinstance(fault, Unknown) or "requestState" in params:
                return Fault({"code": INVALID_PARAMS, "message": fault.public})
            return Raw(translate.failed(fault, None, ""))
        return await self.run(call, tool, peer)

    def _prepare(self, params: Message, meta: Message, near: Near) -> tuple[Call, Tool]:
        state = params.get("requestState")
        if state is not None:  # the answer to a question: it says itself of which tool
            name, answer = translate.answered(state, params.get("inputResponses"))
            if "name" in params and near.look.public(params["name"]) != name:
                raise BadArguments("this 'requestState' is of another tool's question")
            tool = known(near.look, name, near)
            call = translate.call(name, {}, meta, near)
            return replace(call, answer=answer), tool
        tool = near.look.tool(params["name"], near.caller)
        call = translate.call(near.look.public(tool.name), params.get("arguments") or {}, meta, near)
        if "inputResponses" in params:  # answers to what was not asked yet: for the far side to know what to do with
            call = replace(call, meta={**call.meta, translate.GIVEN: params["inputResponses"]})
        return call, tool

    async def run(self, call: Call, tool: Tool | None, peer: Peer) -> Reply:
        """Any call to its end, questions answered where the client can; else the question is the reply."""
        for _ in range(ROUNDS):
            last = await self._follow(call, peer)
            if not isinstance(last, Ask):
                return self._reply(last, call, tool)
            refused = await self._asked(last, call, tool, peer)
            if not isinstance(refused, Answer):
                return refused
            call = replace(call, id=uuid.uuid4().hex, answer=refused)
        return Fault({"code": INTERNAL, "message": f"the tool asks without end (more than {ROUNDS} times)"})

    async def _asked(self, ask: Ask, call: Call, tool: Tool | None, peer: Peer) -> Answer | Reply:
        missing = [r for r in ask.requests if translate.kind(r) not in peer.near.answers]
        if missing:
            return self._unanswerable(missing[0], call, tool, peer.near)
        if peer.near.modern:
            return Needs(*translate.needs(ask, call))
        try:
            answer = await peer.answer(ask)
        except asyncio.CancelledError:
            self._release(ask, call)
            raise
        return answer or Raw(translate.failed(Expired("nobody answered what the tool asked"), tool, call.id))

    def _release(self, ask: Ask, call: Call) -> None:
        """Tells a far side that may wait live that nobody answers, so that it ends."""
        again = replace(call, id=uuid.uuid4().hex, answer=Answer(ask.token, {}), detached=True)

        async def drain() -> None:
            async for _ in self._invoke(again):
                pass

        task = asyncio.create_task(drain(), name="mcp release")
        self._releasing.add(task)
        task.add_done_callback(self._releasing.discard)

    def _unanswerable(self, request: Any, call: Call, tool: Tool | None, near: Near) -> Reply:
        kind = translate.kind(request)
        if near.modern and kind in translate.REQUIRED:
            text = f"the tool asks back, and this client has not said that it can answer ({kind})"
            data = {"requiredCapabilities": translate.REQUIRED[kind]}
            return Fault({"code": MISSING_CAPABILITY, "message": text, "data": data})
        said = getattr(request, "message", "") or kind
        text = f"it asks back ({said[:200]}), and this client cannot answer such questions"
        return Raw(translate.failed(Expired(text), tool, call.id))

    def _reply(self, last: Event | None, call: Call, tool: Tool | None) -> Reply:
        if last is None:
            return Raw(translate.unfinished(self.calls.get(call.id, call.caller), tool))
        if isinstance(last, Result):
            same = last.raw_format == translate.RESULT_FORMAT or call.method != "tools/call"
            return Raw(last.raw if last.raw is not None and same else translate.result(last, call.id))
        assert isinstance(last, Error)
        if last.raw is not None and last.raw_format == translate.ERROR_FORMAT:
            return Fault(orjson.loads(last.raw))
        if call.answer is not None and isinstance(last.error, Expired):
            return Fault({"code": INVALID_PARAMS, "message": last.error.public})
        if last.raw is not None and last.raw_format == translate.RESULT_FORMAT:
            return Raw(last.raw)
        if call.method != "tools/call":
            code = INVALID_PARAMS if isinstance(last.error, Unknown) else INTERNAL
            return Fault({"code": code, "message": last.error.public, "data": last.error.problem()})
        if isinstance(last.error, Unknown) and tool is None:
            return Fault({"code": INVALID_PARAMS, "message": last.error.public})
        return Raw(translate.failed(last.error, tool, call.id))

    # -- waiting --------------------------------------------------------------------------------------------------

    async def _follow(self, call: Call, peer: Peer) -> Event | None:
        """The last event; None where patience ran out first: then the call goes on without us."""
        events: Any = self._invoke(call)
        patience = peer.near.patience or None
        if patience is not None and call.method == "tools/call":
            end = time.monotonic() + patience

            def late() -> None:
                with suppress(GatewayError):
                    self.calls.detach(call.id, call.caller)
        else:
            end, late = None, _never
        return await follow(events, peer, end, late)

    async def wait(self, id: str, seconds: float, peer: Peer) -> Reply:
        """What has come of a call of this caller's, after waiting at most so long. Raises `Unknown`."""
        record = self.calls.get(id, peer.near.caller)
        last = await follow(self.calls.follow(id, peer.near.caller), peer, time.monotonic() + seconds, _never)
        call = record.call
        try:
            tool = peer.near.look.tool(call.tool, peer.near.caller)
        except Unknown:
            tool = None
        if isinstance(last, Ask):
            answer = await self._asked(last, call, tool, peer)
            if not isinstance(answer, Answer):
                return answer
            fresh = replace(
                call, id=uuid.uuid4().hex, answer=answer, detached=False, hops=(), parent=None, deadline=None
            )
            return await self.run(replace(fresh, caller=peer.near.caller), tool, peer)
        return self._reply(last, call, tool)


def known(look: Catalog, name: str, near: Near) -> Tool:
    """A tool by its public name, through a view that may show it by another."""
    for tool in look.tools(near.caller):
        if look.public(tool.name) == name:
            return tool
    raise Unknown(f"no tool is called '{name[:80]}'")


def _never() -> None: ...


async def follow(events: Any, peer: Peer, end: float | None, late: Callable[[], None]) -> Event | None:
    """The last of the events, the others told to the client; None, after calling `late`, where `end` comes first."""
    watch = Watch(peer, end, late)
    try:
        async with aclosing(events):
            async for event in events:
                if isinstance(event, LAST):
                    return event
                if isinstance(event, Progress | Part):
                    await peer.progress(event)
    except asyncio.CancelledError:
        if watch.taken_back():
            return None
        raise
    finally:
        watch.stop()
    return Error(Cancelled("the call ended without a result"))


class Watch:
    """Rings while a task waits: tells the client that it still works, and at `end` cuts the wait short.

    A timer costs a fast call nothing but itself; a task for each event would cost a tenth of the whole.
    """

    def __init__(self, peer: Peer, end: float | None, late: Callable[[], None]) -> None:
        self._peer = peer
        self._end = end
        self._late = late
        self._task = asyncio.current_task()
        self._over = False
        self._beating: asyncio.Future[None] | None = None
        self._arm()

    def _arm(self) -> None:
        left = HEARTBEAT if self._end is None else min(HEARTBEAT, max(self._end - time.monotonic(), 0))
        self._timer = asyncio.get_running_loop().call_later(left, self._ring)

    def _ring(self) -> None:
        if self._end is not None and time.monotonic() >= self._end:
            self._over = True
            self._late()
            if self._task is not None:
                self._task.cancel()
            return
        if self._beating is None or self._beating.done():
            self._beating = asyncio.ensure_future(self._peer.beat())
        self._arm()

    def taken_back(self) -> bool:
        """Whether the cancel was this watch's own, and no other came with it."""
        return self._over and self._task is not None and self._task.uncancel() == 0

    def stop(self) -> None:
        self._timer.cancel()
        if self._beating is not None and not self._beating.cancel() and not self._beating.cancelled():
            self._beating.exception()  # heard, and of no interest: the client has gone


def plain_text(text: str, more: Mapping[str, Any] | None = None) -> Raw:
    """A result of our own."""
    return Raw(orjson.dumps({"content": [{"type": "text", "text": text}], **(more or {})}))
