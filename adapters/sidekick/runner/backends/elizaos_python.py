"""The Python runtime of ElizaOS: a character, told what the gateway knows, and one answer. It calls no tools.

The runtime is made anew for each run, without a database: what is remembered stands in the run. Its checkpoint codes
are switched off (VALIDATION_LEVEL), since small models do not echo them; an answer in plain words is taken as a reply.
"""

import asyncio
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
from elizaos.types import Provider, ProviderResult
from openai import AsyncOpenAI, DefaultAsyncHttpxClient
from sidekick_protocol import CallTool, Event, Final, Refused, Run, Step, Token, told

SILENT = {"IGNORE", "NONE"}


def versions() -> dict[str, str]:
    return {name: version(name) for name in ("elizaos", "openai")}


class Turn:
    """One run, for the runtime's callbacks: what they are told, what the model writes, and what went wrong."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.said: asyncio.Queue[Event | BaseException] = asyncio.Queue()
        self.fault: Exception | None = None


turn: ContextVar[Turn] = ContextVar("turn")


async def run(run: Run, call_tool: CallTool) -> AsyncIterator[Event]:
    if run.source.load or run.source.file:
        raise Refused("this framework has no agents of the operator's; add a character file instead")
    one = Turn(run)
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
    runtime = AgentRuntime(
        character=character(one.run), plugins=[OWN], log_level="ERROR", check_should_respond=False,
        settings={"VALIDATION_LEVEL": "trusted"},
    )  # fmt: skip
    await runtime.initialize()
    try:
        content = Content(text=one.run.task, source="gateway", channel_type="DM")
        message = Memory(id=str(uuid4()), entity_id=str(uuid4()), room_id=str(uuid4()), content=content)
        result = await runtime.message_service.handle_message(runtime, message)
    finally:
        await runtime.stop()
    if one.fault is not None:
        raise one.fault
    if not result.did_respond or result.response_content is None:
        raise RuntimeError("the model gave no answer that the runtime could read")
    text = result.response_content.text
    if not text.strip() or set(result.response_content.actions) & SILENT:
        raise Refused("the agent chose not to answer")
    return Final(text)


def character(run: Run) -> Any:
    said = run.character or {"name": "Agent", "bio": ["A careful assistant."]}
    try:
        return validate_and_create_character(said)
    except CharacterValidationError as fault:
        raise Refused(f"this is no character: {fault}") from fault


async def situation(runtime: Any, message: Any, state: Any = None) -> ProviderResult:
    """What came with the run, and the message itself, which the runtime shows only out of a database."""
    run, name = turn.get().run, runtime.character.name
    before = [f"{'User' if said['role'] == 'user' else name}: {said['text']}" for said in run.history]
    parts = [run.instructions, "\n".join(("# Conversation so far", *before)) if before else ""]
    parts.append(f"# Received Message\nUser: {told(run)}\n\n# Focus your response on that message, as {name}.")
    return ProviderResult(text="\n\n".join(part for part in parts if part), values={}, data={})


async def think(runtime: Any, params: Any) -> str:
    """The model's answer in the runtime's form; its `<text>` is told while it is written."""
    one = turn.get()
    try:
        raw = await written(one, params["prompt"])
    except Exception as fault:  # the runtime would swallow it
        one.fault = fault
        raise
    if "<response" in raw:
        return raw
    return f"<response><thought></thought><actions>REPLY</actions><text>{escape(raw, quote=False)}</text></response>"


async def written(one: Turn, prompt: str) -> str:
    said = one.run.model
    one.said.put_nowait(Step("model"))
    client = AsyncOpenAI(base_url=said.url, api_key=said.key or "none", http_client=connections(), max_retries=1)
    asked: Any = [{"role": "user", "content": prompt}]
    stream = await client.chat.completions.create(
        model=said.name, messages=asked, temperature=said.temperature, stream=True
    )
    raw, shown = "", 0
    async with stream:
        async for chunk in stream:
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


OWN = Plugin(
    name="gateway", description="Thinks with the gateway's model.", models={"TEXT_LARGE": think, "TEXT_SMALL": think},
    providers=[Provider(name="SITUATION", description="What is said and known now", get=situation, dynamic=False)],
)  # fmt: skip
