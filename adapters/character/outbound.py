"""One character as an upstream: each call is a turn, for which the gateway's own agents think."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from typing import Any

from adapters.character import Options, translate
from adapters.character.functions import Functions, Turn, relate
from adapters.character.people import People
from adapters.character.persona import Persona
from adapters.character.translate import Engine, Known
from adapters.errors import BadArguments, Refused
from adapters.spi import (
    Address,
    Agent,
    Ask,
    Call,
    Caller,
    Engines,
    Error,
    Event,
    Host,
    Part,
    Progress,
    Report,
    Result,
    Text,
    Tool,
    Upstream,
    Within,
)

STAYS = (
    "Memory does not move: what it remembers of people is kept by the gateway, whichever engine thinks; what an engine"
    " keeps by itself (an agent with a persona of its own keeps its conversations) stays with that engine."
)


class CharacterOutbound:
    """Holds the character, whom it knows, and which engine thinks for it."""

    def __init__(
        self, upstream: Upstream, host: Host, options: Options, persona: Persona, functions: Functions
    ) -> None:
        self._upstream = upstream
        self._host = host
        self._options = options
        self._persona = persona
        self._functions = functions
        self._people = People(host, options.people)
        self._kept = host.state("engine")
        self._engine = options.engine
        self._tool = translate.ask(persona, borrows=options.borrows)
        self._after: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[None]:
        """What it remembers is loaded, and written as it changes; all of it is written at the end."""
        await self._people.load()
        if kept := await self._kept.get("engine"):
            self._engine = kept.decode()
        writer = asyncio.create_task(self._people.run(), name=f"memory of {self._upstream.name}")
        try:
            yield
        finally:
            await asyncio.gather(*self._after, return_exceptions=True)
            self._people.end()
            await asyncio.gather(writer, return_exceptions=True)
            await self._people.flush()

    async def agents(self) -> AsyncIterator[Agent]:
        address = Address(self._upstream.network, self._upstream.name, self._upstream.name)
        yield Agent(address, self._upstream.name, translate.described(self._persona), (self._tool,))

    async def check(self) -> Report:
        """Whether its engine is there."""
        found = await self.engines(self._upstream.name)
        facts: dict[str, Any] = {"engine": found.chosen, "engines": list(found.names)}
        facts |= {"people": len(self._people.all())}
        if found.chosen and found.chosen in found.names:
            return Report(True, f"{self._persona.name} thinks by '{found.chosen}'", facts)
        return Report(False, self._missing(found.chosen), facts)

    def _missing(self, name: str) -> str:
        which = f"the engine '{name}'" if name else "an engine"
        return (
            f"{which} of {self._upstream.name} is not there; add one: "
            "doolittle add sidekick helpers http://127.0.0.1:11434/v1 --option model=NAME"
        )

    # -- a turn ---------------------------------------------------------------------------------------------------

    async def invoke(self, call: Call, tool: Tool) -> AsyncGenerator[Event, None]:
        """Raises `Refused` where its engine is not there. The engine is a part of the character: who may call the one
        needs no right to the other; each tool that the engine calls is held to the caller's own."""
        engine = translate.engine(self._engine or self._first(), self._options, tool.agent)
        call = replace(call, speech=translate.speech(call))
        tools = (*self._options.tools, *translate.lent(call))
        within = self._host.within(call, tool, (engine.tool, *tools), (engine.tool,))
        found = next((one for one in within.tools() if one.name == engine.tool), None)
        if found is None:
            raise Refused(self._missing(engine.name), delivered="no")
        known = await self._known(call)
        arguments = translate.asked(self._persona, known, engine, found, tools)
        async with aclosing(self._thought(within, engine, arguments)) as events:
            async for event in events:
                if isinstance(event, Result):
                    await self._heard(known, event.text)
                yield event

    async def _known(self, call: Call) -> Known:
        message, name = str(call.arguments["message"]), translate.room(call)
        room = self._people.enter(call.caller, call.speech, name)
        told = await self._functions.provide(Turn(self._persona, room.person, name, message), self._host.log)
        history, recalled = room.history(self._options.history), room.recall(message, self._options.recall)
        return Known(message, room, told, history, recalled, call.arguments.get("iterations"))

    async def _thought(self, within: Within, engine: Engine, arguments: Any) -> AsyncGenerator[Event, None]:
        """What callers see of an engine: the same of each."""
        steps = 0
        source: Any = within.invoke(engine.tool, arguments)
        async with aclosing(source) as events:
            async for event in events:
                match event:
                    case Progress():
                        steps += 1
                        yield Progress("thinks", steps)
                    case Part():
                        yield event
                    case Result():
                        counted = {key: event.meta[key] for key in ("usage",) if key in event.meta}
                        yield Result(event.content or (Text(event.text),), meta=counted)
                    case Ask():
                        yield Error(Refused(f"the engine '{engine.name}' asks a question that nobody can answer here"))
                    case Error():
                        yield event
                    case _:
                        pass

    async def _heard(self, known: Known, answer: str) -> None:
        """The turn is remembered, and is in the store, before its answer is given; what the operator's evaluators find,
        soon after. Where it cannot be written, the answer is given all the same, and it is tried again."""
        turn = Turn(self._persona, known.room.person, known.room.name, known.message, answer)
        turn.person.hear(known.message, answer, known.room.name)
        relate(turn)
        if self._people.keep(turn.person):
            await self._people.written()
        task = asyncio.create_task(self._evaluated(turn), name=f"evaluators of {self._upstream.name}")
        self._after.add(task)
        task.add_done_callback(self._after.discard)

    async def _evaluated(self, turn: Turn) -> None:
        if await self._functions.evaluate(turn, self._host.log):
            self._people.keep(turn.person)

    # -- engines and people ---------------------------------------------------------------------------------------

    async def engines(self, native: str) -> Engines:
        """Those that this gateway has: agents that take a persona, and those named by the operator that are there."""
        seen = self._seen()
        named = [n for n in self._options.engines if translate.engine(n, self._options, "").tool in seen]
        thinking = self._thinking(seen)
        names = tuple(sorted({*thinking, *named}))
        wanted = {*self._options.engines, *filter(None, (self._options.engine, self._engine))}
        missing = {name: self._missing(name) for name in sorted(wanted.difference(names))}
        missing = missing or ({} if names else {"any": self._missing("")})
        calls = {name: translate.engine(name, self._options, "").tool for name in names}
        return Engines(names, self._engine or self._first(), STAYS, missing, calls)

    def _thinking(self, seen: Mapping[str, Tool]) -> list[str]:
        return [tool.agent for tool in seen.values() if tool.native == "ask" and translate.thinks(tool)]

    def _first(self) -> str:
        """Where nobody has chosen. The name of none is blank."""
        network, names = translate.preferred()
        ours = {name: tool for name, tool in self._seen().items() if tool.address.network == network}
        there = self._thinking(ours)
        return next((name for name in names if name in there), there[0] if there else "")

    def _seen(self) -> dict[str, Tool]:
        """All tools of the gateway, by name."""
        within = self._host.within(Call("engines", self._tool.name, {}, Caller("operator")), self._tool)
        return {tool.name: tool for tool in within.tools()}

    async def switch(self, native: str, engine: str) -> Engines:
        """From the next call on; those that run end on the engine with which they began. Raises `BadArguments`."""
        found = await self.engines(native)
        if engine not in found.names:
            there = ", ".join(found.names) or "none; add a sidekick"
            raise BadArguments(f"'{self._upstream.name}' has no engine '{engine[:40]}'; there are: {there}")
        await self._kept.put("engine", engine.encode())
        self._engine = engine
        return replace(found, chosen=engine)

    async def forget(self, caller: str, speaker: str = "") -> Report:
        """Removes what it keeps of a caller, and of all for whom it spoke; or of one of these. What an engine keeps by
        itself, its own upstream forgets, or says that it cannot."""
        count = await self._people.forget(caller, speaker)
        return Report(True, "forgotten" if count else "knew nothing of them")
