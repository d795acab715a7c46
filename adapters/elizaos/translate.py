"""Between the REST API of `@elizaos/server` 1.7 and the contract. Pure.

Of an agent's document only named fields are read: its `settings` hold the server's whole environment.
"""

import uuid
from collections.abc import Collection, Mapping
from typing import Any

import orjson

from adapters.errors import BadArguments, Broken, ConnectFailed, Full, GatewayError, Refused
from adapters.spi import Address, Agent, Content, File, Result, Text, Tool
from registry.model import schema

USERS = uuid.UUID("6a1c1d6e-7c8e-5d1e-9d2e-0a7d0c1f5e2b")
"""Namespace of the user ids that callers have on ElizaOS servers."""
SPOKEN = frozenset({"REPLY", "NONE", "IGNORE", "MULTI_STEP_SUMMARY"})
"""Actions whose answer is the message itself."""
LONGEST = 4000
"""Characters of one message; the server counts those beyond U+FFFF twice."""
HIDDEN = "Failed to process message in HTTP transport"
"""All that the server says of a model that failed, an action that threw, and a message that was ignored."""
ASK = schema(
    {
        "type": "object",
        "properties": {
            "message": {"type": "string", "minLength": 1, "maxLength": LONGEST, "description": "What you say."},
            "conversation": {
                "type": "string", "minLength": 1, "maxLength": 256,
                "description": "A name of your choice, to be remembered by. Without one, it starts afresh.",
            },
            "timeout": {"type": "number", "exclusiveMinimum": 0, "maximum": 3600, "description": "Seconds to wait."},
        },
        "required": ["message"],
        "additionalProperties": False,
    }
)  # fmt: skip


def user(caller: str, speaker: str = "") -> str:
    """The UUID of a caller on every ElizaOS server, or of one for whom it speaks."""
    return str(uuid.uuid5(USERS, orjson.dumps([caller, speaker]).decode() if speaker else caller))


def memories(body: bytes, name: str) -> list[str]:
    """The ids in a list of memories. Raises `Broken`."""
    data = parse(body, name).get("data")
    found = data.get("memories") if isinstance(data, dict) else None
    return [str(one["id"]) for one in found or () if isinstance(one, dict) and one.get("id")]


def channels(body: bytes, name: str, agent: str, users: Collection[str]) -> list[str]:
    """The ids of channels that are sessions of these users with this agent. Raises `Broken`."""
    data = parse(body, name).get("data")
    found = data.get("channels") if isinstance(data, dict) else None
    said = [(one, one.get("metadata")) for one in found or () if isinstance(one, dict)]
    return [
        str(one["id"]) for one, meta in said
        if isinstance(meta, dict) and meta.get("agentId") == agent and meta.get("userId") in users
    ]  # fmt: skip


def parse(body: bytes, name: str) -> dict[str, Any]:
    """A JSON object. Raises `Broken`."""
    try:
        said = orjson.loads(body)
    except orjson.JSONDecodeError as fault:
        raise Broken(f"'{name}' answered with something that is not JSON; is it an ElizaOS server?") from fault
    if not isinstance(said, dict):
        raise Broken(f"'{name}' answered with JSON of another shape; is it an ElizaOS server?")
    return said


def listed(body: bytes, name: str) -> list[dict[str, str]]:
    """Id, name and status of the agents in `GET /api/agents`. Raises `Broken`."""
    data = parse(body, name).get("data")
    agents = data.get("agents") if isinstance(data, dict) else None
    if not isinstance(agents, list):
        raise Broken(f"'{name}' listed no agents in the way of ElizaOS 1.7")
    return [
        {key: str(agent.get(key) or "") for key in ("id", "name", "status")}
        for agent in agents
        if isinstance(agent, dict)
    ]


