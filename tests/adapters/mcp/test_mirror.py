"""The headers of the modern era are those of the official SDK."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from mcp.shared.inbound import encode_header_value, mcp_param_headers, x_mcp_header_map

from adapters.mcp.mirror import Mirror, encoded, version
from adapters.mcp.rpc import VERSION_KEY as VERSION

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "region": {"type": "string", "x-mcp-header": "Region"},
        "deep": {"type": "object", "properties": {"n": {"type": "integer", "x-mcp-header": "N"}}},
        "yes": {"type": "boolean", "x-mcp-header": "Yes"},
        "plain": {"type": "string"},
        "bad": {"type": "string", "x-mcp-header": "not a token"},
    },
}
META = {"_meta": {VERSION: "2026-07-28"}}


@given(st.text())
def test_any_value(value: str) -> None:
    assert encoded(value) == encode_header_value(value)


DEEP = st.fixed_dictionaries({"n": st.integers()}) | st.text()
REGION = st.text() | st.none() | st.lists(st.integers())
ARGUMENTS: dict[str, Any] = {"region": REGION, "deep": DEEP, "yes": st.booleans(), "plain": st.text()}


@given(st.fixed_dictionaries({}, optional=ARGUMENTS))
def test_marked_arguments(arguments: dict[str, Any]) -> None:
    mirror = Mirror()
    mirror.learn({"tools": [{"name": "t", "inputSchema": SCHEMA}, {"name": 7}, None, {"name": "u"}]})
    said = mirror.headers({"method": "tools/call", "params": {"name": "t", "arguments": arguments, **META}})
    marks = {path: token for path, token in x_mcp_header_map(SCHEMA).items() if " " not in token}
    expected = {name.lower(): value for name, value in mcp_param_headers(marks, arguments).items()}
    assert said == {"mcp-protocol-version": "2026-07-28", "mcp-method": "tools/call", "mcp-name": "t", **expected}


def test_names() -> None:
    mirror = Mirror()
    assert mirror.headers({"method": "resources/read", "params": {"uri": "file:///ä", **META}})["mcp-name"].startswith(
        "=?"
    )
    assert "mcp-name" not in mirror.headers({"method": "tools/list", "params": META})
    assert "mcp-name" not in mirror.headers({"method": "tools/call", "params": {"name": 7, **META}})


def test_eras() -> None:
    assert version({"params": META}) == "2026-07-28"
    for other in ({}, {"params": None}, {"params": {"_meta": {}}}, {"params": {"_meta": {VERSION: 7}}}):
        assert version(other) == ""
