"""Reaching the sidekicks: which agents there are, and which child works at which call."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx2

from adapters import wire
from adapters.errors import BadArguments, ConnectFailed, Expired, GatewayError, Refused, Unknown, Unreachable
from adapters.sidekick import Options, translate
from adapters.sidekick.child import Child, Message, Starting
from adapters.sidekick.frameworks import Framework, find, known
from adapters.sidekick.pool import Pool, Size
from adapters.sidekick.talks import Talk, Talks
from adapters.sidekick.work import Terms, Who, Work
from adapters.spi import (
    Address,
    Agent,
    Call,
    Event,
    Handle,
    Host,
    Progress,
    Report,
    Result,
    Tool,
    Upstream,
    Within,
)  # fmt: skip
from adapters.venvs import Venv, Venvs
from registry.views import fits

NAME = "sidekick"
"""The agent that takes whichever framework is named."""
LOOK = 10.0
TRIES = 3
"""Children that are asked, where one after the other dies before it begins."""
HELD = 60.0
"""Seconds for which a run whose child died may be gone on with."""
KEPT = 86400.0
"""Seconds after which the steps of a run that was left are forgotten."""
SOURCE: dict[str, Any] = {"builtin": "", "load": "", "file": "", "entry": "", "folder": "", "paths": ()}


class SidekickOutbound:
    """One group of sidekicks: a model, frameworks, and what they may."""

    def __init__(self, upstream: Upstream, host: Host, options: Options) -> None:
        self._upstream = upstream
        self._host = host
        self._options = options
        self._home = host.folder / "sidekick"
        self._venvs = Venvs(Path(options.venvs) if options.venvs else self._home / "venvs")
        every = known(options.more)
        chosen = [find(every, name) for name in options.frameworks] or list(every.values())
        self._frameworks = {one.name: one for one in chosen}
        self._default = find(self._frameworks, options.default) if options.default else chosen[0]
        self._warm = [find(self._frameworks, name) for name in options.warm]
        self._who = self._agents()
        self._pools: dict[tuple[str, str], Pool] = {}
        self._made: dict[str, Venv] = {}
        self._held: dict[str, tuple[float, Work]] = {}
        self._talks = Talks(host)

    def _agents(self) -> dict[str, tuple[Who, str]]:
        """By native name, each with its description."""
        found: dict[str, tuple[Who, str]] = {}
        for framework in self._frameworks.values():
            for agent in framework.agents:
                source = {**SOURCE, "builtin": agent.name}
                who = Who(agent.name, framework, source, agent.keeps, character=agent.character)
                found[agent.name] = who, agent.description
        for name, own in self._options.agents.items():
            if name in found or name == NAME:
                raise BadArguments(f"an agent of your own cannot be called '{name}': there is one already")
            source = {
                **SOURCE, "load": own.load, "file": own.file, "entry": own.entry,
                "folder": own.folder, "paths": self._options.paths,
            }  # fmt: skip
            framework = find(self._frameworks, own.framework)
            found[name] = Who(name, framework, source, own.keeps, own.benchmark), own.description
        return found

    # -- the upstream ---------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[None]:
        """Conversations are read. Children start when they are needed, those of `warm` now; all end with it."""
        await self._talks.load()
        await asyncio.to_thread(self._forget)
        keeper = asyncio.create_task(self._keep(), name=f"sidekick {self._upstream.name}")
        warming = [asyncio.create_task(self._warmed(one), name=f"warm {one.name}") for one in self._warm]
        try:
            yield
        finally:
            for task in (keeper, *warming):
                task.cancel()
            await asyncio.gather(keeper, *warming, return_exceptions=True)
            for _, work in self._held.values():
                await work.close()
            self._held.clear()
            pools, self._pools = list(self._pools.values()), {}
            await asyncio.gather(*(pool.close() for pool in pools))
            await self._venvs.stop()

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(LOOK)
            for pool in list(self._pools.values()):
                await pool.look()
            late = [thread for thread, (since, _) in self._held.items() if time.monotonic() - since > HELD]
            for thread in late:
                await self._held.pop(thread)[1].close()

    async def _warmed(self, framework: Framework) -> None:
        try:
            if self._venvs.of(framework).ready or self._options.install:
                await self._venvs.install(framework)
                await self._pool(Who("", framework, SOURCE)).start()
        except GatewayError as fault:
            self._host.log.warning("a runner was not warmed", framework=framework.name, said=fault.public)

    def _forget(self) -> None:
        """Steps of runs that nobody asked for again."""
        for path in self._threads.glob("*"):
            with suppress(OSError):
                if time.time() - path.stat().st_mtime > KEPT:
                    path.unlink()

    @property
    def _threads(self) -> Path:
        return self._home / "runs" / self._upstream.name

    async def agents(self) -> AsyncIterator[Agent]:
        yield self._agent(
            NAME, "Takes whichever framework is named.", translate.analyze(self._frameworks, self._default.name)
        )
        for name, (who, description) in self._who.items():
            yield self._agent(name, description, translate.ask(name, description, character=who.character))

    def _agent(self, name: str, description: str, tool: Tool) -> Agent:
        return Agent(Address(self._upstream.network, self._upstream.name, name), name, description, (tool,))

    async def check(self) -> Report:
        """Whether the model answers, and which frameworks are installed."""
        ready = [name for name, one in self._frameworks.items() if self._venvs.of(one).ready]
        facts: dict[str, Any] = {"installed": ready, "frameworks": list(self._frameworks)}
        try:
            status = await self._model()
        except GatewayError as fault:
            return Report(False, f"the model is not reached: {fault.public} ({self._upstream.url})", facts)
        if status in (401, 403):
            return Report(False, f"the model refuses the key ({self._upstream.url}); set 'key' of this upstream", facts)
        rest = [name for name in self._frameworks if name not in ready]
        said = f"installed: {', '.join(ready) or 'nothing yet'}"
        more = f"; installed when first called: {', '.join(rest)}" if rest and self._options.install else ""
        return Report(True, f"the model answers; {said}{more}", facts)

    async def _model(self) -> int:
        headers = {"authorization": f"Bearer {self._upstream.secret}"} if self._upstream.secret else {}
        url = f"{self._upstream.url.rstrip('/')}/models"
        request = self._host.http.build_request("GET", url, headers=headers, timeout=httpx2.Timeout(10))
        return (await wire.send(self._host.http, request, self._upstream.name))[0].status_code

    # -- calls ----------------------------------------------------------------------------------------------------

    async def invoke(self, call: Call, tool: Tool) -> AsyncGenerator[Event, None]:
        who = self._chosen(call, tool)
        answer = call.answer.state if call.answer is not None else {}
        thread = answer.get("thread") or sha256(f"{call.caller.id}\0{call.id}".encode()).hexdigest()[:32]
        if answer and not self._file(thread).exists():
            raise Expired("what this run had done is not kept any more; call the tool again")
        async for event in self._ready(who):
            yield event
        within = self._host.within(call, tool, self._options.allow)
        globs = tuple(call.arguments.get("tools") or self._options.tools)
        before = tuple(answer.get("used", ())), tuple(answer.get("tokens", (0, 0)))
        terms = Terms(thread, globs, self._options.tool_calls, self._upstream.secret, *before)
        work = Work(who, terms, within)
        async with aclosing(self._carried(work, call, tool, again=False)) as events:
            async for event in events:
                yield event

    async def resume(self, call: Call, tool: Tool, handle: Handle) -> AsyncGenerator[Event, None]:
        """Another child goes on from the last step that was kept."""
        held = self._held.pop(handle, None)
        if held is None:
            raise Unknown("what this run had done is not kept any more", delivered="yes")
        async with aclosing(self._carried(held[1], call, tool, again=True)) as events:
            async for event in events:
                yield event

    async def _carried(self, work: Work, call: Call, tool: Tool, *, again: bool) -> AsyncGenerator[Event, None]:
        """One child's part of a call. Where it dies, a run that is kept is held for `resume`."""
        thread, kept = work.terms.thread, False
        try:
            order = await self._order(work, call, tool, again)
            async with aclosing(self._by_some_child(work, order)) as events:
                async for event in events:
                    if isinstance(event, Result):
                        await self._remember(work.who, call, event)
                        if work.who.keeps:
                            self._file(thread).unlink(missing_ok=True)
                    yield event
        except Unreachable:
            kept = work.who.keeps
            if kept:
                self._held[thread] = time.monotonic(), work
            raise
        finally:
            if not kept:
                await work.close()

    async def _by_some_child(self, work: Work, order: Message) -> AsyncGenerator[Event, None]:
        """A child that died before it began is not told: another one takes the run."""
        for attempt in range(TRIES):
            async with self._pool(work.who).taken() as child, aclosing(work.events(child, order)) as events:
                try:
                    async for event in events:
                        yield event
                    return
                except ConnectFailed as fault:
                    if fault.delivered != "no" or attempt == TRIES - 1:
                        raise

    def _chosen(self, call: Call, tool: Tool) -> Who:
        """Raises `Unknown`, `BadArguments`."""
        if tool.address.native != NAME:
            found = self._who.get(tool.address.native)
            if found is None:
                raise Unknown(f"the agent '{tool.address.native}' is not configured any more")
            return found[0]
        framework = find(self._frameworks, str(call.arguments.get("framework") or self._default.name))
        if not framework.agents:
            raise BadArguments(f"'{framework.name}' has no agent of its own; call one of yours by name")
        return self._who[framework.agents[0].name][0]

    async def _ready(self, who: Who) -> AsyncIterator[Event]:
        """Installs the framework if need be. Raises `Refused` where that is not wanted."""
        framework = who.framework
        if (venv := self._made.get(framework.name)) is not None and venv.ready:
            return
        if (venv := self._venvs.of(framework)).ready:
            self._made[framework.name] = venv
            return
        if not self._options.install:
            line = f"doolittle sidekick install {framework.name}"
            raise Refused(f"'{framework.name}' is not installed; install it with: {line}", delivered="no")
        yield Progress(f"installing {framework.title}, about {framework.megabytes} MB", 0)
        await self._venvs.install(framework)

    async def _order(self, work: Work, call: Call, tool: Tool, again: bool) -> Message:
        who, said, options = work.who, call.arguments, self._options
        task = str(said.get("task") or said.get("message"))
        tools = [translate.tool(one, self._asks(one)) for one in await self._offered(work, task, tool)]
        limits = {"iterations": said.get("iterations") or options.iterations, "replans": options.replans}
        model: Message = {"name": options.model, "url": self._upstream.url, "key": self._upstream.secret}
        model |= {"temperature": options.temperature, "counts": options.usage}
        if who.keeps:
            self._threads.mkdir(parents=True, exist_ok=True)
        return {
            "id": work.terms.thread, "task": task, "context": translate.context(said), "tools": tools,
            "source": who.source, "instructions": str(said.get("instructions") or ""),
            "character": said.get("character") or {},
            "model": model, "history": self._history(who, call),
            "limits": limits, "checkpoint": str(self._file(work.terms.thread)) if who.keeps else "",
            "again": again, "answers": dict(call.answer.values) if call.answer is not None and not again else None,
        }  # fmt: skip

    def _asks(self, tool: Tool) -> bool:
        return bool(tool.annotations.get("destructiveHint")) or fits(self._options.ask_before, tool.name)

    async def _offered(self, work: Work, task: str, own: Tool) -> list[Tool]:
        """Of too many, those whose words fit the task, and then the first."""
        within: Within = work.within
        most, found = self._options.most_tools, translate.offered(within.tools(), work.terms.tools, own)
        if len(found) <= most:
            return found
        names = {one.name for one in found}
        best = [one for one in await within.search(task[:400], 5 * most) if one.name in names][:most]
        rest = [one for one in found if one.name not in {b.name for b in best}]
        return [*best, *rest[: most - len(best)]]

    def _pool(self, who: Who) -> Pool:
        """Agents of the operator's have children of their own: their code reads what else is in its process."""
        group = who.name if not who.source["builtin"] else ""
        key = (who.framework.name, group if who.name else "")
        pool = self._pools.get(key)
        if pool is None:
            options, stops = self._options, who.framework.stops
            size = Size(options.children, options.runs if stops else 1, options.idle, options.memory)
            pool = self._pools[key] = Pool(who.framework.name, size, lambda: self._child(who.framework))
        return pool

    def _child(self, framework: Framework) -> Child:
        starting = Starting(
            framework.name, self._venvs.of(framework).python, framework.backend, self._home / "home" / framework.name,
            framework.memory, framework.stops, dict(self._options.env),
        )  # fmt: skip
        return Child(starting, self._host)

    def _file(self, thread: str) -> Path:
        return self._threads / thread

    # -- conversations --------------------------------------------------------------------------------------------

    def _talk(self, who: Who, call: Call) -> Talk | None:
        """None also where the caller remembers by itself."""
        if "history" in call.arguments:
            return None
        name = call.arguments.get("conversation") or call.conversation
        return (call.caller.id, who.name, str(name)) if name else None

    async def forget(self, caller: str, speaker: str = "") -> Report:
        """Conversations of a caller, and of agents that acted on their behalf. Steps of runs that ask, or whose child
        died, bear no name: they go by themselves."""
        if speaker:
            return Report(True, "knows callers only, and nobody for whom one speaks")
        count = await self._talks.forget(caller)
        kept = f"; steps of runs that were left are gone {KEPT / 3600:g} hours after them" if self._keeps() else ""
        return Report(True, f"{count} conversations forgotten{kept}")

    def _keeps(self) -> bool:
        return any(self._threads.glob("*"))

    def _history(self, who: Who, call: Call) -> list[Message]:
        if isinstance(given := call.arguments.get("history"), list):
            return [dict(one) for one in given if isinstance(one, dict)]
        talk = self._talk(who, call)
        return self._talks.history(talk) if talk else []

    async def _remember(self, who: Who, call: Call, result: Result) -> None:
        talk = self._talk(who, call)
        task = str(call.arguments.get("task") or call.arguments.get("message"))
        if talk is not None:
            await self._talks.remember(talk, task, result.text)
