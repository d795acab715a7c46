"""Engines are switched while the agent runs, and people are forgotten: by the command and over `/v1`."""

import asyncio

import httpx2

from adapters.spi import Caller, Result, Upstream
from tests.adapters.character.conftest import BOB, Room


async def manage(room: Room, method: str, path: str, json: object = None) -> httpx2.Response:
    async with httpx2.AsyncClient(base_url=await room.box.serve()) as client:
        return await client.request(method, path, json=json)


async def test_a_running_agent_gets_another_engine_and_keeps_its_memory(room: Room) -> None:
    await room.add(engine="talker")
    await room.say("say my ship is the Argo.")
    await room.settled()
    running = asyncio.create_task(room.last(room.call("hang on")))
    while not room.far.running():
        await asyncio.sleep(0.01)
    seen = (await manage(room, "GET", "/v1/agents/ada/engine")).json()
    assert seen["chosen"] == "talker"
    assert {"talker", "keeper"} <= set(seen["engines"])
    done = (await manage(room, "PUT", "/v1/agents/ada/engine", {"engine": "keeper"})).json()
    assert done["chosen"] == "keeper"
    assert "Memory does not move" in done["note"]
    assert "Argo" in await room.say("who am I?")
    made = [r.call.tool for r in room.box.gateway.calls._by_id.values() if r.call.parent]
    assert made[-1] == "keeper__ask"
    assert not running.done(), "a call that runs ends on the engine with which it began"
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await room.box.restart()
    assert (await room.outbound.engines("ada")).chosen == "keeper", "over a restart too"


async def test_what_is_no_engine_is_refused_with_those_that_there_are(room: Room) -> None:
    await room.add()
    refused = await manage(room, "PUT", "/v1/agents/ada/engine", {"engine": "nothing"})
    assert refused.status_code == 400
    assert "there are: keeper, talker" in refused.json()["detail"]
    assert (await manage(room, "PUT", "/v1/agents/none/engine", {"engine": "x"})).status_code == 404
    other = await manage(room, "GET", "/v1/agents/talker/engine")
    assert other.status_code == 400
    assert "not for this gateway to choose" in other.json()["detail"]


async def test_an_agent_with_a_persona_of_its_own_is_an_engine_by_name(room: Room) -> None:
    await room.box.add(Upstream("w", "fake", "fake://engines"))
    await room.add(engine="far", engines={"far": {"agent": "talker", "arguments": {"iterations": 3}}})
    assert await room.say("say hello") == "hello"
    assert "cannot think for itself" in await _itself(room)


async def _itself(room: Room) -> str:
    await room.add("bea", engine="bea")
    return await room.fault("say x", tool="bea__ask")


async def test_a_caller_is_forgotten_and_nobody_else(room: Room) -> None:
    await room.add()
    eve = Caller("eve")
    for caller in (BOB, eve, Caller("bob/agent")):
        await room.say("say my key is under the mat.", caller)
    await room.settled()
    reports = {r["name"]: r for r in (await manage(room, "POST", "/v1/forget", {"caller": "bob"})).json()}
    assert reports["ada"]["ok"]
    assert reports["ada"]["text"] == "forgotten"
    assert [p.id for p in room.outbound._people.all()] == ["eve"]
    assert [key for key, _ in await room.outbound._people._state.items()] == ["eve"]
    assert "mat" not in await room.say("who am I?")
    await room.box.restart()
    assert "mat" in await room.say("who am I?", eve)


async def test_a_turn_that_runs_meanwhile_brings_nobody_back(room: Room) -> None:
    await room.add()
    person = room.outbound._people.of(BOB)
    await room.outbound.forget("bob")
    person.hear("late", "late", "r")
    room.outbound._people.keep(person)
    await room.outbound._people.flush()
    assert await room.outbound._people._state.items() == []


async def test_it_says_where_something_stays(room: Room) -> None:
    await room.box.add(Upstream("w", "fake", "fake://forget"))
    await room.add()
    reports = {r["name"]: r for r in (await manage(room, "POST", "/v1/forget", {"caller": "bob"})).json()}
    assert reports["ada"]["ok"]
    assert not reports["w"]["ok"]
    assert "keeps conversations itself" in reports["w"]["text"]


async def test_progress_and_result_are_the_same_whoever_thinks(room: Room) -> None:
    await room.add()
    events = [event async for event in room.box.invoke(room.call("count 3"))]
    last = events[-1]
    assert isinstance(last, Result)
    assert last.structured is None
    assert "talker" not in str(events)


async def test_sidekicks_forget_conversations_too(room: Room) -> None:
    await room.add()
    for caller in (BOB, Caller("eve")):
        await room.say("talk red", caller, tool="talker__ask", conversation="a")
    reports = {r["name"]: r for r in (await manage(room, "POST", "/v1/forget", {"caller": "bob"})).json()}
    assert reports["helpers"]["ok"]
    assert reports["helpers"]["text"].startswith("1 conversations forgotten")
    assert await room.say("talk blue", tool="talker__ask", conversation="a") == "blue"
    assert await room.say("talk blue", Caller("eve"), tool="talker__ask", conversation="a") == "red blue"
