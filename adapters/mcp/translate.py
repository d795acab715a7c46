"""Between the contract and what clients of MCP are told, of all revisions. Pure; results are JSON bytes of no era."""

import base64
import uuid
from collections.abc import Mapping
from typing import Any

import orjson

from adapters import hops
from adapters.errors import BadArguments, GatewayError
from adapters.mcp.near import Near
from adapters.mcp.rpc import LOG_KEY, OWN_KEYS, Message
from adapters.spi import (
    Answer,
    Ask,
    Call,
    CallRecord,
    Content,
    Data,
    File,
    Form,
    Json,
    Part,
    Payment,
    Progress,
    Request,
    Result,
    Sampling,
    Text,
    Tool,
    Visit,
)  # fmt: skip

HOPS = "doolittle/hops"
CONVERSATION = "doolittle/conversation"
ERROR = "doolittle/error"
GIVEN = "doolittle/inputResponses"
"""Answers that came with a first call, in `Call.meta`: they travel beside the arguments again."""
CALL = "doolittle/call"
OURS = frozenset({HOPS, CONVERSATION, GIVEN, "traceparent", *OWN_KEYS})
RESULT_FORMAT = "mcp tools/call"
"""Of a raw result: `CallToolResult` without what is of one era only."""
ERROR_FORMAT = "mcp error"
LOG_FORMAT = "mcp notifications/message"
UPDATE_FORMAT = "mcp notifications/resources/updated"
MESSAGE = 500
"""Characters of one progress message."""
REQUIRED: Mapping[str, Message] = {
    "form": {"elicitation": {"form": {}}},
    "visit": {"elicitation": {"url": {}}},
    "sampling": {"sampling": {}},
}


def tool(of: Tool, *, with_output: bool) -> Message:
    """The tool as it is listed; without its output schema where a call may be answered before its end."""
    found: Message = {key: value for key, value in of.meta.items() if key in ("icons", "_meta", "execution")}
    found |= {"name": of.name, "inputSchema": {"type": "object", **_object(of.input_schema)}}
    if of.title:
        found["title"] = of.title
    if of.description:
        found["description"] = of.description
    if of.output_schema and with_output:
        found["outputSchema"] = _object(of.output_schema)
    if of.annotations:
        found["annotations"] = dict(of.annotations)
    return found


def _object(schema: bytes) -> Message:
    found = orjson.loads(schema)
    return found if isinstance(found, dict) else {}


# ---- calls --------------------------------------------------------------------------------------------------------


def call(name: str, arguments: Mapping[str, Json], meta: Message, near: Near, method: str = "tools/call") -> Call:
    """The call of a request. Raises `BadArguments` for a broken chain in `_meta`."""
    chain = hops.read(_text(meta, HOPS)) if meta else ()
    beside = {key: value for key, value in meta.items() if key not in OURS} if meta else {}
    if near.session is not None and near.level:
        beside[LOG_KEY] = near.level
    return Call(
        id=uuid.uuid4().hex,
        tool=name,
        arguments=arguments,
        caller=near.caller,
        method=method,
        conversation=(_text(meta, CONVERSATION) or None) if meta else None,
        trace=(_text(meta, "traceparent") or None) if meta else None,
        hops=chain,
        parent=chain[-1].call if chain else None,
        answers=near.answers,
        meta=beside,
    )


def _text(meta: Message, key: str) -> str:
    value = meta.get(key, "")
    if not isinstance(value, str) or len(value) > 4096:
        raise BadArguments(f"'_meta' has '{key}' as a text, or not at all")
    return value


# ---- what comes ---------------------------------------------------------------------------------------------------


def progress(of: Progress | Part) -> tuple[str, float | None]:
    """Message and total of a progress notification."""
    if isinstance(of, Progress):
        return of.message[:MESSAGE], of.total
    part = of.content
    return (part.text[:MESSAGE] if isinstance(part, Text) else "…"), None


def failed(fault: GatewayError, of: Tool | None, id: str) -> bytes:
    """An error as a result, so that the model reads it; it names tool and upstream."""
    where = f"{of.name} (upstream {of.address.upstream}): " if of else ""
    meta: Message = {ERROR: fault.problem(), **({CALL: id} if id else {})}
    return orjson.dumps({"content": [{"type": "text", "text": where + fault.public}], "isError": True, "_meta": meta})


