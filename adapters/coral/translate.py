"""Between Coral's documents and the contract. Pure."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson

from adapters.errors import Broken
from adapters.spi import Address, Agent, Json, Tool
from registry.model import schema

NETWORK = "coral"
TEAM = "team"
"""The native id of the agent that is several at once."""
RUNTIMES = ("executable", "docker", "function", "prototype")
NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*\Z")
LONGEST = 32
MESSAGE: dict[str, Json] = {
    "type": "string", "minLength": 1, "maxLength": 100_000, "description": "What you say.",
}  # fmt: skip
CONVERSATION: dict[str, Json] = {
    "type": "string", "minLength": 1, "maxLength": 256,
    "description": "A name of your choice, to be remembered by. Without one, it starts afresh.",
}  # fmt: skip
MEMBER: dict[str, Json] = {"type": "string", "minLength": 1, "maxLength": LONGEST}
ASK = schema(
    {
        "type": "object",
        "properties": {"message": MESSAGE, "conversation": CONVERSATION},
        "required": ["message"],
        "additionalProperties": False,
    }
)
ASK_TEAM = schema(
    {
        "type": "object",
        "properties": {
            "message": MESSAGE,
            "agents": {
                "type": "array", "items": MEMBER, "minItems": 1, "maxItems": 16, "uniqueItems": True,
                "description": "Names in the Coral server's registry; all of them see the whole thread.",
            },
            "lead": {
                **MEMBER,
                "description": "Who alone is asked, and whose answer ends the call. Without one, all are and all do.",
            },
            "conversation": CONVERSATION,
        },
        "required": ["message", "agents"],
        "additionalProperties": False,
    }
)  # fmt: skip


# ---- the registry -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Entry:
    """An agent of the server's registry, in its newest version. `options`: name to type; `required`: of those."""

    source: str
    name: str
    version: str
    description: str = ""
    runtimes: tuple[str, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict[str, str])
    required: frozenset[str] = frozenset()

    @property
    def native(self) -> str:
        return f"{self.source}/{self.name}"

    def wants(self, values: Mapping[str, Json]) -> str:
        """What is wrong with these values for its options; blank if nothing is."""
        if missing := sorted(self.required - values.keys()):
            return f"the agent '{self.name}' needs its option {', '.join(missing)}"
        if strange := sorted(values.keys() - self.options.keys()):
            return f"the agent '{self.name}' has no option {', '.join(strange)}"
        return ""


