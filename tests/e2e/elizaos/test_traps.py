"""What the real server does that one would not expect, and what a caller of the gateway gets."""

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx2
import pytest

from adapters.elizaos.outbound import ElizaOutbound
from adapters.elizaos.sessions import SessionRoute
from adapters.errors import BadArguments, Full, GatewayError, Refused, TimedOut, Unreachable
from adapters.spi import Call, Caller, Error, Event, Result, Upstream
from examples.tour.eliza import ElizaServer
from gateway.testing import Box
from tests.e2e.conftest import CANARY, KEY

pytestmark = pytest.mark.e2e
_number = iter(range(10_000))


async def last(box: Box, message: str, caller: Caller | None = None, **arguments: Any) -> Event:
    call = Call(f"trap{next(_number)}", "eliza__ask", {"message": message, **arguments}, caller or box.caller)
    return [event async for event in box.invoke(call)][-1]


async def said(box: Box, message: str, **arguments: Any) -> str:
    event = await last(box, message, **arguments)
    assert isinstance(event, Result), event
    return event.text


async def fault(box: Box, message: str, **arguments: Any) -> GatewayError:
    event = await last(box, message, **arguments)
    assert isinstance(event, Error), event
    return event.error


async def test_both_agents_are_tools_described_from_their_characters(home: Box) -> None:
    tools = {tool.name: tool for tool in home.tools("home")}
    assert sorted(tools) == ["eliza__ask", "higgins__ask"]
    for words in ("Eliza listens", "Professor Higgins", "You are Eliza", "conversation, flowers, phonetics"):
        assert words in tools["eliza__ask"].description


def route(home: Box) -> SessionRoute:
    """The way by the plain API."""
    outbound = home.gateway.upstreams.find("home").outbound
    assert isinstance(outbound, ElizaOutbound)
    return outbound._plain


async def test_a_second_list_changes_nothing_though_the_server_shuffles(home: Box) -> None:
    before = home.catalog.revision
    for _ in range(3):
        route(home)._details.clear()
        assert await home.refresh("home")
    assert home.catalog.revision == before


async def test_a_reply(home: Box) -> None:
    assert await said(home, "hello there") == "You said: hello there"


async def test_a_conversation_uses_one_session_and_one_request_a_call(home: Box) -> None:
    requests: list[str] = []

    async def count(request: httpx2.Request) -> None:
        requests.append(f"{request.method} {request.url.path.rsplit('/', 1)[-1]}")

    route(home)._http.event_hooks["request"].append(count)
    for number in range(3):
        assert str(number) in await said(home, f"number {number}", conversation="one")
    assert requests == ["POST sessions"] + ["POST messages"] * 3


async def test_an_action_answers_with_its_last_callback(home: Box) -> None:
    assert await said(home, "!act TEST_WELL now") == "the action is done"
    assert await said(home, "!act TEST_STEPS now") == "the result of the steps"


async def test_an_action_that_fails_is_an_error_though_the_server_says_success(home: Box) -> None:
    error = await fault(home, "!act TEST_FAILS now")
    assert isinstance(error, Refused)
    assert error.delivered == "yes"
    assert "no such flower" in error.public


async def test_an_action_that_fails_by_name_is_an_error(home: Box) -> None:
    """ElizaOS's own actions mark a failure by no field, but by a name such as SEND_MESSAGE_ERROR."""
    assert (await fault(home, "!act TEST_MARKED now")).public == "no such room"


async def test_what_an_action_did_in_silence_is_read_from_the_memory_of_the_room(home: Box) -> None:
    """The server answers all three with "Running … for you.", and nothing else."""
    assert await said(home, "!act TEST_SILENT now") == "done in silence"
    assert (await fault(home, "!act TEST_MUTE now")).public == "failed in silence"
    assert "NOPE, which it does not have" in (await fault(home, "!act NOPE now")).public


async def test_an_older_action_of_the_conversation_is_not_taken_for_this_one(home: Box) -> None:
    await fault(home, "!act NOPE now", conversation="older")
    assert await said(home, "!act TEST_SILENT now", conversation="older") == "done in silence"
    assert "does not say why" in (await fault(home, "!fail", conversation="older")).public


async def test_to_ignore_is_an_answer_that_is_told_from_a_failure(home: Box) -> None:
    """Both are the same 500."""
    error = await fault(home, "!ignore")
    assert isinstance(error, Refused)
    assert error.public == "the agent chose not to answer"


