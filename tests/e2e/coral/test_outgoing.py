"""Calls of Coral agents: sessions, teams, what is lost or late, and servers that go away. Against the stand-in."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from adapters.errors import GatewayError
from adapters.spi import Call, Caller, Error, Event, Part, Result, Text, Upstream
from gateway.testing import Box
from tests.e2e.coral import definitions
from tests.e2e.coral.agents import Mirror, absent, deaf, planner
from tests.e2e.coral.rules import Refusal, SessionAgent
from tests.e2e.coral.standin import CoralServer, served

pytestmark = pytest.mark.e2e
ANN = Caller("ann", network="test")
_ids = iter(range(10**6))


async def events(box: Box, tool: str, caller: Caller = ANN, **arguments: Any) -> list[Event]:
    more = {key: arguments.pop(key) for key in ("deadline", "conversation") if key in arguments}
    call = Call(f"out{next(_ids)}", tool, arguments, caller, **more)
    return [event async for event in box.invoke(call)]


async def text(box: Box, tool: str, **arguments: Any) -> str:
    end = (await events(box, tool, **arguments))[-1]
    assert isinstance(end, Result), end
    return end.text


async def fault(box: Box, tool: str, **arguments: Any) -> GatewayError:
    end = (await events(box, tool, **arguments))[-1]
    assert isinstance(end, Error), end
    return end.error


async def until(holds: Callable[[], bool], seconds: int = 10) -> None:
    for _ in range(seconds * 100):
        if holds():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("never happened")


async def tell(box: Box, coral: CoralServer, name: str, run: Any, **options: Any) -> None:
    coral.define(definitions.function(name, run, f"The agent {name}.", **options))
    assert await box.refresh("reef")


async def change(box: Box, coral: CoralServer, **options: Any) -> None:
    """The upstream, with other options."""
    await box.remove("reef")
    await box.add(Upstream("reef", "coral", coral.url, coral.key, options=options))


@pytest.fixture
async def mirror(reef: Box, coral: CoralServer) -> AsyncIterator[Mirror]:
    made = Mirror()
    await tell(reef, coral, "mirror", made)
    yield made


# ---- the registry -----------------------------------------------------------------------------------------------


async def test_agents_are_listed_in_their_newest_version(reef: Box, coral: CoralServer) -> None:
    newer = definitions.function("echo", Mirror(), "A newer one.")
    newer.version = "1.10.0"
    coral.define(newer)
    await tell(reef, coral, "needy", deaf, KEY={"type": "string", "required": True})
    names = [tool.name for tool in reef.tools("reef")]
    assert names == ["echo__ask"], "not the puppet, nor who lacks an option; and a team needs two"
    assert "A newer one" in reef.tools("reef")[0].description
    await change(reef, coral, options={"needy": {"KEY": "x"}}, agents=["*e*"])
    assert {t.name for t in reef.tools("reef")} == {"echo__ask", "needy__ask", "reef-team__team"}


async def test_a_trial_says_what_is_wrong(reef: Box, coral: CoralServer) -> None:
    upstream = Upstream("reef", "coral", coral.url, coral.key)
    assert (await reef.report(upstream)).text == "1 agents"
    said = await reef.report(Upstream("reef", "coral", coral.url, "wrong"))
    assert not said.ok
    assert "key" in said.text
    said = await reef.report(Upstream("reef", "coral", coral.url, coral.key, options={"agents": ["none*"]}))
    assert "fits" in said.text
    await tell(reef, coral, "needy", deaf, KEY={"type": "string", "required": True})
    said = await reef.report(Upstream("reef", "coral", coral.url, coral.key, options={"agents": ["needy"]}))
    assert "option KEY" in said.text
    coral.registry = [one for one in coral.registry if one.name != "puppet"]
    said = await reef.report(upstream)
    assert "includeDebugAgents" in said.text
    error = await fault(reef, "echo__ask", message="x")
    assert (error.code, error.delivered) == ("refused", "no")


async def test_options_are_typed_and_reach_the_agent(reef: Box, coral: CoralServer) -> None:
    given: list[Any] = []

    async def run(agent: SessionAgent) -> None:
        given.append(agent.about["options"])
        await definitions.echo(agent)

    await tell(reef, coral, "choosy", run, N={"type": "i32"}, ON={"type": "bool", "default": False})
    await change(reef, coral, options={"choosy": {"N": 3, "ON": True}})
    await text(reef, "choosy__ask", message="x")
    assert given == [{"N": {"type": "i32", "value": 3}, "ON": {"type": "bool", "value": True}}]


# ---- sessions ---------------------------------------------------------------------------------------------------


async def test_without_a_conversation_a_session_ends_with_its_call(reef: Box, coral: CoralServer) -> None:
    for _ in range(3):
        assert await text(reef, "echo__ask", message="hello") == "hello"
    await until(lambda: not coral.all())
    assert coral.opened == 3


async def test_a_conversation_keeps_its_session_and_thread(reef: Box, coral: CoralServer, mirror: Mirror) -> None:
    for word in ("one", "two", "three"):
        said = await text(reef, "mirror__ask", message=f"!talk {word}", conversation="c")
    assert said == "one two three"
    assert coral.opened == 1
    (session,) = coral.all()
    assert len(session.threads) == 1
    assert session.agents["mirror"].links == {next(n for n in session.agents if n.startswith("caller-"))}
    assert await text(reef, "mirror__ask", message="!talk other", conversation="c", caller=Caller("bob")) == "other"


async def test_conversations_that_rest_are_closed(reef: Box, coral: CoralServer, mirror: Mirror) -> None:
    await change(reef, coral, idle=0.2)
    await text(reef, "mirror__ask", message="!talk one", conversation="c")
    assert len(coral.all()) == 1
    await until(lambda: not coral.all())
    assert await text(reef, "mirror__ask", message="!talk two", conversation="c") == "two"


async def test_the_oldest_conversation_makes_room(reef: Box, coral: CoralServer, mirror: Mirror) -> None:
    await change(reef, coral, sessions=2)
    for name in ("a", "b", "c"):
        await text(reef, "mirror__ask", message=f"!talk {name}", conversation=name)
    assert len(coral.all()) == 2
    assert await text(reef, "mirror__ask", message="!talk again", conversation="b") == "b again"
    hanging = [asyncio.create_task(events(reef, "mirror__ask", message="!hang")) for _ in range(2)]
    await until(lambda: mirror.working == 2)
    error = await fault(reef, "mirror__ask", message="x")
    assert (error.code, error.delivered) == ("full", "no")
    for task in hanging:
        task.cancel()
    await asyncio.gather(*hanging, return_exceptions=True)


async def test_nothing_is_left_when_the_upstream_goes(reef: Box, coral: CoralServer, mirror: Mirror) -> None:
    await text(reef, "mirror__ask", message="x", conversation="c")
    hanging = asyncio.create_task(events(reef, "mirror__ask", message="!hang"))
    await until(lambda: mirror.working == 1)
    await reef.remove("reef")
    hanging.cancel()
    await asyncio.gather(hanging, return_exceptions=True)
    await until(lambda: not coral.all())
    await until(lambda: not [t for t in asyncio.all_tasks() if t.get_name() in ("coral events", "coral closes")])


async def test_who_hangs_up_ends_the_agent(reef: Box, coral: CoralServer, mirror: Mirror) -> None:
    task = asyncio.create_task(events(reef, "mirror__ask", message="!hang"))
    await until(lambda: mirror.working == 1)
    task.cancel()
    await until(lambda: not coral.all())
    assert mirror.working == 0


async def test_a_late_answer_is_not_taken_for_the_next(reef: Box, coral: CoralServer) -> None:
    """Of a conversation, the thread is closed: what still comes is refused there."""
    refused: list[str] = []

    async def slow(agent: SessionAgent) -> None:
        agent.connect()
        since = 0
        while True:
            message = await agent.mention(since)
            if message is None:
                continue
            since = message.at // 10**6 + 1
            if message.text == "slowly":
                thread = agent.session.threads[message.thread]
                await until(lambda thread=thread: thread.closed is not None)
            try:
                agent.send(message.thread, f"answer to {message.text}", [message.sender])
            except Refusal as fault:
                refused.append(str(fault))

    await tell(reef, coral, "slow", slow)
    error = await fault(reef, "slow__ask", message="slowly", conversation="c", deadline=time.time() + 0.5)
    assert (error.code, error.delivered) == ("timed_out", "unknown")
    assert await text(reef, "slow__ask", message="now", conversation="c") == "answer to now"
    assert len(refused) == 1
    assert coral.opened == 1


# ---- what ends a call -------------------------------------------------------------------------------------------


async def test_a_message_ends_a_call_or_only_a_mention(reef: Box, coral: CoralServer, mirror: Mirror) -> None:
    assert await text(reef, "mirror__ask", message="!count 2") == "counting 1"
    await change(reef, coral, until="mention")
    found = await events(reef, "mirror__ask", message="!count 2")
    assert [e.content.text for e in found if isinstance(e, Part) and isinstance(e.content, Text)] == [
        "counting 1",
        "counting 2",
    ]
    assert isinstance(found[-1], Result)
    assert found[-1].text == "counted to 2"


async def test_a_wait_that_times_out(reef: Box, coral: CoralServer, mirror: Mirror) -> None:
    error = await fault(reef, "mirror__ask", message="!hang", deadline=time.time() + 0.5)
    assert (error.code, error.delivered) == ("timed_out", "unknown")
    assert await text(reef, "mirror__ask", message="next") == "next"
    await until(lambda: not coral.all())


async def test_agents_that_leave_close_or_never_come(reef: Box, coral: CoralServer, mirror: Mirror) -> None:
    error = await fault(reef, "mirror__ask", message="!leave")
    assert error.code == "refused"
    assert "left" in error.public
    error = await fault(reef, "mirror__ask", message="!close")
    assert "closed" in error.public
    await tell(reef, coral, "absent", absent)
    await tell(reef, coral, "deaf", deaf)
    await change(reef, coral, start=0.5)
    error = await fault(reef, "absent__ask", message="x")
    assert (error.code, error.delivered) == ("timed_out", "no")
    assert "absent did not join" in error.public
    await until(lambda: not coral.all())


async def test_an_agent_that_left_between_two_calls_is_started_again(
    reef: Box, coral: CoralServer, mirror: Mirror
) -> None:
    await text(reef, "mirror__ask", message="!talk one", conversation="c")
    (session,) = coral.all()
    session.jobs["mirror"].cancel()
    await asyncio.sleep(0.1)
    assert await text(reef, "mirror__ask", message="!talk two", conversation="c") == "two"
    await until(lambda: len(coral.all()) == 1)


# ---- events -----------------------------------------------------------------------------------------------------


async def test_without_events_the_state_is_asked_for(reef: Box, coral: CoralServer) -> None:
    coral.deaf = True
    assert await text(reef, "echo__ask", message="hello", conversation="c") == "hello"
    assert await text(reef, "echo__ask", message="again", conversation="c") == "again"


async def test_events_that_are_lost_are_made_up_for(
    reef: Box, coral: CoralServer, mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapters.coral.watch.LIVE", 0.3)
    await change(reef, coral, until="mention")
    assert await text(reef, "mirror__ask", message="x", conversation="c") == "x"
    (session,) = coral.all()
    session.lose = 6
    found = await events(reef, "mirror__ask", message="!count 4", conversation="c")
    said = [e.content.text for e in found if isinstance(e, Part) and isinstance(e.content, Text)]
    assert said == [f"counting {n}" for n in range(1, 5)]
    assert isinstance(found[-1], Result)
    assert found[-1].text == "counted to 4"
    assert session.lose == 0, "none of them was told"


async def test_32_threads_at_once_and_no_message_is_lost_repeated_or_crossed(
    reef: Box, coral: CoralServer, mirror: Mirror
) -> None:
    """Eight turns each, all in the same millisecond of the server's clock."""
    coral.clock.held = time.time_ns()

    async def talk(name: str) -> None:
        for turn in range(8):
            coral.clock.held = (coral.clock.held or 0) + 10**6
            said = await text(reef, "mirror__ask", message=f"!talk {name}-{turn}", conversation=name)
            assert said.split() == [f"{name}-{n}" for n in range(turn + 1)]

    await asyncio.gather(*(talk(f"thread{n}") for n in range(32)))
    assert coral.opened == 32
    for session in coral.all():
        (thread,) = session.threads.values()
        assert len(thread.messages) == 16