def agent(body: bytes, upstream: str) -> Agent:
    """The agent in `GET /api/agents/{id}`. Raises `Broken`."""
    said = parse(body, upstream).get("data")
    if not isinstance(said, dict) or not isinstance(said.get("id"), str):
        raise Broken(f"'{upstream}' described an agent in no way of ElizaOS 1.7")
    return described(said, said["id"], upstream, ASK)


def described(said: Mapping[str, Any], id: str, upstream: str, ask: bytes) -> Agent:
    """The agent of a character, described the same however the server shuffled it, with the tool `ask`."""
    name = str(said.get("name") or id)
    bio, topics = _texts(said.get("bio")), _texts(said.get("topics"))
    system = str(said.get("system") or "").strip()
    about = [*bio, system, f"Topics: {', '.join(topics)}." if topics else ""]
    description = " ".join(text for text in about if text)
    tool = Tool("ask", f"Say something to {name}, and get the answer. {description}", ask, title=f"Ask {name}")
    return Agent(Address("elizaos", upstream, id), name, description, (tool,))


def _texts(value: Any) -> list[str]:
    found = [value] if isinstance(value, str) else value if isinstance(value, list) else []
    return sorted({text.strip() for text in found if isinstance(text, str) and text.strip()})


class SessionGone(Exception):
    """The session does not exist any more, and the message was not delivered."""


class Unclear(Exception):
    """The server left open what the agent did; `outcome` is what its answer alone says. `cleared` tells more."""

    def __init__(self, outcome: Result | GatewayError) -> None:
        super().__init__("the answer leaves open what the agent did")
        self.outcome = outcome


def failure(status: int, headers: Mapping[str, str], body: bytes, name: str) -> Exception:
    """What to raise for an answer of 400 or more: a `GatewayError`, `SessionGone` or `Unclear`.

    Its three shapes are read, stack traces are left out.
    """
    code, said = _error(body)
    if status == 401:
        return Refused(f"'{name}' refuses the gateway's key; the operator sets 'key' of this upstream", delivered="no")
    if status == 429:
        wait = headers.get("retry-after") or headers.get("ratelimit-reset") or ""
        return Full(f"'{name}' takes no more requests for now", retry_after=float(wait) if wait.isdigit() else 60)
    if code in ("SESSION_NOT_FOUND", "SESSION_EXPIRED"):
        return SessionGone()
    if code == "AGENT_NOT_FOUND" or status == 404:
        return Refused(f"the agent is not on '{name}' any more", detail=said, delivered="no")
    if code == "VALIDATION_ERROR":
        return BadArguments(f"'{name}' does not take the message: {said[:200]}", delivered="no")
    if status < 500:
        return Refused(f"'{name}' refused the message: {said[:200]}", delivered="no")
    if said == HIDDEN:
        return Unclear(
            Refused("the agent failed at this message; its server does not say why (its model, or an action's crash)")
        )
    if status in (502, 503, 504):
        return ConnectFailed(f"'{name}' is not ready ({status})", detail=said, delivered="unknown")
    return Refused(f"'{name}' failed ({status})", detail=said)


def _error(body: bytes) -> tuple[str, str]:
    """Code and message of `{error: {code, message}}`, `{success, error: {…}}` or `{error: "text"}`."""
    try:
        said = orjson.loads(body)
    except orjson.JSONDecodeError:
        return "", body[:200].decode("utf-8", "replace")
    error = said.get("error") if isinstance(said, dict) else None
    if isinstance(error, dict):
        return str(error.get("code") or ""), str(error.get("message") or "")
    return "", str(error or "")


def session(body: bytes, name: str) -> tuple[str, str]:
    """Session and room in the answer to `POST /api/messaging/sessions`. Raises `Broken`."""
    said = parse(body, name)
    found, room = said.get("sessionId"), said.get("channelId")
    if not isinstance(found, str) or not found:
        raise Broken(f"'{name}' opened a session without an id")
    return found, str(room or "")


