"""Requests of every kind, well-formed and spoilt: strategies for hypothesis."""

import base64
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import orjson
from hypothesis import strategies as st

from adapters.mcp.rpc import CAPABILITIES_KEY, CLIENT_KEY, LOG_KEY, MODERN, VERSION_KEY, Message
from tests.adapters.mcp.wire import NAMED, Headers

ERAS = (MODERN, MODERN, MODERN, "2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05", "", "session")
"""By header; "": none, and no session; "session": none, and a session."""


@dataclass(slots=True)
class Draft:
    """A request before it is sent. `raw` stands in place of `body`."""

    body: Message
    headers: dict[str, list[str]]
    path: str = "/mcp/all"
    raw: bytes | None = None

    @property
    def params(self) -> Message:
        found = self.body.get("params")
        return found if isinstance(found, dict) else {}

    @property
    def meta(self) -> Message:
        found = self.params.get("_meta")
        return found if isinstance(found, dict) else {}

    def data(self) -> bytes:
        return orjson.dumps(self.body) if self.raw is None else self.raw

    def lines(self) -> Headers:
        return [(name, value) for name, values in self.headers.items() for value in values]


PROMPT = {"type": "ref/prompt", "name": "test_prompt_with_arguments"}
BASES: list[tuple[str, Message]] = [
    ("tools/call", {"name": "all__echo", "arguments": {"text": "hé"}}),
    ("tools/call", {"name": "all__add", "arguments": {"a": 1, "b": 2.5}}),
    ("tools/call", {"name": "all__parts"}),
    ("tools/call", {"name": "all__count", "arguments": {"n": 2}}),
    ("tools/call", {"name": "all__fail", "arguments": {"kind": "rate_limited"}}),
    ("tools/call", {"name": "all__crash", "arguments": {}}),
    ("tools/call", {"name": "all__ask", "arguments": {}}),
    ("tools/call", {"name": "nobody__nothing", "arguments": {}}),
    ("tools/call", {"name": "find_tools", "arguments": {"query": "echo"}}),
    ("tools/call", {"name": "describe_tool", "arguments": {"name": "all__add"}}),
    ("tools/call", {"name": "get_call", "arguments": {"call": "none"}}),
    ("tools/call", {"name": "own__test_image_content"}),
    ("tools/call", {"name": "own__test_embedded_resource"}),
    ("tools/call", {"name": "own__link"}),
    ("tools/call", {"name": "own__foreign_meta"}),
    ("tools/call", {"name": "own__structured_error"}),
    ("tools/call", {"name": "own__protocol_error"}),
    ("tools/call", {"name": "own__nothing"}),
    ("tools/call", {"name": "own__test_tool_with_logging"}),
    ("tools/call", {"name": "own__test_tool_with_progress"}),
    ("tools/call", {"name": "own__test_elicitation", "arguments": {"message": "m"}}),
    ("tools/call", {"name": "own__test_sampling", "arguments": {"prompt": "p"}}),
    ("tools/call", {"name": "own__test_x_mcp_header", "arguments": {"region": "eu", "priority": 3}}),
    ("tools/list", {}),
    ("prompts/list", {}),
    ("prompts/get", {"name": "test_prompt_with_arguments", "arguments": {"arg1": "1", "arg2": "2"}}),
    ("prompts/get", {"name": "test_prompt_with_image"}),
    ("prompts/get", {"name": "none"}),
    ("resources/list", {}),
    ("resources/templates/list", {}),
    ("resources/read", {"uri": "test://static-text"}),
    ("resources/read", {"uri": "test://static-binary"}),
    ("resources/read", {"uri": "test://none"}),
    ("completion/complete", {"ref": PROMPT, "argument": {"name": "arg1", "value": "pa"}}),
    (
        "completion/complete",
        {"ref": PROMPT, "argument": {"name": "a", "value": ""}, "context": {"arguments": {"x": "y"}}},
    ),
    ("initialize", {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "a", "version": "1"}}),
    ("server/discover", {}),
    ("ping", {}),
    ("logging/setLevel", {"level": "debug"}),
    ("resources/unsubscribe", {"uri": "test://static-text"}),
    ("tasks/get", {"taskId": "x"}),
    ("no/such", {}),
]
NOTIFICATIONS = ("notifications/initialized", "notifications/cancelled", "notifications/progress", "no/such")
ODD: st.SearchStrategy[Any] = st.sampled_from(
    [None, 0, 5, -1, 1.5, 2**63, 2**70 * 1.0, True, False, "", "x", [], {}, {"a": 1}, [1]]
)
TOKENS = st.sampled_from(["t", 7, 0, "", None, 1.5, True, [], {}])
Spoil: TypeAlias = Callable[[Any, Draft], None]


