"""The Python runtime of ElizaOS: a character, told what the gateway knows, that acts until it answers.

The gateway's tools are actions of the runtime. Its own loop of several steps fails at its first in 2.0.0a5 (it assigns
to a repeated field of a protobuf message), so the loop stands here: each round is one message through the runtime's
message service, which asks the model and processes the actions that it chose; the next round is told what they gave.
Actions declare no parameters: `process_actions` looks for them where 2.0.0a5 does not put them, and fails where one is
missing. They stand in the description, and are read where the message service does put them.

The runtime is made anew for each run, without a database: what is remembered stands in the run. Its checkpoint codes
are switched off (VALIDATION_LEVEL), since small models do not echo them; an answer in plain words is taken as a reply.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextvars import ContextVar
from functools import cache
from html import escape
from importlib.metadata import version
from typing import Any
from uuid import uuid4

from elizaos import Content, Memory, Plugin
from elizaos.character import CharacterValidationError, validate_and_create_character
from elizaos.runtime import AgentRuntime
from elizaos.types import Action, Provider, ProviderResult
from elizaos.types.components import ActionResult
from google.protobuf.json_format import MessageToDict
from openai import AsyncOpenAI, DefaultAsyncHttpxClient
from sidekick_protocol import CallTool, Event, Final, Refused, Run, Step, Token, Tool, Usage, told

SAYS = ("REPLY", "NONE")
"""Actions that are no more than the text beside them."""
HOW = (
    "To act, name actions in <actions>, each at most once, and give what they need in <params>, as JSON:"
    ' {"ACTION": {"name": "value"}}. You are told what they gave, and asked again. Answer with REPLY alone when you are'
    " done."
)


def versions() -> dict[str, str]:
    return {name: version(name) for name in ("elizaos", "openai")}


class Turn:
    """One run, for the runtime's callbacks: what they are told, what the model writes, what its actions gave (name,
    whether it did what it should, text), and what went wrong."""

    def __init__(self, run: Run, call_tool: CallTool) -> None:
        self.run = run
        self.call_tool = call_tool
        self.tools = named(run.tools)
        self.said: asyncio.Queue[Event | BaseException] = asyncio.Queue()
        self.done: list[tuple[str, bool, str]] = []
        self.asked = 0
        self.text = ""
        self.fault: Exception | None = None


turn: ContextVar[Turn] = ContextVar("turn")


async def run(run: Run, call_tool: CallTool) -> AsyncIterator[Event]:
    if run.source.load or run.source.file:
        raise Refused("this framework has no agents of the operator's; add a character file instead")
    one = Turn(run, call_tool)
    turn.set(one)
    task = asyncio.create_task(answered(one))
    try:
        while True:
            event = await one.said.get()
            if isinstance(event, BaseException):
                raise event
            yield event
            if isinstance(event, Final):
                return
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def answered(one: Turn) -> None:
    """Puts the end, whatever it is."""
    try:
        one.said.put_nowait(await final(one))
    except Exception as fault:
        one.said.put_nowait(fault)


async def final(one: Turn) -> Final:
    actions = [action(name, tool) for name, tool in one.tools.items()]
    own = Plugin(
        name="gateway", description="Thinks and acts by the gateway.", actions=actions, providers=[SITUATION],
        models={"TEXT_LARGE": think, "TEXT_SMALL": think},
    )  # fmt: skip
    runtime = AgentRuntime(
        character=character(one.run), plugins=[own], log_level="ERROR", check_should_respond=False,
        action_planning=True, settings={"VALIDATION_LEVEL": "trusted"},
    )  # fmt: skip
    await runtime.initialize()
    room, person = str(uuid4()), str(uuid4())
    try:
        while one.asked < one.run.limits.iterations:
            acted = await round_of(one, runtime, room, person)
            if not acted:
                return Final(one.text)
    finally:
        await runtime.stop()
    return Final(one.text, "max_iterations")


async def round_of(one: Turn, runtime: Any, room: str, person: str) -> bool:
    """One message through the runtime. Whether the agent acted; if not, `one.text` is its answer."""
    runtime.state_cache.clear()  # of this room: what the actions gave is part of the state
    content = Content(text=one.run.task, source="gateway", channel_type="DM")
    message = Memory(id=str(uuid4()), entity_id=person, room_id=room, content=content)
    result = await runtime.message_service.handle_message(runtime, message)
    if one.fault is not None:
        raise one.fault
    if not result.did_respond or result.response_content is None:
        raise RuntimeError("the model gave no answer that the runtime could read")
    chosen = [name for name in result.response_content.actions if name not in SAYS]
    here = {known.name for known in runtime.actions}
    for name in chosen:
        if name not in here:
            one.done.append((name, False, f"Error: there is no action '{name}'"))
    if any(name in one.tools or name not in here for name in chosen):
        return True
    if "IGNORE" in chosen or not one.text.strip():
        raise Refused("the agent chose not to answer")
    return False


def named(tools: list[Tool]) -> dict[str, Tool]:
    """By their names as actions: the runtime writes all in capitals."""
    found: dict[str, Tool] = {}
    for one in tools:
        name = one.name.upper()
        while name in found:
            name += "_"
        found[name] = one
    return found


def action(name: str, tool: Tool) -> Action:
    async def validate(*given: Any) -> bool:
        return True

    async def handler(*given: Any) -> ActionResult:
        one = turn.get()
        said = await one.call_tool(tool.name, arguments(name, tool, given[-1] or []))
        one.done.append((tool.name, said.ok, said.text))
        return ActionResult(success=said.ok, text=said.text)

    takes = json.dumps(tool.schema, ensure_ascii=False)
    return Action(name, f"{tool.description}\n  Parameters, as JSON Schema: {takes}", handler, validate)


def arguments(name: str, tool: Tool, responses: list[Any]) -> dict[str, Any]:
    """What the model gave for an action, in the types of its schema: the runtime has all numbers as floats, and all
    that came as XML as text."""
    given: Any = {}
    for response in responses:
        params = MessageToDict(response.content.data).get("params", {})
        found = next((value for key, value in params.items() if key.upper() == name), [])
        given = found[0] if found else given
    kinds = tool.schema.get("properties", {})
    return {key: typed(whole(value), kinds.get(key)) for key, value in given.items()}


def whole(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: whole(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [whole(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def typed(value: Any, schema: Any) -> Any:
    """A text that stands for something else, where the schema wants no text."""
    kind = schema.get("type") if isinstance(schema, dict) else None
    if not isinstance(value, str) or kind in (None, "string") or "string" in kind:
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value


def character(run: Run) -> Any:
    said = run.character or {"name": "Agent", "bio": ["A careful assistant."]}
    try:
        return validate_and_create_character(said)
    except CharacterValidationError as fault:
        raise Refused(f"this is no character: {fault}") from fault


async def situation(runtime: Any, message: Any, state: Any = None) -> ProviderResult:
    """What came with the run, what its actions gave, and the message itself, which the runtime shows only out of a
    database."""
    one, name = turn.get(), runtime.character.name
    run = one.run
    before = [f"{'User' if said['role'] == 'user' else name}: {said['text']}" for said in run.history]
    gave = [f"{n}. {tool} ({'done' if ok else 'failed'}): {text}" for n, (tool, ok, text) in enumerate(one.done, 1)]
    parts = [run.instructions, "\n".join(("# Conversation so far", *before)) if before else ""]
    parts += [f"# Received Message\nUser: {told(run)}", "\n".join(("# Action Results", *gave)) if gave else ""]
    parts += [HOW if one.tools else "", f"# Focus your response on that message, as {name}."]
    return ProviderResult(text="\n\n".join(part for part in parts if part), values={}, data={})


async def think(runtime: Any, params: Any) -> str:
    """The model's answer in the runtime's form; its `<text>` is told while it is written."""
    one = turn.get()
    try:
        raw = await written(one, params["prompt"])
    except Exception as fault:  # the runtime would swallow it
        one.fault = fault
        raise
    one.text = visible(raw).strip() if "<response" in raw else raw
    if "<response" in raw:
        return acting(raw, one)
    return f"<response><thought>-</thought><actions>REPLY</actions><text>{escape(raw, quote=False)}</text></response>"


def acting(raw: str, one: Turn) -> str:
    """Without a REPLY beside tools: the runtime would ask the model for that text again, and it is no answer yet."""
    found = re.search(r"<actions>(.*?)</actions>", raw, re.DOTALL)
    names = [name.strip() for name in found[1].split(",")] if found else []
    if found is None or not any(name.upper() in one.tools for name in names):
        return raw
    left = ",".join(name for name in names if name.upper() not in SAYS)
    return f"{raw[: found.start(1)]}{left}{raw[found.end(1) :]}"


async def written(one: Turn, prompt: str) -> str:
    said = one.run.model
    one.asked += 1
    one.said.put_nowait(Step("model"))
    client = AsyncOpenAI(base_url=said.url, api_key=said.key or "none", http_client=connections(), max_retries=1)
    asked: Any = [{"role": "user", "content": prompt}]
    stream = await client.chat.completions.create(
        model=said.name, messages=asked, temperature=said.temperature, stream=True, **said.more
    )
    raw, shown = "", 0
    async with stream:
        async for chunk in stream:
            if chunk.usage is not None:
                one.said.put_nowait(Usage(chunk.usage.prompt_tokens, chunk.usage.completion_tokens))
            raw += (chunk.choices[0].delta.content or "") if chunk.choices else ""
            text = visible(raw)
            if len(text) > shown:
                one.said.put_nowait(Token(text[shown:]))
                shown = len(text)
    return raw


def visible(raw: str) -> str:
    """What stands in `<text>` so far, without the beginning of a tag or of an entity."""
    inner = raw.partition("<text>")[2]
    inner = inner.partition("</text>")[0] if "</text>" in inner else re.sub(r"(<[^>]*|&\w{0,5})$", "", inner)
    for entity, letter in (("&lt;", "<"), ("&gt;", ">"), ("&quot;", '"'), ("&apos;", "'"), ("&amp;", "&")):
        inner = inner.replace(entity, letter)
    return inner


@cache
def connections() -> Any:
    """Shared by all runs: a client of its own costs each 40 ms. The key is each run's own."""
    return DefaultAsyncHttpxClient()


SITUATION = Provider(name="SITUATION", description="What is said and known now", get=situation, dynamic=False)
