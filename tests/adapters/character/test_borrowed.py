"""Tools that callers lend a character for one call: no more than they may call themselves, where it takes any."""

import json

import pytest

from adapters.spi import Caller, Upstream
from tests.adapters.character.conftest import BOB, Room


@pytest.fixture
async def world(room: Room) -> str:
    """A tool of another agent's."""
    await room.box.add(Upstream("w", "fake", "fake://borrowed"))
    return next(tool.name for tool in room.box.tools("w") if tool.native == "echo")


async def seen(room: Room, caller: Caller = BOB, **arguments: object) -> list[str]:
    """The tools that the engine is offered."""
    return json.loads(await room.say("env now", caller, **arguments))["tools"]


async def test_it_has_none_but_those_that_are_lent_for_the_call(room: Room, world: str) -> None:
    await room.add(engine="talker", borrows=True)
    assert await seen(room) == []
    assert await seen(room, tools=[world]) == [world]
    assert "fake" not in await room.say(f"call {json.dumps([[world, {'text': 'hello'}]])}", tools=["nothing__*"])
    assert "hello" in await room.say(f"call {json.dumps([[world, {'text': 'hello'}]])}", tools=[world])


async def test_what_the_caller_may_not_call_is_not_lent(room: Room, world: str) -> None:
    await room.add(engine="talker", borrows=True)
    poor = Caller("poor", allow=("ada__*",))
    assert await seen(room, poor, tools=["*"]) == ["ada__ask"], "itself, of which it is cut off when it calls"
    said = await room.say(f"call {json.dumps([[world, {'text': 'hello'}]])}", poor, tools=[world])
    assert said.startswith("Error:")


async def test_a_character_takes_none_unless_the_operator_says_so(room: Room, world: str) -> None:
    await room.add(engine="talker")
    assert "'tools'" in await room.fault("env now", tools=[world])


async def test_who_calls_says_how_often_a_model_is_asked(room: Room) -> None:
    await room.add(engine="talker", borrows=True)
    await room.say("say hello", iterations=3)
    made = [r.call for r in room.box.gateway.calls._by_id.values() if r.call.tool == "talker__ask"]
    assert made[-1].arguments["iterations"] == 3
