"""What the plugin's routes answer, and to whom: each trap of the plain API, mended."""

import asyncio
import json
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from adapters.errors import BadArguments, Refused, TimedOut
from adapters.spi import Caller, Part, Progress, Result
from tests.e2e.conftest import CANARY, KEY
from tests.e2e.plugin.inside import FIXED, Inside

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]


# ---- what is listed, and who may call ---------------------------------------------------------------------------


async def test_each_agent_of_a_server_registers_itself_with_its_actions(inside: Inside) -> None:
    agents = inside.box.gateway.registry.snapshot.agents
    tools = {tool.name for tool in agents["eliza"].tools}
    wanted = ("ask", "TEST_WELL", "TEST_FAILS", "TEST_TELL", "TEST_NEVER", "TEST_THROWS", "TEST_COUNT")
    assert tools == {f"eliza__{name}" for name in wanted}, "those of the list that it has, and no others"
    assert [tool.name for tool in agents["pickering"].tools] == ["pickering__ask"]
    assert "higgins" not in agents
    assert {live.upstream.origin for live in inside.box.gateway.upstreams.all()} == {"self"}
    for words in ("Eliza listens", "You are Eliza", "conversation, flowers, phonetics"):
        assert words in agents["eliza"].description


PATHS = ("/api/agents/{id}/plugins/doolittle{path}", "/api/doolittle{path}", "/doolittle{path}")
ROUTES = (("GET", "/capabilities"), ("POST", "/messages"), ("POST", "/actions/TEST_WELL"))


@pytest.mark.parametrize("path", PATHS)
async def test_on_each_path_the_routes_answer_to_the_agents_own_key_alone(inside: Inside, path: str) -> None:
    body = {"message": "unasked for", "user": str(uuid4()), "room": str(uuid4())}
    wrong = [{}, {"authorization": "Bearer"}, {"authorization": f"Bearer {KEY}"}, {"authorization": FIXED},
             {"x-api-key": FIXED}, {"authorization": f"Basic {FIXED}"}]  # fmt: skip
    server = {"x-api-key": KEY}
    before = inside.noted("large", "large-stream", "action")
    async with httpx2.AsyncClient(base_url=inside.server.url, headers=server) as client:
        for agent in ("Higgins", "Eliza"):
            for method, route in ROUTES:
                at = path.format(id=inside.id(agent), path=route)
                for query in ({"agentId": inside.id(agent)}, {}, {"agentId": inside.id(agent), "key": FIXED}):
                    for headers in wrong if agent == "Higgins" else [*wrong, {"authorization": f"Bearer {FIXED}"}]:
                        shown = {**server, **headers} if "x-api-key" not in headers or "/api" not in at else server
                        answer = await client.request(method, at, params=query, json=body, headers=shown)
                        assert answer.status_code == 401, (at, query, headers, answer.text)
                        assert answer.json()["error"]["code"] == "unauthenticated"
        good = {"authorization": f"Bearer {FIXED}"}
        higgins = {"agentId": inside.id("Higgins")}
        for method, route in ROUTES:
            at = path.format(id=inside.id("Higgins"), path=route)
            answer = await client.request(method, at, params=higgins, json=body, headers=good)
            assert answer.status_code == 200, answer.text
    assert inside.noted("large", "large-stream", "action") == before + 2, "one message and one action, by the good key"


async def test_capabilities_say_what_the_agent_is_and_nothing_of_its_settings(inside: Inside) -> None:
    async with httpx2.AsyncClient(base_url=inside.server.url) as client:
        at = f"/doolittle/capabilities?agentId={inside.id('Higgins')}"
        answer = await client.get(at, headers={"authorization": f"Bearer {FIXED}"})
    said = answer.json()
    assert said["version"] == "0.1.0"
    assert said["character"]["name"] == "Higgins"
    assert said["multiStep"] is False
    assert {e["name"] for e in said["evaluators"]} >= {"REFLECTION"}
    (tell,) = [a for a in said["actions"] if a["name"] == "TEST_TELL"]
    assert tell["parameters"]["who"] == {"type": "string", "description": "Whose age", "required": True}
    assert tell["direct"] is True, "an asterisk offers all"
    for secret in (CANARY, "CANARY", "SECRET_SALT", KEY, FIXED):
        assert secret not in answer.text


# ---- messages ---------------------------------------------------------------------------------------------------


async def test_a_reply_streams(inside: Inside) -> None:
    *previews, last = await inside.events("hello there, how do you do")
    assert isinstance(last, Result)
    assert last.text == "You said: hello there, how do you do"
    parts = [e.content for e in previews if isinstance(e, Part)]
    assert len(parts) > 1
    assert "".join(getattr(p, "text", "") for p in parts) == last.text
    assert last.meta["actions"] == ["REPLY"]


