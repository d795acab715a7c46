"""Bad input and strangers at the faces: a clear error, and nothing else breaks."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from adapters.fake.world import WORLDS, World, world
from adapters.spi import Upstream
from gateway.testing import Box

CALL = "/v1/tools/all__echo/calls"
GOOD = {"arguments": {"text": "x"}}
MCP_CALL = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}


@pytest.fixture
async def far(box: Box) -> World:
    WORLDS.pop("fake://border", None)
    made = world("fake://border")
    await box.add(Upstream("world", "fake", "fake://border"))
    return made


@pytest.fixture
async def http(box: Box, far: World) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=await box.serve(), timeout=20) as client:
        yield client


FACES = [
    CALL,
    "/mcp",
    "/mcp/all",
    "/mcp/agents/all",
    "/v1/views/all/tools/all__echo",
    "/v1/keys",
    "/v1/reload",
    "/nothing/here",
]


@pytest.mark.parametrize("path", FACES)
@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example"},
        {"host": "127.0.0.1.evil.example"},
        {"host": ""},
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:1"},
        {"sec-fetch-site": "cross-site"},
    ],
    ids=str,
)
async def test_a_page_of_another_site_cannot_call(
    http: httpx2.AsyncClient, far: World, path: str, headers: dict[str, str]
) -> None:
    for method in ("POST", "GET"):
        response = await http.request(method, path, json=GOOD if method == "POST" else None, headers=headers)
        assert response.status_code in (400, 403), response.text
    assert far.seen["deliver"] == 0


@pytest.mark.parametrize("path", [CALL, "/mcp", "/v1/keys"])
@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""]
)
async def test_simple_requests_are_refused(http: httpx2.AsyncClient, far: World, path: str, kind: str) -> None:
    response = await http.post(path, content=b'{"arguments":{"text":"x"}}', headers={"content-type": kind})
    assert response.status_code == 415
    assert response.headers["content-type"] == "application/problem+json"
    assert far.seen["deliver"] == 0


async def test_its_own_pages_may_call(http: httpx2.AsyncClient) -> None:
    origin = str(http.base_url).rstrip("/")
    assert (await http.post(CALL, json=GOOD, headers={"origin": origin})).status_code == 200
    assert (await http.post(CALL, json=GOOD, headers={"host": "localhost:9"})).status_code == 200


@pytest.mark.parametrize("path", [CALL, "/mcp", "/v1/keys"])
async def test_twenty_megabytes_are_refused(http: httpx2.AsyncClient, path: str) -> None:
    sent = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(320):
            sent += 2**16
            yield b" " * 2**16

    whole = await http.post(path, content=b" " * 20 * 2**20, headers={"content-type": "application/json"})
    assert whole.status_code == 413
    try:
        chunked = await http.post(path, content=body(), headers={"content-type": "application/json"})
        assert chunked.status_code == 413
    except httpx2.WriteError:
        assert sent < 20 * 2**20, "it hung up in the middle"
    assert (await http.post(CALL, json=GOOD)).status_code == 200


@pytest.mark.parametrize("path", [CALL, "/mcp", "/mcp/all", "/v1/keys", "/v1/upstreams"])
@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"\xff\xfe",
        b"[" * 10_000 + b"]" * 10_000,
        b'{"arguments":' * 10_000,
        b"null",
        b"5",
        b'"x"',
        b"",
        b'{"a":NaN}',
        b"[]",
    ],
    ids=lambda b: b[:8].hex(),
)
async def test_malformed_json_is_a_clear_error(http: httpx2.AsyncClient, path: str, body: bytes) -> None:
    response = await http.post(path, content=body, headers={"content-type": "application/json", "accept": "*/*"})
    assert 400 <= response.status_code < 500, response.text
    assert "Traceback" not in response.text
    assert (await http.post(CALL, json=GOOD)).status_code == 200


@pytest.mark.parametrize(
    "said",
    [
        {"arguments": 5},
        {"arguments": {"text": 5}},
        {"arguments": {"text": "x"}, "nonsense": 1},
        {"id": "", **GOOD},
        {"id": "x" * 500, **GOOD},
        {"id": "a\nb", **GOOD},
        {"timeout": -1, **GOOD},
        {"timeout": "soon", **GOOD},
        {"timeout": True, **GOOD},
        {"budget": 1.5, **GOOD},
        {"budget": "NaN", **GOOD},
        {"answer": {"token": 5, "values": {}}, **GOOD},
        {"conversation": 5, **GOOD},
        {"detached": "yes", **GOOD},
    ],
    ids=str,
)
async def test_wrong_types_are_said(http: httpx2.AsyncClient, far: World, said: dict[str, Any]) -> None:
    response = await http.post(CALL, json=said)
    assert response.status_code == 400
    assert response.json()["code"] == "bad_arguments"
    assert far.seen["deliver"] == 0


async def test_nested_arguments(http: httpx2.AsyncClient) -> None:
    """A document that is JSON, and deeper than anybody needs."""
    body = b'{"arguments":{"tool":"x","arguments":{"a":' + b"[" * 900 + b"]" * 900 + b"}}}"
    response = await http.post("/v1/tools/all__relay/calls", content=body, headers={"content-type": "application/json"})
    assert 400 <= response.status_code < 500
    assert (await http.post(CALL, json=GOOD)).status_code == 200


async def test_unknown_paths_and_methods(http: httpx2.AsyncClient) -> None:
    assert (await http.get("/nothing")).status_code == 404
    assert (await http.get(CALL)).status_code == 405
    response = await http.post("/v1/tools/all__ecko/calls", json=GOOD)
    assert (response.status_code, response.json()["code"]) == (404, "unknown")
    assert "all__echo" in response.json()["detail"]


async def test_garbage_on_the_socket(http: httpx2.AsyncClient) -> None:
    port = http.base_url.port
    for junk in (
        b"\x16\x03\x01\x02\x00",
        b"GET / HTTP/9.9\r\n\r\n",
        b"A" * 100_000,
        b"POST /mcp HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(junk)
        writer.write_eof()
        await reader.read(1000)
        writer.close()
    assert (await http.post(CALL, json=GOOD)).status_code == 200


async def test_header_values_are_trimmed(box: Box, http: httpx2.AsyncClient) -> None:
    key = await box.key("ann")
    reader, writer = await asyncio.open_connection("127.0.0.1", http.base_url.port)
    head = f"GET /v1/tools HTTP/1.1\r\nHost: localhost  \r\nAuthorization: Bearer {key}   \r\nConnection: close\r\n\r\n"
    writer.write(head.encode())
    assert b"200 OK" in await reader.readline()
    writer.close()


async def test_secrets_do_not_stand_in_errors(box: Box, http: httpx2.AsyncClient) -> None:
    await box.key("ann")
    response = await http.get("/v1/tools", headers={"authorization": "Bearer dk_hunter2hunter2"})
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"
    assert "hunter2" not in response.text
