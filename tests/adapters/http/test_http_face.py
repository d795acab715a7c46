"""Plain HTTP as a client sees it: documents, events, statuses, and what is left behind."""

import asyncio
import base64
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import orjson
import pytest

from adapters.fake import translate as fake
from adapters.fake.outbound import RELAYS
from adapters.fake.world import WORLDS, World, world
from adapters.spi import Upstream
from gateway.testing import Box

URL = "fake://http-face"
SSE = {"accept": "text/event-stream"}


@pytest.fixture
async def far(box: Box) -> World:
    WORLDS.pop(URL, None)
    made = world(URL)
    await box.add(Upstream("world", "fake", URL))
    RELAYS[URL] = box.invoke
    return made


@pytest.fixture
async def http(box: Box, far: World) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=await box.serve(), timeout=20) as client:
        yield client


def path(tool: str) -> str:
    return f"/v1/tools/all__{tool}/calls"


async def blocks(response: httpx2.Response) -> list[tuple[str, dict[str, Any]]]:
    """Events of a stream that ends: each with its name."""
    found: list[tuple[str, dict[str, Any]]] = []
    for block in (await response.aread()).decode().split("\n\n"):
        lines = [line for line in block.split("\n") if line and not line.startswith(":")]
        if lines:
            name, data = lines
            found.append((name.removeprefix("event: "), orjson.loads(data.removeprefix("data: "))))
    return found


async def until(true: Any) -> None:
    ends = time.monotonic() + 3
    while not true():
        assert time.monotonic() < ends
        await asyncio.sleep(0.002)


async def test_a_call_is_answered_with_a_document(http: httpx2.AsyncClient) -> None:
    response = await http.post(path("echo"), json={"arguments": {"text": "né\u2028!"}, "id": "mine"})
    assert response.headers["content-type"] == "application/json"
    assert response.json() == {
        "call": "mine",
        "state": "done",
        "result": {"content": [{"type": "text", "text": "né\u2028!"}], "text": "né\u2028!"},
    }
    structured = (await http.post(path("add"), json={"arguments": {"a": 1, "b": 2.5}})).json()["result"]
    assert structured["structured"] == {"sum": 3.5}


async def test_a_call_without_a_body_has_no_arguments(http: httpx2.AsyncClient, far: World) -> None:
    response = await http.post(path("parts"))
    assert [c["type"] for c in response.json()["result"]["content"]] == ["text", "data", "file", "file"]
    picture, link = response.json()["result"]["content"][2:]
    assert base64.b64decode(picture["base64"]) == b"\x89PNG"
    assert (link["uri"], "base64" in link) == ("https://example.org/page", False)
    for said in ({}, {"arguments": None}, {"arguments": {}, "id": None, "timeout": None}):
        assert (await http.post(path("parts"), json=said)).status_code == 200


async def test_a_stream_carries_every_event_in_its_order(http: httpx2.AsyncClient) -> None:
    response = await http.post(path("count"), json={"arguments": {"n": 3}, "id": "s"}, headers=SSE)
    assert response.headers["content-type"] == "text/event-stream"
    assert response.headers["doolittle-call"] == "s"
    assert response.headers["cache-control"] == "no-store"
    found = await blocks(response)
    assert [name for name, _ in found] == ["progress", "part"] * 3 + ["result"]
    assert {data["call"] for _, data in found} == {"s"}
    assert found[0][1] == {"call": "s", "message": "counting 1", "done": 1, "total": 3}
    assert found[1][1]["content"] == {"type": "text", "text": "1 "}
    assert found[-1][1]["text"] == "counted to 3"


async def test_new_lines_in_texts_do_not_break_the_stream(http: httpx2.AsyncClient) -> None:
    text = "a\n\nevent: result\ndata: {}\r\n\rb"
    found = await blocks(await http.post(path("echo"), json={"arguments": {"text": text}}, headers=SSE))
    assert [(name, data["text"]) for name, data in found] == [("result", text)]


