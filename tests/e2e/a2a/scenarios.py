"""The agent that A2A's compatibility kit talks with: what it does is said by the prefix of a message's id.

After `scenarios/*.feature` of the kit (a2aproject/a2a-tck, branch 1.0-dev), behind the gateway: its events are the
contract's, and what the kit sees is what the gateway makes of them.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from a2a.types import Message, Role
from a2a.types import Part as MessagePart
from pydantic import BaseModel

from adapters.a2a.translate import GIVEN, MESSAGE
from adapters.errors import BadArguments
from adapters.spi import (
    Address,
    Agent,
    Ask,
    Call,
    Data,
    Event,
    File,
    Form,
    Host,
    Manifest,
    Outbound,
    Part,
    Progress,
    Report,
    Result,
    Text,
    Tool,
    Upstream,
)
from registry.model import schema

SAY = schema({"type": "object", "properties": {"message": {"type": "string"}}, "required": ["message"]})
NAME = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
FILE = File("text/plain", b"Generated file content", name="output.txt")
LINK = File("text/plain", None, "https://example.com/output.txt", "output.txt")
LONG = 4.0
"""Seconds of the task that is listened to again."""


class Options(BaseModel):
    """None."""


class Scenarios:
    """As an adapter: `adapter.manifest` makes it known to the gateway of a test."""

    manifest = Manifest("scenarios", "Scenarios of the kit", frozenset({"outbound"}))
    options = Options

    def outbound(self, upstream: Upstream, host: Host) -> Outbound:
        return _Agent()

    def inbound(self, host: Host) -> Any:
        raise BadArguments("it does not call")


class _Agent:
    @asynccontextmanager
    async def connect(self) -> AsyncIterator[None]:
        yield

    async def agents(self) -> AsyncIterator[Agent]:
        yield Agent(Address("", "", "kit"), "Kit", "Does what the kit expects.", (Tool("ask", "Say it.", SAY),))

    async def check(self) -> Report:
        return Report(True, "well")

    async def invoke(self, call: Call, tool: Tool) -> AsyncIterator[Event]:
        given: Any = call.meta.get(GIVEN) or {}
        id = str(given.get("messageId", ""))
        if call.answer is not None and not id.startswith("tck-input-required"):
            yield Result((Text("thank you"),))
            return
        async for event in self._does(id, str(call.arguments.get("message", ""))):
            yield event

    async def _does(self, id: str, said: str) -> AsyncIterator[Event]:
        if id.startswith("test-resubscribe-message-id"):
            yield Progress("working")
            await asyncio.sleep(LONG)
        for prefix, events in STEPS.items():
            if id.startswith(prefix):
                for event in events:
                    await asyncio.sleep(0)
                    yield event
                return
        if id.startswith("tck-reject-task"):
            raise BadArguments("rejected", delivered="no")
        if id.startswith("tck-message-response"):
            yield _message("Direct message response")
            return
        if id.startswith("tck-input-required"):
            yield Ask((Form("text", "Which one?", NAME),))
            return
        yield Result((Text("Hello from TCK" if id.startswith(("tck-", "test-")) else said),))


def _message(text: str) -> Result:
    said = Message(message_id="answer", role=Role.ROLE_AGENT, parts=[MessagePart(text=text)])
    return Result((Text(text),), raw=said.SerializeToString(), raw_format=MESSAGE)


def _text(text: str) -> tuple[Event, ...]:
    return Part(Text(text)), Result((Text(text),))


STEPS: dict[str, tuple[Event, ...]] = {
    "tck-artifact-text": (Result((Text("Generated text content"),)),),
    "tck-artifact-file-url": (Result((LINK,)),),
    "tck-artifact-file": (Result((FILE,)),),
    "tck-artifact-data": (Result((Data({"key": "value", "count": 42}),)),),
    "tck-stream-001": _text("Stream hello from TCK"),
    "tck-stream-003": _text("Stream task lifecycle"),
    "tck-stream-ordering-001": _text("Ordered output"),
    "tck-stream-artifact-text": _text("Streamed text content"),
    "tck-stream-artifact-file": (Part(FILE), Result((FILE,))),
    "tck-stream-artifact-chunked": (
        Part(Text("chunk-1 ")), Part(Text("chunk-2")), Result((Text("chunk-1 chunk-2"),))
    ),
}  # fmt: skip