def _member(key: str) -> Spoil:
    def spoil(draw: Any, of: Draft) -> None:
        if draw(st.booleans()):
            of.body.pop(key, None)
        else:
            of.body[key] = draw(ODD)

    return spoil


def _method(draw: Any, of: Draft) -> None:
    of.body["method"] = draw(st.sampled_from(["ping", "tools/list", "tools/call", "no/such", "", "notifications/x"]))


def _more(draw: Any, of: Draft) -> None:
    of.body[draw(st.sampled_from(["result", "error", "extra"]))] = draw(ODD)


def _param(draw: Any, of: Draft) -> None:
    key = draw(
        st.sampled_from(["name", "arguments", "cursor", "uri", "ref", "argument", "context", "task", "_meta", "x"])
    )
    if draw(st.booleans()) and draw(st.booleans()):
        of.params.pop(key, None)
    else:
        of.params[key] = draw(ODD)


def _cursor(draw: Any, of: Draft) -> None:
    of.params["cursor"] = draw(st.sampled_from(["", "a", "zzz", "own\n", "own\n1", "\n", "nobody\nx", "é"]))


def _arguments(draw: Any, of: Draft) -> None:
    of.params["arguments"] = draw(
        st.dictionaries(st.sampled_from(["text", "n", "a", "name", "arg1", "query", "limit", "call"]), ODD, max_size=3)
    )


def _completion(draw: Any, of: Draft) -> None:
    where = of.params.get(draw(st.sampled_from(["ref", "argument", "context"])))
    if isinstance(where, dict):
        where[draw(st.sampled_from(["type", "name", "value", "uri", "arguments", "x", "title"]))] = draw(
            st.one_of(ODD, st.sampled_from(["ref/prompt", "ref/resource", "test://template/{id}/data"]))
        )


def _state(draw: Any, of: Draft) -> None:
    of.params["requestState"] = draw(
        st.sampled_from(["all__echo.00", "all__ask.zz", "x", ".", "", "all__ask." + "ab" * 60])
    )
    if draw(st.booleans()):
        answer: Any = draw(
            st.sampled_from(
                [
                    {"action": "accept", "content": {"name": "Ada"}}, {"action": "decline"}, {"action": "x"}, {}, None,
                    {"action": "accept", "content": 5}, {"role": "assistant"}, "x",
                    {"role": "assistant", "content": {"type": "text", "text": "t"}, "model": "m"},
                    {"roots": []},
                ]
            )
        )  # fmt: skip
        of.params["inputResponses"] = draw(
            st.sampled_from([{}, {"who": answer}, answer, [], {"who": answer, "b": answer}])
        )


def _meta(draw: Any, of: Draft) -> None:
    key = draw(
        st.sampled_from(
            [
                VERSION_KEY,
                CAPABILITIES_KEY,
                CLIENT_KEY,
                LOG_KEY,
                "doolittle/hops",
                "doolittle/conversation",
                "traceparent",
                "x",
            ]
        )
    )
    if draw(st.integers(0, 3)) == 0:
        of.meta.pop(key, None)
    else:
        of.params.setdefault("_meta", {})
        of.meta[key] = draw(
            st.one_of(
                ODD,
                st.sampled_from(["debug", "nonsense", "gate/x", "2025-11-25", MODERN, "2099-01-01"]),
                st.sampled_from(
                    [
                        {"name": "a"}, {"name": "a", "version": "1", "title": None}, {"name": "a", "version": 1},
                        {"name": "a", "version": "1", "icons": 5}, {"elicitation": {}}, {"elicitation": None},
                        {"elicitation": {"form": {}}}, {"elicitation": {"form": 5}}, {"sampling": {"tools": 1}},
                        {"roots": {"listChanged": "x"}}, {"extensions": {"a": 5}}, {"experimental": {"a": {}}},
                        {"experimental": {"a": 1}}, {"unknown": {}}, {"unknown": 5}, {"tasks": {"list": 1}},
                    ]
                ),
            )
        )  # fmt: skip


def _token(draw: Any, of: Draft) -> None:
    of.params.setdefault("_meta", {})
    of.meta["progressToken"] = draw(TOKENS)


