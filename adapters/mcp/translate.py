"""Between the contract and MCP's types (`mcp_types`, all revisions). Pure."""

import base64
import json
from collections.abc import Mapping
from typing import Any

import mcp_types as t
import orjson

from adapters import hops
from adapters.errors import BadArguments, GatewayError, Unknown
from adapters.spi import Call, Caller, Content, Data, Error, Event, File, Part, Progress, Result, Text, Tool

HOPS = "doolittle/hops"
CONVERSATION = "doolittle/conversation"
ERROR = "doolittle/error"
CALL = "doolittle/call"
RESULT_FORMAT = "mcp tools/call"
"""Of a raw result: `CallToolResult` without what is of one era only."""
ERROR_FORMAT = "mcp error"
LOG_FORMAT = "mcp notifications/message"
MESSAGE = 500
"""Characters of one progress message."""


def tool(of: Tool) -> t.Tool:
    """The tool as it is listed."""
    return t.Tool(
        name=of.name,
        title=of.title or None,
        description=of.description or None,
        input_schema=input_schema(of),
        output_schema=_object(of.output_schema) if of.output_schema else None,
        annotations=t.ToolAnnotations.model_validate(dict(of.annotations)) if of.annotations else None,
    )


def input_schema(of: Tool) -> dict[str, Any]:
    """An object schema, as MCP demands of inputs."""
    return {"type": "object", **_object(of.input_schema)}


def _object(schema: bytes) -> dict[str, Any]:
    found = orjson.loads(schema)
    return found if isinstance(found, dict) else {}


def call(params: t.CallToolRequestParams, meta: Mapping[str, Any], caller: Caller, id: str) -> Call:
    """The call in `tools/call`. Raises `BadArguments` for a broken chain in `_meta`."""
    chain = hops.read(_text(meta, HOPS))
    return Call(
        id=id,
        tool=params.name,
        arguments=params.arguments or {},
        caller=caller,
        conversation=_text(meta, CONVERSATION) or None,
        trace=_text(meta, "traceparent") or None,
        hops=chain,
        parent=chain[-1].call if chain else None,
    )


def _text(meta: Mapping[str, Any], key: str) -> str:
    value = meta.get(key, "")
    if not isinstance(value, str) or len(value) > 4096:
        raise BadArguments(f"'_meta' has '{key}' as a text, or not at all")
    return value


def progress(of: Progress | Part) -> tuple[str, float | None]:
    """Message and total of a progress notification."""
    if isinstance(of, Progress):
        return of.message[:MESSAGE], of.total
    part = of.content
    return (part.text[:MESSAGE] if isinstance(part, Text) else "…"), None


def answer(last: Event, of: Tool | None, id: str) -> t.CallToolResult:
    """The result of `tools/call`. An error is a result too, so that the model reads it; it names tool and upstream."""
    if isinstance(last, Result):
        return _result(last, id)
    fault = last.error if isinstance(last, Error) else BadArguments("asks back, and this face cannot carry questions")
    where = f"{of.name} (upstream {of.address.upstream}): " if of else ""
    meta: dict[str, Any] = {ERROR: fault.problem(), CALL: id}
    return t.CallToolResult(content=[t.TextContent(type="text", text=where + fault.public)], is_error=True, _meta=meta)


def _result(of: Result, id: str) -> t.CallToolResult:
    content: list[t.ContentBlock] = [block(c) for c in of.content]
    if of.structured is not None and not content:
        content = [t.TextContent(type="text", text=json.dumps(of.structured, ensure_ascii=False, default=str))]
    return t.CallToolResult(content=content, structured_content=of.structured, _meta={CALL: id})


def block(of: Content) -> t.ContentBlock:
    """One content block: images and audio as such, other files as embedded resources or links."""
    match of:
        case Text():
            return t.TextContent(type="text", text=of.text)
        case Data():
            return t.TextContent(type="text", text=json.dumps(of.value, ensure_ascii=False, default=str))
        case File():
            return _file(of)


def _file(of: File) -> t.ContentBlock:
    if of.uri is not None:
        return t.ResourceLink(type="resource_link", uri=of.uri, name=of.name or of.uri, mime_type=of.media_type)
    data = base64.b64encode(of.body or b"").decode()
    if of.media_type.startswith("image/"):
        return t.ImageContent(type="image", data=data, mime_type=of.media_type)
    if of.media_type.startswith("audio/"):
        return t.AudioContent(type="audio", data=data, mime_type=of.media_type)
    blob = t.BlobResourceContents(uri=f"doolittle:///{of.name or 'file'}", mime_type=of.media_type, blob=data)
    return t.EmbeddedResource(type="resource", resource=blob)


def is_protocol_error(fault: GatewayError) -> bool:
    """Whether MCP wants a JSON-RPC error in place of a result: only where there is no such tool."""
    return isinstance(fault, Unknown)