def answer(body: bytes, name: str) -> Result:
    """The result in `agentResponse`. Raises `Refused` where the agent did not answer, or its action failed, and
    `Unclear` where an action was chosen of which nothing was heard.

    An action's last callback is its result; what the model said before it ("Running …") is not.
    """
    found = parse(body, name).get("agentResponse")
    if not isinstance(found, dict):
        raise Refused("the agent gave no answer: its model said nothing that its server could read")
    actions = names(found)
    last = found.get("actionCallbacks")
    if isinstance(last, dict):
        if failed(last):
            fault = str(last.get("text") or f"the action {' '.join(actions)} failed")
            raise Refused(fault, detail=str(last.get("error") or ""))
        found = last if last.get("text") else found
    heard = content(found)
    unconfirmed = not isinstance(last, dict) and any(a not in SPOKEN for a in actions)
    if unconfirmed:
        raise Unclear(Result(heard, meta={"actions": actions, "unconfirmed": True}))
    if not heard:
        raise Refused("the agent chose not to answer" if "IGNORE" in actions else "the agent gave an empty answer")
    return Result(heard, meta={"actions": actions, "unconfirmed": False})


def names(said: Mapping[str, Any]) -> list[str]:
    return [a for a in said.get("actions") or [] if isinstance(a, str)]


def failed(callback: Mapping[str, Any]) -> bool:
    """By a field, or, as ElizaOS's own actions do, by a name such as SEND_MESSAGE_ERROR."""
    marked = any(name.endswith(("_FAILED", "_ERROR")) for name in names(callback))
    return marked or bool(callback.get("error")) or callback.get("success") is False


def cleared(outcome: Result | GatewayError, body: bytes, asker: str) -> Result:
    """The outcome, with what the agent's memory of the room (`GET /api/memory/…`) adds. Raises `GatewayError`.

    `asker` is the user of the last message. A memory that cannot be read adds nothing.
    """
    for act in _acts(body, asker):
        name, done = str(act.get("actionName") or ""), act.get("actionResult")
        if str(act.get("thought") or "").startswith("Action not found"):
            raise Refused(f"the agent chose the action {name}, which it does not have")
        if name == "IGNORE":
            raise Refused("the agent chose not to answer")
        text = done.get("text") if isinstance(done, dict) else None
        if isinstance(done, dict) and done.get("success") is False:
            raise Refused(str(text or f"the action {name} failed"))
        if isinstance(outcome, Result) and isinstance(text, str) and text:
            return Result((Text(text),), meta={**outcome.meta, "unconfirmed": False})
    if isinstance(outcome, GatewayError):
        raise outcome
    if not outcome.content:
        raise Refused("the agent gave an empty answer")
    return outcome


def _acts(body: bytes, asker: str) -> list[dict[str, Any]]:
    """What the agent did since the asker's last message, newest first."""
    try:
        data = parse(body, "").get("data")
    except Broken:
        return []
    found = data.get("memories") if isinstance(data, dict) else None
    memories = [m for m in found if isinstance(m, dict)] if isinstance(found, list) else []
    memories.sort(key=_when, reverse=True)
    acts: list[dict[str, Any]] = []
    for memory in memories:
        said = memory.get("content")
        if isinstance(said, dict) and said.get("type") == "action_result":
            acts.append(said)
        elif memory.get("entityId") == asker:
            break
    return acts


def _when(memory: Mapping[str, Any]) -> float:
    when = memory.get("createdAt")
    return float(when) if isinstance(when, int | float) else 0.0


def content(said: Mapping[str, Any]) -> tuple[Content, ...]:
    text = said.get("text")
    found: list[Content] = [Text(text)] if isinstance(text, str) and text.strip() else []
    for attached in said.get("attachments") or []:
        url = attached.get("url") if isinstance(attached, dict) else None
        if isinstance(url, str) and url.startswith(("http://", "https://")):
            kind = str(attached.get("contentType") or "application/octet-stream")
            found.append(File(kind, uri=url, name=str(attached.get("title") or "")))
    return tuple(found)
