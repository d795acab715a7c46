"""Agents of others by their cards: the agent is talked with, or one of its skills is meant."""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from a2a.types import (
    AgentCard,
    Artifact,
    CancelTaskRequest,
    GetTaskRequest,
    Message,
    Part,
    SendMessageRequest,
    StreamResponse,
    SubscribeToTaskRequest,
    Task,
    TaskState,
)

from adapters import hops
from adapters.a2a import Options, scores, translate
from adapters.a2a.far import Far
from adapters.errors import BadArguments, Broken, Cancelled, GatewayError, Refused, Unknown
from adapters.spi import (
    Accepted,
    Address,
    Agent,
    Ask,
    Call,
    Event,
    Handle,
    Host,
    Json,
    Progress,
    Report,
    Result,
    Tool,
    Upstream,
)
from adapters.spi import Part as Preview
from registry.model import schema

KEPT = 2_000
"""Conversations whose contexts are remembered."""
MOST_SKILLS = 100
SLOWEST = 10.0
FAREWELL = 5.0
"""Seconds for a cancel to be said."""
ASK: Json = {
    "type": "object",
    "properties": {
        "message": {"type": "string", "minLength": 1, "description": "What you say."},
        "data": {"type": "object", "description": "What you say as data, beside or in place of words."},
        "conversation": {
            "type": "string", "minLength": 1, "maxLength": 256,
            "description": "A name of your choice, to be remembered by. Without one, it starts afresh.",
        },
    },
    "additionalProperties": False,
}  # fmt: skip
RUNNING = frozenset({
    TaskState.TASK_STATE_UNSPECIFIED, TaskState.TASK_STATE_SUBMITTED, TaskState.TASK_STATE_WORKING,
})  # fmt: skip
WORDS = {**ASK, "required": ["message"]}
EITHER = {**ASK, "anyOf": [{"required": ["message"]}, {"required": ["data"]}]}


@dataclass(slots=True)
class Heard:
    """What came of one call so far."""

    task: Task | None = None
    artifacts: dict[str, Artifact] = field(default_factory=dict[str, Artifact])
    said: str = ""

    def take(self, task: Task) -> None:
        """The task as it is now, with all that it brought."""
        self.task = task
        for artifact in task.artifacts:
            translate.grow(self.artifacts, artifact, append=False)

    @property
    def ended(self) -> bool:
        return self.task is not None and self.task.status.state in translate.ENDED


