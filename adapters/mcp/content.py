"""From what an MCP server says to the contract. Pure."""

import base64
import binascii
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import orjson

from adapters import hops
from adapters.errors import Broken, Refused
from adapters.mcp.rpc import INVALID_PARAMS, NOT_FOUND, OWN_KEYS, SERVER_KEY, Message
from adapters.mcp.translate import CONVERSATION, ERROR_FORMAT, GIVEN, HOPS, LOG_FORMAT, RESULT_FORMAT
from adapters.spi import (
    Address,
    Agent,
    Answer,
    Ask,
    Call,
    Content,
    Data,
    Error,
    File,
    Form,
    Json,
    Progress,
    Request,
    Result,
    Sampling,
    Text,
    Tool,
    Visit,
)  # fmt: skip
from registry.model import schema

KNOWN = frozenset({"name", "title", "description", "inputSchema", "outputSchema", "annotations"})
KINDS: Mapping[str, str] = {"elicitation/create": "form", "sampling/createMessage": "sampling"}


def tool(said: Any) -> Tool | None:
    """A tool of a list; None for what is none."""
    if not isinstance(said, dict) or not isinstance(said.get("name"), str) or not said["name"]:
        return None
    described = said.get("inputSchema")
    returned, annotations = said.get("outputSchema"), said.get("annotations")
    return Tool(
        native=said["name"],
        description=str(said.get("description") or ""),
        input_schema=schema(described if isinstance(described, dict) else {"type": "object"}),
        output_schema=schema(returned) if isinstance(returned, dict) else None,
        title=str(said.get("title") or ""),
        annotations=annotations if isinstance(annotations, dict) else {},
        meta={key: value for key, value in said.items() if key not in KNOWN},
    )


def agent(name: str, said: Mapping[str, Any], tools: tuple[Tool, ...]) -> Agent:
    """The server as an agent; `said` has its `info`, `instructions`, `capabilities`, `version`, and how often its
    other `lists` have changed."""
    info = said["info"]
    described = str(info.get("description") or info.get("title") or info.get("name") or "")
    about = "\n\n".join(text for text in (described, said["instructions"]) if text)
    meta = {"mcp": {key: said[key] for key in ("capabilities", "version", "lists")}}
    return Agent(Address("mcp", "", name), name, about, tools, meta)


def params(call: Call, native: str) -> Message:
    """The parameters of `tools/call`."""
    given = {"inputResponses": call.meta[GIVEN]} if GIVEN in call.meta else {}
    return {"name": native, "arguments": dict(call.arguments), "_meta": meta(call), **given}


def meta(call: Call) -> Message:
    """What goes along: the caller's own `_meta`, the chain, the conversation, the trace."""
    found = {key: value for key, value in call.meta.items() if key not in OWN_KEYS and key != GIVEN}
    if call.hops:
        found[HOPS] = hops.write(call.hops)
    if call.conversation:
        whole = f"{call.caller.id}\0{call.conversation}"  # its own for each caller, whatever name two may choose
        found[CONVERSATION] = sha256(whole.encode()).hexdigest()[:32]
    if call.trace:
        found["traceparent"] = call.trace
    return found


def capabilities(call: Call) -> Message:
    """What a server of the modern era may ask during this call."""
    found: Message = {}
    modes = {mode: {} for mode, kind in (("form", "form"), ("url", "visit")) if kind in call.answers}
    if modes:
        found["elicitation"] = modes
    if "sampling" in call.answers:
        found["sampling"] = {}
    return found


# ---- results ------------------------------------------------------------------------------------------------------


def result(said: Message, name: str) -> Result | Error:
    """The end of `tools/call`. The raw result is the same in both eras: what is only of one is left out."""
    raw = orjson.dumps(neutral(said))
    blocks = said.get("content")
    if not isinstance(blocks, list):
        raise Broken(f"'{name}' answered without content", detail=repr(said)[:200])
    content = tuple(block(b) for b in blocks)
    if said.get("isError") is True:
        text = "\n".join(c.text for c in content if isinstance(c, Text)) or "the tool failed without a word"
        return Error(Refused(text), raw, RESULT_FORMAT)
    return Result(content, said.get("structuredContent"), raw, RESULT_FORMAT)


def other(said: Message, method: str) -> Result:
    """The end of any other method: the result as it is."""
    clean = neutral(said)
    return Result((Data(clean),), clean, orjson.dumps(clean), f"mcp {method}")


