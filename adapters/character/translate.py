"""Between the contract, a character's turn, and what the agent that thinks for it is asked. Pure."""

import time
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import orjson

from adapters import talk
from adapters.character import Options
from adapters.character.memory import About
from adapters.character.persona import Persona
from adapters.character.rooms import Line, Room
from adapters.errors import BadArguments
from adapters.spi import Call, Json, Speech, Tool
from registry.model import schema

LONGEST = 32_000
NAME: dict[str, Json] = {"type": "string", "minLength": 1, "maxLength": 128}
LENT: dict[str, Json] = {
    "type": "array", "maxItems": 100, "items": {"type": "string", "minLength": 1, "maxLength": 100},
    "description": "Names of tools (globs) that you lend it for this; of those that you may call yourself.",
}  # fmt: skip
WHO = "instructions"
"""The argument by which an engine takes who it shall be; an agent without it has a persona of its own."""


@dataclass(frozen=True, slots=True)
class Engine:
    """An agent that thinks for a character: its public tool, and what it is told beside the message."""

    name: str
    tool: str
    arguments: Mapping[str, Json] = field(default_factory=dict[str, Json])


@dataclass(frozen=True, slots=True)
class Known:
    """What a turn is made of, beside the persona."""

    message: str
    room: Room
    told: Sequence[str]
    """By providers."""
    history: Sequence[Line]
    recalled: Sequence[Line]
    iterations: Json = None


def ask(persona: Persona, *, borrows: bool) -> Tool:
    fields: dict[str, Json] = {
        "message": {"type": "string", "minLength": 1, "maxLength": LONGEST, "description": "What you say."},
        "conversation": {
            "type": "string", "minLength": 1, "maxLength": 256,
            "description": "A name of your choice for this conversation. Without one, it starts afresh.",
        },
        "from": {**NAME, "description": "Where you speak for several people: whose words these are."},
        "among": {
            "type": "array", "items": NAME, "maxItems": 200,
            "description": "Where you speak for several people: who else hears the answer.",
        },
        "iterations": {"type": "integer", "minimum": 1, "maximum": 1000, "description": "Requests to a model at most."},
    }  # fmt: skip
    fields |= {"tools": LENT} if borrows else {}
    shape = {"type": "object", "properties": fields, "required": ["message"], "additionalProperties": False}
    about = described(persona)
    return Tool(
        "ask",
        f"Say something to {persona.name}, who remembers you. {about}",
        schema(shape),
        title=f"Ask {persona.name}",
    )


def described(persona: Persona) -> str:
    topics = f"Topics: {', '.join(persona.topics)}." if persona.topics else ""
    return " ".join(filter(None, (*persona.bio, persona.system, topics)))[:2000]


def lent(call: Call) -> tuple[str, ...]:
    """Globs of tools that the caller lends for this call."""
    said = call.arguments.get("tools")
    return tuple(str(one) for one in said) if isinstance(said, list) else ()


def room(call: Call) -> str:
    """Of this call's conversation; one of its own, where it names none."""
    return str(call.arguments.get("conversation") or call.conversation or f"call {call.id}")


def speech(call: Call) -> Speech:
    """Whose words these are: by the arguments, else as the network has it."""
    said = talk.speech(call.arguments.get("from"), call.arguments.get("among"))
    return Speech(said.by or call.speech.by, said.among or call.speech.among)


def engine(name: str, options: Options, own: str) -> Engine:
    """The engine of that name. Raises `BadArguments` for one that is the character itself, or no name."""
    said = options.engines.get(name)
    agent = said.agent if said else name
    if agent == own:
        raise BadArguments(f"'{own}' cannot think for itself")
    return Engine(name, f"{agent}__ask", said.arguments if said else {})


@cache
def preferred() -> tuple[str, tuple[str, ...]]:
    """Engines for a character that names none: their network, and names, best first."""
    said = tomllib.loads((Path(__file__).parent / "engines.toml").read_text())
    return said["network"], tuple(said["prefer"])


@lru_cache(1024)
def fields(input_schema: bytes) -> Mapping[str, Any]:
    """The properties of a tool's arguments."""
    said: Any = orjson.loads(input_schema).get("properties")
    return said if isinstance(said, dict) else {}


def thinks(tool: Tool) -> bool:
    """Whether an agent takes a persona: by its schema."""
    return WHO in fields(tool.input_schema)


def asked(persona: Persona, known: Known, engine: Engine, tool: Tool, tools: Sequence[str]) -> dict[str, Json]:
    """The arguments for the engine's tool: of what we have, what its schema takes."""
    takes = fields(tool.input_schema)
    if not thinks(tool):
        longest = takes.get("message", {}).get("maxLength", LONGEST)
        return {**_talk(takes, known), "message": _prefixed(known, longest), **engine.arguments}
    native = "character" in takes
    who = situation(persona, known) if native else f"{persona.told()}\n\n{situation(persona, known)}"
    said: dict[str, Json] = {
        "message": known.message, WHO: who.strip(), "tools": list(tools) or ["-"],
        "history": [{"role": line.who, "text": _named(line)} for line in known.history],
    }  # fmt: skip
    said |= {"character": persona.for_python()} if native else {}
    said |= {"iterations": known.iterations} if known.iterations else {}
    return {**{name: value for name, value in said.items() if name in takes}, **engine.arguments}


def _talk(takes: Mapping[str, Any], known: Known) -> dict[str, Json]:
    return {"conversation": known.room.name[:256]} if "conversation" in takes else {}


def _prefixed(known: Known, longest: int) -> str:
    """For an agent with a persona, and a memory of its conversations, of its own: what is known, and the message. What
    is too long loses of what is known, the last first."""
    text = known.message
    for part in reversed((*about(known.room), *known.told, remembered(known.recalled))):
        longer = f"{part}\n\n{text}"
        if part and len(longer) <= longest // 2:
            text = longer
    return text


def situation(persona: Persona, known: Known) -> str:
    """To whom the character speaks, what it remembers of them, and what providers tell."""
    lines = about(known.room)
    parts = ["# About the person who speaks to you", *lines] if lines else []
    memory = remembered(known.recalled)
    told = [f"# What you know now\n{text}" for text in known.told]
    return "\n\n".join(filter(None, ("\n".join(parts), memory, *told, f"Answer as {persona.name}.")))


def about(room: Room) -> list[str]:
    """Of the person who speaks, as far as it may be told here, and who else hears it."""
    known, who = room.about(), room.person.speaker
    lines = [f"They are called {who} here."] if who else []
    if room.others:
        lines.append(f"What you answer is heard by {', '.join(room.others)} too.")
    return [*lines, *_relationship(known)]


def _relationship(known: About) -> list[str]:
    lines: list[str] = []
    if known.name:
        lines.append(f"Their name is {known.name}.")
    if known.turns:
        since = time.strftime("%Y-%m-%d", time.gmtime(known.since))
        lines.append(f"You have known them since {since}, and spoken with them {known.turns} times.")
    if known.topics:
        often = sorted(known.topics, key=lambda topic: -known.topics[topic])
        lines.append(f"They spoke with you of: {', '.join(often[:10])}.")
    if known.facts:
        lines.append("They told you, or you found out:\n" + "\n".join(f"- {fact}" for fact in known.facts))
    return lines


def remembered(lines: Sequence[Line]) -> str:
    said = [f"{'You' if line.who == 'assistant' else line.name or 'They'} said: {line.text}" for line in lines]
    return "\n".join(("# What was said in earlier conversations with them", *said)) if said else ""


def _named(line: Line) -> str:
    return f"{line.name}: {line.text}" if line.name and line.who == "user" else line.text