@pytest.mark.parametrize("code", sorted(fake.KINDS))
async def test_every_error_is_a_problem_document(http: httpx2.AsyncClient, code: str) -> None:
    response = await http.post(path("fail"), json={"arguments": {"kind": code}, "id": "f"})
    kind = fake.KINDS[code]
    assert response.status_code == kind.status
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert problem | {"retry_after": 7} == {
        "type": "about:blank", "title": kind.__name__, "status": kind.status, "call": "f", "retry_after": 7,
        "detail": f"the far side failed with '{code}'", "code": code, "delivered": kind.usually,
    }  # fmt: skip
    assert response.headers.get("retry-after") == ("7" if "retry_after" in problem else None)
    streamed = await http.post(path("fail"), json={"arguments": {"kind": code}, "id": "f"}, headers=SSE)
    assert (streamed.status_code, streamed.json()) == (kind.status, problem), "refused at once, it is no stream"


async def test_an_error_in_the_middle_of_a_stream_is_its_last_event(http: httpx2.AsyncClient) -> None:
    said = {"arguments": {"how": "early close"}}
    found = await blocks(await http.post(path("garbage"), json=said, headers=SSE))
    assert [name for name, _ in found] == ["part", "error"]
    assert (found[-1][1]["code"], found[-1][1]["delivered"]) == ("connect_failed", "unknown")


async def test_an_unknown_tool_is_404_with_the_nearest_name(http: httpx2.AsyncClient) -> None:
    response = await http.post("/v1/tools/all__ecko/calls", json={"arguments": {}})
    assert response.status_code == 404
    assert "'all__echo'" in response.json()["detail"]
    assert (await http.post("/v1/tools/zzzzzz/calls", json={})).status_code == 404
    assert (await http.get("/v1/tools/all__ecko")).status_code == 404


async def test_a_question_is_asked_and_answered(http: httpx2.AsyncClient) -> None:
    asked = (await http.post(path("ask"), json={"arguments": {"greeting": "Good day"}})).json()
    assert asked["state"] == "asking"
    (form,) = asked["ask"]["requests"]
    assert (form["type"], form["id"], form["schema"]["required"]) == ("form", "who", ["name"])
    assert "greeting" not in str(asked), "the adapter's state is sealed"
    said = {"answer": {"token": asked["ask"]["token"], "values": {"who": {"name": "Henry"}}}}
    answered = (await http.post(path("ask"), json=said)).json()
    assert answered["result"]["text"] == "Good day, Henry"
    again = await http.post(path("ask"), json=said)
    assert (again.status_code, again.json()["code"]) == (410, "expired")


async def test_detached_is_202_and_then_read(http: httpx2.AsyncClient, far: World) -> None:
    said = {"arguments": {"text": "wait for it"}, "id": "d1", "detached": True}
    response = await http.post(path("job"), json=said)
    assert (response.status_code, response.json()["state"]) == (202, "working")
    record = (await http.get("/v1/calls/d1")).json()
    assert (record["state"], record["tool"]) == ("working", "all__job")
    assert record["progress"]["message"] == "working on it"
    far.jobs["d1"].done.set()
    followed = await blocks(await http.get("/v1/calls/d1", headers=SSE))
    assert [name for name, _ in followed] == ["accepted", "progress", "result"]
    done = (await http.get("/v1/calls/d1")).json()
    assert (done["state"], done["result"]["text"]) == ("done", "done: wait for it")
    assert done["ended"] >= done["started"]
    assert far.seen["deliver"] == 1


async def test_detached_and_refused_is_refused(http: httpx2.AsyncClient) -> None:
    said = {"arguments": {"kind": "refused"}, "detached": True}
    assert (await http.post(path("fail"), json=said)).status_code == 502
    assert (await http.post("/v1/tools/no_such/calls", json=said)).status_code == 404


async def test_delete_cancels(http: httpx2.AsyncClient, far: World) -> None:
    await http.post(path("hang"), json={"id": "h", "detached": True})
    await until(lambda: far.running == 1)
    response = await http.delete("/v1/calls/h")
    assert (response.status_code, response.json()["state"]) == (200, "failed")
    assert response.json()["error"]["code"] == "cancelled"
    assert (far.running, far.seen["cancel"]) == (0, 1)
    for method in ("GET", "DELETE"):
        gone = await http.request(method, "/v1/calls/nothing")
        assert (gone.status_code, gone.json()["code"]) == (404, "unknown")


@pytest.mark.parametrize("headers", [{}, SSE], ids=["json", "stream"])
async def test_hanging_up_reaches_the_far_side(box: Box, far: World, headers: dict[str, str]) -> None:
    async with httpx2.AsyncClient(base_url=await box.serve()) as client:
        call = asyncio.create_task(client.post(path("hang"), json={}, headers=headers))
        await until(lambda: far.running == 1)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
    await until(lambda: far.seen["cancel"] == 1 and far.running == 0)


