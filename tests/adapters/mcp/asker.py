"""A network whose one agent asks back: one thing or several, at once or when the test lets it."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

from pydantic import BaseModel

from adapters.errors import BadArguments
from adapters.spi import (
    Address,
    Agent,
    Ask,
    Call,
    Data,
    Event,
    Form,
    Host,
    Inbound,
    Manifest,
    Outbound,
    Payment,
    Price,
    Report,
    Request,
    Result,
    Sampling,
    Tool,
    Upstream,
    Visit,
)  # fmt: skip
from registry.model import schema

NAME = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
SAMPLE = {"messages": [{"role": "user", "content": {"type": "text", "text": "Capital?"}}], "maxTokens": 10}
FORM = Form("who", "What is your name?", NAME)
VISIT = Visit("page", "Please log in.", "https://example.org/login")
SAMPLING = Sampling("model", SAMPLE)
ASKS: Mapping[str, tuple[Request, ...]] = {
    "form": (FORM,), "visit": (VISIT,), "sampling": (SAMPLING,), "several": (FORM, VISIT, SAMPLING),
    "later": (FORM,), "pay": (Payment("fee", Price(Decimal(1))),), "quick": (),
}  # fmt: skip


class Options(BaseModel):
    """None."""


class Asker:
    """Adapter and outbound in one. The answer's values are the result; `later` asks only when `go` is set."""

    manifest = Manifest("asker", "Asker", frozenset({"outbound"}))
    options = Options

    def __init__(self) -> None:
        self.go = asyncio.Event()

    def outbound(self, upstream: Upstream, host: Host) -> Outbound:
        return self

    def inbound(self, host: Host) -> Inbound:
        raise BadArguments("nobody calls from there")

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[None]:
        yield

    async def agents(self) -> AsyncIterator[Agent]:
        tools = tuple(Tool(name, f"Asks: {name}.", schema({"type": "object"})) for name in ASKS)
        yield Agent(Address("asker", "", "a"), "asker", "Asks back.", tools)

    async def check(self) -> Report:
        return Report(True, "it asks")

    async def invoke(self, call: Call, tool: Tool) -> AsyncIterator[Event]:
        if call.answer is not None:
            found: Any = dict(call.answer.values)
            yield Result((Data(found),), {"values": found})
            return
        if tool.native == "later":
            await self.go.wait()
        yield Ask(ASKS[tool.native], state="s") if ASKS[tool.native] else Result((Data("quick"),))
