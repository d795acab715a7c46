"""What a message says of itself in HTTP headers, revision 2026-07-28: version, method, name, and marked arguments."""

import base64
import re
from collections.abc import Iterator, Mapping
from typing import Any

from adapters.mcp.rpc import NAMED, VERSION_KEY

MARK = "x-mcp-header"
PLAIN = re.compile(r"[\x20-\x7e]*\Z")
WRAPPED = re.compile(r"=\?base64\?.*\?=\Z")

Path = tuple[str, ...]


def version(message: Mapping[str, Any]) -> str:
    """The revision that a request of the modern era names; blank for one of the handshake era."""
    meta = _object(_object(message.get("params")).get("_meta"))
    said = meta.get(VERSION_KEY)
    return said if isinstance(said, str) else ""


def encoded(value: str) -> str:
    """As a header carries it: plain ASCII as it is, all else in base64 with a sign."""
    if PLAIN.match(value) and value == value.strip() and not WRAPPED.match(value):
        return value
    return f"=?base64?{base64.b64encode(value.encode()).decode()}?="


class Mirror:
    """The headers of requests. It learns from lists of tools which arguments they mark."""

    def __init__(self) -> None:
        self._marks: dict[str, dict[Path, str]] = {}

    def learn(self, result: Any) -> None:
        """Takes over a page of `tools/list`."""
        tools = _object(result).get("tools")
        for tool in tools if isinstance(tools, list) else []:
            said = _object(tool)
            if isinstance(name := said.get("name"), str):
                self._marks[name] = dict(_marked(_object(said.get("inputSchema")), ()))

    def headers(self, message: Mapping[str, Any]) -> dict[str, str]:
        """Those of a request of the modern era."""
        method, params = str(message.get("method")), _object(message.get("params"))
        said = {"mcp-protocol-version": version(message), "mcp-method": method}
        name = params.get(NAMED.get(method, ""))
        if not isinstance(name, str):
            return said
        said["mcp-name"] = encoded(name)
        for path, token in self._marks.get(name, {}).items() if method == "tools/call" else ():
            value = _scalar(_at(params.get("arguments"), path))
            if value is not None:
                said[f"mcp-param-{token.lower()}"] = encoded(value)
        return said


def _marked(schema: Mapping[str, Any], path: Path) -> Iterator[tuple[Path, str]]:
    for name, said in _object(schema.get("properties")).items():
        inner = _object(said)
        if isinstance(token := inner.get(MARK), str) and re.fullmatch(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+", token):
            yield (*path, name), token
        if len(path) < 32:
            yield from _marked(inner, (*path, name))


def _at(value: Any, path: Path) -> Any:
    for key in path:
        value = _object(value).get(key)
    return value


def _scalar(value: Any) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str | int | float) else None


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
