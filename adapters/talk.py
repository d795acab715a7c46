"""Agents that talk, for networks of chats: which tool takes what is said, and questions back in words."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson

from adapters.spi import Agent, Ask, Form, Json, Speech, Tool, Visit

ASK = "ask"
"""The name of the tool by which an agent is talked with."""
WORDS = ("message", "task", "prompt", "text", "query", "input", "question")
"""Arguments that take what is said, where a tool asks for several texts."""
LONGEST = 32_000
"""Characters of one message, where the tool itself sets no limit."""
NAMED = 128
"""Characters of a person's name."""
HEARD = 200
NO = frozenset({"no", "cancel", "decline"})


@dataclass(frozen=True, slots=True)
class Talk:
    """A tool that takes what is said in the `argument`, up to so many characters."""

    tool: Tool
    argument: str
    longest: int = LONGEST
    needed: bool = True


def talk(agent: Agent) -> Talk | None:
    """How an agent is talked with; None for one that does not talk: its `ask` needs a text, or takes a message."""
    named = next((tool for tool in agent.tools if tool.native == ASK or tool.name.endswith(f"__{ASK}")), None)
    found = tells(named) if named is not None else None
    return found if found is not None and (found.needed or found.argument in WORDS) else None


def tells(tool: Tool) -> Talk | None:
    """The tool as one that is talked with; None where no single text is what it needs."""
    argument, longest, needed = _argument(tool.input_schema)
    return Talk(tool, argument, longest, needed) if argument else None


@lru_cache(4096)
def _argument(schema: bytes) -> tuple[str, int, bool]:
    said: Any = orjson.loads(schema)
    properties: Any = said.get("properties")
    if not isinstance(properties, dict):
        return "", 0, False
    texts = {name: one for name, one in properties.items() if isinstance(one, dict) and one.get("type") == "string"}
    required: Any = said.get("required") or []
    if len(required) > 1 or any(name not in texts for name in required):
        return "", 0, False
    found = next(iter([*required, *(word for word in WORDS if word in texts), *texts]), "")
    most = texts[found].get("maxLength") if found else 0
    return found, most if isinstance(most, int) else LONGEST, bool(required)


def speech(by: object, among: object) -> Speech:
    """Whose words these are, as somebody says it; what is no name is left out."""
    names = [name for name in among if isinstance(name, str) and name] if isinstance(among, list) else []
    return Speech(by[:NAMED] if isinstance(by, str) else "", tuple(name[:NAMED] for name in names[:HEARD]))


def question(ask: Ask) -> str:
    """What is asked, in words: a line a request."""
    lines: list[str] = []
    for request in ask.requests:
        match request:
            case Form():
                lines.append(f"{request.message} ({', '.join(_fields(request))})")
            case Visit():
                lines.append(f"{request.message} {request.url}")
            case _:
                lines.append("(a question that a chat cannot answer)")
    return "\n".join(lines)


def values(ask: Ask, text: str) -> dict[str, Json]:
    """What a text answers, for each request: a JSON object, or the value of the only field; "no" declines."""
    if text.strip().lower() in NO:
        return {request.id: None for request in ask.requests}
    try:
        said: Any = orjson.loads(text)
    except orjson.JSONDecodeError:
        said = text.strip()
    found: dict[str, Json] = {}
    for request in ask.requests:
        if isinstance(request, Form):
            fields = _fields(request)
            found[request.id] = said if isinstance(said, dict) else {fields[0]: said} if len(fields) == 1 else None
        else:
            found[request.id] = True if isinstance(request, Visit) else None
    return found


def _fields(form: Form) -> Sequence[str]:
    return list(form.schema.get("properties", {}))
