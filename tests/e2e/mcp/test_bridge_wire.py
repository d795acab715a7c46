"""What both bridges send and take, to the letter, with a far side that cuts its answers at awkward places."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from adapters.mcp.rpc import VERSION_KEY as VERSION
from examples.tour.eliza import NODE
from tests.e2e.mcp.test_bridges import BUNDLE

pytestmark = pytest.mark.e2e
META = {VERSION: "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}}
SCHEMA = {"type": "object", "properties": {"region": {"type": "string", "x-mcp-header": "Region"}}}


class Far:
    """A small HTTP server: it keeps each request, and answers each method as `answers` says, in so many pieces."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, dict[str, str], Any]] = []
        self.answers: dict[str, list[bytes]] = {}
        self.cut = asyncio.Event()
        self.url = ""

    @asynccontextmanager
    async def serve(self) -> AsyncIterator["Far"]:
        server = await asyncio.start_server(self._connection, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield self
        server.close()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        verb, *lines = head.split("\r\n")
        headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in lines if line)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        said = json.loads(body) if body else None
        method = said.get("method", "answer") if said else verb.split()[0]
        self.seen.append((method, headers, said))
        for piece in self.answers.get(method, [b"HTTP/1.1 405 No\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"]):
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        if method == "hang":
            await reader.read()
            self.cut.set()
        writer.close()

    def headers(self, method: str) -> dict[str, str]:
        return next(headers for name, headers, _ in self.seen if name == method)


HEAD = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: text/event-stream\r\n"


def result(id: Any, value: Any, *more: str) -> list[bytes]:
    body = json.dumps({"jsonrpc": "2.0", "id": id, "result": value}).encode()
    lines = "".join(f"{line}\r\n" for line in more).encode()
    head = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: application/json\r\n" + lines
    return [head + b"content-length: %d\r\n\r\n" % len(body), body]


def problem(status: int, detail: str) -> list[bytes]:
    body = json.dumps({"detail": detail}).encode()
    head = f"HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-type: application/problem+json\r\n"
    return [head.encode() + b"content-length: %d\r\n\r\n" % len(body) + body]


class Talk:
    """One bridge, spoken to by hand."""

    def __init__(self, reader: asyncio.StreamReader, writer: Any) -> None:
        self._reader = reader
        self._writer = writer

    def say(self, id: Any, method: str, **params: Any) -> None:
        said = {"jsonrpc": "2.0", "method": method, "params": params} | ({} if id is None else {"id": id})
        self._writer.write(json.dumps(said).encode() + b"\n")

    async def hear(self) -> Any:
        return json.loads(await asyncio.wait_for(self._reader.readline(), 20))


@pytest.fixture
async def far() -> AsyncIterator[Far]:
    async with Far().serve() as far:
        yield far


CARRY = "import asyncio, sys; from adapters.mcp.stdio import carry; asyncio.run(carry(sys.argv[1], 'dk_k', 0, 1))"


@pytest.fixture(params=["node", "python"])
async def talk(request: pytest.FixtureRequest, far: Far) -> AsyncIterator[Talk]:
    words = [str(NODE), str(BUNDLE)] if request.param == "node" else [sys.executable, "-c", CARRY, far.url + "/mcp"]
    env = {"DOOLITTLE_URL": far.url, "DOOLITTLE_KEY": "dk_k"}
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*words, env=env, stdin=pipe, stdout=pipe)
    assert process.stdin
    assert process.stdout
    yield Talk(process.stdout, process.stdin)
    process.stdin.close()
    assert await process.wait() == 0


async def test_the_handshake_era(far: Far, talk: Talk) -> None:
    far.answers["initialize"] = result(1, {"protocolVersion": "2025-06-18"}, "Mcp-Session-Id: s-1")
    far.answers["notifications/initialized"] = [b"HTTP/1.1 202 X\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"]
    text = json.dumps({"jsonrpc": "2.0", "method": "note", "params": {"text": "\u2028ä"}}, ensure_ascii=False).encode()
    far.answers["GET"] = [
        HEAD + b"\r\n", b": a comment\r\nid: 1\r", b"\ndata:\r\n\r\nevent: mess", b"age\r\nda", b"ta: " + text[:30],
        text[30:-1], text[-1:] + b"\r", b"\n\r\n", b'data: {"jsonrpc":"2.0",\ndata: "method":"two"}\n\n',
        b'data:{"method":"three"}\n\n',
    ]  # fmt: skip
    talk.say(1, "initialize", protocolVersion="2025-06-18")
    assert (await talk.hear())["result"] == {"protocolVersion": "2025-06-18"}
    talk.say(None, "notifications/initialized")
    assert (await talk.hear())["params"]["text"] == "\u2028ä"
    assert [(await talk.hear())["method"] for _ in range(2)] == ["two", "three"]
    far.answers["ping"] = result(2, {})
    talk.say(2, "ping")
    assert (await talk.hear())["id"] == 2
    assert "mcp-session-id" not in far.headers("initialize")
    for method in ("notifications/initialized", "GET", "ping"):
        headers = far.headers(method)
        assert (headers["mcp-session-id"], headers["mcp-protocol-version"]) == ("s-1", "2025-06-18")
        assert headers["authorization"] == "Bearer dk_k"
        assert "mcp-method" not in headers


