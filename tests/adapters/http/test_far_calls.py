"""Calls to services: where credentials go, what comes back, and what is said of what goes wrong."""

import base64
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from adapters.conformance.serving import serving
from adapters.errors import GatewayError
from adapters.spi import Call, Data, Error, Event, File, Hop, Part, Result, Text, Upstream
from gateway.testing import Box

SECRET = "s3cret-of-the-service"
PET = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}


@dataclass
class Seen:
    """One request, as it arrived."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Far:
    """A service that answers what `answers` has for a path, and notes what it saw."""

    url: str = ""
    document: dict[str, Any] = field(default_factory=dict[str, Any])
    answers: dict[str, Response] = field(default_factory=dict[str, Response])
    seen: list[Seen] = field(default_factory=list[Seen])

    async def handle(self, request: Request) -> Response:
        if request.url.path == "/openapi.json":
            return JSONResponse(self.document)
        target = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        self.seen.append(Seen(request.method, target, dict(request.headers), await request.body()))
        return self.answers.get(request.url.path) or JSONResponse({"name": "Tray"})

    def describe(self, path: str, method: str = "get", **operation: Any) -> None:
        self.document.setdefault("paths", {}).setdefault(path, {})[method] = {"operationId": "it", **operation}


@asynccontextmanager
async def a_service() -> AsyncIterator[Far]:
    far = Far(document={"openapi": "3.1.0", "info": {"title": "Far", "version": "1"}})
    methods = ["GET", "POST", "PUT", "DELETE", "PATCH"]
    async with serving(Starlette(routes=[Route("/{path:path}", far.handle, methods=methods)])) as (url, _):
        far.url = url
        yield far


@pytest.fixture
async def far() -> AsyncIterator[Far]:
    async with a_service() as found:
        yield found


async def add(box: Box, far: Far, secret: str = "", **options: Any) -> None:
    await box.add(Upstream("far", "http", f"{far.url}/openapi.json", secret, options=options))


async def events(box: Box, arguments: dict[str, Any] | None = None, **more: Any) -> list[Event]:
    call = Call("c1", "far__it", arguments or {}, box.caller, **more)
    return [event async for event in box.invoke(call)]


async def result(box: Box, arguments: dict[str, Any] | None = None) -> Result:
    last = (await events(box, arguments))[-1]
    assert isinstance(last, Result), last
    return last


async def fault(box: Box, arguments: dict[str, Any] | None = None) -> GatewayError:
    last = (await events(box, arguments))[-1]
    assert isinstance(last, Error), last
    return last.error


@pytest.mark.parametrize(
    ("scheme", "header", "value"),
    [
        ({"type": "http", "scheme": "bearer"}, "authorization", f"Bearer {SECRET}"),
        ({"type": "http", "scheme": "basic"}, "authorization", "Basic " + base64.b64encode(SECRET.encode()).decode()),
        ({"type": "apiKey", "in": "header", "name": "X-Key"}, "x-key", SECRET),
        ({"type": "apiKey", "in": "cookie", "name": "sid"}, "cookie", f"sid={SECRET}"),
        ({"type": "oauth2", "flows": {}}, "authorization", f"Bearer {SECRET}"),
    ],
)
async def test_the_key_goes_where_its_scheme_says(box: Box, far: Far, scheme: Any, header: str, value: str) -> None:
    far.describe("/pet", security=[{"it": []}])
    far.document["components"] = {"securitySchemes": {"it": scheme}}
    await add(box, far, SECRET)
    await result(box)
    assert far.seen[-1].headers[header] == value


async def test_a_key_in_the_query_is_in_no_error(box: Box, far: Far) -> None:
    far.describe("/pet", security=[{"it": []}])
    far.document["components"] = {"securitySchemes": {"it": {"type": "apiKey", "in": "query", "name": "k"}}}
    far.answers["/pet"] = JSONResponse({"detail": f"your key {SECRET} is stale"}, 403)
    await add(box, far, SECRET)
    error = await fault(box)
    assert far.seen[-1].target == f"/pet?k={SECRET}"
    assert error.public == "'far' refused (403): your key … is stale"
    assert SECRET not in repr(vars(error))


async def test_of_alternatives_the_first_that_can_be_met(box: Box, far: Far) -> None:
    far.describe("/pet", security=[{"a": [], "b": []}, {"c": []}])
    schemes = {name: {"type": "apiKey", "in": "header", "name": f"x-{name}"} for name in "abc"}
    far.document["components"] = {"securitySchemes": schemes}
    await add(box, far, credentials={"a": "A", "c": "C"})
    await result(box)
    sent = {name: value for name, value in far.seen[-1].headers.items() if name.startswith("x-")}
    assert sent == {"x-c": "C"}


async def test_credentials_do_not_follow_the_document_elsewhere(box: Box, far: Far) -> None:
    """A server that a document names may be anybody's: on loopback it is not even reached."""
    async with a_service() as other:
        far.describe("/pet", servers=[{"url": other.url}])
        await add(box, far, SECRET, headers={"x-own": "mine"})
        error = await fault(box)
        assert error.code == "denied"
        assert not other.seen


