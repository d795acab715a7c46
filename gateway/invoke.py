"""The path of every call, from whoever makes it to its last event.

Call -> [ whose chain? -> may? -> how often? -> find -> how much money? -> check arguments ] -> outbound
Event <- (one span, two metrics, one audit line around the whole) <------------- events as they come
"""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any, Protocol

import structlog

from adapters.errors import (
    BadArguments,
    Broken,
    Bug,
    Cancelled,
    GatewayError,
    LoopCut,
    Paused,
    TimedOut,
    TooLarge,
    Unknown,
    Unreachable,
)  # fmt: skip
from adapters.spi import (
    INLINE_LIMIT,
    LAST,
    MAX_DEPTH,
    MAX_DESCENDANTS,
    Accepted,
    Ask,
    Call,
    Error,
    Event,
    Handle,
    Hop,
    Outbound,
    Part,
    Progress,
    Result,
    Tool,
)  # fmt: skip
from gateway import money, policy
from gateway.asks import Asks
from gateway.audit import Audit, Line
from gateway.calls import CallTable, Running, weight
from gateway.limits import Limits
from gateway.settings import CallSettings
from gateway.telemetry import Metrics, span
from registry.registry import Registry

RESUMES = 5
EVENTS = (Accepted, Progress, Part, Result, Error, Ask)
log = structlog.get_logger()


class Live(Protocol):
    """An upstream as the call path needs it."""

    outbound: Outbound
    resumes: bool

    async def ready(self, seconds: float | None) -> None:
        """Raises `ConnectFailed` where the upstream is not connected in time."""
        ...


class Upstreams(Protocol):
    def live(self, network: str, name: str) -> Live: ...


@dataclass(frozen=True, slots=True)
class Parts:
    """What the path is made of."""

    registry: Registry
    upstreams: Upstreams
    calls: CallTable
    asks: Asks
    limits: Limits
    audit: Audit
    metrics: Metrics
    settings: CallSettings