def _header(draw: Any, of: Draft) -> None:
    name = draw(
        st.sampled_from(
            ["mcp-protocol-version", "mcp-method", "mcp-name", "mcp-session-id", "mcp-param-region", "mcp-x"]
        )
    )
    values = of.headers.get(name, [])
    how = draw(st.sampled_from(["drop", "twice", "other", "sentinel", "case"]))
    if how == "drop":
        of.headers.pop(name, None)
    elif how == "twice" and values:
        of.headers[name] = [*values, draw(st.sampled_from([*values, "other"]))]
    elif how == "sentinel" and values:
        code = base64.b64encode(values[0].encode()).decode()
        bad = draw(st.sampled_from(["", "", "=", "!", "\xe9"]))
        of.headers[name] = [f"=?base64?{code}{bad}?="]
    elif how == "case" and values and values[0].isascii():
        of.headers[name] = [values[0].swapcase()]
    else:
        said = [
            "",
            "x",
            "tools/list",
            "tools/call",
            "all__add",
            "2025-06-18",
            "2025-03-26",
            MODERN,
            "1999-01-01",
            "é",
            "eu",
            "us",
        ]
        of.headers[name] = [draw(st.sampled_from(said))]


def _accept(draw: Any, of: Draft) -> None:
    kinds = [
        "", "*/*", "application/json", "text/event-stream", "text/event-stream, application/json", "text/html",
        "application/json;q=0.5, text/event-stream;q=1", "APPLICATION/JSON, text/event-stream", "application/*, text/*",
        "application/json,text/event-stream", "application/jsonx, text/event-streamy",
        "application/json text/event-stream",
        "application/json; charset=utf-8, text/event-stream", "x/application/json, x/text/event-stream",
        "application/json;q=0, text/event-stream",
    ]  # fmt: skip
    of.headers["accept"] = draw(st.lists(st.sampled_from(kinds), max_size=2))


def _raw(draw: Any, of: Draft) -> None:
    whole = of.data()
    of.raw = draw(
        st.sampled_from(
            [
                b"", b"{", b"null", b"5", b'"x"', b"[]", b"[" + whole + b"]", b"\xff\xfe", whole[:-1], whole + b" ",
                whole + b"x", b"\xef\xbb\xbf" + whole, whole.replace(b'"2.0"', b'"2.0","jsonrpc":"1.0"'),
                whole.replace("é".encode(), b"\xff"), whole.replace(b'"id":1', b'"id":NaN'),
                whole.replace(b'"id":1', b'"id":1e2'), whole.replace(b'"id":1', b'"id":123456789012345678901234567890'),
                whole.replace("é".encode(), b"\\ud800"), whole.replace(b'"a":1', b'"a":Infinity'),
                whole.replace(b'"a":1', b'"a":' + b"[" * 100 + b"]" * 100),
            ]
        )
    )  # fmt: skip


def _path(draw: Any, of: Draft) -> None:
    of.path = draw(
        st.sampled_from(["/mcp", "/mcp/agents/all", "/mcp/agents/own", "/mcp/agents/none", "/mcp/views/none"])
    )


def _notify(draw: Any, of: Draft) -> None:
    of.body.pop("id", None)
    of.body["method"] = draw(st.sampled_from(NOTIFICATIONS))


def _respond(draw: Any, of: Draft) -> None:
    of.body.pop("method", None)
    of.body[draw(st.sampled_from(["result", "error"]))] = draw(st.one_of(ODD, st.just({"code": 1, "message": "m"})))


SPOILS: list[Spoil] = [
    _member("id"), _member("jsonrpc"), _member("params"), _member("method"), _method, _more, _param, _param, _cursor,
    _arguments, _completion, _state, _meta, _meta, _token, _header, _header, _header, _accept, _raw, _path, _notify,
    _respond,
]  # fmt: skip


@st.composite
def drafts(draw: Any, most: int = 3) -> Draft:
    """A request with none or some faults."""
    era = draw(st.sampled_from(ERAS))
    method, params = draw(st.sampled_from(BASES))
    body: Message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": orjson.loads(orjson.dumps(params))}
    headers = {"content-type": ["application/json"], "accept": ["application/json, text/event-stream"]}
    if era not in ("", "session"):
        headers["mcp-protocol-version"] = [era]
    if era == MODERN:
        body["params"]["_meta"] = {VERSION_KEY: MODERN, CAPABILITIES_KEY: {}, CLIENT_KEY: {"name": "a", "version": "1"}}
        headers["mcp-method"] = [method]
        if key := NAMED.get(method):
            headers["mcp-name"] = [params[key]]
    elif era:
        headers["mcp-session-id"] = ["SESSION"]
    elif not params and draw(st.booleans()):
        del body["params"]
    made = Draft(body, headers)
    if method == "tools/call" and draw(st.booleans()):
        made.params.setdefault("_meta", {})
        made.meta.update({"progressToken": "t", LOG_KEY: "info"})
    for spoil in draw(st.lists(st.sampled_from(SPOILS), max_size=most)):
        spoil(draw, made)
    return made