def listed(document: Any, sources: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """Source, name and newest version of each agent of `GET /api/v1/registry`. Raises `Broken`."""
    if not isinstance(document, list):
        raise Broken("the registry is no list")
    seen: set[tuple[str, str]] = set()
    for source in document:
        kind = _at(source, "identifier", "type")
        if kind not in sources:
            continue
        for one in _at(source, "agents") or ():
            name, versions = _at(one, "name"), _at(one, "versions")
            if isinstance(name, str) and isinstance(versions, list) and versions and (kind, name) not in seen:
                seen.add((kind, name))
                yield kind, name, max(map(str, versions), key=precedence)


def precedence(version: str) -> tuple[Any, ...]:
    """The order of semantic versions; a release comes after its candidates."""
    core, _, rest = version.partition("+")[0].partition("-")
    numbers = tuple(int(part) if part.isdigit() else 0 for part in core.split("."))
    marks = tuple((not mark.isdigit(), int(mark) if mark.isdigit() else 0, mark) for mark in rest.split(".") if rest)
    return numbers, not rest, marks


def entry(document: Any, source: str, name: str, version: str) -> Entry:
    """Of `GET /api/v1/registry/{source}/{name}/{version}`. Raises `Broken`."""
    agent = _at(document, "registryAgent")
    if not isinstance(agent, dict):
        raise Broken(f"the registry does not describe '{name}'")
    said = _at(agent, "options")
    options = {str(key): one for key, one in said.items() if isinstance(one, dict)} if isinstance(said, dict) else {}
    runtimes = _at(agent, "runtimes")
    return Entry(
        source, name, version, str(_at(agent, "info", "description") or ""),
        tuple(r for r in RUNTIMES if isinstance(runtimes, dict) and runtimes.get(r) is not None),
        {key: str(one.get("type", "string")) for key, one in options.items()},
        frozenset(key for key, one in options.items() if one.get("required") is True and one.get("default") is None),
    )  # fmt: skip


def agent(found: Entry, upstream: str) -> Agent:
    text = f"Talk with {found.name}, an agent on a Coral server. {found.description}".strip()
    tool = Tool("ask", text, ASK, meta={"version": found.version})
    return Agent(Address(NETWORK, upstream, found.native), found.name, found.description, (tool,))


def team(upstream: str) -> Agent:
    text = "Asks several agents of this Coral server at once, in one thread that all of them see."
    return Agent(
        Address(NETWORK, upstream, TEAM), f"{upstream} team", text, (Tool(TEAM, text, ASK_TEAM),)
    )  # fmt: skip


# ---- sessions ---------------------------------------------------------------------------------------------------


def member(found: Entry, values: Mapping[str, Json], runtime: str) -> dict[str, Json]:
    """An agent of a session request."""
    typed = {key: {"type": found.options[key], "value": value} for key, value in values.items()}
    chosen = runtime if runtime in found.runtimes else next(iter(found.runtimes), "executable")
    return {
        "id": {"name": found.name, "version": found.version, "registrySourceId": {"type": found.source}},
        "name": found.name, "provider": {"type": "local", "runtime": chosen}, "options": typed,
    }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Message:
    """A message in a thread."""

    id: str
    thread: str
    sender: str
    text: str
    mentions: frozenset[str]


def message(document: Any) -> Message:
    """Raises `Broken`."""
    id, thread, sender, text = (_at(document, key) for key in ("id", "threadId", "senderName", "text"))
    mentions = _at(document, "mentionNames")
    if not all(isinstance(one, str) for one in (id, thread, sender, text)) or not isinstance(mentions, list):
        raise Broken("the server told of a message that is none")
    return Message(id, thread, sender, text, frozenset(map(str, mentions)))


def messages(state: Any, thread: str) -> list[Message] | None:
    """Those of a thread in an extended state; None where there is no such thread, or it is closed."""
    for one in _at(state, "threads") or ():
        if _at(one, "id") == thread:
            return None if _at(one, "state", "state") == "closed" else [message(m) for m in _at(one, "messages") or ()]
    return None


def presence(status: Any) -> str:
    """Of an agent's status: waiting (not started), running, connected, listening, stopped."""
    kind = str(_at(status, "type") or "waiting")
    if kind != "running" or _at(status, "connectionStatus", "type") != "connected":
        return kind
    talks = _at(status, "connectionStatus", "communicationStatus", "type")
    return "listening" if talks == "waiting_message" else "connected"


def presences(state: Any) -> dict[str, str]:
    return {str(_at(one, "name")): presence(_at(one, "status")) for one in _at(state, "agents") or ()}


# ---- what an agent of ours is told ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Thread:
    """A thread in the resource `coral://state`. `messages` grows at its end; a closed one has none."""

    id: str
    open: bool
    messages: tuple[tuple[str, str, frozenset[str]], ...] = ()
    """Sender, text, and who is mentioned."""
    newest: int = 0
    """When the last one was sent, in milliseconds."""


def threads(markdown: str) -> list[Thread]:
    """Those of the resource `coral://state`. Texts of others stand in one line of JSON each: none makes a heading.

    Raises `Broken`.
    """
    lines = [line.strip() for line in markdown.split("\n")]
    if "# Threads and messages" not in lines:
        return []
    after = lines[lines.index("# Threads and messages") :]
    try:
        said = orjson.loads(next(line for line in after if line.startswith("[")))
        return [_thread(one) for one in said]
    except (StopIteration, orjson.JSONDecodeError, KeyError, TypeError, ValueError) as fault:
        raise Broken("the server's state cannot be read", detail=repr(fault)) from fault


def _thread(said: dict[str, Any]) -> Thread:
    if said["state"] != "open":
        return Thread(said["threadId"], open=False)
    found = [
        (m["sendingAgentName"], m["messageText"], frozenset(m.get("mentionAgentNames", ()))) for m in said["messages"]
    ]
    newest = max((milliseconds(m["messageTimestamp"]) for m in said["messages"]), default=0)
    return Thread(said["threadId"], True, tuple(found), newest)


def milliseconds(timestamp: str) -> int:
    """Since the epoch, cut as the server cuts. Digits beyond the microsecond are dropped."""
    moment = datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", timestamp).replace("Z", "+00:00"))
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1000 + since.microseconds // 1000


# ---- names and custom tools -------------------------------------------------------------------------------------


def name(slug: str) -> str:
    """A slug as a Coral name: at most 32 of `[a-z0-9-]`; slugs of ours are that already."""
    made = re.sub(r"[^a-z0-9]+", "-", slug.lower())[:LONGEST].strip("-")
    return made or "agent"


def custom_tool(tool: Tool, base: str) -> dict[str, Json]:
    """A tool of ours as one of `customTools` in a session request."""
    takes: dict[str, Any] = orjson.loads(tool.input_schema)
    kept = {key: takes[key] for key in ("properties", "required", "$defs") if key in takes}
    return {
        "transport": {"type": "http", "url": f"{base}/coral/tools/{tool.name}"},
        "inputSchema": {"type": "object", "properties": {}, "required": [], **kept},
        "description": tool.description[:4000],
    }  # fmt: skip


def _at(document: Any, *path: str) -> Any:
    for key in path:
        document = document.get(key) if isinstance(document, dict) else None
    return document