async def test_redirects_are_followed_at_home_only(box: Box, far: Far) -> None:
    async with a_service() as other:
        far.describe("/old")
        far.answers["/old"] = Response(status_code=308, headers={"location": "/new?a=1"})
        await add(box, far, SECRET)
        assert (await result(box)).structured == {"name": "Tray"}
        assert far.seen[-1].target == "/new?a=1"
        assert far.seen[-1].headers["authorization"] == f"Bearer {SECRET}"
        far.answers["/old"] = Response(status_code=302, headers={"location": f"{other.url}/pet"})
        events_ = [e async for e in box.invoke(Call("c2", "far__it", {}, box.caller))]
        assert isinstance(events_[-1], Error)
        assert "elsewhere (302)" in events_[-1].error.public
        assert not other.seen


async def test_what_was_sent_is_not_sent_again_elsewhere(box: Box, far: Far) -> None:
    """A POST that is redirected is refused."""
    far.describe("/old", "post")
    far.answers["/old"] = Response(status_code=307, headers={"location": "/new"})
    await add(box, far)
    assert "elsewhere (307)" in (await fault(box)).public
    assert [one.target for one in far.seen] == ["/old"]


async def test_answers_keep_their_kind(box: Box, far: Far) -> None:
    far.describe("/pet")
    await add(box, far)
    png = Response(b"\x89PNG", media_type="image/png", headers={"content-disposition": 'inline; filename="../a.png"'})
    expected: dict[str, tuple[Response, Any, Any]] = {
        "c1": (JSONResponse([1, 2]), Text("[1,2]"), {"result": [1, 2]}),
        "c2": (Response("hi", media_type="text/plain"), Text("hi"), None),
        "c3": (png, File("image/png", b"\x89PNG", name="a.png"), None),
        "c4": (Response(status_code=204), Text("done (204)"), None),
        "c5": (Response("häh".encode("latin-1"), media_type="text/plain; charset=latin-1"), Text("häh"), None),
    }
    for id, (answer, content, structured) in expected.items():
        far.answers["/pet"] = answer
        last = [event async for event in box.invoke(Call(id, "far__it", {}, box.caller))][-1]
        assert isinstance(last, Result), last
        assert last.content == (content,)
        assert last.structured == structured
        assert not any(isinstance(part, Data) for part in last.content)


async def test_a_stream_of_events_streams(box: Box, far: Far) -> None:
    far.describe("/pet")
    far.answers["/pet"] = Response(
        b": hi\r\n\r\ndata: a\ndata: b\n\nid: 1\ndata: c\n\n", media_type="text/event-stream"
    )
    await add(box, far)
    found = await events(box)
    assert found[:2] == [Part(Text("a\nb")), Part(Text("c"))]
    assert isinstance(found[-1], Result)
    assert found[-1].text == "a\nb\nc"


async def test_an_answer_is_held_against_its_document(box: Box, far: Far) -> None:
    responses = {"200": {"content": {"application/json": {"schema": PET}}}}
    far.describe("/pet", responses=responses)
    far.answers["/pet"] = JSONResponse({"nom": "Tray"})
    await add(box, far)
    error = await fault(box)
    assert (error.code, error.delivered) == ("broken", "yes")
    assert '"name" is a required property' in error.public
    await box.remove("far")
    await add(box, far, answers="free")
    assert box.tools("far")[0].output_schema is None
    last = [event async for event in box.invoke(Call("c2", "far__it", {}, box.caller))][-1]
    assert isinstance(last, Result)
    assert last.structured == {"nom": "Tray"}