def unfinished(of: CallRecord, tool: Tool | None) -> bytes:
    """What there is of a call that goes on."""
    id = of.call.id
    steps = [event for event in of.events if isinstance(event, Progress | Part)]
    so_far = f" So far: {progress(steps[-1])[0]}" if steps else ""
    text = (
        f"{tool.name if tool else 'It'} is still working (call {id}).{so_far} "
        f'The answer comes by the tool get_call with {{"call": "{id}"}}; cancel_call stops it.'
    )
    return orjson.dumps({"content": [{"type": "text", "text": text}], "_meta": {CALL: id}})


def result(of: Result, id: str) -> bytes:
    """A result of another network."""
    content = [block(c) for c in of.content]
    found: Message = {"content": content, "_meta": {CALL: id}}
    if of.structured is not None:
        found["structuredContent"] = of.structured
        if not content:
            content.append({"type": "text", "text": orjson.dumps(of.structured, default=str).decode()})
    return orjson.dumps(found, default=str)


def block(of: Content) -> Message:
    """One content block: images and audio as such, other files as embedded resources or links."""
    match of:
        case Text():
            return {"type": "text", "text": of.text}
        case Data():
            return {"type": "text", "text": orjson.dumps(of.value, default=str).decode()}
        case File():
            return _file(of)


def _file(of: File) -> Message:
    if of.uri is not None:
        return {"type": "resource_link", "uri": of.uri, "name": of.name or of.uri, "mimeType": of.media_type}
    data = base64.b64encode(of.body or b"").decode()
    for kind in ("image", "audio"):
        if of.media_type.startswith(f"{kind}/"):
            return {"type": kind, "data": data, "mimeType": of.media_type}
    uri = of.name if "://" in of.name else f"doolittle:///{of.name or 'file'}"
    return {"type": "resource", "resource": {"uri": uri, "mimeType": of.media_type, "blob": data}}


# ---- questions ----------------------------------------------------------------------------------------------------


def kind(of: Request) -> str:
    """In `Call.answers`' words."""
    match of:
        case Form():
            return "form"
        case Visit():
            return "visit"
        case Sampling():
            return "sampling"
        case Payment():
            return "payment"


def request(of: Request) -> tuple[str, Message]:
    """Method and parameters of a question, in both eras."""
    match of:
        case Form():
            return "elicitation/create", {"mode": "form", "message": of.message, "requestedSchema": dict(of.schema)}
        case Visit():
            url = {"mode": "url", "message": of.message, "url": of.url, "elicitationId": of.id}
            return "elicitation/create", url
        case Sampling():
            return "sampling/createMessage", dict(of.params)
        case Payment():
            raise BadArguments("a payment is not asked over MCP")


def needs(ask: Ask, call: Call) -> tuple[Message, str]:
    """`inputRequests` and `requestState` of the modern era. The state names the tool; the token is bound to it."""
    wanted: Message = {}
    for one in ask.requests:
        method, params = request(one)
        params.pop("elicitationId", None)
        wanted[one.id] = {"method": method, "params": params}
    return wanted, f"{call.tool}.{ask.token}"


def answered(state: Any, responses: Any) -> tuple[str, Answer]:
    """Tool and answer in a retried request. Raises `BadArguments`."""
    if not isinstance(state, str) or not (responses is None or isinstance(responses, dict)):
        raise BadArguments("'requestState' is a text, and 'inputResponses' an object")
    name, dot, token = state.partition(".")
    if not dot:
        raise BadArguments("'requestState' is not one of this gateway's")
    values = {id: found for id, said in (responses or {}).items() if (found := value(said)) is not CANCELLED}
    return name, Answer(token, values)


CANCELLED: Any = object()


def value(said: Any) -> Json:
    """A client's response as the value of an `Answer`; `CANCELLED` for none."""
    if not isinstance(said, dict):
        raise BadArguments("a response to a question is an object")
    match said.get("action"):
        case None:
            return said  # a sampled message
        case "accept":
            return said["content"] if isinstance(said.get("content"), dict) else True
        case "decline":
            return None
        case _:
            return CANCELLED
