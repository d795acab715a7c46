"""Requests made from public documents, beside those of fastmcp: of the same arguments, the same request."""

import logging
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import httpx2
import orjson
import pytest

from adapters.http.far import document, requests
from adapters.http.far.operations import Operation, operations
from examples.tour.eliza import npm_ci
from registry.snapshot import check

HERE = Path(__file__).parent / "documents"
KINDS = {"integer": 1, "number": 1, "boolean": True, "null": None}
APART = {
    "cookie": "fastmcp sends no cookies",
    "json": "fastmcp does not write parameters as JSON where the document says so",
    "style": "fastmcp has no label, matrix, space- and pipe-delimited styles",
    "body": "fastmcp sends no body that is a choice, a list or a single value, and drops properties with odd names",
    "refused": "fastmcp does not take the document, or the arguments that its own schema asks for",
}
"""Where ours is better: each difference is of one of these."""
pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def documents() -> list[Path]:
    npm_ci(HERE, print)
    found = sorted((HERE / "node_modules" / "@readme/oas-examples").glob("3.[01]/json/*.json"))
    places = (
        "@blockfrost/openapi/openapi.yaml", "@digdir/dialogporten-schema/swagger.verified.json",
        "@directus/specs/dist/openapi.json", "@ideal-postcodes/openapi/dist/openapi.json",
        "@scalar/galaxy/dist/3.1.yaml",
    )  # fmt: skip
    return [*found, *(HERE / "node_modules" / place for place in places)]


def test_public_documents_become_tools(documents: list[Path]) -> None:
    """Every operation of 58 documents, with schemas that can be checked."""
    tools, faults = 0, []
    for path in documents:
        found, left_out = operations(document.parse(path.read_bytes()))
        tools += len(found)
        assert not left_out, path
        for operation in found:
            schemas = (operation.tool.input_schema, operation.tool.output_schema or b"{}")
            faults += [(path.name, operation.tool.native) for schema in schemas if check(schema).fault]
    assert len(documents) == 58
    assert tools >= 800
    assert faults == [("schema-validation.json", "GET /anything/strings")], "a pattern that is none"


async def test_requests_are_those_of_the_oracle(documents: list[Path]) -> None:
    """All but differences of a known kind, which are few but for one large document that fastmcp does not take."""
    same, apart, strange = 0, Counter[str](), []
    for path in documents:
        said = document.parse(path.read_bytes())
        async with Oracle() as oracle:
            known = await oracle.take(said.said)
            for operation in operations(said)[0]:
                made = await both(oracle, operation) if known else "refused"
                if made is None:
                    same += 1
                else:
                    apart[made] += 1
                    strange += [(path.name, operation.tool.native)] if made not in APART else []
    print(f"\n  {same} requests alike; apart: {dict(apart)}")
    assert not strange
    assert same > 700
    assert apart.total() - apart["refused"] < 100


async def both(oracle: "Oracle", operation: Operation) -> str | None:
    """None where both send the same; else in what they differ."""
    given = orjson.loads(operation.tool.input_schema)
    arguments = sample(given, given.get("$defs", {}), top=True)
    ours = requests.parts(operation, arguments)
    theirs = await oracle.send(f"{operation.method} {operation.path}", arguments)
    if theirs is None:
        return "refused"
    if any(p.where == "cookie" for p in operation.parameters):
        return "cookie"
    if any(p.json for p in operation.parameters):
        return "json"
    target = urlsplit(theirs.url.raw_path.decode())
    if unquote(target.path) != unquote(urlsplit(ours.path).path) or _pairs(target.query) != _pairs(
        "&".join(ours.query)
    ):
        return "style" if any(p.style not in ("simple", "form") for p in operation.parameters) else "target"
    body = await theirs.aread()
    if ours.files:
        return None if all(name.encode() in body for name, _ in ours.files) else "body"
    return None if _body(ours.content or b"") == _body(body) else "body"


def _pairs(query: str) -> list[tuple[str, str]]:
    return sorted(parse_qsl(query, keep_blank_values=True))


def _body(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return _pairs(body.decode())


def sample(said: Any, defs: dict[str, Any], *, top: bool = False, depth: int = 0) -> Any:
    """A value that fits a schema, more or less: both sides are given the same."""
    if not isinstance(said, dict) or depth > 12:
        return "a b&c"
    if "$ref" in said:
        return sample(defs.get(said["$ref"].rpartition("/")[2]), defs, depth=depth + 1)
    if said.get("enum"):
        return said["enum"][0]
    for key in ("anyOf", "oneOf", "allOf"):
        if said.get(key):
            return sample(said[key][0], defs, depth=depth + 1)
    kind = next(iter(_kinds(said)), "string")
    if kind == "object":
        wanted = said.get("required", [])
        pairs = said.get("properties", {}).items()
        if not pairs and not top:
            return {"key": "a b&c"}
        needed = [(name, one) for name, one in pairs if top or name in wanted] or list(pairs)[:1]
        return {name: sample(one, defs, depth=depth + 1) for name, one in needed}
    if kind == "array":
        return [sample(said.get("items"), defs, depth=depth + 1)]
    return "eA==" if said.get("contentEncoding") == "base64" else KINDS.get(kind, "a b&c")


def _kinds(said: dict[str, Any]) -> Iterator[str]:
    kind = said.get("type")
    yield from kind if isinstance(kind, list) else [kind] if isinstance(kind, str) else []
    if said.get("properties"):
        yield "object"


class Oracle:
    """fastmcp's converter, over a transport that notes each request."""

    async def __aenter__(self) -> "Oracle":
        self._sent: list[httpx2.Request] = []
        logging.getLogger("fastmcp").setLevel(logging.CRITICAL)
        transport = httpx2.MockTransport(self._note)
        self._client = httpx2.AsyncClient(transport=transport, base_url="http://far.test", verify=False)
        self._tools: dict[str, Any] = {}
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    def _note(self, request: httpx2.Request) -> httpx2.Response:
        self._sent.append(request)
        return httpx2.Response(200, json={})

    async def take(self, said: Any) -> bool:
        """Whether it can read the document."""
        from fastmcp import FastMCP

        try:
            server = FastMCP.from_openapi(openapi_spec=said, client=self._client, validate_output=False)
        except ValueError:
            return False
        tools: list[Any] = list(await server.list_tools())
        self._tools = {f"{tool._route.method} {tool._route.path}": tool for tool in tools}
        return True

    async def send(self, place: str, arguments: dict[str, Any]) -> httpx2.Request | None:
        """What it sends; None where it refuses."""
        if place not in self._tools:
            return None
        self._sent.clear()
        try:
            await self._tools[place].run(dict(arguments))
        except Exception:  # noqa: BLE001 - whatever it does not take
            return None
        return self._sent[-1] if self._sent else None