async def test_an_action_tells_each_callback_and_its_result(inside: Inside) -> None:
    *previews, last = await inside.events("!act TEST_COUNT 3")
    assert isinstance(last, Result)
    assert last.text == "counted to 3"
    assert last.structured == {"values": {"last": 3}}
    steps = [e.message for e in previews if isinstance(e, Progress)]
    assert steps == ["TEST_COUNT …", "at 1", "at 2", "at 3", "counted to 3"]
    assert [getattr(e.content, "text", "") for e in previews if isinstance(e, Part)] == ["1 ", "2 ", "3 "]
    assert await inside.said("!act TEST_STEPS now") == "the result of the steps"
    assert await inside.said("!act TEST_SILENT now") == "done in silence"


@pytest.mark.parametrize(
    ("message", "wanted"),
    [
        ("!act TEST_FAILS now", "the action failed: no such flower"),
        ("!act TEST_MARKED now", "no such room"),
        ("!act TEST_MUTE now", "failed in silence"),
        ("!act TEST_THROWS now", "the agent failed: thrown inside the action"),
        ("!act NOPE now", "the agent chose the action NOPE, which it does not have"),
        ("!fail", "the agent failed: offline model: the provider is out"),
        ("!garbage", "the agent gave no answer: its model said nothing that its server could read"),
        ("!ignore", "the agent chose not to answer"),
    ],
)
async def test_what_goes_wrong_is_said_as_it_is(inside: Inside, message: str, wanted: str) -> None:
    error = await inside.fault(message)
    assert isinstance(error, Refused)
    assert error.public == wanted
    assert error.delivered == "yes"


async def test_one_action_of_several_that_is_not_there_is_told_beside_the_answer(inside: Inside) -> None:
    last = (await inside.events("!act TEST_WELL,NOPE now"))[-1]
    assert isinstance(last, Result)
    assert last.text == "the action is done"
    assert last.meta["failed"] == ["NOPE"]


async def test_multi_step_on_and_off(inside: Inside) -> None:
    last = (await inside.events("!multi TEST_WELL now", multi_step=True))[-1]
    assert isinstance(last, Result)
    assert last.text == "Step by step, it is done."
    assert last.meta["actions"] == ["TEST_WELL"]
    assert await inside.said("!multi TEST_WELL now", multi_step=False) == "You said: !multi TEST_WELL now"
    for steps, wanted in (({}, "Step by step, it is done."), ({"multi_step": False}, "You said: !multi TEST_WELL now")):
        call = inside.call("pickering__ask", {"message": "!multi TEST_WELL now", **steps})
        last = [event async for event in inside.box.invoke(call)][-1]
        assert isinstance(last, Result), last
        assert last.text == wanted


async def test_a_step_that_fails_is_for_the_summary_to_tell(inside: Inside) -> None:
    last = (await inside.events("!multi TEST_MUTE now", multi_step=True))[-1]
    assert isinstance(last, Result)
    assert last.meta["failed"] == ["TEST_MUTE"]


async def test_eight_calls_at_once_each_get_their_own_answer(inside: Inside) -> None:
    answers = await asyncio.gather(*(inside.said(f"number {n}") for n in range(8)))
    assert answers == [f"You said: number {n}" for n in range(8)]


async def test_calls_of_one_conversation_queue_and_none_is_dropped(inside: Inside) -> None:
    answers = await asyncio.gather(*(inside.said(f"in turn {n}", conversation="queue") for n in range(4)))
    assert answers == [f"You said: in turn {n}" for n in range(4)]


async def test_a_conversation_outlives_the_gateways_memory_and_is_its_callers_own(inside: Inside) -> None:
    for word, wanted in (("one", "one"), ("two", "one two")):
        assert await inside.said(f"!talk {word}", conversation="kept") == wanted
    assert "Eliza: You said: and you?" not in "".join(inside.prompts("!talk one"))
    await inside.said("and you?", conversation="kept")
    assert await inside.said("!talk three", conversation="kept") == "one two three"
    assert "Eliza: You said: and you?" in inside.prompts("!talk three")[-1], "it knows its own words"
    call = inside.call("eliza__ask", {"message": "!talk mine", "conversation": "kept"}, caller=Caller("eve"))
    last = [event async for event in inside.box.invoke(call)][-1]
    assert isinstance(last, Result)
    assert last.text == "mine"


async def test_a_long_message_and_a_long_answer_pass(inside: Inside) -> None:
    assert len(await inside.said("x" * 50_000)) == 50_000 + len("You said: ")
    assert len(await inside.said("!long 2000000")) == 2_000_000
    too_long = inside.call("eliza__ask", {"message": "x" * 100_001})
    assert isinstance(await inside.broken(too_long), BadArguments)


async def test_a_time_that_is_up(inside: Inside) -> None:
    error = await inside.fault("!slow 3000", timeout=0.3)
    assert isinstance(error, TimedOut)
    assert error.delivered == "unknown"
    assert "0.3 seconds" in error.public


BEGUN = ("large", "large-stream", "action", "object")