@pytest.mark.parametrize("message", ["!fail", "!act TEST_THROWS now"])
async def test_what_the_server_hides_behind_a_500_is_said_in_plain_words(home: Box, message: str) -> None:
    error = await fault(home, message)
    assert isinstance(error, Refused)
    assert error.delivered == "yes"
    assert "does not say why" in error.public
    assert "at " not in error.detail, "no stack trace"


async def test_a_message_over_the_servers_limit_is_not_delivered(home: Box) -> None:
    assert len(await said(home, "x" * 4000)) == len("You said: ") + 4000
    assert isinstance(await fault(home, "x" * 4001), BadArguments)
    error = await fault(home, "\N{GRINNING FACE}" * 2001)  # the server counts UTF-16 units, the schema characters
    assert isinstance(error, BadArguments)
    assert error.delivered == "no"
    assert "4000" in error.public
    assert "node_modules" not in error.public + error.detail, "no stack trace"


async def test_a_conversation_remembers_what_it_was_told_but_not_what_it_said(home: Box, eliza: ElizaServer) -> None:
    """The plain API does not write the agent's own replies down."""
    for word in ("one", "two"):
        heard = await said(home, f"!talk {word}", conversation="memory")
    assert heard == "one two"
    async with httpx2.AsyncClient(base_url=eliza.url, headers={"x-api-key": KEY}) as client:
        route: Any = home.gateway.upstreams.find("home").outbound
        room = next(iter(route._plain._sessions.values())).room
        agent = eliza.facts["agents"][0]["id"]
        known = (await client.get(f"/api/memory/{agent}/memories", params={"roomId": room})).json()
    assert {memory["entityId"] == agent for memory in known["data"]["memories"]} == {False}


async def test_a_null_answer_is_an_error(home: Box) -> None:
    error = await fault(home, "!garbage")
    assert isinstance(error, Refused)
    assert "no answer" in error.public


async def test_the_argument_timeout_ends_the_wait(home: Box) -> None:
    error = await fault(home, "!slow 2000", timeout=0.2)
    assert isinstance(error, TimedOut)
    assert error.delivered == "unknown"


async def test_a_lost_session_is_opened_again_and_the_message_sent_once(home: Box, eliza: ElizaServer) -> None:
    await said(home, "first", conversation="lost")
    route: Any = home.gateway.upstreams.find("home").outbound
    session = next(iter(route._plain._sessions.values())).id
    async with httpx2.AsyncClient(base_url=eliza.url, headers={"x-api-key": KEY}) as client:
        assert (await client.delete(f"/api/messaging/sessions/{session}")).status_code == 200
    assert await said(home, "a rare word: zyzzyva", conversation="lost") == "You said: a rare word: zyzzyva"
    lines = [json.loads(line) for line in eliza.model_log.read_text().splitlines()]
    assert sum("zyzzyva" in line["user"] for line in lines) == 1


async def test_two_callers_with_one_name_for_a_conversation_have_two_sessions(home: Box) -> None:
    for name in ("ann", "bob"):
        event = await last(home, "hello", Caller(name), conversation="shared name")
        assert isinstance(event, Result)
    route: Any = home.gateway.upstreams.find("home").outbound
    assert len({session.id for session in route._plain._sessions.values()}) == 2


async def test_eight_calls_at_once_each_get_their_own_answer(home: Box) -> None:
    answers = await asyncio.gather(*(said(home, f"number {n}") for n in range(8)))
    assert answers == [f"You said: number {n}" for n in range(8)]


async def test_calls_of_one_conversation_queue(home: Box) -> None:
    answers = await asyncio.gather(*(said(home, f"in turn {n}", conversation="queue") for n in range(4)))
    assert answers == [f"You said: in turn {n}" for n in range(4)]


async def test_secrets_in_settings_reach_neither_registry_nor_log_nor_answer(
    home: Box, eliza: ElizaServer, capfd: pytest.CaptureFixture[str]
) -> None:
    async with httpx2.AsyncClient(base_url=eliza.url, headers={"x-api-key": KEY}) as client:
        agent = eliza.facts["agents"][0]["id"]
        assert "CANARY_SECRET" in (await client.get(f"/api/agents/{agent}")).text, "the server does leak it"
    url = await home.serve()
    async with httpx2.AsyncClient(base_url=url) as client:
        shown = [(await client.get(path)).text for path in ("/v1/agents", "/v1/tools", "/v1/upstreams", "/v1/audit")]
        shown.append((await client.post("/v1/tools/eliza__ask/calls", json={"arguments": {"message": "hi"}})).text)
    await home.gateway.audit.flush()
    kept = b"".join(path.read_bytes() for path in Path(home.folder).rglob("*") if path.is_file())
    printed = capfd.readouterr()
    for secret in (CANARY, "CANARY_SECRET", "SECRET_SALT", KEY):
        assert secret not in "".join(shown) + printed.out + printed.err
        assert secret.encode() not in kept