async def test_the_socket_goes_nowhere_else(reef: Box, coral: CoralServer) -> None:
    """A server that sends the socket elsewhere, with the key in its path, is not followed."""
    from websockets.datastructures import Headers
    from websockets.exceptions import InvalidStatus
    from websockets.http11 import Response

    from adapters.coral.watch import _Socket

    moved = InvalidStatus(Response(302, "Found", Headers(location="ws://127.0.0.1:1/elsewhere")))
    assert _Socket("ws://127.0.0.1:2/events/key").process_redirect(moved) is moved


# ---- teams ------------------------------------------------------------------------------------------------------


async def test_a_team_answers_in_one_thread(reef: Box, coral: CoralServer, mirror: Mirror) -> None:
    found = await events(reef, "reef-team__team", message="hello", agents=["echo", "mirror"])
    end = found[-1]
    assert isinstance(end, Result), end
    assert end.structured == {"answers": [{"agent": "echo", "text": "hello"}, {"agent": "mirror", "text": "hello"}]}
    assert end.text == "echo: hello\n\nmirror: hello"
    parts = [e.content.text for e in found if isinstance(e, Part) and isinstance(e.content, Text)]
    assert parts in (["echo: hello"], ["mirror: hello"]), "the thread's messages are events"
    assert coral.opened == 1
    error = await fault(reef, "reef-team__team", message="x", agents=["echo", "nobody"])
    assert error.code == "bad_arguments"
    assert "echo, mirror" in error.public


