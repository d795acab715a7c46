"""Which requests are plain: as they must be in every point. All others go to the SDK, which says what is wrong."""

from dataclasses import dataclass
from typing import Any

from mcp.shared.inbound import decode_header_value

from adapters.mcp.near import LEVELS
from adapters.mcp.proxy import METHODS
from adapters.mcp.rpc import CAPABILITIES_KEY, CLIENT_KEY, HANDSHAKE, LOG_KEY, MODERN, NAMED, VERSION_KEY, Message

OWNED = frozenset({"tools/call", "tools/list", *METHODS})
ROUTING = (b"mcp-protocol-version", b"mcp-method", b"mcp-name")
BOTH = b"application/json, text/event-stream"


@dataclass(slots=True)
class Headers:
    """What this protocol reads of a request's headers, found in one pass."""

    version: bytes | None = None
    method: bytes = b""
    name: bytes | None = None
    session: bytes = b""
    accept: bytes | None = None
    odd: bool = False
    """A header that only the SDK judges: one twice, or one that mirrors an argument."""
    foreign: bool = False
    """One with letters outside ASCII, which the protocol wants in base64; the SDK breaks at some."""

    @classmethod
    def of(cls, raw: Any) -> "Headers":
        found = cls()
        seen = 0
        for key, value in raw:
            if key == b"accept":
                found.odd = found.odd or found.accept is not None
                found.accept = value
            elif key == b"mcp-session-id":
                found.session = value
            elif key.startswith(b"mcp-"):
                found.foreign = found.foreign or not value.isascii()
                if key in ROUTING:
                    bit = 1 << ROUTING.index(key)
                    found.odd = found.odd or bool(seen & bit)
                    seen |= bit
                    if key == b"mcp-protocol-version":
                        found.version = value
                    elif key == b"mcp-method":
                        found.method = value
                    else:
                        found.name = value
                else:
                    found.odd = True
        return found

    @property
    def modern(self) -> bool:
        """By the header alone, as the SDK decides it."""
        return self.version is not None and self.version.decode("latin-1") not in HANDSHAKE


def is_plain(message: Any, headers: Headers) -> bool:
    """Whether a request is well-formed in every point that the specification names."""
    if not isinstance(message, dict) or message.get("jsonrpc") != "2.0" or not _owned(message):
        return False
    id, params = message.get("id"), message.get("params")
    if isinstance(id, bool) or not isinstance(id, str | int) or headers.odd or not _accepts(headers.accept or b""):
        return False
    if params is None:
        return not headers.modern and message["method"] not in NAMED and message["method"] != "completion/complete"
    return (
        isinstance(params, dict) and _meta_plain(params, headers) and _params_plain(message["method"], params, headers)
    )


def _owned(message: Message) -> bool:
    """A request of ours, and not an answer at the same time."""
    method = message.get("method")
    return isinstance(method, str) and method in OWNED and not ("result" in message or "error" in message)


def is_watch(message: Message) -> bool:
    """Whether it is a well-formed request to watch a resource, or no longer."""
    id, params = message.get("id"), message.get("params")
    return (
        message.get("method") in ("resources/subscribe", "resources/unsubscribe")
        and isinstance(id, str | int)
        and not isinstance(id, bool)
        and isinstance(params, dict)
        and isinstance(params.get("uri"), str)
    )


def _accepts(said: bytes) -> bool:
    if said == BOTH:
        return True
    kinds = {kind.partition(b";")[0].strip().lower() for kind in said.split(b",")}
    return b"*/*" in kinds or (
        bool(kinds & {b"application/json", b"application/*"}) and bool(kinds & {b"text/event-stream", b"text/*"})
    )


def _meta_plain(params: Message, headers: Headers) -> bool:
    meta = params.get("_meta")
    if meta is None:
        return not headers.modern and "_meta" not in params
    if not isinstance(meta, dict):
        return False
    token = meta.get("progressToken")
    if "progressToken" in meta and (isinstance(token, bool) or not isinstance(token, str | int)):
        return False
    if not headers.modern:
        return True
    if meta.get(LOG_KEY, "debug") not in LEVELS:
        return False
    client = meta.get(CLIENT_KEY, {"name": "", "version": ""})
    return (
        headers.version == MODERN.encode()
        and meta.get(VERSION_KEY) == MODERN
        and isinstance(client, dict)
        and isinstance(client.get("name"), str)
        and isinstance(client.get("version"), str)
        and _capabilities_plain(meta.get(CAPABILITIES_KEY))
    )


def _capabilities_plain(said: Any) -> bool:
    return isinstance(said, dict) and all(
        isinstance(value, dict) and all(isinstance(v, bool if key == "roots" else dict) for v in value.values())
        for key, value in said.items()
    )


def _params_plain(method: str, params: Message, headers: Headers) -> bool:
    key = NAMED.get(method)
    name = params.get(key) if key else None
    if key and not isinstance(name, str):
        return False
    if headers.modern:
        if headers.method != method.encode():
            return False
        if key and (headers.name is None or decode_header_value(headers.name.decode("latin-1")) != name):
            return False
    if not isinstance(params.get("cursor", ""), str):
        return False
    return _values_plain(method, params, headers.modern)


def _values_plain(method: str, params: Message, modern: bool) -> bool:
    given = params.get("arguments", {})
    if "arguments" in params and not isinstance(given, dict):
        return False
    if method == "prompts/get" and not all(isinstance(value, str) for value in given.values()):
        return False
    if method == "completion/complete" and not _completion_plain(params):
        return False
    asked = params.keys() & {"inputResponses", "requestState", "task"}
    return not asked or (
        modern
        and method in NAMED
        and "task" not in asked
        and isinstance(params.get("requestState"), str)
        and isinstance(params.get("inputResponses", {}), dict)
        and all(_response_plain(value) for value in params.get("inputResponses", {}).values())
    )


def _response_plain(said: Any) -> bool:
    """Of an elicitation; a sampled message is for the SDK to judge."""
    if not isinstance(said, dict) or said.get("action") not in ("accept", "decline", "cancel"):
        return False
    content = said.get("content", {})
    return isinstance(content, dict) and all(isinstance(value, str | int | float) for value in content.values())


def _completion_plain(params: Message) -> bool:
    ref, argument, context = params.get("ref"), params.get("argument"), params.get("context")
    if (
        not isinstance(ref, dict)
        or not isinstance(argument, dict)
        or not (context is None or isinstance(context, dict))
    ):
        return False
    kinds = {"ref/prompt": "name", "ref/resource": "uri"}
    key = kinds.get(ref.get("type", "")) if isinstance(ref.get("type"), str) else None
    return key is not None and all(
        isinstance(v, str) for v in (ref.get(key), argument.get("name"), argument.get("value"))
    )
