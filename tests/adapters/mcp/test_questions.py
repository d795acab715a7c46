"""What a far side asks back reaches the client, and the answer the far side: each era of the one with each of the
other."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest

from adapters.fake.world import WORLDS, World, world
from adapters.mcp.rpc import Message
from adapters.spi import Caller, Upstream
from gateway.testing import Box
from tests.adapters.mcp import wire
from tests.adapters.mcp.asker import Asker
from tests.adapters.mcp.wire import ANN, BOB, CAN_ALL, HURRIED, Client, Face, Stream, words

URL = "fake://questions"
ADA: Message = {"action": "accept", "content": {"name": "Ada"}}
WENT: Message = {"action": "accept"}
PARIS: Message = {"role": "assistant", "content": {"type": "text", "text": "Paris"}, "model": "m"}
ERAS = pytest.mark.parametrize("modern", [True, False], ids=["modern", "handshake"])
FAR = pytest.mark.parametrize("far", ["modern", "handshake"])


@pytest.fixture
async def asker(box: Box) -> Asker:
    made = Asker()
    await box.add(Upstream("questions", "asker"), made)
    return made


@pytest.fixture
async def face(box: Box, asker: Asker) -> AsyncIterator[Face]:
    async with wire.held(wire.face(box)) as found:
        yield found


async def near(face: Face, modern: bool, can: Message | None = None, caller: Caller = ANN) -> Client:
    client = face.client(modern=modern, can=CAN_ALL if can is None else can, caller=caller)
    return client if modern else await client.initialize()


async def answered(client: Client, name: str, /, *given: Message, **arguments: Any) -> Message:
    """The end of a call whose questions get these answers, one after the other."""
    answers = list(given)
    if client.modern:
        return await _retried(client, name, answers, arguments)
    stream = client.begin("tools/call", {"name": name, "arguments": arguments})
    done: set[Any] = set()
    async with asyncio.timeout(20):
        while not stream.task.done():
            stream.changed.clear()
            for message in stream.messages:
                if "method" in message and "id" in message and message["id"] not in done:
                    done.add(message["id"])
                    reply = {"jsonrpc": "2.0", "id": message["id"], "result": answers.pop(0)}
                    assert (await client.post(reply).end()).status == 202
            await stream.changed.wait()
    return result(stream)


async def _retried(client: Client, name: str, answers: list[Message], arguments: Message) -> Message:
    params: Message = {"name": name, "arguments": arguments}
    while True:
        said = await client.ask("tools/call", params)
        found = said.get("result") or said["error"]
        if found.get("resultType") != "input_required":
            return found
        given = {id: answers.pop(0) for id in found["inputRequests"]}
        params = {**params, "requestState": found["requestState"], "inputResponses": given}


def result(stream: Stream) -> Message:
    last = stream.messages[-1]
    return last.get("result") or last["error"]


def values(said: Message) -> Any:
    return said["structuredContent"]["values"]


# ---- every kind ---------------------------------------------------------------------------------------------------


@ERAS
@pytest.mark.parametrize(
    ("tool", "given", "expected"),
    [
        ("form", [ADA], {"who": {"name": "Ada"}}),
        ("form", [{"action": "decline"}], {"who": None}),
        ("form", [{"action": "cancel"}], {}),
        ("visit", [WENT], {"page": True}),
        ("visit", [{"action": "decline"}], {"page": None}),
        ("sampling", [PARIS], {"model": PARIS}),
        ("several", [ADA, WENT, PARIS], {"who": {"name": "Ada"}, "page": True, "model": PARIS}),
        ("several", [ADA, {"action": "decline"}, PARIS], {"who": {"name": "Ada"}, "page": None, "model": PARIS}),
    ],
)
async def test_every_kind_of_answer(
    face: Face, modern: bool, tool: str, given: list[Message], expected: Message
) -> None:
    assert values(await answered(await near(face, modern), f"asker__{tool}", *given)) == expected


async def test_an_error_in_place_of_an_answer_is_a_no(face: Face) -> None:
    client = await near(face, False)
    stream = client.begin("tools/call", {"name": "asker__sampling", "arguments": {}})
    question = await stream.until("sampling/createMessage")
    no = {"jsonrpc": "2.0", "id": question["id"], "error": {"code": -1, "message": "User rejected"}}
    assert (await client.post(no).end()).status == 202
    await stream.end()
    assert values(result(stream)) == {"model": None}


async def test_questions_in_the_words_of_the_protocol(face: Face) -> None:
    modern = (await (await near(face, True)).ask("tools/call", {"name": "asker__several", "arguments": {}}))["result"]
    asked = modern["inputRequests"]
    assert set(asked) == {"who", "page", "model"}
    form = {"mode": "form", "message": "What is your name?"}
    assert asked["who"]["method"] == "elicitation/create"
    assert form.items() <= asked["who"]["params"].items()
    assert asked["page"]["params"] == {"mode": "url", "message": "Please log in.", "url": "https://example.org/login"}
    assert asked["model"]["method"] == "sampling/createMessage"
    client = await near(face, False)
    stream = client.begin("tools/call", {"name": "asker__several", "arguments": {}})
    await stream.until("sampling/createMessage")
    live = {message["params"].get("mode", "model"): message["params"] for message in stream.messages}
    assert live["form"] == asked["who"]["params"]
    assert live["url"] == {**asked["page"]["params"], "elicitationId": "page"}
    assert live["model"] == asked["model"]["params"]
    await stream.leave()


@FAR
@ERAS
async def test_each_era_with_each_other(face: Face, box: Box, modern: bool, far: str) -> None:
    async with wire.server(box, "own", far):
        client = await near(face, modern)
        for tool, given, expected in (
            ("test_elicitation", {"action": "accept", "content": {"username": "A", "email": "b"}}, "action=accept"),
            ("test_elicitation", {"action": "decline"}, "action=decline"),
            ("test_elicitation", {"action": "cancel"}, "action=cancel"),
            ("test_sampling", PARIS, "LLM response: Paris"),
        ):
            said = await answered(client, f"own__{tool}", given, message="m", prompt="p")
            assert expected in words(said), said
        (name,) = (t.name for t in box.tools("own") if t.native == "test_input_required_result_multi_round")
        twice = await answered(client, name, ADA, ADA)
        assert "Done" in words(twice)


@ERAS
async def test_a_far_side_that_waits_live(face: Face, box: Box, modern: bool) -> None:
    far = await parked(box)
    said = await answered(await near(face, modern), "all__wait", ADA)
    assert words(said) == "Hello, Ada, at last"
    said = await answered(await near(face, modern), "all__wait", {"action": "decline"})
    assert said["isError"]
    assert far.running == 0
    assert len(parking(box)) == 0


async def parked(box: Box) -> World:
    WORLDS.pop(URL, None)
    await box.add(Upstream("world", "fake", URL))
    return world(URL)


def parking(box: Box) -> Any:
    outbound: Any = box.outbound("world")
    return outbound._parking


# ---- clients that cannot answer -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tool", "can", "required"),
    [
        ("form", {}, {"elicitation": {"form": {}}}),
        ("form", {"elicitation": {"url": {}}}, {"elicitation": {"form": {}}}),
        ("visit", {"elicitation": {}}, {"elicitation": {"url": {}}}),
        ("sampling", {"elicitation": {}}, {"sampling": {}}),
        ("several", {"elicitation": {"form": {}, "url": {}}}, {"sampling": {}}),
    ],
)
async def test_a_client_that_cannot_answer(face: Face, tool: str, can: Message, required: Message) -> None:
    stream = await (await near(face, True, can)).begin("tools/call", {"name": f"asker__{tool}", "arguments": {}}).end()
    error = result(stream)
    assert (stream.status, error["code"]) == (400, -32021)
    assert error["data"]["requiredCapabilities"] == required
    said = await (await near(face, False, can)).call(f"asker__{tool}")
    assert said["isError"]
    assert "cannot answer" in words(said)
    assert said["_meta"]["doolittle/error"]["code"] == "expired"


@ERAS
async def test_a_payment_is_not_asked(face: Face, modern: bool) -> None:
    said = await (await near(face, modern)).call("asker__pay")
    assert said["isError"]
    assert "payment" in words(said)


async def test_a_client_without_a_session_cannot_answer(face: Face) -> None:
    said = await face.client(modern=False, can=CAN_ALL).call("asker__form")
    assert said["isError"]
    assert "cannot answer" in words(said)


# ---- requestState -------------------------------------------------------------------------------------------------


async def asked(client: Client, tool: str = "asker__form") -> str:
    return str((await client.call(tool))["requestState"])


async def refused(client: Client, state: Any, tool: str = "asker__form") -> None:
    params = {"name": tool, "arguments": {}, "requestState": state, "inputResponses": {"who": ADA}}
    stream = await client.begin("tools/call", params).end()
    assert stream.status == 400
    assert result(stream)["code"] == -32602, result(stream)


async def test_a_state_is_of_one_caller_one_tool_and_one_time(face: Face) -> None:
    client, other = await near(face, True), await near(face, True, caller=BOB)
    state = await asked(client)
    await refused(other, state)
    tool, _, token = state.partition(".")
    assert tool == "asker__form"
    for wrong in ("", ".", "x", token, f"asker__sampling.{token}", f"all__none.{token}", f"{state}00", state[:-2]):
        await refused(client, wrong)
    for at in range(0, len(token), 7):
        flipped = f"{token[:at]}{'0' if token[at] != '0' else '1'}{token[at + 1 :]}"
        await refused(client, f"{tool}.{flipped}")
    params = {"name": "asker__form", "arguments": {}, "requestState": state, "inputResponses": {"who": ADA}}
    assert values((await client.ask("tools/call", params))["result"]) == {"who": {"name": "Ada"}}
    await refused(client, state)


async def test_a_state_answers_the_tool_that_is_named(face: Face) -> None:
    client = await near(face, True)
    await refused(client, await asked(client), "asker__sampling")
    await refused(client, await asked(client), "no__such")


async def test_a_question_of_a_tool_that_was_found(face: Face) -> None:
    """By `call_tool`: its answer goes the same way, and to the same tool."""
    client = face.client(path="/mcp", can=CAN_ALL)
    inner: Message = {"name": "asker__form", "arguments": {}}
    assert values(await answered(client, "call_tool", ADA, **inner)) == {"who": {"name": "Ada"}}
    state = (await client.call("call_tool", **inner))["requestState"]
    params = {"name": "call_tool", "arguments": {"name": "asker__sampling"}, "requestState": state}
    assert (await client.ask("tools/call", params))["error"]["code"] == -32602


async def test_a_state_without_its_caller_s_right(face: Face) -> None:
    """The answer is a call like any other: it is allowed to who may call the tool."""
    client = await near(face, True)
    state = await asked(client)
    client.caller = Caller(ANN.id, name="ann", allow=("all__*",), patience=0)
    await refused(client, state)


# ---- with patience, and without a client --------------------------------------------------------------------------


@ERAS
async def test_a_question_comes_with_get_call(face: Face, asker: Asker, modern: bool) -> None:
    client = await near(face, modern, caller=HURRIED)
    interim = await client.call("asker__later")
    id = interim["_meta"]["doolittle/call"]
    asker.go.set()
    assert values(await answered(client, "get_call", ADA, call=id)) == {"who": {"name": "Ada"}}


async def test_nobody_waits_for_a_client_that_left(face: Face, box: Box) -> None:
    far = await parked(box)
    client = await near(face, False)
    stream = client.begin("tools/call", {"name": "all__wait", "arguments": {}})
    await stream.until("elicitation/create")
    assert len(parking(box)) == 1
    await stream.leave()
    async with asyncio.timeout(20):
        while len(parking(box)) or far.running:
            await asyncio.sleep(0.005)
    assert not face.inbound._table.asked


async def test_a_question_can_be_cancelled(face: Face, box: Box) -> None:
    await parked(box)
    client = await near(face, False)
    stream = client.begin("tools/call", {"name": "all__wait", "arguments": {}})
    await stream.until("elicitation/create")
    await client.tell("notifications/cancelled", {"requestId": 2}).end()
    await stream.end()
    assert not [message for message in stream.messages if "method" not in message]
    async with asyncio.timeout(20):
        while len(parking(box)):
            await asyncio.sleep(0.005)


async def test_an_answer_of_another_session_is_none(face: Face) -> None:
    client = await near(face, False)
    others = [await near(face, False), await near(face, False, caller=BOB), face.client(modern=False)]
    stream = client.begin("tools/call", {"name": "asker__form", "arguments": {}})
    question = await stream.until("elicitation/create")
    reply = {"jsonrpc": "2.0", "id": question["id"], "result": ADA}
    for other in others:
        assert (await other.post(reply).end()).status == 202
    for odd in (None, 5, [], "x"):
        await client.post({"jsonrpc": "2.0", "id": odd, "result": ADA}).end()
    assert not stream.task.done()
    assert (await client.post(reply).end()).status == 202
    await stream.end()
    assert values(result(stream)) == {"who": {"name": "Ada"}}


@pytest.mark.parametrize("odd", [None, 5, "x", [], {"action": 5}, {"action": "accept", "content": 5}, {"action": None}])
async def test_an_odd_answer_is_refused_or_a_no(face: Face, odd: Any) -> None:
    client = await near(face, False)
    stream = client.begin("tools/call", {"name": "asker__form", "arguments": {}})
    question = await stream.until("elicitation/create")
    await client.post({"jsonrpc": "2.0", "id": question["id"], "result": odd}).end()
    await stream.end()
    said = result(stream)
    assert "content" in said, orjson.dumps(said)