async def test_a_session_that_was_forgotten(far: Far, talk: Talk) -> None:
    accepted = [b"HTTP/1.1 202 X\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"]
    far.answers |= {"initialize": result(1, {"protocolVersion": "2025-06-18"}, "Mcp-Session-Id: s-1")}
    far.answers |= {"notifications/initialized": accepted, "ping": problem(404, "no session")}
    talk.say(1, "initialize")
    await talk.hear()
    talk.say(None, "notifications/initialized")
    far.answers["initialize"] = result(1, {"protocolVersion": "2025-03-26"}, "Mcp-Session-Id: s-2")
    talk.say(7, "ping")
    said = await talk.hear()
    assert (said["id"], "does not know this session" in said["error"]["message"]) == (7, True), "once, not for ever"
    assert [method for method, *_ in far.seen if method in ("initialize", "ping")] == [
        "initialize", "ping", "initialize", "ping",
    ]  # fmt: skip
    assert far.seen[-1][1]["mcp-session-id"] == "s-2" or far.seen[-2][1]["mcp-session-id"] == "s-2"


async def test_the_modern_era(far: Far, talk: Talk) -> None:
    far.answers["tools/list"] = result("l", {"tools": [{"name": "tü", "inputSchema": SCHEMA}]})
    far.answers["tools/call"] = [HEAD, b'\r\ndata: {"jsonrpc":"2.0","id":7,"res', b'ult":{}}\n', b"\n"]
    talk.say("l", "tools/list", _meta=META)
    await talk.hear()
    talk.say(7, "tools/call", name="tü", arguments={"region": "us"}, _meta=META)
    assert (await talk.hear())["result"] == {}
    headers = far.headers("tools/call")
    assert headers["mcp-protocol-version"] == "2026-07-28"
    assert headers["mcp-method"] == "tools/call"
    assert headers["mcp-name"] == "=?base64?dMO8?="
    assert headers["mcp-param-region"] == "us"
    assert "mcp-session-id" not in headers
    talk.say(None, "notifications/progress", progressToken=1)
    talk.say(8, "resources/read", uri="a://b", _meta=META)
    assert (await talk.hear())["error"]["message"].startswith(f"the gateway at {far.url} answered 405")
    assert far.headers("resources/read")["mcp-name"] == "a://b"
    assert [method for method, *_ in far.seen] == ["tools/list", "tools/call", "resources/read"]


async def test_a_cancelled_request_of_the_modern_era_closes_its_stream(far: Far, talk: Talk) -> None:
    far.answers["hang"] = [HEAD, b'\r\ndata: {"jsonrpc":"2.0","method":"notifications/progress"}\n\n']
    far.answers["ping"] = result(2, {})
    talk.say(1, "hang", _meta=META)
    assert (await talk.hear())["method"] == "notifications/progress"
    talk.say(None, "notifications/cancelled", requestId=1)
    await asyncio.wait_for(far.cut.wait(), 20)
    talk.say(2, "ping", _meta=META)
    assert (await talk.hear())["id"] == 2, "nothing is said of the first"
    assert "notifications/cancelled" not in [method for method, *_ in far.seen]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (problem(401, "this key is not known"), "answered 401: this key is not known"),
        ([b"HTTP/1.1 500 X\r\nconnection: close\r\ncontent-length: 5\r\n\r\n<h1>x"], "answered 500: nothing that"),
        ([HEAD, b'\r\ndata: {"jsonrpc":"2.0","id":2,"result":{}}\n\n'], "broke off before it answered"),
        ([HEAD, b'content-length: 9\r\n\r\ndata: {"'], "broke"),
        ([b""], "broke"),
        (
            [b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: text/html\r\ncontent-length: 0\r\n\r\n"],
            "broke off",
        ),
    ],
)
async def test_each_fault_is_an_answer_in_plain_words(far: Far, talk: Talk, answer: list[bytes], said: str) -> None:
    far.answers["ping"] = answer
    talk.say(1, "ping", _meta=META)
    heard = await talk.hear()
    if heard.get("id") == 2:
        heard = await talk.hear()
    assert heard["id"] == 1
    assert said in heard["error"]["message"]


async def test_an_error_of_json_rpc_passes_as_it_is(far: Far, talk: Talk) -> None:
    body = b'{"jsonrpc":"2.0","id":"a","error":{"code":-32601,"message":"no such method"}}'
    head = b"HTTP/1.1 404 X\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    far.answers["what"] = [head % len(body) + body]
    talk.say("a", "what", _meta=META)
    assert (await talk.hear())["error"] == {"code": -32601, "message": "no such method"}
