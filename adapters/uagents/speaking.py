"""What is answered to whom: from a message of the network to a call, and from its events to messages."""

import time
import uuid
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, TypeAlias

import orjson
from pydantic.v1 import ValidationError
from uagents_core.envelope import Envelope
from uagents_core.models import ErrorMessage, Model

from adapters import hops
from adapters.errors import BadArguments, GatewayError, Unknown
from adapters.spi import Answer, Ask, Call, Caller, Catalog, Error, Event, Invoke, Json, Progress, Result
from adapters.talk import question, values
from adapters.uagents import calling, chat, envelopes, typed
from adapters.uagents.chat import Heard
from adapters.uagents.roster import Entry

Message: TypeAlias = Model | tuple[str, Mapping[str, Any]]
ASKED = 10_000
"""Questions back that are remembered."""
FREE, PACE = 10, 0.5
"""So many messages of progress are sent as they come; further ones at most one in so many seconds."""
ANSWERS = frozenset({"form", "visit"})
"""Questions back that a chat can answer."""


@dataclass(frozen=True, slots=True)
class Request:
    """One message to one of ours, and who sent it."""

    entry: Entry
    envelope: Envelope
    caller: Caller
    id: str
    sync: bool = False

    @property
    def deadline(self) -> float | None:
        """Whoever waits on the line waits until the envelope expires."""
        return float(self.envelope.expires or 0) if self.sync else None


class Speaker:
    """Answers for all published agents."""

    def __init__(self, invoke: Invoke, catalog: Catalog) -> None:
        self._invoke = invoke
        self._catalog = catalog
        self._asked: OrderedDict[tuple[str, str, uuid.UUID], tuple[str, Ask]] = OrderedDict()

    async def answer(self, to: Request) -> AsyncGenerator[Message, None]:
        """The messages, in their order; errors are messages too. None for what needs no answer."""
        try:
            async with aclosing(self._speak(to)) as messages:
                async for message in messages:
                    yield message
        except GatewayError as fault:
            yield ErrorMessage(error=fault.public)

    async def once(self, to: Request) -> Message:
        """The one message that decides, for whoever waits on the line."""
        last: Message = ErrorMessage(error="there is no answer to this message")
        async with aclosing(self.answer(to)) as messages:
            async for message in messages:
                last = message
        return last

    def _speak(self, to: Request) -> AsyncGenerator[Message, None]:
        digest = to.envelope.schema_digest
        if digest == chat.MESSAGE:
            return self._chat(to)
        if digest in (calling.LIST_TOOLS, calling.CALL_TOOL):
            return self._mcp(to)
        if digest in (chat.ACKNOWLEDGEMENT, calling.ERROR):
            return _silence()
        if digest in calling.PAYMENTS:
            return _refuse_payment(to)
        pair = to.entry.pairs.get(digest)
        if pair is None:
            return _say(ErrorMessage(error=f"unsupported message {digest}"))
        return self._typed(to, pair)

    # -- one tool, one model --------------------------------------------------------------------------------------

    async def _typed(self, to: Request, pair: typed.Pair) -> AsyncGenerator[Message, None]:
        tool = self._catalog.tool(pair.tool, to.caller)
        arguments = typed.arguments(envelopes.document(to.envelope), orjson.loads(tool.input_schema))
        result = await self._result(self._call(to, pair.tool, arguments))
        if pair.structured and not isinstance(result.structured, dict):
            raise BadArguments(f"'{pair.tool}' did not answer in the form that it promises")
        yield pair.response.digest, result.structured if pair.structured else {"text": _text(result)}

    # -- the MCP protocol -----------------------------------------------------------------------------------------

    async def _mcp(self, to: Request) -> AsyncGenerator[Message, None]:
        if to.envelope.schema_digest == calling.LIST_TOOLS:
            yield calling.listed(list(self._catalog.tools(to.caller, to.entry.agent.slug)))
            return
        try:
            said = calling.CallTool.parse_raw(envelopes.payload(to.envelope))
        except (ValidationError, ValueError, RecursionError) as fault:
            raise BadArguments("Message does not conform to expected schema: it is no CallTool") from fault
        try:
            yield calling.called(await self._result(self._call(to, _public(to.entry, said.tool), said.args)))
        except GatewayError as fault:
            yield calling.CallToolResponse(error=f"{fault.code}: {fault.public}")

    # -- the chat protocol ----------------------------------------------------------------------------------------

    async def _chat(self, to: Request) -> AsyncGenerator[Message, None]:
        heard = chat.read(envelopes.payload(to.envelope))
        where = (to.caller.id, to.envelope.target, to.envelope.session)
        if heard.ends:
            self._asked.pop(where, None)
        yield chat.acknowledge(heard.id)
        if not heard.text and not heard.files:
            return
        try:
            call = self._said(to, heard, self._asked.pop(where, None))
        except Unknown as fault:
            yield chat.say(fault.public)
            return
        async with aclosing(self._invoke(call)) as events:
            async for message in self._told(to, call.tool, events):
                yield message

    def _said(self, to: Request, heard: Heard, asked: tuple[str, Ask] | None) -> Call:
        """The call that a message means: an answer to a question back, words to an agent that talks, or a tool and its
        arguments. Raises `Unknown` with what there is to call."""
        chain = hops.read(heard.meta.get(chat.HOPS, ""))
        if asked is not None:
            return self._call(to, asked[0], {}, answer=Answer(asked[1].token, values(asked[1], heard.text)))
        talks = to.entry.talks
        if talks is not None:
            arguments = {talks.argument: chat.with_files(heard.text, heard.files)}
            return self._call(to, talks.tool.name, arguments, chain)
        name, arguments = _named(to.entry, heard.text)
        return self._call(to, name, arguments, chain)

    async def _told(self, to: Request, tool: str, events: AsyncIterator[Event]) -> AsyncIterator[Message]:
        sent, last = 0, 0.0
        async for event in events:
            match event:
                case Progress() if not to.sync and (sent < FREE or time.monotonic() - last > PACE):
                    sent, last = sent + 1, time.monotonic()
                    yield chat.progress(event)
                case Result():
                    for message in chat.answer(event, whole=to.sync):
                        yield message
                case Error():
                    yield chat.fault(event.error)
                case Ask():
                    yield self._question(to, tool, event)
                case _:
                    pass

    def _question(self, to: Request, tool: str, ask: Ask) -> Message:
        """Asks in words; the next message of the session is the answer."""
        self._asked[to.caller.id, to.envelope.target, to.envelope.session] = (tool, ask)
        while len(self._asked) > ASKED:
            self._asked.popitem(last=False)
        return chat.say(question(ask), ask="true")

    # -- calls ----------------------------------------------------------------------------------------------------

    def _call(
        self, to: Request, tool: str, arguments: dict[str, Json], chain: Any = (), answer: Answer | None = None
    ) -> Call:
        chatting = to.envelope.schema_digest == chat.MESSAGE
        return Call(
            id=to.id, tool=tool, arguments=arguments, caller=to.caller, conversation=str(to.envelope.session),
            deadline=to.deadline, hops=chain, parent=chain[-1].call if chain else None, answer=answer,
            answers=ANSWERS if chatting else frozenset(),
        )  # fmt: skip

    async def _result(self, call: Call) -> Result:
        """Raises the error that the call ended with; a question back is one too."""
        async with aclosing(self._invoke(call)) as events:
            async for event in events:
                match event:
                    case Result():
                        return event
                    case Error():
                        raise event.error
                    case Ask():
                        raise BadArguments(f"'{call.tool}' asks back; talk with it by the chat protocol")
                    case _:
                        pass
        raise Unknown("the call ended without an event")


