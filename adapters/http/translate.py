"""Between JSON documents and the contract. Pure."""

import base64
import time
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

import orjson

from adapters import hops
from adapters.errors import BadArguments, Broken
from adapters.spi import (
    Accepted,
    Answer,
    Ask,
    Call,
    Caller,
    CallRecord,
    Content,
    Data,
    Error,
    Event,
    File,
    Form,
    Json,
    Part,
    Payment,
    Price,
    Progress,
    Request,
    Result,
    Sampling,
    Text,
    Tool,
    Visit,
)  # fmt: skip

KNOWN = frozenset({"arguments", "id", "conversation", "timeout", "budget", "answer", "detached"})
HEADERS = {"id": "idempotency-key", "conversation": "doolittle-conversation", "budget": "doolittle-budget"}
TOKENS = ("prompt_tokens", "completion_tokens", "total_tokens")
DAY = 86400.0


def call(tool: str, body: bytes, caller: Caller, headers: Mapping[str, str], fresh: str) -> Call:
    """The call in the body of `POST /v1/tools/{tool}/calls`; `fresh` is its id if it names none.

    Raises `BadArguments` with what is wrong.
    """
    said = _object(body)
    if strange := said.keys() - KNOWN:
        raise BadArguments(f"unknown key '{sorted(strange)[0][:40]}'; known are {', '.join(sorted(KNOWN))}")
    chain = hops.read(headers.get("doolittle-hops", ""))
    timeout = _typed(said, "timeout", (int, float), "a number of seconds")
    if timeout is not None and not 0 < timeout <= DAY:
        raise BadArguments("'timeout' is a number of seconds above 0, at most a day")
    return Call(
        id=_text(said, "id", 128) or fresh,
        tool=tool,
        arguments=_typed(said, "arguments", (dict,), "an object") or {},
        caller=caller,
        conversation=_text(said, "conversation", 256),
        deadline=None if timeout is None else time.time() + timeout,
        budget=_budget(said),
        trace=headers.get("traceparent"),
        hops=chain,
        parent=chain[-1].call if chain else None,
        answer=_answer(said),
        detached=bool(_typed(said, "detached", (bool,), "true or false")),
    )


def direct(tool: str, body: bytes, caller: Caller, headers: Mapping[str, str], fresh: str) -> Call:
    """The call whose arguments are the whole body; all else stands in headers. Raises `BadArguments`."""
    chain = hops.read(headers.get("doolittle-hops", ""))
    said = {key: headers.get(name) or None for key, name in HEADERS.items()}
    return Call(
        id=_text(said, "id", 128) or fresh,
        tool=tool,
        arguments=_object(body, "the arguments of the tool"),
        caller=caller,
        conversation=_text(said, "conversation", 256),
        budget=_budget(said),
        trace=headers.get("traceparent"),
        hops=chain,
        parent=chain[-1].call if chain else None,
    )


def answered(body: bytes) -> tuple[str, Answer]:
    """The name of the tool that asked, and the answer to it. Raises `BadArguments`."""
    said = _object(body, "'tool', 'token' and 'values'")
    tool = said.pop("tool", None)
    answer = _answer({"answer": said})
    if not isinstance(tool, str) or answer is None:
        raise BadArguments("'tool' is the name of the tool that asked")
    return tool, answer


def _object(body: bytes, what: str = '{"arguments": {…}}') -> dict[str, Any]:
    if not body:
        return {}
    try:
        said = orjson.loads(body)
    except orjson.JSONDecodeError as fault:
        raise BadArguments(f"the body is not JSON: {fault}"[:200]) from fault
    if not isinstance(said, dict):
        raise BadArguments(f"the body is a JSON object: {what}")
    return said


def _typed(said: Mapping[str, Any], key: str, kinds: tuple[type, ...], wanted: str) -> Any:
    value = said.get(key)
    if value is None:
        return None
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        raise BadArguments(f"'{key}' is {wanted}")
    return value


def _text(said: Mapping[str, Any], key: str, limit: int) -> str | None:
    value = _typed(said, key, (str,), "a text")
    if value is not None and not (0 < len(value) <= limit and value.isprintable()):
        raise BadArguments(f"'{key}' is a text of 1 to {limit} printable characters")
    return value