async def test_somebody_who_only_follows_may_hang_up(http: httpx2.AsyncClient, far: World) -> None:
    await http.post(path("job"), json={"arguments": {"text": "wait"}, "id": "j", "detached": True})
    async with http.stream("GET", "/v1/calls/j", headers=SSE) as response:
        await anext(response.aiter_bytes())
    assert (await http.get("/v1/calls/j")).json()["state"] == "working"
    await http.delete("/v1/calls/j")


async def test_one_id_is_one_delivery(http: httpx2.AsyncClient, far: World) -> None:
    said = {"arguments": {"text": "x"}, "id": "once"}
    first, again = await http.post(path("echo"), json=said), await http.post(path("echo"), json=said)
    assert first.json() == again.json()
    assert far.seen["deliver"] == 1
    other = await http.post(path("echo"), json={"arguments": {"text": "y"}, "id": "once"})
    assert (other.status_code, other.json()["code"]) == (409, "conflict")


async def test_calls_are_read_by_their_own_key_alone(box: Box, http: httpx2.AsyncClient) -> None:
    ann, eve = await box.key("ann"), await box.key("eve")
    as_ann, as_eve = ({"authorization": f"Bearer {key}"} for key in (ann, eve))
    await http.post(path("echo"), json={"arguments": {"text": "x"}, "id": "hers"}, headers=as_ann)
    assert (await http.get("/v1/calls/hers", headers=as_ann)).status_code == 200
    for method in ("GET", "DELETE"):
        assert (await http.request(method, "/v1/calls/hers", headers=as_eve)).status_code == 404
    assert (await http.get("/v1/calls/hers")).status_code == 401
    assert (await http.get("/v1/calls/hers", headers={"x-api-key": ann})).status_code == 200


async def test_deadlines_hops_and_conversations_are_carried(http: httpx2.AsyncClient, far: World) -> None:
    late = await http.post(path("hang"), json={"timeout": 0.05})
    assert (late.status_code, late.json()["code"]) == (504, "timed_out")
    headers = {"doolittle-hops": "r/other/other__ask"}
    await http.post(path("echo"), json={"arguments": {"text": "x"}, "id": "hop"}, headers=headers)
    assert far.hops["hop"] == "r/other/other__ask,hop/all/all__echo"
    loop = {"doolittle-hops": "r/all/all__echo"}
    cut = await http.post(path("echo"), json={"arguments": {"text": "x"}}, headers=loop)
    assert (cut.status_code, cut.json()["code"]) == (409, "loop_cut")
    assert (await http.post(path("echo"), json={}, headers={"doolittle-hops": "nonsense"})).status_code == 400
    for text in ("a", "b"):
        said = {"arguments": {"text": text}, "conversation": "talk"}
        answer = await http.post(path("remember"), json=said)
    assert answer.json()["result"]["text"] == "a b"
    alone = await http.post(path("remember"), json={"arguments": {"text": "c"}})
    assert alone.json()["result"]["text"] == "c"


async def test_an_answer_too_large_is_a_clear_error(http: httpx2.AsyncClient) -> None:
    fits = await http.post(path("big"), json={"arguments": {"bytes": 1_000_000}})
    assert len(fits.json()["result"]["text"]) == 1_000_000
    began = time.monotonic()
    response = await http.post(path("big"), json={"arguments": {"bytes": 20_000_000}})
    assert time.monotonic() - began < 3, "nothing is waited for: the request was read to its end"
    assert (response.status_code, response.json()["delivered"]) == (413, "yes")


async def test_strangers_among_ids_in_headers(http: httpx2.AsyncClient) -> None:
    response = await http.post(path("count"), json={"arguments": {"n": 1}, "id": "né 名"}, headers=SSE)
    assert (await blocks(response))[-1][1]["call"] == "né 名"
    assert (await http.get("/v1/calls/n%C3%A9%20%E5%90%8D")).json()["state"] == "done"


async def test_sixty_four_at_once_are_each_answered_with_their_own(http: httpx2.AsyncClient) -> None:
    said = [{"arguments": {"text": str(n), "delay": 0.01}} for n in range(64)]
    found = await asyncio.gather(*(http.post(path("echo"), json=one) for one in said))
    assert [r.json()["result"]["text"] for r in found] == [str(n) for n in range(64)]