async def test_a_lead_works_with_the_others(reef: Box, coral: CoralServer, mirror: Mirror) -> None:
    await tell(reef, coral, "planner", planner)
    found = await events(
        reef, "reef-team__team", message="By George", agents=["echo", "mirror"], lead="planner", conversation="c"
    )
    assert isinstance(found[-1], Result), found[-1]
    assert found[-1].text == "By George and By George"
    parts = [e.content.text for e in found if isinstance(e, Part) and isinstance(e.content, Text)]
    assert parts[0] == "planner: By George"
    assert sorted(parts[1:]) == ["echo: By George", "mirror: By George"]


# ---- servers that go away ---------------------------------------------------------------------------------------


async def test_a_server_that_starts_again_in_the_middle_of_a_call(box: Box) -> None:
    """A clear error, nobody knows what was done; the next call works, in the same conversation too."""
    mirror, first = Mirror(), CoralServer()
    first.define(definitions.function("mirror", mirror))
    async with served(first) as url:
        port = int(url.rpartition(":")[2])
        await box.add(Upstream("reef", "coral", url, first.key))
        assert await text(box, "mirror__ask", message="!talk one", conversation="c") == "one"
        hanging = asyncio.create_task(fault(box, "mirror__ask", message="!hang", conversation="d"))
        await until(lambda: mirror.working == 1)
    second = CoralServer()
    second.define(definitions.function("mirror", mirror))
    async with served(second, port):
        error = await asyncio.wait_for(hanging, 20)
        assert (error.code, error.delivered) == ("connect_failed", "unknown"), error
        assert "started anew" in error.public
        assert await text(box, "mirror__ask", message="!talk two", conversation="c") == "two"
        assert await text(box, "mirror__ask", message="x", conversation="d") == "x"
        await box.remove("reef")


async def test_a_server_that_stays_away(reef: Box, coral: CoralServer, mirror: Mirror) -> None:
    hanging = asyncio.create_task(fault(reef, "mirror__ask", message="!hang"))
    await until(lambda: mirror.working == 1)
    coral.outage(True)
    assert (await hanging).code == "connect_failed"
    coral.outage(False)
    assert await text(reef, "mirror__ask", message="back") == "back"