def _budget(said: Mapping[str, Any]) -> Decimal | None:
    value = said.get("budget")
    if value is None:
        return None
    try:
        budget = Decimal(value if isinstance(value, str | int) and not isinstance(value, bool) else "no")
    except InvalidOperation as fault:
        raise BadArguments("'budget' is a decimal number as a text, such as \"0.25\"") from fault
    if not budget.is_finite() or budget < 0:
        raise BadArguments("'budget' is a decimal number, 0 or more")
    return budget


def _answer(said: Mapping[str, Any]) -> Answer | None:
    value = _typed(said, "answer", (dict,), "an object with 'token' and 'values'")
    if value is None:
        return None
    token, values = value.get("token"), value.get("values")
    if not isinstance(token, str) or not isinstance(values, dict) or len(value) > 2:
        raise BadArguments("'answer' is an object with 'token' (a text) and 'values' (an object)")
    return Answer(token, values)


# ---- events ------------------------------------------------------------------------------------------------------


def content(part: Content) -> dict[str, Any]:
    match part:
        case Text():
            return {"type": "text", "text": part.text}
        case Data():
            return {"type": "data", "value": part.value}
        case File():
            file: dict[str, Any] = {"type": "file", "mediaType": part.media_type}
            if part.name:
                file["name"] = part.name
            if part.body is not None:
                file["base64"] = base64.b64encode(part.body).decode()
            if part.uri is not None:
                file["uri"] = part.uri
            return file


def price(cost: Price) -> dict[str, str]:
    return {"amount": str(cost.amount), "asset": cost.asset}


def request(asked: Request) -> dict[str, Any]:
    match asked:
        case Form():
            return {"type": "form", "id": asked.id, "message": asked.message, "schema": dict(asked.schema)}
        case Visit():
            return {"type": "visit", "id": asked.id, "message": asked.message, "url": asked.url}
        case Sampling():
            return {"type": "sampling", "id": asked.id, "params": dict(asked.params)}
        case Payment():
            return {"type": "payment", "id": asked.id, "price": price(asked.price), "terms": dict(asked.terms)}


def event(of: Event) -> tuple[str, dict[str, Any]]:
    """Name and document of one event."""
    match of:
        case Accepted():
            return "accepted", {}
        case Progress():
            return "progress", {"message": of.message, "done": of.done, "total": of.total}
        case Part():
            return "part", {"content": content(of.content)}
        case Ask():
            return "ask", {"token": of.token, "requests": [request(r) for r in of.requests]}
        case Result():
            return "result", result(of)
        case Error():
            return "error", of.error.problem()


def result(of: Result) -> dict[str, Any]:
    document: dict[str, Any] = {"content": [content(c) for c in of.content], "text": of.text}
    if of.structured is not None:
        document["structured"] = of.structured
    if of.cost is not None:
        document["cost"] = price(of.cost)
    if found := usage(of):
        document["usage"] = found
    return document


def usage(of: Result) -> dict[str, int]:
    """Tokens, as the far side's models counted them; of what else a far side may say there, nothing."""
    said = of.meta.get("usage")
    counted = said if isinstance(said, dict) else {}
    kept = {key: n for key in TOKENS if isinstance(n := counted.get(key), int) and 0 <= n < 2**53}
    return kept if "total_tokens" in kept else {}


def plain(of: Result, tool: Tool) -> Json:
    """What a tool with an output schema gave for it; else text and content. Raises `Broken` where it gave nothing."""
    if tool.output_schema is None:
        return {"text": of.text, "content": [content(c) for c in of.content]}
    if of.structured is None:
        raise Broken(f"'{tool.name}' did not answer in the form that it promises", detail=of.text[:200])
    return of.structured


def outcome(id: str, last: Event) -> dict[str, Any]:
    """The answer to a call that ended with a `Result` or an `Ask`."""
    name, document = event(last)
    return {"call": id, "state": "asking" if name == "ask" else "done", name: document}


def record(of: CallRecord) -> dict[str, Any]:
    """The document of `GET /v1/calls/{id}`."""
    document: dict[str, Any] = {"call": of.call.id, "tool": of.call.tool, "state": of.state, "started": of.started}
    if of.ended is not None:
        document["ended"] = of.ended
    if of.events and isinstance(of.events[-1], Result | Error | Ask):
        name, said = event(of.events[-1])
        document[name] = said
    steps = [e for e in of.events if isinstance(e, Progress)]
    if steps:
        document["progress"] = event(steps[-1])[1]
    return document
