"""Between the REST API of `@elizaos/server` 1.7 and the contract. Pure.

Of an agent's document only named fields are read: its `settings` hold the server's whole environment.
"""

import uuid
from collections.abc import Mapping
from typing import Any

import orjson

from adapters.errors import Broken, ConnectFailed, Full, GatewayError, Refused
from adapters.spi import Address, Agent, Content, File, Result, Text, Tool
from registry.model import schema

USERS = uuid.UUID("6a1c1d6e-7c8e-5d1e-9d2e-0a7d0c1f5e2b")
"""Namespace of the user ids that callers have on ElizaOS servers."""
SPOKEN = frozenset({"REPLY", "NONE", "IGNORE", "MULTI_STEP_SUMMARY"})
"""Actions whose answer is the message itself."""
ASK = schema(
    {
        "type": "object",
        "properties": {
            "message": {"type": "string", "minLength": 1, "maxLength": 500_000, "description": "What you say."},
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


def user(caller: str) -> str:
    """The UUID of a caller on every ElizaOS server."""
    return str(uuid.uuid5(USERS, caller))


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
    """The agent in `GET /api/agents/{id}`, described the same however the server shuffled it. Raises `Broken`."""
    said = parse(body, upstream).get("data")
    if not isinstance(said, dict) or not isinstance(said.get("id"), str):
        raise Broken(f"'{upstream}' described an agent in no way of ElizaOS 1.7")
    name = str(said.get("name") or said["id"])
    bio, topics = _texts(said.get("bio")), _texts(said.get("topics"))
    system = str(said.get("system") or "").strip()
    about = [*bio, system, f"Topics: {', '.join(topics)}." if topics else ""]
    description = " ".join(text for text in about if text)
    ask = Tool("ask", f"Say something to {name}, and get the answer. {description}", ASK, title=f"Ask {name}")
    return Agent(Address("elizaos", upstream, said["id"]), name, description, (ask,))


def _texts(value: Any) -> list[str]:
    found = [value] if isinstance(value, str) else value if isinstance(value, list) else []
    return sorted({text.strip() for text in found if isinstance(text, str) and text.strip()})


class SessionGone(Exception):
    """The session does not exist any more, and the message was not delivered."""


def failure(status: int, headers: Mapping[str, str], body: bytes, name: str) -> GatewayError | SessionGone:
    """The error behind an answer of 400 or more; its three shapes are read, stack traces are left out."""
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
    if status < 500:
        return Refused(f"'{name}' refused the message: {said[:200]}", delivered="no")
    if said == "Failed to process message in HTTP transport":
        return Refused(
            "the agent failed at this message; its server does not say why (its model, an action, or it ignored it)"
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


def session(body: bytes, name: str) -> str:
    """The id in the answer to `POST /api/messaging/sessions`. Raises `Broken`."""
    found = parse(body, name).get("sessionId")
    if not isinstance(found, str) or not found:
        raise Broken(f"'{name}' opened a session without an id")
    return found


def answer(body: bytes, name: str) -> Result:
    """The result in `agentResponse`. Raises `Refused` where the agent did not answer, or its action failed.

    An action's last callback is its result; what the model said before it ("Running …") is not.
    """
    said = parse(body, name)
    found = said.get("agentResponse")
    if not isinstance(found, dict):
        raise Refused("the agent gave no answer: its model said nothing that its server could read")
    actions = [str(a) for a in found.get("actions") or [] if isinstance(a, str)]
    last = found.get("actionCallbacks")
    if isinstance(last, dict):
        text = str(last.get("text") or "")
        if last.get("error") or last.get("success") is False:
            raise Refused(text or f"the action {' '.join(actions)} failed", detail=str(last.get("error")))
        found = last if text else found
    content = _content(found)
    if not content:
        raise Refused("the agent chose not to answer" if "IGNORE" in actions else "the agent gave an empty answer")
    unconfirmed = not isinstance(last, dict) and any(a not in SPOKEN for a in actions)
    return Result(content, meta={"actions": actions, "unconfirmed": unconfirmed})


def _content(said: Mapping[str, Any]) -> tuple[Content, ...]:
    text = said.get("text")
    content: list[Content] = [Text(text)] if isinstance(text, str) and text.strip() else []
    for attached in said.get("attachments") or []:
        url = attached.get("url") if isinstance(attached, dict) else None
        if isinstance(url, str) and url.startswith(("http://", "https://")):
            kind = str(attached.get("contentType") or "application/octet-stream")
            content.append(File(kind, uri=url, name=str(attached.get("title") or "")))
    return tuple(content)