async def until(inside: Inside, count: int, *kinds: str) -> None:
    """Waits until so many of them were noted."""
    while inside.noted(*kinds) < count:
        await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("message", "more"),
    [("!slow 500 !act TEST_WELL now", {}), ("!slow 500 !multi TEST_WELL now", {"multi_step": True})],
)
async def test_after_the_client_is_gone_no_model_call_and_no_action_begins(
    inside: Inside, message: str, more: dict[str, Any]
) -> None:
    """The core cannot abort the model call that runs; what would come after it does not come."""
    before = inside.noted(*BEGUN)
    await inside.events(message, **more)
    assert inside.noted(*BEGUN) - before >= 2, "a model call, and an action at least"
    before, woken = inside.noted(*BEGUN), inside.noted("woke")
    running = asyncio.create_task(inside.events(message, **more))
    await until(inside, before + 1, *BEGUN)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await until(inside, woken + 1, "woke")
    for _ in range(3):
        assert await inside.said("and now") == "You said: and now", "time for whatever would begin"
    assert inside.noted(*BEGUN) == before + 1 + 3


async def test_who_waits_in_a_conversation_and_goes_was_never_there(inside: Inside) -> None:
    before = inside.noted(*BEGUN)
    first = asyncio.create_task(inside.said("!slow 500 first", conversation="line"))
    await until(inside, before + 1, *BEGUN)
    second = asyncio.create_task(inside.said("second", conversation="line"))
    await inside.said("meanwhile", conversation="elsewhere")
    second.cancel()
    await asyncio.gather(second, return_exceptions=True)
    assert await first == "You said: !slow 500 first"
    assert await inside.said("third", conversation="line") == "You said: third"
    assert inside.noted(*BEGUN) == before + 3, "first, meanwhile and third"


# ---- actions as tools -------------------------------------------------------------------------------------------


async def test_an_action_is_a_tool_with_the_schema_of_its_parameters(inside: Inside) -> None:
    before = inside.noted("large", "large-stream")
    call = inside.call("eliza__TEST_TELL", {"who": "Ann", "age": 3, "message": "hear"})
    last = [event async for event in inside.box.invoke(call)][-1]
    assert isinstance(last, Result)
    assert last.text == "hear: Ann is 3"
    assert last.structured == {"data": {"params": {"who": "Ann", "age": 3}}}
    for wrong in ({"age": 3}, {"who": "Ann", "age": "three"}, {"who": "Ann", "height": 1}):
        assert isinstance(await inside.broken(inside.call("eliza__TEST_TELL", wrong)), BadArguments)
    assert inside.noted("large", "large-stream") == before, "no model was asked"


async def test_what_a_direct_action_says_comes_as_it_is_said(inside: Inside) -> None:
    call = inside.call("eliza__TEST_COUNT", {"message": "to 2"})
    *previews, last = [event async for event in inside.box.invoke(call)]
    assert isinstance(last, Result)
    assert last.text == "counted to 2"
    shown = [e.message if isinstance(e, Progress) else getattr(e.content, "text", "")
             for e in previews if isinstance(e, Progress | Part)]  # fmt: skip
    assert shown == ["TEST_COUNT …", "1 ", "at 1", "2 ", "at 2", "counted to 2"]


@pytest.mark.parametrize(
    ("action", "wanted"),
    [
        ("TEST_FAILS", "the action failed: no such flower"),
        ("TEST_THROWS", "the agent failed: thrown inside the action"),
        ("TEST_NEVER", "the action TEST_NEVER is not possible now"),
    ],
)
async def test_a_direct_action_that_fails(inside: Inside, action: str, wanted: str) -> None:
    error = await inside.broken(inside.call(f"eliza__{action}", {}))
    assert isinstance(error, Refused)
    assert error.public == wanted


async def test_an_action_that_is_not_offered_is_not_to_be_had(inside: Inside) -> None:
    """Not by its name over the route either, whatever the gateway lists."""
    (live,) = [u for u in inside.box.gateway.upstreams.all() if u.upstream.name.startswith("eliza")]
    options: Any = live.upstream.options
    body = {"message": "", "user": str(uuid4()), "room": str(uuid4())}
    headers = {"authorization": f"Bearer {options['plugin']['key']}"}
    async with httpx2.AsyncClient(base_url=inside.server.url, headers=headers) as client:
        for name in ("TEST_SILENT", "REPLY", "test_well", "TEST_WELL%2F..%2F..", "NOT_THERE"):
            answer = await client.post(f"/doolittle/actions/{name}?agentId={inside.id('Eliza')}", json=body)
            (line,) = [json.loads(text) for text in answer.text.splitlines()]
            assert line["type"] == "error"
            assert line["code"] == "unknown"
        for wrong in ({}, {**body, "user": "eve"}, {**body, "room": "../x"}, []):
            answer = await client.post(f"/doolittle/messages?agentId={inside.id('Eliza')}", json=wrong)
            assert answer.status_code == 400
