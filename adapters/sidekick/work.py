"""One call while a runner works at it: what the runner is told, the tools that it has called, what comes of it."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass, field, replace
from typing import Any

from adapters.errors import Broken, GatewayError
from adapters.sidekick import translate
from adapters.sidekick.child import Child, Message, Wanted
from adapters.sidekick.frameworks import Framework
from adapters.spi import LAST, Accepted, Ask, Error, Event, Json, Part, Progress, Result, Text, Within
from registry.views import fits


@dataclass(frozen=True, slots=True)
class Who:
    """Which agent carries a call out. `source`: as runners are told of it."""

    name: str
    framework: Framework
    source: Mapping[str, Any]
    keeps: bool = False
    scored: bool = False
    character: bool = False


@dataclass(frozen=True, slots=True)
class Terms:
    """Under which terms. `thread`: the name under which a run is kept; `used`: tools called, and `tokens`
    counted (of prompts, of what was written), before it asked."""

    thread: str
    tools: tuple[str, ...]
    tool_calls: int
    secret: str = field(repr=False)
    used: tuple[str, ...] = ()
    tokens: tuple[int, int] = (0, 0)


class Spent(Exception):
    """No more tools may be called."""


class Work:
    """`events` once for each runner that works at it: a run that is kept may need several."""

    def __init__(self, who: Who, terms: Terms, within: Within) -> None:
        self.who = who
        self.terms = terms
        self.within = within
        self._text = ""
        self._steps = 0
        self._tokens = terms.tokens
        self._done: dict[str, asyncio.Task[Message]] = {}
        self._loose: set[asyncio.Task[Message]] = set()

    @property
    def used(self) -> list[str]:
        """Tools called, in order: by the gateway's record."""
        return [*self.terms.used, *(made.tool for made in self.within.made)]

    async def events(self, child: Child, order: Message) -> AsyncGenerator[Event, None]:
        """Raises `ConnectFailed` where the child ends first, and what `translate.fault` makes of a bad end."""
        try:
            async with aclosing(child.run(order, self._tool)) as messages:
                async for message in messages:
                    if "status" in message:
                        yield self._end(message)
                        return
                    for event in self._events(message):
                        yield event
        except Spent:
            said = {"text": self._text, "stop": "max_tool_calls"}
            yield self._result(said, scored=False)
            return
        except (KeyError, TypeError) as fault:
            raise Broken(f"the runner of '{self.who.framework.name}' broke the protocol", detail=repr(fault)) from fault

    def _events(self, message: Message) -> list[Event]:
        match message["type"]:
            case "started":
                return [Accepted(self.terms.thread)] if self.who.keeps else []
            case "token":
                text = self._clean(message["text"])
                self._text += text
                return [Part(Text(text))]
            case "usage":
                self._tokens = self._tokens[0] + int(message["prompt"]), self._tokens[1] + int(message["completion"])
                return []
            case kind:
                self._steps += 1
                self._text = ""
                name = self._clean(message["name"])
                return [Progress(name if kind == "tool" else f"step {name}", self._steps)]

    def _end(self, message: Message) -> Ask | Result | Error:
        framework = self.who.framework.name
        if message["status"] == "asking":
            state: dict[str, Json] = {"thread": self.terms.thread, "used": [*self.used]}
            return translate.question(message["items"], {**state, "tokens": list(self._tokens)})
        if message["status"] == "completed":
            said = {**message, "text": self._clean(message["text"])}
            return self._result(said, scored=self.who.scored)
        return Error(translate.fault(message, framework, self.terms.secret))

    def _result(self, said: Mapping[str, Any], *, scored: bool) -> Result:
        found = translate.result(said, self.who.framework.name, self.used, scored=scored)
        return replace(found, meta=translate.usage(*self._tokens))

    def _clean(self, text: Any) -> str:
        return translate.hidden(str(text), self.terms.secret)

    # -- its tools ------------------------------------------------------------------------------------------------

    async def _tool(self, wanted: Wanted) -> Message:
        """Raises `Spent`. A step that is done again after its runner died gets what it got, or will get, before."""
        if not fits(self.terms.tools, wanted.name):
            return {"text": f"Error: '{wanted.name}' is not offered here.", "ok": False}
        task = self._done.get(wanted.key) if wanted.key else None
        if task is None:
            if len(self.used) >= self.terms.tool_calls:
                raise Spent
            wanted.tell({"type": "tool", "name": f"calls {wanted.name}"})
            task = asyncio.create_task(self._call(wanted), name=f"sidekick calls {wanted.name}")
            self._loose.add(task)
            if wanted.key:
                self._done[wanted.key] = task
        try:
            said = await asyncio.shield(task)
        except asyncio.CancelledError:
            if not wanted.key:
                task.cancel()
            raise
        wanted.tell({"type": "tool", "name": f"{wanted.name} {'answered' if said['ok'] else 'failed'}"})
        return said

    async def _call(self, wanted: Wanted) -> Message:
        source: Any = self.within.invoke(wanted.name, wanted.arguments)
        async with aclosing(source) as events:
            async for event in events:
                if isinstance(event, LAST):
                    return translate.answered(event, wanted.name)
        return {"text": f"Error: '{wanted.name}' gave no answer.", "ok": False}

    async def close(self) -> None:
        """Ends tools that are still being called."""
        for task in self._loose:
            task.cancel()
        for task in self._loose:
            with suppress(asyncio.CancelledError, GatewayError):
                await task
        self._loose.clear()