class A2aOutbound:
    """One agent. Contexts of conversations are each caller's own."""

    def __init__(self, upstream: Upstream, host: Host, options: Options) -> None:
        self._name = upstream.name
        self._options = options
        self._far = Far(upstream, host, options)
        self._contexts: OrderedDict[tuple[str, str], str] = OrderedDict()
        self._farewells: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await asyncio.gather(*self._farewells, return_exceptions=True)
            await self._far.close()

    async def agents(self) -> AsyncIterator[Agent]:
        yield self._agent(await self._far.card())

    def _agent(self, card: AgentCard) -> Agent:
        about = card.description or card.name
        skills = "; ".join(f"{one.name}: {one.description}" for one in card.skills[:20] if one.id != "ask")
        said = f"Say something to {card.name}, and get the answer. {about}" + (f" Skills: {skills}" if skills else "")
        tools = [Tool("ask", said, schema(WORDS), title=f"Ask {card.name}")]
        for one in card.skills[:MOST_SKILLS]:
            if one.id and one.id != "ask":
                described = "\n".join([one.description or one.name, *(f"Example: {text}" for text in one.examples[:3])])
                tools.append(Tool(f"skill:{one.id}", described, schema(EITHER), title=one.name))
        meta: dict[str, Json] = {"version": card.version, "signed": self._far.signed}
        if (claim := scores.claimed(card)) is not None:
            meta["claimed"] = claim
        return Agent(Address("", "", self._name), card.name, about, tuple(tools), meta)

    # -- calls ----------------------------------------------------------------------------------------------------

    async def invoke(self, call: Call, tool: Tool) -> AsyncIterator[Event]:
        heard = Heard()
        responses = self._sent(self._request(call, tool), call)
        first = asyncio.ensure_future(anext(responses))
        try:
            async with self._far.speaking():
                for event in self._heard(await asyncio.shield(first), heard):
                    yield event
                async for event in self._told(responses, heard):
                    yield event
                await responses.aclose()
            async for event in self._ending(heard, call):
                yield event
        except (GeneratorExit, asyncio.CancelledError):
            self._leave(heard, first, responses)
            raise
        except BaseException:
            await asyncio.gather(first, return_exceptions=True)
            await responses.aclose()
            raise

    async def resume(self, call: Call, tool: Tool, handle: Handle) -> AsyncIterator[Event]:
        """Listens again to the task, or looks at it, until it ends."""
        heard = Heard()
        heard.take(await self._look(handle, call))
        if not heard.ended:
            with suppress(GatewayError):
                async with self._far.speaking(), aclosing(self._subscribed(handle, call)) as responses:
                    async for event in self._told(responses, heard, known=True):
                        yield event
        try:
            async for event in self._ending(heard, call):
                yield event
        except (GeneratorExit, asyncio.CancelledError):
            self._leave(heard)
            raise

    def _request(self, call: Call, tool: Tool) -> SendMessageRequest:
        metadata: dict[str, Json] = {translate.HOPS: hops.write(call.hops)} if call.hops else {}
        if tool.native.startswith("skill:"):
            metadata[translate.SKILL] = tool.native.removeprefix("skill:")
        if call.answer is not None:
            state: Any = call.answer.state
            said = translate.answers(call.answer.values)
            return SendMessageRequest(
                message=translate.user_message(said, state["context"], state["task"], metadata)
            )  # fmt: skip
        found: list[Part] = []
        if isinstance(call.arguments.get("message"), str):
            found.append(Part(text=call.arguments["message"]))
        if isinstance(call.arguments.get("data"), dict):
            found.append(translate.data(call.arguments["data"]))
        if not found:
            raise BadArguments("say something: 'message' or 'data'", delivered="no")
        context = self._contexts.get(self._place(call), "")
        message = translate.user_message(found, context, "", metadata)
        given = call.meta.get(translate.GIVEN)
        if isinstance(given, Mapping) and given.get("messageId"):
            message.message_id = str(given["messageId"])
        return SendMessageRequest(message=message)

    def _place(self, call: Call) -> tuple[str, str]:
        return call.caller.id, str(call.arguments.get("conversation") or call.conversation or "")

    async def _sent(self, request: SendMessageRequest, call: Call) -> AsyncGenerator[StreamResponse, None]:
        client = await self._far.client()
        async for response in client.send_message(request, context=self._far.context(call.remaining)):
            yield response

    async def _subscribed(self, task: str, call: Call) -> AsyncGenerator[StreamResponse, None]:
        client, request = await self._far.client(), SubscribeToTaskRequest(id=task)
        async for response in client.subscribe(request, context=self._far.context(call.remaining)):
            yield response

    async def _look(self, task: str, call: Call) -> Task:
        async with self._far.speaking():
            try:
                client = await self._far.client()
                return await client.get_task(GetTaskRequest(id=task), context=self._far.context(call.remaining))
            except Exception as fault:
                if "not found" in str(fault).lower():
                    raise Unknown(f"'{self._name}' does not hold this task any more") from fault
                raise

    # -- what comes -----------------------------------------------------------------------------------------------

    async def _told(self, responses: Any, heard: Heard, *, known: bool = False) -> AsyncIterator[Event]:
        """What is heard, until the stream ends or the task does."""
        async for response in responses:
            for event in self._heard(response, heard):
                if not (known and isinstance(event, Accepted)):
                    yield event
                if isinstance(event, Result):
                    return

    def _heard(self, response: StreamResponse, heard: Heard) -> list[Event]:
        match response.WhichOneof("payload"):
            case "message":
                return [self._message(response.message)]
            case "task":
                first = heard.task is None
                heard.take(response.task)
                return [Accepted(response.task.id)] if first else []
            case "artifact_update":
                update = response.artifact_update
                translate.grow(heard.artifacts, update.artifact, append=update.append)
                return [Preview(one) for one in translate.contents(update.artifact.parts)]
            case "status_update":
                return self._status(response, heard)
            case _:
                raise Broken(f"'{self._name}' sent an event that is none")

    def _status(self, response: StreamResponse, heard: Heard) -> list[Event]:
        update = response.status_update
        first = heard.task is None
        if heard.task is None:
            heard.task = Task(id=update.task_id, context_id=update.context_id)
        heard.task.status.CopyFrom(update.status)
        found: list[Event] = [Accepted(update.task_id)] if first else []
        said = translate.status_text(heard.task)
        if update.status.state == TaskState.TASK_STATE_WORKING and said:
            found.append(Progress(said))
        return found

    def _message(self, message: Message) -> Result:
        """A message decides by itself: there is no task."""
        made = translate.result([], None, {})
        held = translate.contents(message.parts)
        return Result(held, made.structured, message.SerializeToString(), translate.MESSAGE)

    async def _ending(self, heard: Heard, call: Call) -> AsyncIterator[Event]:
        """Looks at a task that does not stream until it ends, and says how it ended."""
        if heard.task is None:
            return
        pause = self._options.poll
        while heard.task.status.state in RUNNING:
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, max(SLOWEST, self._options.poll))
            before = translate.status_text(heard.task)
            heard.take(await self._look(heard.task.id, call))
            if (said := translate.status_text(heard.task)) and said != before and not heard.ended:
                yield Progress(said)
        self._remember(call, heard.task.context_id)
        yield self._end(heard.task, heard.artifacts)

    def _remember(self, call: Call, context: str) -> None:
        place = self._place(call)
        if place[1] and context:
            self._contexts[place] = context
            self._contexts.move_to_end(place)
            while len(self._contexts) > KEPT:
                self._contexts.popitem(last=False)

    def _end(self, task: Task, artifacts: Mapping[str, Artifact]) -> Event:
        said = translate.status_text(task)
        match task.status.state:
            case TaskState.TASK_STATE_COMPLETED:
                return translate.result(artifacts.values(), task, {"task": task.id})
            case TaskState.TASK_STATE_INPUT_REQUIRED:
                state = {"task": task.id, "context": task.context_id}
                return Ask(translate.requests(task.status.message), state)
            case TaskState.TASK_STATE_AUTH_REQUIRED:
                raise Refused(f"'{self._name}' wants a login that cannot be given from here: {said}"[:600])
            case TaskState.TASK_STATE_CANCELED:
                raise Cancelled(f"'{self._name}' cancelled the task", delivered="yes")
            case TaskState.TASK_STATE_REJECTED:
                raise Refused(said or f"'{self._name}' rejected the task")
            case _:
                raise Refused(said or f"'{self._name}' failed at the task, and does not say why")

    # -- leaving --------------------------------------------------------------------------------------------------

    def _leave(self, heard: Heard, first: Any = None, responses: Any = None) -> None:
        """Whoever called is gone: a task that runs is cancelled there, and so is one of which nothing came yet."""
        farewell = asyncio.ensure_future(self._farewell(heard, first, responses))
        self._farewells.add(farewell)
        farewell.add_done_callback(self._farewells.discard)

    async def _farewell(self, heard: Heard, first: Any, responses: Any) -> None:
        with suppress(Exception):  # it is gone, or it ends by itself
            async with asyncio.timeout(FAREWELL):
                if heard.task is None and first is not None:
                    self._heard(await first, heard)
                if heard.task is not None and heard.task.status.state in RUNNING:
                    client = await self._far.client()
                    await client.cancel_task(CancelTaskRequest(id=heard.task.id), context=self._far.context(FAREWELL))
        if responses is not None:
            with suppress(Exception):
                await responses.aclose()

    async def check(self) -> Report:
        """Whether there is a card, and a face that is spoken here."""
        try:
            card = await self._far.card()
            await self._far.client()
        except GatewayError as fault:
            return Report(False, fault.public)
        how = f"signed by key {self._far.signed}" if self._far.signed else "not signed"
        streams = "streams" if card.capabilities.streaming else "does not stream"
        facts: dict[str, Json] = {"skills": [one.id for one in card.skills]}
        if (claim := scores.claimed(card)) is not None:
            facts["claimed"] = claim
            streams += f"; it claims a score of {claim['benchmarkScore']:g} at {claim['benchmark']}, not measured here"
        return Report(True, f"{card.name}: {len(card.skills)} skills; the card is {how}; it {streams}", facts)
