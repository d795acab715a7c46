"""Calls that run and calls that are kept: one delivery for each id, read by their own caller, ended by whoever may."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from adapters.errors import BadArguments, Cancelled, Conflict, Expired, GatewayError, LoopCut, TimedOut, Unknown
from adapters.fake.outbound import RELAYS
from adapters.fake.world import WORLDS, World, world
from adapters.spi import (
    MAX_DEPTH,
    Answer,
    Ask,
    Call,
    Caller,
    Error,
    Event,
    Form,
    Hop,
    Part,
    Progress,
    Result,
    Text,
    Upstream,
)
from gateway.testing import Box

URL = "fake://kept"
EVE = Caller("eve")


def fresh() -> World:
    WORLDS.pop(URL, None)
    return world(URL)


async def opened(folder: Path, **calls: Any) -> Box:
    box = Box(folder, calls=calls)
    await box.open()
    await box.add(Upstream("world", "fake", URL))
    RELAYS[URL] = box.invoke
    return box


@pytest.fixture
def far() -> World:
    return fresh()


@pytest.fixture
async def kept(tmp_path: Path, far: World) -> AsyncIterator[Box]:
    box = await opened(tmp_path)
    yield box
    await box.close()


def call(box: Box, tool: str = "echo", id: str = "c1", caller: Caller | None = None, **more: Any) -> Call:
    arguments = more.pop("arguments", {"text": "x"} if tool in ("echo", "job") else {})
    return Call(id, f"all__{tool}", arguments, caller or box.caller, **more)


async def events(box: Box, of: Call) -> list[Event]:
    return [event async for event in box.invoke(of)]


async def fault(box: Box, of: Call) -> GatewayError:
    last = (await events(box, of))[-1]
    assert isinstance(last, Error), last
    return last.error


async def until(true: Any) -> None:
    ends = time.monotonic() + 3
    while not true():
        assert time.monotonic() < ends
        await asyncio.sleep(0.002)


# ---- ids ---------------------------------------------------------------------------------------------------------


async def test_the_same_call_again_is_not_made_again(kept: Box, far: World) -> None:
    first = await events(kept, call(kept))
    again = await asyncio.gather(*(events(kept, call(kept)) for _ in range(5)))
    assert again == [first] * 5
    assert far.seen["deliver"] == 1


async def test_the_same_call_while_it_runs_joins_it(kept: Box, far: World) -> None:
    slow = {"text": "x", "delay": 0.05}
    both = await asyncio.gather(*(events(kept, call(kept, arguments=slow)) for _ in range(8)))
    assert all(isinstance(one[-1], Result) for one in both)
    assert far.seen["deliver"] == 1


@pytest.mark.parametrize(
    "other", [{"arguments": {"text": "y"}}, {"tool": "count", "arguments": {"n": 1}}, {"method": "tools/other"}]
)
async def test_an_id_is_bound_to_its_arguments(kept: Box, far: World, other: dict[str, Any]) -> None:
    await events(kept, call(kept))
    assert isinstance(await fault(kept, call(kept, **other)), Conflict)
    assert far.seen["deliver"] == 1


async def test_ids_are_each_callers_own(kept: Box, far: World) -> None:
    await events(kept, call(kept))
    await events(kept, call(kept, caller=EVE, arguments={"text": "eve's"}))
    assert far.seen["deliver"] == 2
    assert kept.calls.get("c1", EVE).call.arguments == {"text": "eve's"}
    with pytest.raises(Unknown):
        kept.calls.get("c1", Caller("ann"))
    with pytest.raises(Unknown):
        await kept.calls.cancel("c1", Caller("ann"))
    with pytest.raises(Unknown):
        kept.calls.follow("c1", Caller("ann"))


@pytest.mark.parametrize("id", ["", "x" * 129, "a\nb", "a\0b", "\ud800", "\u202e"])
async def test_what_is_no_id(kept: Box, far: World, id: str) -> None:
    assert isinstance(await fault(kept, call(kept, id=id)), BadArguments)
    assert far.seen["deliver"] == 0


@pytest.mark.parametrize("value", [10**400, "half \ud800", {1: 2, "a": {"b"}}], ids=["huge", "half", "keys"])
async def test_arguments_that_no_json_can_say(kept: Box, value: Any) -> None:
    problem = await fault(kept, call(kept, arguments={"text": value}))
    assert isinstance(problem, BadArguments)


# ---- kept --------------------------------------------------------------------------------------------------------


async def test_only_so_many_ended_calls_are_kept(tmp_path: Path, far: World) -> None:
    box = await opened(tmp_path, keep_count=5)
    hanging = asyncio.create_task(events(box, call(box, "hang", "hangs")))
    await until(lambda: far.running == 1)
    for n in range(40):
        await events(box, call(box, id=f"n{n}"))
    assert len(box.gateway.calls._calls) <= 7
    assert box.calls.get("n39", box.caller).state == "done"
    assert box.calls.get("hangs", box.caller).state == "working", "what runs stays"
    with pytest.raises(Unknown):
        box.calls.get("n0", box.caller)
    hanging.cancel()
    await asyncio.gather(hanging, return_exceptions=True)
    await box.close()


async def test_ended_calls_are_kept_for_so_long(tmp_path: Path, far: World) -> None:
    box = await opened(tmp_path, keep=0)
    await events(box, call(box))
    await events(box, call(box, id="c2"))
    with pytest.raises(Unknown):
        box.calls.get("c1", box.caller)
    await events(box, call(box, arguments={"text": "other"}))
    assert far.seen["deliver"] == 3, "the id is free again"
    await box.close()


async def test_large_answers_are_kept_up_to_a_sum(kept: Box) -> None:
    for n in range(14):
        await events(kept, call(kept, "big", f"b{n}", arguments={"bytes": 8 * 2**20}))
    assert len(kept.gateway.calls._calls) <= 10
    await events(kept, call(kept, id="last"))
    assert kept.gateway.calls._bytes >= 0


async def test_calls_that_never_began_are_forgotten_without_a_trace(tmp_path: Path, far: World) -> None:
    box = await opened(tmp_path, keep_count=2)
    for n in range(20):
        stream = box.invoke(call(box, id=f"n{n}"))
        task = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await stream.aclose()
    await until(lambda: not box.gateway.calls.running())
    for n in range(5):
        await events(box, call(box, id=f"m{n}"))
    assert box.gateway.calls._bytes == sum(r.size for r in box.gateway.calls._calls.values())
    await box.close()


# ---- ends --------------------------------------------------------------------------------------------------------


async def test_hanging_up_reaches_the_far_side(kept: Box, far: World) -> None:
    stream = asyncio.create_task(events(kept, call(kept, "hang")))
    await until(lambda: far.running == 1)
    stream.cancel()
    await until(lambda: far.seen["cancel"] == 1)
    await until(lambda: kept.calls.get("c1", kept.caller).state == "failed")
    assert far.running == 0
    last = kept.calls.get("c1", kept.caller).events[-1]
    assert isinstance(last, Error)
    assert isinstance(last.error, Cancelled)


async def test_the_call_goes_on_while_somebody_listens(kept: Box, far: World) -> None:
    one, two = (asyncio.create_task(events(kept, call(kept, "hang"))) for _ in range(2))
    await until(lambda: far.running == 1 and kept.gateway.calls.running()[0].listeners == 2)
    one.cancel()
    await asyncio.gather(one, return_exceptions=True)
    await asyncio.sleep(0.02)
    assert far.running == 1
    two.cancel()
    await until(lambda: far.running == 0)


async def test_detached_goes_on_and_is_cancelled_by_its_id(kept: Box, far: World) -> None:
    stream = asyncio.create_task(events(kept, call(kept, "hang", detached=True)))
    await until(lambda: far.running == 1)
    stream.cancel()
    await asyncio.gather(stream, return_exceptions=True)
    await asyncio.sleep(0.02)
    assert kept.calls.get("c1", kept.caller).state == "working"
    assert far.running == 1
    record = await kept.calls.cancel("c1", kept.caller)
    assert (record.state, far.running, far.seen["cancel"]) == ("failed", 0, 1)
    assert (await kept.calls.cancel("c1", kept.caller)).state == "failed", "twice is once"


async def test_following_begins_at_the_first_event_and_hanging_up_leaves_the_call(kept: Box, far: World) -> None:
    mine = asyncio.create_task(events(kept, call(kept, "job", arguments={"text": "wait"})))
    await until(lambda: "c1" in far.jobs)
    async with aclosing(kept.gateway.calls.follow("c1", kept.caller)) as peek:
        await anext(peek)
    assert far.running == 1
    far.jobs["c1"].done.set()
    assert await mine == [event async for event in kept.calls.follow("c1", kept.caller)]


async def test_a_call_ends_at_its_deadline_and_so_does_the_far_side(kept: Box, far: World) -> None:
    problem = await fault(kept, call(kept, "hang", deadline=time.time() + 0.05))
    assert isinstance(problem, TimedOut)
    assert problem.delivered == "unknown"
    assert far.running == 0


async def test_a_call_whose_deadline_is_over_is_not_delivered(kept: Box, far: World) -> None:
    problem = await fault(kept, call(kept, deadline=time.time() - 1))
    assert isinstance(problem, TimedOut)
    assert (problem.delivered, far.seen["deliver"]) == ("no", 0)


async def test_calls_without_a_deadline_get_that_of_the_settings(tmp_path: Path, far: World) -> None:
    box = await opened(tmp_path, deadline=0.05)
    assert isinstance(await fault(box, call(box, "hang")), TimedOut)
    await box.close()


async def test_previews_are_bounded_and_the_result_decides(kept: Box) -> None:
    found = await events(kept, call(kept, "count", arguments={"n": 6000}))
    assert len(found) == 10_001
    assert isinstance(found[-1], Result)
    assert {type(event) for event in found[:-1]} == {Progress, Part}


async def test_drain_waits_then_cuts(kept: Box, far: World) -> None:
    short = asyncio.create_task(events(kept, call(kept, arguments={"text": "x", "delay": 0.05})))
    long = asyncio.create_task(events(kept, call(kept, "hang", "c2")))
    await until(lambda: far.running == 2)
    assert await kept.gateway.calls.drain(0.3) == 1
    assert isinstance((await short)[-1], Result)
    assert isinstance((await long)[-1], Error)
    assert await kept.gateway.calls.drain(1) == 0


# ---- questions back ----------------------------------------------------------------------------------------------


async def asked(box: Box, id: str = "c1", tool: str = "ask") -> Ask:
    last = (await events(box, call(box, tool, id)))[-1]
    assert isinstance(last, Ask)
    assert last.state is None, "the adapter's own"
    assert isinstance(last.requests[0], Form)
    return last


def answer(box: Box, ask: Ask, id: str = "a1", tool: str = "ask", caller: Caller | None = None) -> Call:
    said = Answer(ask.token, {"who": {"name": "Eliza"}})
    return call(box, tool, id, caller, answer=said)


async def test_a_question_is_answered_once_by_the_one_who_was_asked(kept: Box) -> None:
    ask = await asked(kept)
    assert isinstance(await fault(kept, answer(kept, ask, caller=EVE)), Expired)
    assert isinstance(await fault(kept, answer(kept, ask, tool="wait", id="a0")), Expired)
    last = (await events(kept, answer(kept, ask)))[-1]
    assert last == Result((Text("Hello, Eliza"),))
    assert (await events(kept, answer(kept, ask)))[-1] == last, "the same answer again is the same call"
    assert isinstance(await fault(kept, answer(kept, ask, id="a2")), Expired)


async def test_a_question_expires(tmp_path: Path, far: World) -> None:
    box = await opened(tmp_path, ask_expiry=0.01)
    ask = await asked(box)
    await asyncio.sleep(0.02)
    assert isinstance(await fault(box, answer(box, ask)), Expired)
    await box.close()


@pytest.mark.parametrize("token", ["", "zz", "00" * 40, "01" + "ab" * 60])
async def test_tokens_of_ones_own_making(kept: Box, token: str) -> None:
    await asked(kept)
    assert isinstance(await fault(kept, answer(kept, Ask((), token=token))), Expired)


# ---- chains ------------------------------------------------------------------------------------------------------


def chain(length: int) -> tuple[Hop, ...]:
    return tuple(Hop(f"h{n}", f"agent{n}", f"agent{n}__ask") for n in range(length))


async def test_a_chain_may_be_so_deep(kept: Box, far: World) -> None:
    assert isinstance((await events(kept, call(kept, hops=chain(MAX_DEPTH - 1))))[-1], Result)
    problem = await fault(kept, call(kept, id="c2", hops=chain(MAX_DEPTH)))
    assert isinstance(problem, LoopCut)
    assert far.seen["deliver"] == 1
    assert far.hops["c1"].count(",") == MAX_DEPTH - 1, "its own hop stands at the end"


async def test_what_a_chain_passed_may_be_called_by_its_other_tools(kept: Box) -> None:
    hops = (Hop("h", "all", "all__relay"),)
    assert isinstance((await events(kept, call(kept, hops=hops)))[-1], Result)


async def test_a_parent_that_has_ended_is_no_parent(kept: Box) -> None:
    await events(kept, call(kept, id="parent", caller=Caller("ann", allow=("all__echo",))))
    assert isinstance((await events(kept, call(kept, "count", arguments={"n": 1}, parent="parent")))[-1], Result)
    assert kept.calls.get("c1", kept.caller).call.caller.on_behalf_of is None


@pytest.mark.parametrize("how", ["nothing", "not an event", "early close", "two results"])
async def test_adapters_that_break_the_contract_end_in_one_last_event(kept: Box, how: str) -> None:
    found = await events(kept, call(kept, "garbage", arguments={"how": how}))
    assert [isinstance(e, Result | Error | Ask) for e in found] == [False] * (len(found) - 1) + [True]


async def test_what_an_adapter_raises_by_mistake_is_not_told(kept: Box) -> None:
    problem = await fault(kept, call(kept, "crash"))
    assert problem.code == "bug"
    assert "secret" not in str(problem.problem())
    assert problem.problem()["call"] == "c1"
