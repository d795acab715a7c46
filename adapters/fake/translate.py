"""The tools of the fake network, and its errors. Pure."""

from typing import Any

from adapters import errors
from adapters.errors import GatewayError
from adapters.spi import Address, Agent, Tool
from registry.model import schema

KINDS: dict[str, type[GatewayError]] = {
    kind.code: kind
    for root in (errors.CallerError, errors.Busy, errors.RemoteError, errors.Unreachable, errors.Bug)
    for kind in (root.__subclasses__() or [root])
}
"""Every class of the error tree that something can be, by its code."""


def _object(required: tuple[str, ...] = (), **properties: dict[str, Any]) -> bytes:
    return schema(
        {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}
    )


TEXT: dict[str, Any] = {"type": "string", "maxLength": 100_000}
NUMBER: dict[str, Any] = {"type": "integer", "minimum": 0, "maximum": 100_000_000}
TOOLS: dict[str, Tool] = {
    t.native: t
    for t in (
        Tool("echo", "Says the text again.", _object(("text",), text=TEXT, delay={"type": "number", "minimum": 0})),
        Tool("count", "Counts to n, each step as progress and as a part.", _object(("n",), n=NUMBER)),
        Tool("fail", "Fails as it is told.", _object(("kind",), kind={"enum": sorted(KINDS)}, delivered=TEXT)),
        Tool("crash", "Raises what no adapter should.", _object()),
        Tool("ask", "Asks for a name, and greets it.", _object(greeting=TEXT)),
        Tool("wait", "Asks for a name while the far side waits live, and greets it.", _object()),
        Tool("hang", "Never answers.", _object()),
        Tool("garbage", "Breaks the contract in one of several ways.", _object(("how",), how=TEXT)),
        Tool("job", "Takes the text as work that it holds.", _object(("text",), text=TEXT)),
        Tool("big", "Answers with so many bytes.", _object(("bytes",), bytes=NUMBER, where={"enum": ["text", "file"]})),
        Tool("remember", "Answers with all texts of this conversation.", _object(("text",), text=TEXT)),
        Tool(
            "add", "Adds two numbers.", _object(("a", "b"), a={"type": "number"}, b={"type": "number"}),
            schema({"type": "object", "properties": {"sum": {"type": "number"}}, "required": ["sum"]}),
            title="Add", annotations={"readOnlyHint": True},
        ),
        Tool("parts", "Answers with text, data, a picture and a link.", _object()),
        Tool("relay", "Calls another tool.", _object(("tool",), tool=TEXT, arguments={"type": "object"})),
    )
}  # fmt: skip


def agent(native: str, name: str, description: str, tools: tuple[str, ...]) -> Agent:
    """An agent of a world, with these tools."""
    return Agent(Address("fake", "", native), name, description, tuple(TOOLS[t] for t in tools))


def fault(kind: str, delivered: str) -> GatewayError:
    """The error of this code."""
    said: Any = delivered or None
    retry = 7 if issubclass(KINDS[kind], errors.Busy) else None
    return KINDS[kind](f"the far side failed with '{kind}'", detail="as it was told", delivered=said, retry_after=retry)
