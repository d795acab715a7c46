"""The chat protocol 0.3: messages read and made. Pure.

The text of an answer stands in text contents and nowhere else. What else there is to say (progress, an error's code, a
structured result, the chain of a call) stands in metadata contents, which agents that do not know it pass over.
"""

import base64
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import orjson
from pydantic.v1 import ValidationError
from uagents_core.contrib.protocols.chat import (
    ChatAcknowledgement,
    ChatMessage,
    EndSessionContent,
    EndStreamContent,
    MetadataContent,
    Resource,
    ResourceContent,
    StartSessionContent,
    StartStreamContent,
    TextContent,
    chat_protocol_spec,
)
from uagents_core.models import Model

from adapters.errors import BadArguments, GatewayError
from adapters.spi import Content, Data, File, Json, Progress, Result, Text

DIGEST = chat_protocol_spec.digest
MESSAGE = Model.build_schema_digest(ChatMessage)
ACKNOWLEDGEMENT = Model.build_schema_digest(ChatAcknowledgement)
CHUNK = 16 * 1024
"""Letters of one message; longer answers are a stream of messages."""
HOPS = "doolittle-hops"


@dataclass(slots=True)
class Heard:
    """What one message holds. `streams`: those that it begins and ends."""

    id: uuid.UUID
    text: str = ""
    files: list[File] = field(default_factory=list[File])
    meta: dict[str, str] = field(default_factory=dict[str, str])
    begins: bool = False
    ends: bool = False
    started: set[uuid.UUID] = field(default_factory=set[uuid.UUID])
    ended: set[uuid.UUID] = field(default_factory=set[uuid.UUID])

    @property
    def progress(self) -> Progress | None:
        """What is being done, where the message is of that."""
        if "progress" not in self.meta:
            return None
        return Progress(self.meta["progress"], _number(self.meta.get("done")), _number(self.meta.get("total")))


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None


def read(payload: bytes) -> Heard:
    """Raises `BadArguments`."""
    try:
        message = ChatMessage.parse_raw(payload)
    except (ValidationError, ValueError, TypeError, RecursionError) as fault:
        raise BadArguments("Message does not conform to expected schema: it is no ChatMessage") from fault
    found = Heard(message.msg_id)
    for content in message.content:
        _take(found, content)
    return found


def _take(found: Heard, content: Any) -> None:
    match content:
        case TextContent():
            found.text += content.text
        case ResourceContent():
            many = content.resource if isinstance(content.resource, list) else [content.resource]
            found.files += [file(one) for one in many]
        case MetadataContent():
            found.meta |= content.metadata
        case StartSessionContent():
            found.begins = True
        case EndSessionContent():
            found.ends = True
        case StartStreamContent():
            found.started.add(content.stream_id)
        case EndStreamContent():
            found.ended.add(content.stream_id)
        case _:
            raise BadArguments("Message does not conform to expected schema: a content of no known type")


def file(resource: Resource) -> File:
    """By reference; what stands in the URI itself is inline."""
    kind = resource.metadata.get("mime_type", "application/octet-stream")
    name = resource.metadata.get("name", "")
    head, comma, body = resource.uri.partition(",")
    if comma and head.startswith("data:") and head.endswith(";base64"):
        with suppress(ValueError):
            return File(head[5:-7] or kind, base64.b64decode(body, validate=True), name=name)
    return File(kind, uri=resource.uri, name=name)


def with_files(text: str, files: list[File]) -> str:
    """What an agent that takes text alone reads of a message with resources."""
    lines = [f"[{f.name or 'attached'}: {f.uri or _size(f)} ({f.media_type})]" for f in files]
    return "\n".join([text, *lines] if text else lines)


def _size(of: File) -> str:
    return f"{len(of.body or b'')} bytes"


# ---- made here ---------------------------------------------------------------------------------------------------


def acknowledge(id: uuid.UUID) -> ChatAcknowledgement:
    return ChatAcknowledgement(acknowledged_msg_id=id)


def say(text: str, **meta: str) -> ChatMessage:
    content: list[Any] = [TextContent(text=text)] if text else []
    return ChatMessage(content=[*content, *([MetadataContent(metadata=meta)] if meta else [])])


def progress(of: Progress) -> ChatMessage:
    """Without text: no agent takes it for the answer."""
    numbers = {"done": of.done, "total": of.total}
    return say("", progress=of.message, **{name: f"{n:g}" for name, n in numbers.items() if n is not None})


def fault(of: GatewayError) -> ChatMessage:
    return say(of.public, error=of.code, delivered=of.delivered)


def answer(of: Result, *, whole: bool = False) -> Iterator[ChatMessage]:
    """The messages of a result: one, or a stream of them where its text is long; `whole`: one in any case."""
    meta = {"structured": orjson.dumps(of.structured).decode()} if of.structured is not None else {}
    rest = [resource for part in of.content for resource in _resource(part)]
    text = "\n".join([*filter(None, [of.text]), *(_written(c.value) for c in of.content if isinstance(c, Data))])
    if not text and of.structured is not None:
        text = _written(of.structured)
    size = max(1, len(text)) if whole else CHUNK
    pieces = [text[at : at + size] for at in range(0, len(text), size)] or [""]
    stream = uuid.uuid4()
    for number, piece in enumerate(pieces, 1):
        content: list[Any] = [TextContent(text=piece)] if piece or not rest else []
        last = number == len(pieces)
        if len(pieces) > 1:
            content = [StartStreamContent(stream_id=stream), *content] if number == 1 else content
            content.append(MetadataContent(metadata={"done": str(number), "total": str(len(pieces))}))
            content += [EndStreamContent(stream_id=stream)] if last else []
        if last:
            content += rest + ([MetadataContent(metadata=meta)] if meta else [])
        yield ChatMessage(content=content)


def _written(value: Json) -> str:
    return orjson.dumps(value).decode()


def _resource(part: Content) -> list[ResourceContent]:
    if not isinstance(part, File):
        return []
    uri = part.uri or f"data:{part.media_type};base64,{base64.b64encode(part.body or b'').decode()}"
    meta = {"mime_type": part.media_type, "role": "attachment", **({"name": part.name} if part.name else {})}
    return [ResourceContent(resource_id=uuid.uuid4(), resource=Resource(uri=uri, metadata=meta))]


def ask(text: str, files: list[File] | None = None, hops: str = "") -> ChatMessage:
    """A message to an agent of the network."""
    rest: list[Any] = [r for one in files or [] for r in _resource(one)]
    if hops:
        rest.append(MetadataContent(metadata={HOPS: hops}))
    return ChatMessage(content=[TextContent(text=text), *rest])


def result(text: str, files: list[File], meta: dict[str, str]) -> Result:
    """What an agent answered."""
    structured: Json = None
    with suppress(orjson.JSONDecodeError):
        structured = orjson.loads(meta["structured"]) if "structured" in meta else None
    content: list[Content] = [Text(text)] if text or not files else []
    return Result((*content, *files), structured)
