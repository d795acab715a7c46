"""Reaching into a Coral server: each call is a message in a thread of a session, and what is said there then."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass
from fnmatch import fnmatchcase
from time import monotonic
from urllib.parse import urlsplit

from adapters.coral import Options, translate
from adapters.coral.exchange import exchange
from adapters.coral.server import Lost, Server
from adapters.coral.sessions import Key, Session, Sessions
from adapters.coral.translate import TEAM, Entry, Message
from adapters.errors import BadArguments, ConnectFailed, GatewayError, Refused, TimedOut, Unknown
from adapters.spi import Agent, Call, Event, Host, Part, Report, Result, Text, Tool, Upstream

AT_ONCE = 8
USUAL = 300.0
"""Seconds that a call without a deadline waits."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Whom a call needs: all are in the thread, `asked` are mentioned, and end the call when each has answered."""

    members: tuple[Entry, ...]
    asked: tuple[str, ...]
    mention: bool
    """Whether only a message that mentions us is an answer."""
    several: bool = False


class CoralOutbound:
    """One server as an upstream."""

    def __init__(self, upstream: Upstream, host: Host, options: Options) -> None:
        if urlsplit(upstream.url).scheme not in ("http", "https"):
            raise BadArguments("the url of a Coral server is http://… or https://…")
        self._name = upstream.name
        self._options = options
        self._server = Server(upstream, host.client(upstream.url))
        self._exchange = exchange(host)
        self._entries: dict[str, Entry] = {}
        self.sessions = Sessions(self._server, host, options)

    def connect(self) -> AbstractAsyncContextManager[None]:
        return self.sessions.kept()

    # -- who there is ---------------------------------------------------------------------------------------------

    async def agents(self) -> AsyncIterator[Agent]:
        found = await self._listed()
        usable = [entry for entry in found if not entry.wants(self._options.options.get(entry.name, {}))]
        self._entries = {entry.native: entry for entry in usable}
        for entry in usable:
            yield translate.agent(entry, self._name)
        if len(usable) > 1:
            yield translate.team(self._name)

    async def _listed(self) -> list[Entry]:
        """All that fit, those too that lack options. Raises `GatewayError`s."""
        registry = await self._server.get("/api/v1/registry")
        gate = asyncio.Semaphore(AT_ONCE)

        async def look(source: str, name: str, version: str) -> Entry:
            async with gate:
                document = await self._server.get(f"/api/v1/registry/{source}/{name}/{version}")
                return translate.entry(document, source, name, version)

        wanted = [
            one for one in translate.listed(registry, self._options.sources)
            if one[1] != self._options.puppet and any(fnmatchcase(one[1], glob) for glob in self._options.agents)
        ]  # fmt: skip
        looking = [asyncio.create_task(look(*one)) for one in wanted]
        try:
            return [await task for task in looking]
        finally:
            for task in looking:
                task.cancel()
            await asyncio.gather(*looking, return_exceptions=True)

    # -- calls ----------------------------------------------------------------------------------------------------

    async def invoke(self, call: Call, tool: Tool) -> AsyncIterator[Event]:
        plan = self._plan(call, tool)
        name = str(call.arguments.get("conversation") or call.conversation or "")
        members = sorted(entry.native for entry in plan.members)
        key = (call.caller.id, tool.native, *members, name) if name else None
        try:
            async for event in self._called(call, plan, key):
                yield event
        except Lost:  # it rested too long, or the server was started anew: nothing was said yet
            async for event in self._called(call, plan, key):
                yield event

    async def _called(self, call: Call, plan: Plan, key: Key | None) -> AsyncGenerator[Event, None]:
        async with self.sessions.turn(key, plan.members) as session:
            with self._exchange.running(session.id, call):
                async with aclosing(self._talk(call, plan, session)) as events:
                    async for event in events:
                        yield event

    def _plan(self, call: Call, tool: Tool) -> Plan:
        """Raises `Unknown` and `BadArguments`."""
        mention = self._options.until == "mention"
        if tool.native != TEAM:
            entry = self._entries.get(tool.address.native)
            if entry is None:
                raise Unknown(f"the server has no agent '{tool.address.native}' any more")
            return Plan((entry,), (entry.name,), mention)
        named: list[str] = [str(name) for name in call.arguments["agents"]]
        lead = call.arguments.get("lead")
        named = [str(lead), *named] if lead else named
        members = tuple(self._named(name) for name in sorted(set(named), key=named.index))
        asked = (str(lead),) if lead else tuple(entry.name for entry in members)
        return Plan(members, asked, mention or bool(lead), several=True)

    def _named(self, name: str) -> Entry:
        for entry in self._entries.values():
            if entry.name == name:
                return entry
        there = ", ".join(sorted(entry.name for entry in self._entries.values()))
        raise BadArguments(f"no agent of this server is called '{name[:40]}'; there are: {there[:500]}")

    async def _talk(self, call: Call, plan: Plan, session: Session) -> AsyncGenerator[Event, None]:
        """Raises `GatewayError`s, and `Lost` where the session was gone before anything was said."""
        ends = monotonic() + (USUAL if call.remaining is None else call.remaining)
        own = None
        try:
            await self.sessions.ready(session)
            names = [entry.name for entry in plan.members]
            if not session.thread:
                session.thread = await session.puppet.open(f"call {call.id}"[:100], names)
            known = set(session.watch.heard.get(session.thread, {}))
            own = await session.puppet.say(session.thread, str(call.arguments["message"]), list(plan.asked))
            answers: dict[str, Message] = {}
            async with aclosing(self._heard(session, known | {own.id}, ends)) as messages:
                async for message in messages:
                    if message.sender in plan.asked and (not plan.mention or _to_us(message, plan)):
                        answers.setdefault(message.sender, message)
                    if len(answers) == len(plan.asked):
                        session.settled = True
                        yield _result(plan, answers, session)
                        return
                    yield Part(Text(f"{message.sender}: {message.text}" if plan.several else message.text))
        except Lost as fault:
            session.lost = True
            if own is None:
                raise
            raise ConnectFailed(str(fault), delivered="unknown") from fault
        except ConnectFailed:
            session.lost = True
            raise

    async def _heard(self, session: Session, known: set[str], ends: float) -> AsyncGenerator[Message, None]:
        """What others say in the thread, each message once. Raises `Lost`, and `Refused` where it ends too early."""
        watch, thread = session.watch, session.thread
        while True:
            for message in list(watch.heard.get(thread, {}).values()):
                if message.id not in known:
                    known.add(message.id)
                    yield message
            if thread in watch.closed:
                session.thread = ""
                raise Refused("the thread was closed before an answer came")
            self.sessions.require_present(session)
            try:
                async with asyncio.timeout(max(0.0, ends - monotonic())):
                    await watch.news(thread)
            except TimeoutError as fault:
                raise TimedOut(f"{', '.join(session.members)} did not answer in time") from fault

    # -- a trial --------------------------------------------------------------------------------------------------

    async def check(self) -> Report:
        try:
            registry = await self._server.get("/api/v1/registry")
            found = await self._listed()
        except GatewayError as fault:
            return Report(False, f"{fault.public}; is this the address of a Coral server, and `key` one of its keys?")
        wants = [said for e in found if (said := e.wants(self._options.options.get(e.name, {})))]
        facts = {"agents": len(found) - len(wants), "without options": len(wants)}
        if not any(name == self._options.puppet for _, name, _ in translate.listed(registry, ("local",))):
            said = f"the server has no agent '{self._options.puppet}'; set includeDebugAgents in its [registry]"
            return Report(False, said, facts)
        if not found:
            return Report(False, "no agent of the server's registry fits; see `agents` and `sources`", facts)
        if len(wants) == len(found):
            return Report(False, f"{wants[0]}; say it in `options`", facts)
        return Report(True, "; ".join([f"{len(found) - len(wants)} agents", *wants[:5]]), facts)


def _to_us(message: Message, plan: Plan) -> bool:
    """Whether it mentions whoever asks: the one name in the thread that is no member's."""
    return bool(message.mentions - {entry.name for entry in plan.members})


def _result(plan: Plan, answers: dict[str, Message], session: Session) -> Result:
    meta = {"coral": {"session": session.id, "thread": session.thread}}
    if not plan.several or len(plan.asked) == 1:
        return Result((Text(answers[plan.asked[0]].text),), meta=meta)
    said = [answers[name] for name in plan.asked]
    text = "\n\n".join(f"{one.sender}: {one.text}" for one in said)
    structured = {"answers": [{"agent": one.sender, "text": one.text} for one in said]}
    return Result((Text(text),), structured, meta=meta)
