"""Between the messages of A2A (a2a.proto, 1.0) and the contract. Pure."""

import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from a2a.types import Artifact, Message, Part, Role, Task, TaskState
from google.protobuf.json_format import MessageToDict, ParseDict

from adapters.spi import Ask, Content, Data, File, Form, Json, Payment, Request, Result, Sampling, Text, Visit
from adapters.talk import question

HOPS = "doolittle/hops"
"""In the metadata of a message: the chain of the call."""
SKILL = "skill"
"""In the metadata of a message: which skill is meant."""
REQUESTS = "doolittle/requests"
"""In the metadata of a part: it says what is asked for, in our words."""
MESSAGE = "a2a/1.0 message"
"""The format of a raw result: a message, forwarded as it is."""
GIVEN = "a2a"
"""In `Call.meta`: the message as it came, for a far side of this network."""
ENDED = frozenset({
    TaskState.TASK_STATE_COMPLETED, TaskState.TASK_STATE_FAILED, TaskState.TASK_STATE_CANCELED,
    TaskState.TASK_STATE_REJECTED,
})  # fmt: skip


def part(content: Content) -> Part:
    match content:
        case Text():
            return Part(text=content.text)
        case Data():
            return data(content.value)
        case File():
            made = Part(filename=content.name, media_type=content.media_type)
            if content.uri is not None:
                made.url = content.uri
            else:
                made.raw = content.body or b""
            return made


def data(value: Json) -> Part:
    """A part of data. Whole numbers beyond 2^53 lose precision: A2A's values are doubles."""
    made = Part()
    ParseDict(value, made.data)
    return made


def parts(result: Result) -> list[Part]:
    """The parts of a result; its structured value is one, unless a part says the same."""
    found = [part(one) for one in result.content]
    shown = [one.value for one in result.content if isinstance(one, Data)]
    if result.structured is not None and result.structured not in shown:
        found.append(data(result.structured))
    return found or [Part(text="done")]


def content(of: Part) -> Content:
    """Files are inline or by reference, as they came."""
    match of.WhichOneof("content"):
        case "text":
            return Text(of.text)
        case "data":
            return Data(plain(of.data))
        case "url":
            return File(of.media_type or "application/octet-stream", None, of.url, of.filename)
        case _:
            return File(of.media_type or "application/octet-stream", bytes(of.raw), None, of.filename)


def contents(of: Iterable[Part]) -> tuple[Content, ...]:
    return tuple(content(one) for one in of)


def plain(message: Any) -> Any:
    """A value of protobuf's as JSON; whole numbers are whole again."""
    return _whole(MessageToDict(message))


def _whole(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _whole(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_whole(one) for one in value]
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 2**53 else value


def agent_message(found: list[Part], task: str, context: str) -> Message:
    id = uuid.uuid4().hex
    return Message(message_id=id, role=Role.ROLE_AGENT, parts=found, task_id=task, context_id=context)


def user_message(found: list[Part], context: str, task: str, metadata: Mapping[str, Json]) -> Message:
    made = Message(
        message_id=uuid.uuid4().hex, role=Role.ROLE_USER, parts=found, task_id=task, context_id=context
    )  # fmt: skip
    if metadata:
        ParseDict(dict(metadata), made.metadata)
    return made


# ---- questions ----------------------------------------------------------------------------------------------------


def asked(ask: Ask) -> list[Part]:
    """What is asked, in words and as data."""
    typed = data({"requests": [_request(one) for one in ask.requests]})
    ParseDict({REQUESTS: True}, typed.metadata)
    return [Part(text=question(ask)), typed]


def _request(one: Request) -> Json:
    match one:
        case Form():
            return {"id": one.id, "kind": "form", "message": one.message, "schema": dict(one.schema)}
        case Visit():
            return {"id": one.id, "kind": "visit", "message": one.message, "url": one.url}
        case Sampling():
            return {"id": one.id, "kind": "sampling", "params": dict(one.params)}
        case Payment():
            return {"id": one.id, "kind": "payment", "amount": str(one.price.amount), "asset": one.price.asset}


SAY: Json = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}


def requests(message: Message) -> tuple[Request, ...]:
    """What a far side asks for: the forms that it names, else one for a text."""
    words = "\n".join(one.text for one in message.parts if one.WhichOneof("content") == "text")
    found: list[Request] = []
    for one in message.parts:
        if one.WhichOneof("content") == "data" and REQUESTS in one.metadata:
            listed = plain(one.data).get("requests") or []
            found += [made for said in listed if isinstance(said, dict) and (made := _typed(said)) is not None]
    return tuple(found) or (Form("text", words or "The agent needs more from you.", SAY),)


def _typed(said: Mapping[str, Any]) -> Request | None:
    id, message = str(said.get("id") or ""), str(said.get("message") or "")
    schema = said.get("schema")
    if said.get("kind") == "form" and isinstance(schema, dict):
        return Form(id, message, schema)
    return Visit(id, message, str(said.get("url") or "")) if said.get("kind") == "visit" else None


def answers(values: Mapping[str, Json]) -> list[Part]:
    """The answers to `requests`: a text to a question in words, else data by request."""
    said = values.get("text")
    if set(values) == {"text"} and isinstance(said, dict) and set(said) == {"text"}:
        return [Part(text=str(said["text"]))]
    return [data(dict(values))]


# ---- tasks --------------------------------------------------------------------------------------------------------


def status_text(task: Task) -> str:
    return "\n".join(one.text for one in task.status.message.parts if one.WhichOneof("content") == "text")


def grow(known: dict[str, Artifact], artifact: Artifact, *, append: bool) -> None:
    """Takes in an artifact that came whole, or a further piece of one: pieces of text become one text."""
    held = known.get(artifact.artifact_id)
    if held is None or not append:
        known[artifact.artifact_id] = Artifact()
        known[artifact.artifact_id].CopyFrom(artifact)
        return
    for one in artifact.parts:
        last = held.parts[-1] if held.parts else None
        if last is not None and one.WhichOneof("content") == "text" == last.WhichOneof("content"):
            last.text += one.text
        else:
            held.parts.add().CopyFrom(one)


def result(artifacts: Iterable[Artifact], task: Task | None, meta: Mapping[str, Json]) -> Result:
    """All that a task brought; where it brought nothing, what its status says."""
    found = [one for artifact in artifacts for one in artifact.parts]
    if not found and task is not None:
        found = list(task.status.message.parts)
    held = contents(found)
    values = [one.value for one in held if isinstance(one, Data)]
    return Result(held, values[0] if len(values) == 1 else None, meta=meta)