class CallPath:
    """`CallPath.invoke` is the gateway's `Invoke`."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def invoke(self, call: Call) -> AsyncGenerator[Event, None]:
        """Never raises but for cancellation: what goes wrong is the last event, an `Error`."""
        try:
            running = self._parts.calls.begin(call, self._drive)
        except GatewayError as fault:
            fault.call_id = call.id
            yield Error(fault)
            return
        async with aclosing(self._parts.calls.subscribe(running)) as events:
            async for event in events:
                yield event

    async def _drive(self, running: Running) -> None:
        """Runs the call to its last event, whatever happens, and records it."""
        parts = self._parts
        began = time.perf_counter()
        parts.metrics.running.inc()
        parts.limits.running += 1
        with span(running.call) as trace:
            if trace != running.call.trace:
                running.call = replace(running.call, trace=trace)
            try:
                last = await self._to_the_end(running)
            except asyncio.CancelledError:
                last = Error(Cancelled("the call was cancelled"))
            finally:
                parts.limits.running -= 1
                if running.counted:
                    parts.limits.release(running.call.caller)
                parts.metrics.running.dec()
            if isinstance(last, Error):
                last.error.call_id = running.call.id
            running.add(last)
            self._record(running, last, (time.perf_counter() - began) * 1000)

    async def _to_the_end(self, running: Running) -> Event:
        """The last event; the others are added to `running` as they come."""
        started = False
        try:
            tool, call = self._admit(running)
            live = self._parts.upstreams.live(tool.address.network, tool.address.upstream)
            if call.remaining == 0:
                raise TimeoutError
            async with asyncio.timeout(call.remaining):
                await live.ready(call.remaining)
                started = True
                async with aclosing(self._events(live, call, tool)) as events:
                    async for event in events:
                        if isinstance(event, LAST):
                            return self._close(event, call)
                        running.add(event)
            raise Broken(f"'{tool.name}' ended without a result")
        except GatewayError as fault:
            return Error(fault)
        except TimeoutError:
            text = f"'{running.call.tool}' did not end before its deadline"
            return Error(TimedOut(text, delivered="unknown" if started else "no"))
        except Exception as fault:
            log.exception("a call failed by a fault of ours", call=running.call.id, tool=running.call.tool)
            return Error(Bug("the gateway failed at this call; its log says why", detail=repr(fault)))

    # -- before the call ------------------------------------------------------------------------------------------

    def _admit(self, running: Running) -> tuple[Tool, Call]:
        """All checks. Gives the tool, and the call with chain, deadline and answer filled in."""
        parts, call = self._parts, running.call
        parts.audit.require_room()
        call = self._chained(running)
        name = call.tool if call.method == "tools/call" else f"{call.tool}__{call.method}"
        policy.require(call.caller, name, parts.registry.snapshot)
        parts.limits.take(call.caller)
        running.counted = True
        tool = self._target(call)
        running.target = tool.agent
        hop = self._hop(running, call, tool)
        if call.answer is not None:
            asked, answer = parts.asks.take(call)
            arguments = parts.calls.find(asked, call.caller).call.arguments
            call = replace(call, arguments=arguments, answer=answer)
        deadline = call.deadline if call.deadline is not None else time.time() + parts.settings.deadline
        call = replace(call, hops=(*call.hops, hop), deadline=deadline)
        parts.limits.spend(call.caller)
        running.call = call
        return tool, call

    def _chained(self, running: Running) -> Call:
        """The call with its parent's chain and principal, if it has a parent here."""
        call = running.call
        parent = self._parts.calls.parent(call)
        if parent is None:
            running.root = call.hops[0].call if call.hops else call.id
            return call
        running.root = parent.root
        hops = (*parent.call.hops, *(h for h in call.hops if h not in parent.call.hops))
        caller = (
            replace(call.caller, on_behalf_of=parent.call.caller) if parent.call.caller != call.caller else call.caller
        )
        return replace(call, parent=parent.call.id, hops=hops, caller=caller)

    def _hop(self, running: Running, call: Call, tool: Tool) -> Hop:
        """The call's own hop, for the end of the chain. Raises `LoopCut`."""
        what = tool.name or call.method
        if not call.hops:
            return Hop(call.id, tool.agent, what)
        chain = " -> ".join([*(h.tool for h in call.hops), what])
        if any(h.agent == tool.agent and h.tool == what for h in call.hops):
            raise LoopCut(f"the chain of calls came back to where it was: {chain}")
        if len(call.hops) >= MAX_DEPTH:
            raise LoopCut(f"the chain of calls is longer than {MAX_DEPTH}: {chain}")
        if self._parts.calls.count_descendant(running.root) > MAX_DESCENDANTS:
            raise LoopCut(f"one call caused more than {MAX_DESCENDANTS} others")
        return Hop(call.id, tool.agent, what)

    def _target(self, call: Call) -> Tool:
        snapshot = self._parts.registry.snapshot
        if call.method != "tools/call":
            agent = snapshot.agents.get(call.tool)
            if agent is None:
                raise Unknown(f"no agent is called '{call.tool}'")
            return Tool(native="", agent=agent.slug, address=agent.address)
        entry = snapshot.find(call.tool)
        if entry is None:
            near = [n for n in snapshot.nearest(call.tool, 3) if policy.may(call.caller, n, snapshot)]
            hint = f"; did you mean {' or '.join(repr(n) for n in near)}?" if near else "; see: doolittle tools"
            raise Unknown(f"no tool is called '{call.tool[:80]}'{hint}")
        if entry.agent.paused:
            raise Paused(f"the operator has paused the agent '{entry.agent.slug}'")
        money.require(call, entry.tool)
        if call.answer is None and (faults := entry.errors(call.arguments)):
            raise BadArguments(f"the arguments do not fit '{call.tool}': " + "; ".join(faults[:5]))
        return entry.tool

    # -- the call itself ------------------------------------------------------------------------------------------

    async def _events(self, live: Live, call: Call, tool: Tool) -> AsyncGenerator[Event, None]:
        """The far side's events; work that it holds is resumed when the connection to it breaks."""
        handle: Handle | None = None
        source = live.outbound.invoke(call, tool)
        for attempt in range(RESUMES + 1):
            fault: Unreachable
            try:
                async for event in source:
                    if isinstance(event, Accepted):
                        handle = event.handle
                    if isinstance(event, Error) and isinstance(event.error, Unreachable) and handle is not None:
                        raise event.error
                    yield _sound(event)
                    if isinstance(event, LAST):
                        return
                return
            except Unreachable as error:
                fault = error
            finally:
                await _closed(source)
            if handle is None or not live.resumes or attempt == RESUMES:
                raise fault
            await asyncio.sleep(0.1 * 2**attempt)
            source = self._resume(live, call, tool, handle)

    async def _resume(self, live: Live, call: Call, tool: Tool, handle: Handle) -> AsyncGenerator[Event, None]:
        await live.ready(call.remaining)
        resume: Any = live.outbound
        source = resume.resume(call, tool, handle)
        try:
            async for event in source:
                yield event
        finally:
            await _closed(source)

    def _close(self, event: Event, call: Call) -> Event:
        """The last event as the caller gets it. Raises `TooLarge` for inline data over the limit."""
        if isinstance(event, Ask):
            return self._parts.asks.token(event, call)
        if isinstance(event, Result) and weight(event) > 2 * INLINE_LIMIT + 4096:
            raise TooLarge(f"the answer of '{call.tool}' is larger than {INLINE_LIMIT >> 20} MB", delivered="yes")
        return event

    # -- after the call -------------------------------------------------------------------------------------------

    def _record(self, running: Running, last: Event, ms: float) -> None:
        call = running.call
        entry = self._parts.registry.snapshot.find(call.tool)
        address = entry.tool.address if entry else None
        error = last.error if isinstance(last, Error) else None
        outcome = "error" if error else "ask" if isinstance(last, Ask) else "ok"
        network = address.network if address else ""
        code = error.code if error else ""
        self._parts.metrics.ended(call.caller.network, network, code or outcome, ms / 1000)
        hops = ",".join(f"{h.agent}/{h.tool}" for h in call.hops)
        self._parts.audit.add(
            Line(
                call=call.id,
                root=running.root,
                parent=call.parent,
                at=running.started,
                ms=ms,
                caller=call.caller.id,
                network=call.caller.network,
                tool=call.tool,
                agent=running.target,
                target_network=network,
                upstream=address.upstream if address else "",
                method=call.method,
                outcome=outcome,
                code=code,
                delivered=error.delivered if error else "yes",
                arguments_hash=running.digest,
                arguments_bytes=running.arguments_bytes,
                result_bytes=weight(last),
                hops=hops,
            )  # fmt: skip
        )
        if error:
            log.info("call failed", call=call.id, tool=call.tool, code=code, said=error.public, detail=error.detail)


def _sound(event: Any) -> Event:
    """Raises `Broken` for what is no event."""
    if not isinstance(event, EVENTS):
        raise Broken("the adapter yielded something that is not an event", detail=repr(event)[:200])
    return event


async def _closed(source: Any) -> None:
    """Closes what an adapter gave, where it can be closed: it may have ended early."""
    close = getattr(source, "aclose", None)
    if close is not None:
        await close()
