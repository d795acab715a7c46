"""Files of a message: passed where the tool has a place for them, refused with what it takes where it has none."""

import base64
from typing import Any

import httpx
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.a2a.files import ANY, Unfit, modes, placed
from adapters.call import File
from adapters.spi import Tool, Upstream
from gateway.testing import Box
from registry.model import schema
from tests.adapters.a2a.wires import VERSION
from tests.adapters.http.test_far_calls import Far, a_service

BYTES: Any = {"type": "string", "contentEncoding": "base64"}
PICTURE: Any = {**BYTES, "contentMediaType": "image/*"}
OBJECT: Any = {"type": "object", "properties": {"base64": BYTES, "name": {"type": "string"}, "mediaType": {}}}
DOT = File("image/png", b"\x89PNG", name="dot.png")
TEXT = File("text/plain; charset=utf-8", b"words")
DOT64 = base64.b64encode(b"\x89PNG").decode()


def tool(*required: str, **properties: Any) -> Tool:
    said = {"type": "object", "properties": properties, "required": list(required)}
    return Tool("show", "Shows it.", schema(said), name="far__show")


@pytest.mark.parametrize(
    ("properties", "files", "expected"),
    [
        ({"photo": BYTES}, [DOT], {"photo": DOT64}),
        ({"photo": {"type": "string", "format": "byte"}}, [DOT], {"photo": DOT64}),
        ({"photo": OBJECT}, [DOT], {"photo": {"base64": DOT64, "name": "dot.png", "mediaType": "image/png"}}),
        ({"photo": {**OBJECT, "properties": {"base64": BYTES}}}, [DOT], {"photo": {"base64": DOT64}}),
        ({"all": {"type": "array", "items": BYTES}}, [DOT, TEXT], {"all": [DOT64, "d29yZHM="]}),
        ({"photo": PICTURE, "other": BYTES}, [TEXT, DOT], {"photo": DOT64, "other": "d29yZHM="}),
        ({"first": BYTES, "second": BYTES}, [DOT, TEXT], {"first": DOT64, "second": "d29yZHM="}),
    ],
)
def test_bytes_go_where_bytes_are_wanted(properties: Any, files: list[File], expected: Any) -> None:
    found, rest = placed(tool(*properties, words={"type": "string"}, **properties), files)
    assert found == expected
    assert list(orjson.loads(rest.input_schema)["properties"]) == ["words"]
    assert orjson.loads(rest.input_schema)["required"] == []


@pytest.mark.parametrize(
    ("properties", "files", "said"),
    [
        ({}, [DOT], "takes text/plain, application/json; this file of image/png has no place"),
        ({"words": {"type": "string"}}, [DOT], "this file of image/png has no place"),
        ({"photo": PICTURE}, [TEXT], "takes text/plain, application/json, image/* as a file; this file of text/plain"),
        ({"photo": BYTES}, [DOT, DOT], "application/octet-stream as a file"),
        ({"photo": BYTES}, [File("image/png", None, "https://example.com/x")], "a file by reference has no place"),
        ({"deep": {"type": "array", "items": {"type": "array", "items": BYTES}}}, [DOT], "no place"),
    ],
)
def test_what_has_no_place_is_refused_with_what_is_taken(properties: Any, files: list[File], said: str) -> None:
    with pytest.raises(Unfit) as caught:
        placed(tool(**properties), files)
    assert said in str(caught.value)
    assert "'show'" in str(caught.value)


def test_a_skill_says_which_files_it_takes() -> None:
    assert modes(tool(photo=PICTURE, other=BYTES, words={"type": "string"})) == ["image/*", ANY]
    assert modes(tool(words={"type": "string"})) == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.sampled_from(["string", "base64", "byte", "object", "array"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["type", "properties", "items", "contentEncoding", "format", "contentMediaType", "base64"]),
        inner, max_size=4,
    ), max_leaves=20,
)  # fmt: skip


