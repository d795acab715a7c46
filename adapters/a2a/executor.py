"""One agent for the SDK: a message becomes a call, its events become the task's."""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from hashlib import sha256
from typing import Any

import orjson
from a2a.server.agent_execution import AgentExecutor, RequestContext
from a2a.server.events import EventQueue
from a2a.server.tasks import TaskUpdater
from a2a.types import Message, Part, Task, TaskState, TaskStatus
from a2a.utils.errors import ContentTypeNotSupportedError, InvalidParamsError
from google.protobuf.json_format import MessageToDict

from adapters import hops
from adapters.a2a import files, translate
from adapters.a2a.cards import skill_id
from adapters.a2a.tasks import LASTING
from adapters.errors import BadArguments, CallerError, GatewayError, Unknown
from adapters.spi import (
    LAST,
    Answer,
    Ask,
    Call,
    Caller,
    Catalog,
    Data,
    Error,
    Event,
    File,
    Invoke,
    Json,
    Progress,
    Result,
    Text,
    Tool,
)
from adapters.spi import Part as Preview
from adapters.talk import speech, talk, tells, values

SOON = 0.05
"""Seconds in which an answer that is a message, and no task, may come."""
ASKED = 10_000
RESULT = "result"
ANSWERS = frozenset({"form", "visit"})


class Executor(AgentExecutor):
    """Answers for one agent. Questions back are remembered by task, as long as the process lives."""

    def __init__(self, slug: str, invoke: Invoke, catalog: Catalog) -> None:
        self._slug = slug
        self._invoke = invoke
        self._catalog = catalog
        self._asked: OrderedDict[str, tuple[str, Ask]] = OrderedDict()

    async def execute(self, context: RequestContext, event_queue: EventQueue) -> None:
        task, message = context.current_task, context.message
        assert message is not None
        call = self._call(context, message)  # errors of the protocol, before there is a task
        context.call_context.state[LASTING] = bool(context.configuration and context.configuration.return_immediately)
        known = context.task_id or "", task.context_id if task else context.context_id or ""
        updater = TaskUpdater(event_queue, *known)
        async with aclosing(_events(self._invoke(call))) as events:
            first = asyncio.ensure_future(anext(events))
            try:
                if task is None and await _is_message(first):
                    return await event_queue.enqueue_event(_message(first.result(), *known))
                if task is None:
                    begun = Task(id=known[0], context_id=known[1], history=[message])
                    begun.status.CopyFrom(TaskStatus(state=TaskState.TASK_STATE_SUBMITTED))
                    begun.status.timestamp.GetCurrentTime()
                    await event_queue.enqueue_event(begun)
                await updater.start_work()
                answer = Answering(updater)
                event = await first
                while not await answer.take(event):
                    event = await anext(events)
                if isinstance(event, Ask):
                    self._remember(known[0], call.tool, event)
            finally:
                first.cancel()
                await asyncio.gather(first, return_exceptions=True)

    async def cancel(self, context: RequestContext, event_queue: EventQueue) -> None:
        """The SDK cancels `execute`, which closes the call; here the task is told."""
        task = context.current_task
        await TaskUpdater(event_queue, context.task_id or "", task.context_id if task else "").cancel()

    def _remember(self, task: str, tool: str, ask: Ask) -> None:
        self._asked[task] = (tool, ask)
        while len(self._asked) > ASKED:
            self._asked.popitem(last=False)

    # -- from messages to calls -----------------------------------------------------------------------------------

    def _call(self, context: RequestContext, message: Message) -> Call:
        """Raises errors of the protocol for what cannot be a call."""
        caller: Caller = context.call_context.state["caller"]
        metadata = translate.plain(message.metadata)
        try:
            chain = hops.read(str(metadata.get(translate.HOPS, "")))
        except GatewayError as fault:
            raise InvalidParamsError(message=fault.public) from fault
        given = {translate.GIVEN: MessageToDict(message)}
        made: dict[str, Any] = {
            "caller": caller, "hops": chain, "parent": chain[-1].call if chain else None, "answers": ANSWERS,
            "conversation": context.current_task.context_id if context.current_task else context.context_id,
            "meta": given, "speech": speech(metadata.get("from"), metadata.get("among")),
            "trace": context.call_context.state.get("headers", {}).get("traceparent"),
        }  # fmt: skip
        held = translate.contents(message.parts)
        asked = self._asked.get(context.task_id or "")
        if asked is not None:
            if any(isinstance(one, File) for one in held):
                raise ContentTypeNotSupportedError(message="an answer takes text/plain and application/json; no files")
            del self._asked[context.task_id or ""]
            tool, ask = asked
            return Call(_id(context, message), tool, {}, answer=Answer(ask.token, _values(ask, held)), **made)
        tool, arguments = self._arguments(caller, str(metadata.get(translate.SKILL, "")), held)
        return Call(_id(context, message), tool.name, arguments, **made)

    def _tool(self, caller: Caller, wanted: str) -> Tool:
        """The skill of this id; without one, the tool by which the agent is talked with, or its only one. Of the
        gateway itself, skills are agents, and public names of tools."""
        if not self._slug and "__" in wanted:
            return self._catalog.tool(wanted, caller)
        if wanted and self._slug:
            return self._catalog.tool(f"{self._slug}__{wanted}", caller)
        agent = next((a for a in self._catalog.agents(caller) if a.slug == (self._slug or wanted)), None)
        if agent is None:
            said = f"no agent is called '{(self._slug or wanted)[:80]}'"
            raise Unknown(said if self._slug else f"{said}: name one of the card's skills in the metadata, as 'skill'")
        talking = talk(agent)
        if talking is None and len(agent.tools) != 1:
            names = ", ".join([skill_id(tool) for tool in agent.tools][:30])
            raise BadArguments(f"say which skill you mean, in the message's metadata as 'skill': {names}")
        return talking.tool if talking else agent.tools[0]

    def _arguments(self, caller: Caller, wanted: str, held: Any) -> tuple[Tool, dict[str, Json]]:
        """The tool that is meant, and what it is given."""
        try:
            tool = self._tool(caller, wanted)
        except GatewayError as fault:
            raise InvalidParamsError(message=fault.public) from fault
        texts = [one.text for one in held if isinstance(one, Text)]
        objects = [one.value for one in held if isinstance(one, Data)]
        try:
            filled, rest = files.placed(tool, [one for one in held if isinstance(one, File)])
        except files.Unfit as fault:
            raise ContentTypeNotSupportedError(message=str(fault)) from fault
        if filled and not texts and not objects:
            return tool, filled
        return tool, {**self._said(rest if filled else tool, texts, objects), **filled}

    def _said(self, tool: Tool, texts: list[str], objects: list[Json]) -> dict[str, Json]:
        """What texts and data are to a tool. Raises `InvalidParamsError`."""
        if len(objects) == 1 and isinstance(objects[0], dict) and not texts:
            return objects[0]
        found = tells(tool)
        if found is not None:
            said = [*texts, *(orjson.dumps(value).decode() for value in objects)]
            return {found.argument: "\n".join(said)}
        with suppress(orjson.JSONDecodeError):
            said = orjson.loads("".join(texts))
            if isinstance(said, dict):
                return said
        raise InvalidParamsError(
            message=f"the skill '{skill_id(tool)}' takes its arguments as a part of data, or as JSON"
        )


