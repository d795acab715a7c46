"""From a response of a far side to the end of a call."""

import email.message
from collections.abc import Mapping
from typing import Any

import orjson

from adapters.errors import Broken, Full, GatewayError, Refused
from adapters.http.far.operations import JSON, Operation
from adapters.spi import INLINE_LIMIT, Content, File, Json, Result, Text
from registry.snapshot import check

MOST_SAID = 500
"""Characters of what a far side says of an error."""
EVENTS = "text/event-stream"


def kind(headers: Mapping[str, str]) -> str:
    """The media type, without its parameters."""
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def result(operation: Operation, headers: Mapping[str, str], body: bytes, status: int) -> Result:
    """A good answer: JSON as a value, text as text, all else as a file. Raises `Broken`."""
    media_type = kind(headers)
    if not body:
        return Result((Text(f"done ({status})"),))
    if JSON.match(media_type):
        return _json(operation, body)
    if media_type.startswith("text/") or (not media_type and _is_text(body)):
        return Result((Text(_decoded(headers, body)),))
    if len(body) > INLINE_LIMIT:
        raise Broken(f"the answer is a file of more than {INLINE_LIMIT >> 20} MB")
    return Result((File(media_type or "application/octet-stream", body, name=_name(headers)),))


def _json(operation: Operation, body: bytes) -> Result:
    try:
        value: Any = orjson.loads(body)
    except orjson.JSONDecodeError as fault:
        raise Broken("the answer says that it is JSON, and is none", detail=repr(body[:200])) from fault
    structured = value if isinstance(value, dict) and not operation.wrapped else {"result": value}
    if operation.tool.output_schema is not None and (said := _misfit(operation.tool.output_schema, structured)):
        raise Broken(
            f"the answer is not as the document promises: {said}; set 'answers' = \"free\" to take it as it is"
        )
    content: Content = Text(body.decode("utf-8", "replace"))
    return Result((content,), structured)


def _misfit(schema: bytes, value: Json) -> str:
    """Where a value does not fit; "" if it does, or nobody can say."""
    kept = check(schema)
    if kept.validator is None or (kept.weight is not None and kept.weight.refuses(value)):
        return ""
    try:
        fault = next(kept.validator.iter_errors(value), None)
    except (ValueError, TypeError, OverflowError, RecursionError):
        return ""
    if fault is None:
        return ""
    place = ".".join(str(step)[:80] for step in fault.instance_path)
    return f"{place}: {fault.message[:200]}" if place else fault.message[:200]


def failure(name: str, status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
    """An answer of 300 or more."""
    said = _said(headers, body)
    because = f": {said}" if said else ""
    if status < 400:
        return Refused(f"'{name}' sends the caller elsewhere ({status}), which is not followed")
    if status == 401:
        return Refused(f"'{name}' refuses the gateway's key (401){because}; the operator sets 'key' of this upstream")
    if status == 429 or (status == 503 and "retry-after" in headers):
        wait = headers.get("retry-after", "")
        return Full(
            f"'{name}' takes no more for now ({status}){because}", delivered="no" if status == 429 else "unknown",
            retry_after=float(wait) if wait.isascii() and wait.isdigit() else None,
        )  # fmt: skip
    return Refused(f"'{name}' {'failed' if status >= 500 else 'refused'} ({status}){because}")


def _said(headers: Mapping[str, str], body: bytes) -> str:
    """What an error's body says: the usual fields of JSON, else its first text."""
    media_type = kind(headers)
    if JSON.match(media_type):
        try:
            value: Any = orjson.loads(body)
        except orjson.JSONDecodeError:
            return ""
        return _first(value)[:MOST_SAID] or orjson.dumps(value).decode()[:MOST_SAID]
    if media_type == "text/plain":
        return " ".join(_decoded(headers, body[: 4 * MOST_SAID]).split())[:MOST_SAID]
    return ""


def _first(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        for key in ("detail", "message", "error_description", "error", "title", "errors"):
            if found := _first(value.get(key)):
                return found
    return ""


def _is_text(body: bytes) -> bool:
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return b"\0" not in body


def _decoded(headers: Mapping[str, str], body: bytes) -> str:
    said = email.message.Message()
    said["content-type"] = headers.get("content-type", "text/plain")
    try:
        return body.decode(str(said.get_content_charset() or "utf-8"), "replace")
    except LookupError:
        return body.decode("utf-8", "replace")


def _name(headers: Mapping[str, str]) -> str:
    said = email.message.Message()
    said["content-disposition"] = headers.get("content-disposition", "")
    return str(said.get_filename() or "").replace("\\", "/").rpartition("/")[2][:200]
