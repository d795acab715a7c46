"""Between the contract and what runners are told and say. Pure."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from adapters.errors import BadArguments, Broken, GatewayError, Refused
from adapters.sidekick.frameworks import Framework
from adapters.spi import Ask, Content, Data, Error, Event, File, Form, Json, Result, Text, Tool
from registry.model import schema
from registry.views import fits

LIMITED = ("max_iterations", "max_tool_calls")
STATUS = {"done": "completed", "denied": "denied", "failed": "failed", **dict.fromkeys(LIMITED, "limited")}
LONGEST = 100_000
"""Characters of a tool's answer that are given to a model."""
TEXT: dict[str, Json] = {"type": "string", "minLength": 1, "maxLength": 200_000}
MORE: dict[str, Json] = {
    "context": {"type": "object", "description": "What it must know: anything."},
    "conversation": {
        "type": "string", "minLength": 1, "maxLength": 256,
        "description": "A name of your choice, to be remembered by. Without one, it starts afresh.",
    },
    "tools": {
        "type": "array", "maxItems": 100, "items": {"type": "string", "minLength": 1, "maxLength": 100},
        "description": "Names of tools (globs) that it may use for this; of those that both of you may call.",
    },
    "iterations": {"type": "integer", "minimum": 1, "maximum": 1000, "description": "Requests to its model at most."},
    "instructions": {
        "type": "string", "maxLength": 200_000, "description": "Who it shall be: the model's instructions.",
    },
    "history": {
        "type": "array", "maxItems": 200, "description": "What was said before, where you remember it yourself.",
        "items": {
            "type": "object", "required": ["role", "text"], "additionalProperties": False,
            "properties": {"role": {"enum": ["user", "assistant"]}, "text": {"type": "string", "maxLength": 200_000}},
        },
    },
}  # fmt: skip
ANSWER = {"type": "object", "properties": {"answer": {"type": "string"}}, "required": ["answer"]}
OUTPUT = schema(
    {
        "type": "object",
        "properties": {
            "status": {"enum": sorted(set(STATUS.values()))},
            "response": {"type": "string"},
            "toolsUsed": {"type": "array", "items": {"type": "string"}},
            "toolCalls": {"type": "integer"},
            "stopReason": {"enum": sorted(STATUS)},
            "framework": {"type": "string"},
            "benchmarkScore": {"type": ["number", "null"]},
        },
        "required": ["status", "response", "toolsUsed", "toolCalls", "stopReason", "framework", "benchmarkScore"],
    }
)


def ask(name: str, description: str, *, character: bool = False) -> Tool:
    """The tool of an agent."""
    fields = {"message": {**TEXT, "description": "What it shall do or answer."}, **MORE}
    fields |= (
        {"character": {"type": "object", "description": "A character of ElizaOS, as its file has it."}}
        if character
        else {}
    )
    return Tool(
        "ask", f"Give a task to {name}. {description}".strip(), _object("message", fields), OUTPUT, f"Ask {name}"
    )


def analyze(frameworks: Mapping[str, Framework], default: str) -> Tool:
    """The tool of the agent that takes whichever framework is named."""
    words = [word for one in frameworks.values() for word in (one.name, *one.aliases)]
    fields: dict[str, Json] = {"task": {**TEXT, "description": "What shall be analyzed or done."}}
    fields["framework"] = {"enum": words, "description": f"What does it; {default}, if nobody says."}
    titles = ", ".join(one.title for one in frameworks.values())
    says = f"Has a Python specialist work at a task, by {titles}: it thinks, calls tools, and answers."
    return Tool("analyze", says, _object("task", {**fields, **MORE}), OUTPUT, "Analyze")


def _object(needed: str, fields: Mapping[str, Json]) -> bytes:
    return schema({"type": "object", "properties": dict(fields), "required": [needed], "additionalProperties": False})


def offered(tools: Sequence[Tool], globs: tuple[str, ...], own: Tool) -> list[Tool]:
    """The tools that a model is shown. Those of the agent's own upstream only where they are named in full: an agent
    that calls itself is cut."""
    here = (own.address.network, own.address.upstream)
    return [
        t for t in tools
        if fits(globs, t.name) and ((t.address.network, t.address.upstream) != here or t.name in globs)
    ]  # fmt: skip


def tool(one: Tool, asks: bool) -> dict[str, Any]:
    return {"name": one.name, "description": one.description, "schema": orjson.loads(one.input_schema), "asks": asks}


def answered(event: Event, name: str) -> dict[str, Any]:
    """The last event of a tool's call, as text for a model."""
    if isinstance(event, Error):
        return {"text": f"Error: {event.error.public}", "ok": False}
    if not isinstance(event, Result):
        return {"text": f"Error: '{name}' asks a question, and nobody is here to answer it.", "ok": False}
    pieces = [_piece(content) for content in event.content]
    if event.structured is not None and not any(isinstance(c, Text) for c in event.content):
        pieces.append(orjson.dumps(event.structured).decode())
    text = "\n".join(pieces)
    cut = f"{text[:LONGEST]}\n[{len(text) - LONGEST} more characters]" if len(text) > LONGEST else text
    return {"text": cut, "ok": True}


def _piece(content: Content) -> str:
    match content:
        case Text():
            return content.text
        case Data():
            return orjson.dumps(content.value).decode()
        case File():
            return f"[{content.name or 'file'}, {content.media_type}: {content.uri or 'not shown'}]"


def question(items: Any, state: Json) -> Ask:
    """What a run asks a person. Raises `Broken`."""
    if not isinstance(items, list) or not items:
        raise Broken("the runner asked nothing")
    return Ask(tuple(Form(str(i["id"]), str(i["message"])[:4000], i.get("schema") or ANSWER) for i in items), state)


def result(said: Mapping[str, Any], framework: str, used: Sequence[str], *, scored: bool) -> Result:
    """`said`: text, stop reason and score, of the runner; `used`: the tools that the gateway has called for it."""
    stop = said["stop"] if said["stop"] in STATUS else "done"
    text = str(said["text"])
    structured = {
        "status": STATUS[stop],
        "response": text,
        "toolsUsed": list(dict.fromkeys(used)),
        "toolCalls": len(used),
        "stopReason": stop,
        "framework": framework,
        "benchmarkScore": said.get("score") if scored else None,
    }
    return Result((Text(text),), structured)


def usage(prompt: int, completion: int) -> dict[str, Json]:
    """As `Result.meta` has it; nothing, where the model counted nothing."""
    whole = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    return {"usage": whole} if prompt or completion else {}


def fault(said: Mapping[str, Any], framework: str, secret: str) -> GatewayError:
    """The error behind a run that did not end well."""
    match said["status"]:
        case "refused":
            return Refused(f"'{framework}': {hidden(str(said['said']), secret)}", delivered="no")
        case "memory":
            return Refused(f"the run took more memory than a runner of '{framework}' may have")
        case "failed":
            text = " ".join(hidden(str(said["said"]), secret).split())[:400]
            return Refused(f"'{framework}' failed at this task: {said['kind']}: {text}")
        case _:
            return Refused(f"the run was broken off by '{framework}' itself")


def hidden(text: str, secret: str) -> str:
    """Without the model's key, and what looks like one."""
    if len(secret) > 3:
        text = text.replace(secret, "***")
    return re.sub(r"\bsk-[\w-]{16,}", "***", text)


def context(arguments: Mapping[str, Json]) -> dict[str, Json]:
    found = arguments.get("context")
    if found is not None and not isinstance(found, dict):
        raise BadArguments("'context' is an object")
    return dict(found or {})