async def _say(message: Message) -> AsyncGenerator[Message, None]:
    yield message


async def _silence() -> AsyncGenerator[Message, None]:
    for message in ():
        yield message


async def _refuse_payment(to: Request) -> AsyncGenerator[Message, None]:
    digest = to.envelope.schema_digest
    try:
        said: Any = calling.PAYMENTS[digest].parse_raw(envelopes.payload(to.envelope))
    except (ValidationError, ValueError, RecursionError) as fault:
        raise BadArguments("Message does not conform to expected schema: it is no message about a payment") from fault
    if digest in (calling.COMMIT, calling.REQUEST):
        yield calling.refused(digest, getattr(said, "transaction_id", None))


def _text(result: Result) -> str:
    return result.text or ("" if result.structured is None else orjson.dumps(result.structured).decode())


def _public(entry: Entry, name: str) -> str:
    """The public name of a tool of this agent; of one that it has not, a name that is not there either."""
    found = entry.tool(name)
    return found.name if found is not None else f"{entry.agent.slug}__{name.removeprefix(entry.agent.slug + '__')}"


def _named(entry: Entry, text: str) -> tuple[str, dict[str, Json]]:
    """A tool and its arguments, as in `count {"n": 3}`. Raises `Unknown` with what there is, or `BadArguments`."""
    name, _, rest = text.strip().removeprefix("/").partition(" ")
    rest = rest.strip()
    if entry.tool(name) is None and not rest.startswith("{"):
        lines = [f"{t.name.partition('__')[2]}: {t.description}" for t in entry.agent.tools[:50]]
        raise Unknown("\n".join(['I do what is written as: name {"argument": "value"}', *lines]))
    try:
        found = orjson.loads(rest) if rest else {}
    except orjson.JSONDecodeError as fault:
        raise BadArguments(f"what follows '{name[:80]}' is not JSON: {fault}") from fault
    if not isinstance(found, dict):
        raise BadArguments(f"what follows '{name[:80]}' is a JSON object")
    return _public(entry, name), found