@pytest.mark.parametrize(
    ("status", "headers", "body", "code", "said"),
    [
        (400, {}, {"detail": [{"msg": "x"}]}, "refused", '(400): {"detail":[{"msg":"x"}]}'),
        (401, {}, {}, "refused", "refuses the gateway's key (401)"),
        (404, {}, {"error": {"message": "no pet"}}, "refused", "(404): no pet"),
        (429, {"retry-after": "9"}, {}, "full", "takes no more for now (429)"),
        (503, {"retry-after": "Sun, 06 Nov"}, {}, "full", "takes no more for now (503)"),
        (500, {}, {"message": "x" * 2000}, "refused", "'far' failed (500): " + "x" * 500),
    ],
)
async def test_errors_say_what_the_service_said(
    box: Box, far: Far, status: int, headers: dict[str, str], body: Any, code: str, said: str
) -> None:
    far.describe("/pet")
    far.answers["/pet"] = JSONResponse(body, status, headers)
    await add(box, far)
    error = await fault(box)
    assert error.code == code
    assert said in error.public
    assert len(error.public) < 600
    assert error.retry_after == (9 if status == 429 else None)


async def test_a_form_with_a_file_arrives(box: Box, far: Far) -> None:
    properties = {"note": {"type": "string"}, "photo": {"type": "string", "format": "binary"}}
    content = {"multipart/form-data": {"schema": {"type": "object", "properties": properties}}}
    far.describe("/pet", "post", requestBody={"required": True, "content": content})
    await add(box, far)
    photo = {"base64": base64.b64encode(b"\0\1").decode(), "name": "a.png", "mediaType": "image/png"}
    await result(box, {"note": "hi", "photo": photo})
    seen = far.seen[-1]
    boundary = re.fullmatch(r"multipart/form-data; boundary=(\S+)", seen.headers["content-type"])
    assert boundary
    parts = seen.body.split(b"--" + boundary[1].encode())
    assert b'name="photo"; filename="a.png"' in parts[2]
    assert b"image/png" in parts[2]
    assert parts[2].endswith(b"\r\n\r\n\0\1\r\n")


async def test_a_document_in_a_file_is_named_by_the_operator_alone(box: Box, far: Far, tmp_path: Path) -> None:
    far.describe("/pet")
    path = tmp_path / "far.json"
    path.write_bytes(orjson.dumps(far.document))
    here = Upstream("far", "http", far.url + "/v2/", SECRET, options={"document": str(path)})
    await box.add(here)
    await result(box)
    assert far.seen[-1].target == "/v2/pet"
    stranger = Upstream("other", "http", far.url, options={"document": str(path)}, origin="api")
    with pytest.raises(GatewayError, match="operator's file only"):
        await box.add(stranger)


async def test_only_what_was_chosen_is_a_tool(box: Box, far: Far) -> None:
    for path, id, tag in (("/a", "readIt", "x"), ("/b", "writeIt", "y"), ("/c", "dropIt", "z")):
        far.document.setdefault("paths", {})[path] = {"get": {"operationId": id, "tags": [tag]}}
    await add(box, far, operations=["read*", "GET /b"])
    assert sorted(tool.native for tool in box.tools("far")) == ["readIt", "writeIt"]


async def test_check_names_what_cannot_be_called(box: Box, far: Far) -> None:
    far.describe("/pet")
    far.document["paths"]["/bad"] = {"get": {"parameters": [{"$ref": "other.json#/x"}]}}
    await add(box, far)
    report = await box.report(box.gateway.upstreams.find("far").upstream)
    assert report.ok
    assert report.text == (
        "Far: 1 operations; 1 cannot be called: GET /bad ('other.json#/x' refers to another document, "
        "which is not fetched)"
    )


async def test_a_gateways_view_is_a_service_and_circles_through_it_are_cut(box: Box, tmp_path: Path) -> None:
    """Two gateways, by nothing but OpenAPI; the chain of the call travels."""
    other = Box(tmp_path / "other")
    await other.open()
    try:
        await other.add(Upstream("world", "fake", "fake://demo"))
        url = await other.serve()
        await box.add(Upstream("far", "http", f"{url}/v1/views/all/openapi.json"))
        tool = next(t for t in box.tools("far") if t.native == "all__add")
        last = [e async for e in box.invoke(Call("c1", tool.name, {"a": 1, "b": 2}, box.caller))][-1]
        assert isinstance(last, Result), last
        assert "3" in last.text
        passed = (Hop("outer", "all", "all__add"),)
        last = [e async for e in box.invoke(Call("c2", tool.name, {"a": 1, "b": 2}, box.caller, hops=passed))][-1]
        assert isinstance(last, Error)
        assert "409" in last.error.public
    finally:
        await other.close()