def neutral(said: Message) -> Message:
    """A result without what the modern era adds to each."""
    found = {key: value for key, value in said.items() if key != "resultType"}
    own = found.get("_meta")
    if isinstance(own, dict) and SERVER_KEY in own:
        rest = {key: value for key, value in own.items() if key != SERVER_KEY}
        found = {**found, "_meta": rest} if rest else {k: v for k, v in found.items() if k != "_meta"}
    return found


def fault(error: Message, name: str, method: str = "", *, modern: bool = False) -> Error:
    """A JSON-RPC error. What is not there has the code of the handshake era, whichever the server is of."""
    if modern and method == "resources/read" and error.get("code") == INVALID_PARAMS:
        error = {**error, "code": NOT_FOUND}
    text = str(error.get("message") or "no reason given")
    return Error(Refused(f"'{name}': {text}"[:2000], detail=repr(error)[:500]), orjson.dumps(error), ERROR_FORMAT)


def block(said: Any) -> Content:
    """One content block."""
    if not isinstance(said, dict):
        return Data(said)
    kind = said.get("type")
    if kind == "text" and isinstance(said.get("text"), str):
        return Text(said["text"])
    if kind in ("image", "audio"):
        return _bytes(said, said.get("mimeType"), "")
    if kind == "resource_link" and isinstance(said.get("uri"), str):
        return File(
            str(said.get("mimeType") or "application/octet-stream"), None, said["uri"], str(said.get("name", ""))
        )
    if kind == "resource" and isinstance(held := said.get("resource"), dict):
        uri = str(held.get("uri", ""))
        if isinstance(held.get("text"), str):
            return File(str(held.get("mimeType") or "text/plain"), held["text"].encode("utf-8", "replace"), None, uri)
        return _bytes({"data": held.get("blob")}, held.get("mimeType"), uri)
    return Data(said)


def _bytes(said: Message, media_type: Any, name: str) -> Content:
    try:
        body = base64.b64decode(said.get("data", ""), validate=True)
    except (binascii.Error, ValueError, TypeError):
        return Data(said)
    return File(str(media_type or "application/octet-stream"), body, None, name)


def progress(params: Message) -> Progress:
    done, total = params.get("progress"), params.get("total")
    return Progress(
        str(params.get("message") or ""),
        float(done) if isinstance(done, int | float) else None,
        float(total) if isinstance(total, int | float) else None,
    )


def logged(params: Message) -> Progress:
    """A log line, as progress for those who know no log lines."""
    data = params.get("data")
    text = data if isinstance(data, str) else orjson.dumps(data).decode()
    return Progress(f"{params.get('level', 'info')}: {text}"[:500], raw=orjson.dumps(params), raw_format=LOG_FORMAT)


# ---- questions ----------------------------------------------------------------------------------------------------


def kind(method: Any, params: Any) -> str:
    """Which kind of request it is, in `Call.answers`' words; "" for one that we do not carry."""
    if method == "elicitation/create" and isinstance(params, dict) and params.get("mode") == "url":
        return "visit"
    return KINDS.get(method, "") if isinstance(method, str) else ""


def request(id: str, method: str, params: Message) -> Request:
    message = str(params.get("message") or "")
    match kind(method, params):
        case "visit":
            return Visit(id, message, str(params.get("url") or ""))
        case "form":
            wanted = params.get("requestedSchema")
            return Form(id, message, wanted if isinstance(wanted, dict) else {"type": "object"})
        case _:
            return Sampling(id, params)


def response(kind: str, id: str, answer: Answer) -> Json:
    """The result of an elicitation or of sampling; None for a sampling that was declined, which is an error there."""
    given = answer.values.get(id)
    if kind == "sampling":
        return given if isinstance(given, dict) else None
    if id not in answer.values:
        return {"action": "cancel"}
    if given is None:
        return {"action": "decline"}
    return {"action": "accept", "content": given} if kind == "form" else {"action": "accept"}


def input_required(said: Message, name: str) -> Ask:
    """What a server of the modern era needs before it goes on. Raises `Broken`."""
    wanted = said.get("inputRequests")
    if not isinstance(wanted, dict | None) or (not wanted and said.get("requestState") is None):
        raise Broken(f"'{name}' wants something, and does not say what")
    asked: list[Request] = []
    kinds: dict[str, str] = {}
    for id, one in (wanted or {}).items():
        one = one if isinstance(one, dict) else {}
        params = one.get("params")
        found = kind(one.get("method"), params)
        if not found or not isinstance(params, dict):
            raise Broken(f"'{name}' asks for something that nobody knows", detail=repr(one)[:200])
        kinds[id] = found
        asked.append(request(id, one["method"], params))
    return Ask(tuple(asked), state={"again": said.get("requestState"), "kinds": kinds})
