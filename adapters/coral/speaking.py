"""What an agent of ours answers to a mention: a call with the thread as its conversation; questions back in words."""

import re
import uuid
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import orjson

from adapters.coral.exchange import Exchange
from adapters.errors import BadArguments, Broken, Unknown
from adapters.spi import Agent, Answer, Ask, Call, Caller, Catalog, Error, Event, Invoke, Json, Result, Speech, Tool
from adapters.talk import question, talk, values

ASKED = 10_000
"""Questions back that are remembered."""
ANSWERS = frozenset({"form", "visit"})
"""Questions back that words can answer."""

ORDER = re.compile(r"\s*[a-zA-Z0-9_-]{1,64}\s+\{.*\}\s*\Z", re.DOTALL)
"""A tool and its arguments, as in `count {"n": 3}`: agents that talk have tools too."""


@dataclass(frozen=True, slots=True)
class Mention:
    """A message that mentions an agent of ours."""

    caller: Caller
    slug: str
    session: str
    thread: str
    text: str
    speech: Speech

    @property
    def conversation(self) -> str:
        return f"{self.session}/{self.thread}"


class Speaker:
    """Answers for all agents."""

    def __init__(self, invoke: Invoke, catalog: Catalog, meeting: Exchange) -> None:
        self._invoke = invoke
        self._catalog = catalog
        self._exchange = meeting
        self._asked: OrderedDict[tuple[str, str, str], tuple[str, Ask]] = OrderedDict()

    def agent(self, slug: str, caller: Caller) -> Agent:
        """Raises `Unknown`."""
        for agent in self._catalog.agents(caller):
            if agent.slug == slug:
                return agent
        raise Unknown(f"no agent is called '{slug[:80]}'")

    async def answer(self, to: Mention) -> Json:
        """A document with a `text`. Raises `GatewayError`s."""
        key = (to.caller.id, to.slug, to.conversation)
        asked = self._asked.pop(key, None)
        if asked is not None:
            tool, ask = asked
            call = self._call(to, tool, {}, Answer(ask.token, values(ask, to.text)))
        else:
            tool, arguments = self._wanted(to)
            call = self._call(to, tool, arguments)
        end = await last(self._invoke, call)
        if isinstance(end, Ask):
            self._asked[key] = (tool, end)
            while len(self._asked) > ASKED:
                self._asked.popitem(last=False)
            return {"text": question(end), "asks": True}
        return {"text": said(end), "structured": end.structured}

    def _wanted(self, to: Mention) -> tuple[str, dict[str, Json]]:
        agent = self.agent(to.slug, to.caller)
        found = talk(agent)
        if found is not None and not ORDER.match(to.text):
            return found.tool.name, {found.argument: to.text[: found.longest]}
        return named(agent, to.text)

    def _call(self, to: Mention, tool: str, arguments: dict[str, Json], answer: Answer | None = None) -> Call:
        chain = self._exchange.chain(to.session)
        return Call(
            id=uuid.uuid4().hex, tool=tool, arguments=arguments, caller=to.caller, conversation=to.conversation,
            hops=chain, parent=chain[-1].call if chain else None, answer=answer, answers=ANSWERS,
            speech=to.speech,
        )  # fmt: skip


async def last(invoke: Invoke, call: Call) -> Result | Ask:
    """Raises the error with which the call ended."""
    end: Event | None = None
    events: Any = invoke(call)
    async with aclosing(events):
        async for event in events:
            end = event
    match end:
        case Result() | Ask():
            return end
        case Error():
            raise end.error
        case _:
            raise Broken("the call ended without an end")


def said(result: Result) -> str:
    """The result as text: a thread carries nothing else."""
    if result.text:
        return result.text
    return orjson.dumps(result.structured).decode() if result.structured is not None else "(nothing was said)"


def named(agent: Agent, text: str) -> tuple[str, dict[str, Json]]:
    """To an agent that does not talk: a tool and its arguments, as in `count {"n": 3}`.

    Raises `Unknown` with what there is, or `BadArguments`.
    """
    name, _, rest = text.strip().partition(" ")
    tools: Mapping[str, Tool] = {tool.name.partition("__")[2]: tool for tool in agent.tools}
    tools = {**tools, **{tool.name: tool for tool in agent.tools}}
    if name not in tools and ORDER.match(text):
        own = f"{agent.slug}__"  # the gateway knows the nearest name
        return name if name.startswith(own) else own + name, _arguments(name, rest)
    if name not in tools:
        lines = [f"{tool.name.partition('__')[2]}: {tool.description}" for tool in agent.tools[:50]]
        told = "\n".join(['I do what is written as: name {"argument": "value"}', *lines])
        raise Unknown(told)
    return tools[name].name, _arguments(name, rest)


def _arguments(name: str, rest: str) -> dict[str, Json]:
    try:
        found = orjson.loads(rest) if rest.strip() else {}
    except orjson.JSONDecodeError as fault:
        raise BadArguments(f"what follows '{name[:80]}' is not JSON: {fault}") from fault
    if not isinstance(found, dict):
        raise BadArguments(f"what follows '{name[:80]}' is a JSON object")
    return found