@given(properties=JSON, required=JSON, body=st.binary(max_size=20), kind=st.text(max_size=20))
def test_odd_schemas_and_kinds_break_nothing(properties: Any, required: Any, body: bytes, kind: str) -> None:
    """Whatever is placed is the file's own bytes."""
    made = Tool("t", "", schema({"type": "object", "properties": properties, "required": required}))
    try:
        found, _ = placed(made, [File(kind, body)])
    except Unfit:
        return
    (value,) = found.values()
    one: Any = value[0] if isinstance(value, list) else value
    assert base64.b64decode(one["base64"] if isinstance(one, dict) else one) == body


# ---- over the wire, to a real service -------------------------------------------------------------------------------


async def send(url: str, parts: list[Any], skill: str = "it", task: str = "") -> Any:
    said = {"messageId": f"m{len(str(parts))}", "role": "ROLE_USER", "parts": parts, "metadata": {"skill": skill}}
    params = {"message": said | ({"taskId": task} if task else {})}
    body = {"jsonrpc": "2.0", "id": 1, "method": "SendMessage", "params": params}
    async with httpx.AsyncClient(headers=VERSION, timeout=30) as client:
        return (await client.post(url, json=body)).json()


def album(far: Far) -> None:
    properties = {"note": {"type": "string"}, "photo": {"type": "string", "format": "binary"}}
    content = {"multipart/form-data": {"schema": {"type": "object", "properties": properties, "required": ["photo"]}}}
    far.describe("/pet", "post", requestBody={"required": True, "content": content})


async def test_a_file_reaches_the_service_that_wants_it(box: Box) -> None:
    """With words beside it, with data, and alone."""
    async with a_service() as far:
        album(far)
        await box.add(Upstream("far", "http", f"{far.url}/openapi.json"))
        url = f"{await box.serve()}/a2a/far"
        photo = {"raw": DOT64, "mediaType": "image/png", "filename": "dot.png"}
        for beside in ([{"text": "a note"}], [{"data": {"note": "a note"}}], []):
            task = (await send(url, [*beside, photo]))["result"]["task"]
            assert task["status"]["state"] == "TASK_STATE_COMPLETED", task
            body = far.seen[-1].body
            assert b'name="photo"; filename="dot.png"' in body
            assert b"\x89PNG" in body
            assert (b"a note" in body) == bool(beside)
        async with httpx.AsyncClient(timeout=30) as client:
            skills = (await client.get(f"{url}/.well-known/agent-card.json")).json()["skills"]
        assert skills[0]["inputModes"] == ["text/plain", "application/json", ANY]
        seen = len(far.seen)
        error = (await send(url, [{"url": "https://example.com/dot.png", "mediaType": "image/png"}]))["error"]
        assert error["code"] == -32005
        assert "takes text/plain, application/json, application/octet-stream as a file" in error["message"]
        assert len(far.seen) == seen


async def test_an_agent_without_a_place_says_what_it_takes(box: Box) -> None:
    await box.add(Upstream("world", "fake", "fake://files"))
    url = f"{await box.serve()}/a2a/all"
    photo = {"raw": DOT64, "mediaType": "image/png"}
    error = (await send(url, [{"text": "look"}, photo], "echo"))["error"]
    assert error["code"] == -32005
    assert "the skill 'echo' takes text/plain, application/json; this file of image/png" in error["message"]
    asked = (await send(url, [{"data": {}}], "ask"))["result"]["task"]
    assert asked["status"]["state"] == "TASK_STATE_INPUT_REQUIRED"
    async with httpx.AsyncClient(headers=VERSION, timeout=30) as client:
        said = {"messageId": "m9", "role": "ROLE_USER", "parts": [photo], "taskId": asked["id"]}
        body = {"jsonrpc": "2.0", "id": 1, "method": "SendMessage", "params": {"message": said}}
        error = (await client.post(url, json=body)).json()["error"]
    assert error["code"] == -32005
    assert "an answer takes text/plain" in error["message"]
