"""Calls that outlast their client's patience: whose word counts, and what is told meanwhile and afterwards. Nothing
here ends before the test lets it."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest

from adapters.fake.world import WORLDS, World, world
from adapters.mcp.near import PATIENCE
from adapters.mcp.rpc import Message
from adapters.spi import Caller, Upstream
from gateway.testing import Box
from tests.adapters.mcp import wire
from tests.adapters.mcp.wire import ANN, BOB, HURRIED, Client, Face, words

URL = "fake://late"
CALL = "doolittle/call"
SHORT = 0.03
ERAS = pytest.mark.parametrize("modern", [True, False], ids=["modern", "handshake"])


@pytest.fixture
async def box(tmp_path: Path) -> AsyncIterator[Box]:
    WORLDS.pop(URL, None)
    views = {"slow": {"patience": 7}, "plain": {}}
    made = Box(tmp_path, views=views, patience={"clients": {"quick-*": 3, "mcp": 4}})
    await made.open()
    await made.add(Upstream("world", "fake", URL))
    yield made
    await made.close()


@pytest.fixture
def far(box: Box) -> World:
    return world(URL)


@pytest.fixture
async def face(box: Box) -> AsyncIterator[Face]:
    async with wire.held(wire.face(box)) as found:
        yield found


async def near(face: Face, modern: bool, caller: Caller = HURRIED, **how: Any) -> Client:
    client = face.client(modern=modern, caller=caller, **how)
    return client if modern else await client.initialize()


async def until(true: Any) -> None:
    async with asyncio.timeout(20):
        while not true():
            await asyncio.sleep(0.005)


async def first(client: Client, name: str, **arguments: Any) -> str:
    """Begins a call; the id in the interim answer."""
    said = await client.call(name, **arguments)
    id = said["_meta"][CALL]
    assert f'get_call with {{"call": "{id}"}}' in words(said)
    assert f"{name} is still working (call {id})" in words(said)
    assert "isError" not in said
    assert "structuredContent" not in said
    return str(id)


# ---- whose word counts --------------------------------------------------------------------------------------------

FREE = replace(ANN, patience=None)


@pytest.mark.parametrize(
    ("caller", "path", "name", "seconds"),
    [
        (replace(ANN, patience=2), "/mcp/views/slow", "quick-one", 2),
        (replace(ANN, patience=0), "/mcp/views/slow", "quick-one", 0),
        (FREE, "/mcp/views/slow", "quick-one", 7),
        (FREE, "/mcp/views/plain", "quick-one", 3),
        (FREE, "/mcp/all", "quick-one", 3),
        (FREE, "/mcp/all", "mcp", 4),
        (FREE, "/mcp/all", "doolittle", 0),
        (FREE, "/mcp/all", "claude-ai", PATIENCE),
        (FREE, "/mcp/all", "", PATIENCE),
    ],
)
@ERAS
async def test_the_key_the_view_the_operator_the_client(
    face: Face, modern: bool, caller: Caller, path: str, name: str, seconds: float
) -> None:
    client = await near(face, modern, caller, path=path, name=name)
    session = None if modern else face.inbound._sessions.find(client.session, caller)
    place = {"view": path.rpartition("/")[2]} if "views" in path else {}
    scope = {"caller": caller, "path": path, "path_params": place}
    meta = client.message("ping")["params"].get("_meta", {})
    assert face.inbound._nears.of(scope, meta, session, modern).patience == seconds
    names = wire.names((await client.ask("tools/list"))["result"]["tools"])
    assert ("get_call" in names) is bool(seconds)


# ---- afterwards ---------------------------------------------------------------------------------------------------


@ERAS
async def test_the_answer_as_the_tool_would_have_given_it(face: Face, far: World, modern: bool) -> None:
    client, patient = await near(face, modern), await near(face, modern, replace(HURRIED, patience=0))
    id = await first(client, "all__job", text="wait")
    again = await client.call("get_call", call=id, wait=0)
    assert again["_meta"][CALL] == id
    assert "So far: working on it" in words(again)
    waiting = asyncio.create_task(client.call("get_call", call=id, wait=20))
    far.jobs[id].done.set()
    while "still working" in words(said := await waiting):
        waiting = asyncio.create_task(client.call("get_call", call=id, wait=20))
    direct = await patient.call("all__job", text="tea")
    assert words(said) == "done: wait"
    assert {**said, "content": [], "_meta": {}} == {**direct, "content": [], "_meta": {}}
    assert words(await client.call("get_call", call=id)) == "done: wait"
    assert far.seen["deliver"] == 2


@ERAS
async def test_an_error_as_itself(face: Face, far: World, modern: bool) -> None:
    client = await near(face, modern)
    id = await first(client, "all__hang")
    far.outage(True)
    said = await client.call("get_call", call=id)
    far.outage(False)
    assert said["isError"]
    assert words(said).startswith("all__hang (upstream world): ")
    assert said["_meta"]["doolittle/error"]["code"] == "connect_failed"


@ERAS
async def test_a_call_is_its_callers_own(face: Face, far: World, modern: bool) -> None:
    client, other = await near(face, modern), await near(face, modern, replace(BOB, patience=SHORT))
    id = await first(client, "all__hang")
    unknown = await client.call("get_call", call=uuid.uuid4().hex)
    assert unknown["isError"]
    assert unknown["_meta"]["doolittle/error"]["code"] == "unknown"
    for verb in ("get_call", "cancel_call"):
        said = await other.call(verb, call=id)
        assert said["_meta"]["doolittle/error"]["code"] == "unknown"
        assert words(said).replace(id, "") == words(await other.call(verb, call="nothing")).replace("nothing", "")
    assert far.running == 1
    assert "cancelled" in words(await client.call("cancel_call", call=id))
    assert far.running == 0
    assert "cancelled" in words(await client.call("cancel_call", call=id)), "as often as one likes"
    assert (await client.call("get_call", call=id))["isError"]


@ERAS
async def test_what_was_detached_outlives_its_client(face: Face, far: World, modern: bool) -> None:
    client = await near(face, modern)
    id = await first(client, "all__job", text="wait")
    asking = client.begin("tools/call", {"name": "get_call", "arguments": {"call": id, "wait": 20}})
    await asyncio.sleep(0)
    await asking.leave()
    if not modern:
        await client.stream("DELETE").end()
    assert far.running == 1
    far.jobs[id].done.set()
    later = await near(face, not modern)
    while "still working" in words(said := await later.call("get_call", call=id)):
        pass
    assert words(said) == "done: wait", "in a session of another era too"


async def test_a_call_that_was_not_detached_ends_with_its_client(face: Face, far: World) -> None:
    client = await near(face, True, ANN)
    stream = client.begin("tools/call", {"name": "all__hang", "arguments": {}})
    await until(lambda: far.running == 1)
    await stream.leave()
    await until(lambda: far.running == 0)
    assert far.seen["cancel"] == 1


async def test_the_same_call_over_plain_http(face: Face, box: Box, far: World) -> None:
    secret = await box.key("hurried", patience=SHORT)
    caller = box.gateway.keys.bearer(secret, "mcp")
    client = await near(face, True, caller)
    id = await first(client, "all__job", text="wait")
    headers = {"authorization": f"Bearer {secret}"}
    async with httpx2.AsyncClient(base_url=await box.serve(), headers=headers, timeout=20) as http:
        assert (await http.get(f"/v1/calls/{id}")).json()["state"] == "working"
        far.jobs[id].done.set()
        while "still working" in words(said := await client.call("get_call", call=id)):
            pass
        kept = (await http.get(f"/v1/calls/{id}")).json()
    assert kept["state"] == "done", kept
    assert words(said) in str(kept)


# ---- meanwhile ----------------------------------------------------------------------------------------------------


@pytest.fixture
def beating(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("dialogue", "answering"):
        monkeypatch.setattr(f"adapters.mcp.{module}.HEARTBEAT", 0.01)


@pytest.mark.usefixtures("beating")
@ERAS
async def test_signs_of_life_as_progress(face: Face, far: World, modern: bool) -> None:
    client = await near(face, modern, ANN)
    stream = client.begin("tools/call", {"name": "all__job", "arguments": {"text": "wait"}}, progressToken="t")
    await until(lambda: sum(m.get("method") == "notifications/progress" for m in stream.messages) >= 4)
    for job in far.jobs.values():
        job.done.set()
    await stream.end()
    steps = [m["params"] for m in stream.messages if m.get("method") == "notifications/progress"]
    assert {step["progressToken"] for step in steps} == {"t"}
    numbers = [step["progress"] for step in steps]
    assert numbers == sorted(set(numbers)), "it grows"
    assert [step.get("message") for step in steps[:2]] == ["working on it", "still working"]
    assert words(stream.messages[-1]["result"]) == "done: wait"


@pytest.mark.usefixtures("beating")
@ERAS
async def test_signs_of_life_without_a_token(face: Face, far: World, modern: bool) -> None:
    client = await near(face, modern, ANN)
    stream = client.begin("tools/call", {"name": "all__hang", "arguments": {}})
    await until(lambda: stream.body.count(b": working") >= 3)
    assert stream.messages == []
    assert stream.headers["content-type"] == "text/event-stream"
    await stream.leave()
    await until(lambda: far.running == 0)


@pytest.mark.usefixtures("beating")
async def test_signs_of_life_while_a_question_waits(face: Face, far: World) -> None:
    can: Message = {"elicitation": {}}
    client = await near(face, False, ANN, can=can)
    stream = client.begin("tools/call", {"name": "all__ask", "arguments": {}})
    question = await stream.until("elicitation/create")
    await until(lambda: stream.body.count(b": waiting") >= 3)
    reply = {"action": "accept", "content": {"name": "Ada"}}
    await client.post({"jsonrpc": "2.0", "id": question["id"], "result": reply}).end()
    await stream.end()
    assert words(stream.messages[-1]["result"]) == "Hello, Ada"


async def test_what_is_quick_is_answered_as_ever(face: Face) -> None:
    client = face.client(caller=replace(ANN, patience=20))
    stream = await client.begin("tools/call", {"name": "all__echo", "arguments": {"text": "x"}}).end()
    assert stream.headers["content-type"] == "application/json"
    assert words(stream.messages[0]["result"]) == "x"
