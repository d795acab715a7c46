"""Between the chat completions API (platform.openai.com/docs/api-reference/chat) and the contract. Pure."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from adapters.errors import BadArguments, GatewayError, Unknown
from adapters.spi import Agent, Content, Data, File, Json, Result, Text

RAW = "openai/chat.completion"
"""The format of a raw result: a whole `chat.completion`, forwarded as it is to those who speak the same."""
GIVEN = "openai"
"""In `Call.meta`: the client's own request, for a far side of this network."""
OWN = frozenset({"model", "stream", "stream_options"})
"""What is between us and each side."""
ROLES = frozenset({"system", "developer", "user", "assistant", "tool", "function"})
TYPES = {400: "invalid_request_error", 401: "authentication_error", 403: "permission_error", 404: "not_found_error",
         429: "rate_limit_error"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Chat:
    """One request. `messages` are role and text, the last of a user; `given` is all that the client said."""

    model: str
    messages: tuple[tuple[str, str], ...]
    stream: bool
    counts: bool
    given: Mapping[str, Json]

    @property
    def said(self) -> str:
        """What is new."""
        return self.messages[-1][1]

    @property
    def before(self) -> tuple[tuple[str, str], ...]:
        return self.messages[:-1]


def chat(body: bytes) -> Chat:
    """Raises `BadArguments` with what is wrong."""
    try:
        said: Any = orjson.loads(body)
    except orjson.JSONDecodeError as fault:
        raise BadArguments(f"the body is not JSON: {fault}"[:200]) from fault
    if not isinstance(said, dict) or not isinstance(said.get("model"), str) or not said["model"]:
        raise BadArguments("'model' is the name of an agent; GET /v1/models lists them")
    messages = said.get("messages")
    if not isinstance(messages, list) or not messages:
        raise BadArguments("'messages' is a list of at least one message")
    if said.get("n") not in (None, 1):
        raise BadArguments("'n' is 1: an agent answers once")
    options = said.get("stream_options")
    counts = isinstance(options, dict) and options.get("include_usage") is True
    told = tuple(_message(one) for one in messages)
    return Chat(said["model"], told, said.get("stream") is True, counts, said)


def _message(said: Any) -> tuple[str, str]:
    role = said.get("role") if isinstance(said, dict) else None
    if role not in ROLES:
        raise BadArguments(f"a message has a 'role' of {', '.join(sorted(ROLES))}")
    content = said.get("content")
    if isinstance(content, list):
        parts = [one.get("text") if isinstance(one, dict) else None for one in content]
        return str(role), "\n".join(part for part in parts if isinstance(part, str))
    return str(role), content if isinstance(content, str) else ""


def require_plain(of: Chat, network: str) -> None:
    """Raises `BadArguments` for what only a model of this network can take; an agent of `network` cannot."""
    asks = next((key for key in ("tools", "functions", "audio") if of.given.get(key)), "")
    wanted = of.given.get("response_format")
    if isinstance(wanted, dict) and wanted.get("type", "text") != "text":
        asks = "response_format"
    if asks:
        raise BadArguments(f"'{asks}' cannot be given to this agent: it is of the network '{network}' and has its own")
    if any(_is_rich(one) for one in of.given["messages"]):
        raise BadArguments(f"this agent, of the network '{network}', takes messages of text alone")
    if of.messages[-1][0] != "user" or not of.said.strip():
        raise BadArguments("the last message is a user's, with text")


def _is_rich(said: Mapping[str, Json]) -> bool:
    content = said.get("content")
    return isinstance(content, list) and any(not isinstance(c, dict) or c.get("type") != "text" for c in content)


def told(of: Chat, longest: int) -> str:
    """What is said to an agent that heard nothing of this conversation: all of it, in at most so many characters; of
    what does not fit, the oldest is left out."""
    rules = [text for role, text in of.before if role in ("system", "developer") and text.strip()]
    turns = [f"{role}: {text}" for role, text in of.before if role in ("user", "assistant") and text.strip()]
    while True:
        pieces = ["\n".join(rules)] if rules else []
        pieces += ["What was said before:\n" + "\n".join(turns)] if turns else []
        whole = "\n\n".join([*pieces, of.said])
        if len(whole) <= longest or not (turns or rules):
            return whole
        del (turns or rules)[0]


# ---- answers ------------------------------------------------------------------------------------------------------


def text(of: Result) -> str:
    """An answer as text: files by their names and places."""
    return "\n".join(said for part in of.content if (said := piece(part)))


def piece(part: Content) -> str:
    match part:
        case Text():
            return part.text
        case Data():
            return orjson.dumps(part.value).decode()
        case File():
            return f"[{part.name or part.media_type}]({part.uri})" if part.uri else f"[{part.name or part.media_type}]"


def completion(id: str, model: str, said: str) -> dict[str, Json]:
    """A whole answer. It has no `usage`: agents count no tokens for us."""
    message = {"role": "assistant", "content": said, "refusal": None}
    choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
    return {"id": f"chatcmpl-{id}", "object": "chat.completion", "created": int(time.time()), "model": model,
            "choices": [choice]}  # fmt: skip


def chunk(id: str, model: str, delta: Mapping[str, Json], end: str | None = None) -> dict[str, Json]:
    choice = {"index": 0, "delta": dict(delta), "finish_reason": end, "logprobs": None}
    return {"id": f"chatcmpl-{id}", "object": "chat.completion.chunk", "created": int(time.time()), "model": model,
            "choices": [choice]}  # fmt: skip


def chunks(whole: Mapping[str, Json], already: str, *, counts: bool) -> list[dict[str, Json]]:
    """A raw completion as the chunks that end its stream; `already` was streamed of its text. `counts`: with usage."""
    kept = {key: whole[key] for key in ("id", "created", "model", "system_fingerprint") if key in whole}
    kept |= {"object": "chat.completion.chunk"}
    found: list[dict[str, Json]] = []
    for choice in whole.get("choices") or []:
        message = dict(choice.get("message") or {})
        content = message.get("content")
        if isinstance(content, str) and content.startswith(already):
            message["content"] = content[len(already) :]
        calls = message.get("tool_calls") or []
        message |= {"tool_calls": [{"index": n, **call} for n, call in enumerate(calls)]} if calls else {}
        index = choice.get("index", 0)
        found.append({**kept, "choices": [{"index": index, "delta": message, "finish_reason": None}]})
        end = {"index": index, "delta": {}, "finish_reason": choice.get("finish_reason") or "stop"}
        found.append({**kept, "choices": [end]})
    return [*found, {**kept, "choices": [], "usage": whole["usage"]}] if counts and whole.get("usage") else found


def models(agents: list[Agent], created: int) -> dict[str, Json]:
    return {"object": "list", "data": [model(agent, created) for agent in agents]}


def model(agent: Agent, created: int) -> dict[str, Json]:
    return {"id": agent.slug, "object": "model", "created": created, "owned_by": agent.address.network,
            "name": agent.name, "description": agent.description}  # fmt: skip


def fault(of: GatewayError) -> dict[str, Json]:
    """The error object of this API; `code` is ours."""
    code = "model_not_found" if isinstance(of, Unknown) else of.code
    kind = TYPES.get(of.status, "invalid_request_error" if of.status < 500 else "server_error")
    error: dict[str, Json] = {"message": of.public, "type": kind, "param": None, "code": code}
    return {"error": error | ({"call": of.call_id} if of.call_id else {})}
