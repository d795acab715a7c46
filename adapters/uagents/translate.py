"""Between agents and manifests of the network and the contract. Pure."""

import json
from collections.abc import Iterator, Mapping
from decimal import Decimal, InvalidOperation
from hashlib import sha256
from typing import Any

import orjson

from adapters.errors import Broken, GatewayError, Refused
from adapters.spi import Payment, Price, Result, Text, Tool
from adapters.uagents import calling
from registry.model import ANYTHING, schema

ASK = schema(
    {
        "type": "object",
        "properties": {
            "message": {"type": "string", "minLength": 1, "maxLength": 100_000, "description": "What you say."},
            "conversation": {
                "type": "string", "minLength": 1, "maxLength": 256,
                "description": "A name of your choice, to be remembered by. Without one, it starts afresh.",
            },
        },
        "required": ["message"],
        "additionalProperties": False,
    }
)  # fmt: skip
MODELS = 200
"""Models of one manifest that are looked at."""


def ask(name: str) -> Tool:
    return Tool("ask", f"Talk with {name}, an agent of the uAgents network.", ASK, meta={"kind": "chat"})


def mcp_tools(said: Mapping[str, Any], name: str) -> list[Tool]:
    """Those of a `ListToolsResponse`. Raises `Broken` or `Refused`."""
    if said.get("error"):
        raise Refused(f"'{name}' lists no tools: {str(said['error'])[:500]}")
    listed = said.get("tools")
    if not isinstance(listed, list):
        raise Broken(f"'{name}' listed no tools in the way of the MCP protocol")
    found: list[Tool] = []
    for one in listed:
        if isinstance(one, dict) and isinstance(one.get("name"), str) and one["name"]:
            takes = one.get("inputSchema", one.get("input_schema"))
            takes = takes if isinstance(takes, dict) else {"type": "object"}
            text = str(one.get("description") or "")
            found.append(Tool(one["name"], text, _schema(takes) or ANYTHING, meta={"kind": "mcp"}))
    return found


def _schema(document: Any) -> bytes | None:
    """None for what cannot be written as JSON everywhere: numbers over 64 bits, text that is none."""
    try:
        return schema(document) if isinstance(document, dict) and document.get("type") == "object" else None
    except (TypeError, ValueError, RecursionError):
        return None


def model_tools(manifest: Mapping[str, Any]) -> Iterator[Tool]:
    """One for each message of a manifest that is answered, with its model's schema."""
    said = manifest.get("models")
    models = {
        str(m.get("digest")): m["schema"]
        for m in (said if isinstance(said, list) else [])[:MODELS]
        if isinstance(m, dict) and isinstance(m.get("schema"), dict) and _is(m["schema"], m.get("digest"))
    }
    interactions = manifest.get("interactions")
    for one in (interactions if isinstance(interactions, list) else [])[:MODELS]:
        takes = models.get(str(one.get("request"))) if isinstance(one, dict) else None
        replies = one.get("responses") if isinstance(one, dict) else None
        document = _schema(takes)
        if takes is None or document is None or not isinstance(replies, list) or not replies:
            continue
        gives = [d for d in map(str, replies) if d != calling.ERROR]
        only = models.get(gives[0]) if len(gives) == 1 else None
        title = str(takes.get("title") or "message")
        text = str(takes.get("description") or f"Sends {title}.")
        yield Tool(
            title, text, document, _schema(only),
            meta={"kind": "model", "digest": str(one["request"]), "replies": gives},
        )  # fmt: skip


def _is(document: Mapping[str, Any], digest: Any) -> bool:
    return digest == f"model:{sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()}"


def distinct(tools: Iterator[Tool]) -> tuple[Tool, ...]:
    """The first of each name; others get a piece of their digest, or are left out."""
    found: dict[str, Tool] = {}
    for tool in tools:
        if tool.native in found and "digest" in tool.meta:
            name = f"{tool.native}-{str(tool.meta['digest'])[6:12]}"
            tool = Tool(name, tool.description, tool.input_schema, tool.output_schema, meta=tool.meta)
        found.setdefault(tool.native, tool)
    return tuple(found.values())


def model_result(document: Mapping[str, Any]) -> Result:
    """What a model answered: its fields, and their text where there is but one text."""
    values = list(document.values())
    if len(values) == 1 and isinstance(values[0], str):
        return Result((Text(values[0]),), structured=dict(document))
    return Result((Text(orjson.dumps(dict(document)).decode()),), structured=dict(document))


def mcp_result(said: Mapping[str, Any], name: str) -> Result:
    """Raises `Refused` for the tool's own error."""
    if said.get("error"):
        raise Refused(f"'{name}' says: {str(said['error'])[:2000]}")
    text = str(said.get("result") or "")
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        found = None
    return Result((Text(text),), structured=found if isinstance(found, dict) else None)


def payment(said: Mapping[str, Any]) -> Payment:
    """What a seller asks for, by the first of the funds that it takes. Raises `Broken`."""
    funds = said.get("accepted_funds")
    first = funds[0] if isinstance(funds, list) and funds else None
    try:
        if not isinstance(first, dict):
            raise ValueError("no funds")
        amount = Decimal(str(first.get("amount")))
        if not amount.is_finite() or amount < 0:
            raise ValueError("amount")
    except (ValueError, InvalidOperation) as fault:
        raise Broken("the agent asks for a payment that makes no sense") from fault
    return Payment("payment", Price(amount, str(first.get("currency"))[:16]), terms=dict(said))


def code(fault: str, text: str, name: str) -> GatewayError:
    """What another gateway's agent tells of a call that failed."""
    return Refused(f"'{name}' says: {text[:2000]}", detail=fault[:40])