def _id(context: RequestContext, message: Message) -> str:
    """Of the task and the message: the same message again is the same call."""
    return sha256(f"{context.task_id}\n{message.message_id}".encode()).hexdigest()[:32]


def _values(ask: Ask, held: Any) -> dict[str, Json]:
    """What answers the questions: data by request, else a text."""
    objects = [one.value for one in held if hasattr(one, "value") and isinstance(one.value, dict)]
    ids = {request.id for request in ask.requests}
    if len(objects) == 1 and set(objects[0]) <= ids:
        return objects[0]
    if len(objects) == 1:
        return values(ask, orjson.dumps(objects[0]).decode())
    return values(ask, "\n".join(one.text for one in held if isinstance(one, Text)))


# ---- from events to the task ----------------------------------------------------------------------------------------


async def _events(source: Any) -> AsyncGenerator[Event, None]:
    """The events to the last; the call ends with this."""
    async with aclosing(source):
        async for event in source:
            yield event


async def _is_message(first: "asyncio.Future[Event]") -> bool:
    """Whether the answer came at once, and is a message of this network."""
    await asyncio.wait({first}, timeout=SOON)
    if not first.done():
        return False
    event = first.result()
    return isinstance(event, Result) and event.raw_format == translate.MESSAGE and event.raw is not None


def _message(event: Event, task: str, context: str) -> Message:
    assert isinstance(event, Result)
    made = Message.FromString(event.raw or b"")
    made.task_id, made.context_id = "", context
    return made


class Answering:
    """Tells a task what happens. Pieces of text are told one behind, so that the last is known as the last."""

    def __init__(self, updater: TaskUpdater) -> None:
        self._updater = updater
        self._sent = ""
        self._any = False
        self._held: Part | None = None

    async def take(self, event: Event) -> bool:
        """Whether this was the last."""
        match event:
            case Progress() if event.message:
                said = self._updater.new_agent_message([Part(text=event.message)])
                await self._updater.start_work(said)
            case Preview():
                await self._preview(translate.part(event.content))
            case Result():
                await self._decide(translate.parts(event))
                await self._updater.complete()
            case Ask():
                await self._updater.requires_input(self._updater.new_agent_message(translate.asked(event)))
            case Error():
                await self._fail(event.error)
            case _:
                pass
        return isinstance(event, LAST)

    async def _preview(self, part: Part) -> None:
        if self._held is not None:
            await self._send([self._held], last=False)
        self._held = part

    async def _send(self, found: list[Part], *, last: bool) -> None:
        await self._updater.add_artifact(
            found, artifact_id=RESULT, name=RESULT, append=self._any, last_chunk=last
        )  # fmt: skip
        self._any = True
        self._sent += "".join(part.text for part in found)

    async def _decide(self, found: list[Part]) -> None:
        """The rest of what was shown, where it was the result's beginning; else the whole result in its place."""
        text = found[0].text if len(found) == 1 else ""
        if self._any and text.startswith(self._sent) and len(text) > len(self._sent):
            await self._send([Part(text=text[len(self._sent) :])], last=True)
            return
        self._any = False
        await self._send(found, last=True)

    async def _fail(self, fault: GatewayError) -> None:
        said = self._updater.new_agent_message([Part(text=fault.public), translate.data({"error": fault.problem()})])
        refused = isinstance(fault, CallerError) and fault.delivered == "no"
        await (self._updater.reject(said) if refused else self._updater.failed(said))