async def test_a_wrong_key_is_said_as_such(box: Box, eliza: ElizaServer) -> None:
    await box.add(Upstream("home", "elizaos", eliza.url, "wrong"))
    assert "key" in (box.degraded("home") or "")
    report = await box.gateway.upstreams.check(Upstream("home", "elizaos", eliza.url, "wrong"))
    assert not report.ok
    assert "key" in report.text


async def test_check_tells_what_it_reached(box: Box, eliza: ElizaServer) -> None:
    check = box.gateway.upstreams.check
    assert (await check(Upstream("home", "elizaos", eliza.url, KEY))).facts["agents"] == ["Eliza", "Higgins"]
    assert "does not answer" in (await check(Upstream("home", "elizaos", "http://127.0.0.1:9", KEY))).text
    url = await box.serve()
    report = await check(Upstream("home", "elizaos", url))
    assert not report.ok, "a server that is no ElizaOS"


async def test_an_agent_that_works_in_steps_answers_with_its_summary(box: Box, poisoned: ElizaServer) -> None:
    await box.add(Upstream("home", "elizaos", poisoned.url, KEY))
    call = Call("steps", "pickering__ask", {"message": "!multi TEST_WELL now"}, box.caller)
    event = [event async for event in box.invoke(call)][-1]
    assert isinstance(event, Result)
    assert event.text == "Step by step, it is done."
    assert event.meta["unconfirmed"] is False


async def test_a_server_that_hangs_up_on_a_slow_agent(box: Box, poisoned: ElizaServer) -> None:
    """As shipped, after 30 s; the answer is lost, and the work goes on."""
    await box.add(Upstream("home", "elizaos", poisoned.url, KEY))
    error = await fault(box, "!slow 6000")
    assert isinstance(error, Unreachable)
    assert error.delivered == "unknown"
    assert "hangs up" in error.public


async def test_the_event_stream_that_never_ends_is_why_it_is_not_used(poisoned: ElizaServer) -> None:
    """A null answer over `transport=sse`: no end comes. The good request beside it shows that one could."""
    async with httpx2.AsyncClient(base_url=poisoned.url, headers={"x-api-key": KEY}, timeout=30) as client:
        agent = poisoned.facts["agents"][0]["id"]
        body = {"agentId": agent, "userId": "6a1c1d6e-7c8e-5d1e-9d2e-0a7d0c1f5e2b"}

        async def ends(message: str) -> bool:
            session = (await client.post("/api/messaging/sessions", json=body)).json()["sessionId"]
            said = {"content": message, "transport": "sse"}
            async with client.stream("POST", f"/api/messaging/sessions/{session}/messages", json=said) as response:
                try:
                    async with asyncio.timeout(1.5):
                        async for line in response.aiter_lines():
                            if line.startswith(("event: done", "event: error")):
                                return True
                except TimeoutError:
                    return False
            return True

        assert await ends("hello")
        assert not await ends("!garbage")


async def test_its_limit_of_requests_is_busy_with_a_time(box: Box, poisoned: ElizaServer) -> None:
    await box.add(Upstream("home", "elizaos", poisoned.url, KEY))
    async with httpx2.AsyncClient(base_url=poisoned.url, headers={"x-api-key": KEY}, timeout=30) as client:

        async def spend(times: int) -> int:
            return [(await client.get("/api/agents")).status_code for _ in range(times)][-1]

        assert 429 in await asyncio.gather(*(spend(130) for _ in range(8)))
    error = await fault(box, "one more")
    assert isinstance(error, Full)
    assert error.delivered == "no"
    assert 0 < (error.retry_after or 0) <= 900
    assert not await box.refresh("home")
    assert box.tools("home"), "the tools stay listed"


async def test_a_server_that_is_killed_in_the_middle(box: Box, tmp_path: Path) -> None:
    server = await ElizaServer(tmp_path / "mortal", key=KEY, env={}).start()
    await box.add(Upstream("mortal", "elizaos", server.url, KEY))
    running = asyncio.create_task(fault(box, "!slow 60000", conversation="a"))
    while not (server.model_log.exists() and "!slow" in server.model_log.read_text()):
        await asyncio.sleep(0.02)
    await server.kill()
    error = await running
    assert isinstance(error, Unreachable)
    assert error.delivered == "unknown"
    assert (await fault(box, "again", conversation="a")).delivered == "no"
    await server.start()
    assert await said(box, "and now", conversation="a") == "You said: and now"
    await server.stop()
