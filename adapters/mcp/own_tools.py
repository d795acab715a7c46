"""Tools of the gateway itself: search in place of a long list, and the rest of calls that outlast patience."""

import difflib
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any

import orjson

from adapters.errors import BadArguments, GatewayError, Unknown
from adapters.mcp import translate
from adapters.mcp.dialogue import Dialogue, Fault, Peer, Raw, Reply, plain_text
from adapters.mcp.near import Near
from adapters.mcp.rpc import Message
from adapters.spi import Error, Tool

FOUND = 8
MOST = 25
WAIT = 30.0


def _schema(required: Sequence[str], **properties: Message) -> Message:
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


READS = {"readOnlyHint": True, "openWorldHint": False}
NAME = {"type": "string", "description": "The tool's name, as find_tools gives it."}
CALL = {"type": "string", "description": "The call's id."}
SEARCH: tuple[Message, ...] = (
    {
        "name": "call_tool",
        "description": "Call a tool that find_tools has found. describe_tool says what arguments it takes.",
        "inputSchema": _schema(["name"], name=NAME, arguments={"type": "object", "description": "Its arguments."}),
    },
    {
        "name": "describe_tool",
        "description": "One tool: what it does, and the JSON Schemas of its arguments and of its answer.",
        "inputSchema": _schema(["name"], name=NAME),
        "annotations": READS,
    },
    {
        "name": "find_tools",
        "description": "Find tools and agents by words: what should be done, or whom to ask. Best first.",
        "inputSchema": _schema(
            ["query"],
            query={"type": "string", "description": "Words, such as 'weather tomorrow'."},
            limit={"type": "integer", "minimum": 1, "maximum": MOST, "description": f"At most so many; {FOUND}."},
        ),
        "annotations": READS,
    },
)
WAITING: tuple[Message, ...] = (
    {
        "name": "cancel_call",
        "description": "Stop a call that is still working.",
        "inputSchema": _schema(["call"], call=CALL),
    },
    {
        "name": "get_call",
        "description": "The answer of a call that was still working; waits for it.",
        "inputSchema": _schema(
            ["call"],
            call=CALL,
            wait={"type": "number", "minimum": 0, "description": f"Seconds to wait at most; {WAIT:g}."},
        ),
        "annotations": READS,
    },
)
NAMES = frozenset(tool["name"] for tool in (*SEARCH, *WAITING))


def listed(near: Near) -> list[Message]:
    """All that the client is shown: tools of the view, and those of the gateway itself."""
    seen, look = near.look.seen, near.look
    tools = look.tools(near.caller)
    if seen.search:
        tools = [t for t in tools if any(fnmatchcase(look.public(t.name), glob) for glob in seen.pinned)]
    shown = [translate.tool(t, with_output=not near.patience) for t in tools if not is_own(t.name, near)]
    shown += SEARCH if seen.search else ()
    shown += WAITING if near.patience else ()
    return sorted(shown, key=lambda tool: tool["name"])


def is_own(name: str, near: Near) -> bool:
    return name in NAMES and (bool(near.patience) or near.look.seen.search)


async def call(params: Message, meta: Message, peer: Peer, dialogue: Dialogue) -> Reply:
    """A call of one of these tools."""
    name, given = params["name"], params.get("arguments") or {}
    answer = {key: params[key] for key in ("requestState", "inputResponses") if key in params}
    try:
        if name == "call_tool":
            return await dialogue.call({**_inner(given), **answer}, meta, peer)
        if name == "get_call" and answer:
            return await dialogue.call(answer, meta, peer)
        if name == "find_tools":
            return await _find(given, peer.near)
        if name == "describe_tool":
            return _describe(given, peer.near)
        id = _text(given, "call")
        if name == "cancel_call":
            record = await dialogue.calls.cancel(id, peer.near.caller)
            last = record.events[-1] if record.events else None
            how = last.error.code if isinstance(last, Error) else record.state
            return plain_text(f"call {id} is {how}")
        wait = given.get("wait", WAIT)
        if isinstance(wait, bool) or not isinstance(wait, int | float) or wait < 0:
            raise BadArguments("'wait' is a number of seconds")
        return await dialogue.wait(id, min(wait, peer.near.patience or WAIT), peer)
    except GatewayError as fault:
        return Raw(translate.failed(fault, None, ""))


def _inner(given: Message) -> Message:
    arguments = given.get("arguments", {})
    if not isinstance(arguments, dict):
        raise BadArguments("'arguments' is an object")
    name = _text(given, "name")
    if name in NAMES:
        raise BadArguments(f"'{name}' is called by itself")
    return {"name": name, "arguments": arguments}


def _text(given: Message, key: str) -> str:
    value = given.get(key)
    if not isinstance(value, str) or not value:
        raise BadArguments(f"'{key}' is a text, and needed")
    return value


async def _find(given: Message, near: Near) -> Reply:
    limit = given.get("limit", FOUND)
    if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= MOST:
        raise BadArguments(f"'limit' is a number from 1 to {MOST}")
    query = _text(given, "query")
    tools = await near.look.search(query, near.caller, limit)
    if not tools:
        agents = ", ".join(agent.slug for agent in near.look.agents(near.caller)[:20]) or "none"
        return plain_text(f"No tool fits '{query[:200]}'. Try other words. Agents: {agents}.")
    lines = [f"{tool.name} ({_arguments(tool)}): {' '.join(tool.description.split())[:300]}" for tool in tools]
    found = [{"name": tool.name, "agent": tool.agent, "description": tool.description[:300]} for tool in tools]
    return plain_text("\n".join(lines), {"structuredContent": {"tools": found}})


def _arguments(tool: Tool) -> str:
    schema: Any = orjson.loads(tool.input_schema)
    required, properties = schema.get("required", []), schema.get("properties", {})
    if not isinstance(properties, dict):
        return "…"
    return ", ".join(name if name in required else f"[{name}]" for name in properties) or "no arguments"


def _describe(given: Message, near: Near) -> Reply:
    name = _text(given, "name")
    try:
        tool = near.look.tool(name, near.caller)
    except Unknown as fault:
        names = [t.name for t in near.look.tools(near.caller)]
        close = difflib.get_close_matches(name, names, 3)
        hint = f" Did you mean {' or '.join(close)}?" if close and "did you mean" not in fault.public else ""
        return Fault({"code": -32602, "message": fault.public + hint})
    shown = translate.tool(tool, with_output=True)
    return plain_text(orjson.dumps(shown, option=orjson.OPT_INDENT_2).decode(), {"structuredContent": shown})
