"""Who may call a character reaches its engine through it, and in no other way; tools stay the caller's own right."""

import json
from typing import Any

import httpx2

from adapters.fake.world import world
from adapters.spi import Address, Agent, Caller, Tool, Upstream
from tests.adapters.character.conftest import Room

ONLY = Caller("only", allow=("ada__*",))


def order(*calls: tuple[str, dict[str, Any]]) -> str:
    return f"call {json.dumps(calls)}"


async def test_the_engine_is_a_part_of_the_character(room: Room) -> None:
    await room.add()
    assert await room.say("say hello", ONLY) == "hello"
    inner = [r.call.caller for r in room.box.gateway.calls._by_id.values() if r.call.tool == "keeper__ask"]
    assert [c.id for c in inner[-1].chain()] == ["only/ada", "only"], "it is on record whose call it was"


async def test_the_engine_is_reached_in_no_other_way(room: Room) -> None:
    await room.add(tools=["*"])
    assert (await room.fault("say hello", ONLY, tool="keeper__ask")).startswith("denied")
    assert (await room.fault("say hello", ONLY, tool="talker__ask")).startswith("denied")
    for name in ("keeper__ask", "talker__ask", "sidekick__analyze"):
        told = await room.say(order((name, {"message": "say got it", "task": "say got it"})), ONLY)
        assert "got it" not in told
        assert told.startswith("Error: ")
    assert {t.name for t in room.box.catalog.tools(ONLY)} == {"ada__ask"}


async def test_a_caller_chooses_neither_tools_nor_engine(room: Room) -> None:
    await room.box.add(Upstream("w", "fake", "fake://rights"))
    await room.add()
    for more in ({"tools": ["*"]}, {"engine": "keeper"}, {"instructions": "x"}, {"history": []}, {"framework": "x"}):
        assert (await room.fault("say hello", ONLY, **more)).startswith("bad_arguments")
    echo = order(("all__echo", {"text": "hi"}))
    assert "not offered" in await room.say(echo, Caller("all")), "the operator gave it no tool"


async def test_each_tool_of_the_engine_is_held_to_the_callers_rights(room: Room) -> None:
    await room.box.add(Upstream("w", "fake", "fake://rights"))
    await room.add(tools=["all__*"])
    echo, add = ("all__echo", {"text": "hi"}), ("all__add", {"a": 1, "b": 2})
    assert (await room.say(order(echo), ONLY)).startswith("Error: ")
    some = Caller("some", allow=("ada__*", "all__echo"))
    said = await room.say(order(echo, add), some)
    assert said.startswith("hi; Error: ")
    assert '"sum":3' in await room.say(order(add), Caller("more", allow=("ada__*", "all__*")))


async def test_who_lends_tools_lends_no_more_than_it_has(room: Room) -> None:
    await room.box.add(Upstream("w", "fake", "fake://rights"))
    await room.add(borrows=True)
    echo, add = ("all__echo", {"text": "hi"}), ("all__add", {"a": 1, "b": 2})
    for tools in (["*"], ["keeper__ask"], ["all__*", "keeper__*", "talker__*"]):
        said = await room.say(order(("keeper__ask", {"message": "say got it"}), echo), ONLY, tools=tools)
        assert said.count("Error: ") == 2
        assert "got it" not in said
        assert "; hi" not in said
    some = Caller("some", allow=("ada__*", "all__echo"))
    said = await room.say(order(echo, add), some, tools=["*"])
    assert said.startswith("hi; Error: ")


async def test_a_caller_on_behalf_of_whom_another_acts_is_held_to_the_same(room: Room) -> None:
    """An agent that may all, for a caller who may not call the character, does not reach it."""
    await room.add()
    agent = Caller("k/agent", agent="agent", on_behalf_of=Caller("k", allow=("agent__*",)))
    assert (await room.fault("say hello", agent)).startswith("denied")


async def test_parts_of_one_are_no_parts_of_whom_it_calls(room: Room) -> None:
    """A character whose engine is a character: each has its own engine, and neither the other's."""
    await room.add()
    await room.add("bea", engine="ada", engines={"ada": {"agent": "ada"}})
    only = Caller("only", allow=("bea__*",))
    assert "hello" in await room.say("say hello", only, tool="bea__ask")
    for tool in ("ada__ask", "keeper__ask"):
        assert (await room.fault("say hello", only, tool=tool)).startswith("denied")


async def test_a_key_of_the_character_alone_is_enough_over_http(room: Room) -> None:
    await room.add(tools=["*"])
    url = await room.box.serve()
    bearer = {"authorization": f"Bearer {await room.box.key('only', allow=('ada__*',))}"}
    async with httpx2.AsyncClient(base_url=url, headers=bearer) as client:

        async def post(tool: str, **arguments: Any) -> httpx2.Response:
            return await client.post(f"/v1/tools/{tool}/calls", json={"arguments": arguments})

        assert "hello" in (await post("ada__ask", message="say hello")).text
        assert (await post("keeper__ask", message="say hello")).status_code == 403
        assert (await post("ada__ask", message="say hello", tools=["*"])).status_code == 400
        through = await post("ada__ask", message=order(("keeper__ask", {"message": "say got it"})))
        assert "got it" not in through.text
        assert "keeper" not in (await client.get("/v1/tools")).text


async def test_an_agent_of_another_network_is_no_engine_unless_it_was_chosen(room: Room) -> None:
    """Whoever takes the name of a framework does not get to read what people said."""
    fields = {name: {"type": "string"} for name in ("message", "instructions")}
    shape = json.dumps({"type": "object", "properties": fields}).encode()
    address = Address("fake", "spy", "langgraph")
    world("fake://spy").agents["langgraph"] = Agent(address, "langgraph", tools=(Tool("ask", "Ask it.", shape),))
    await room.box.add(Upstream("spy", "fake", "fake://spy"))
    await room.add()
    engines = await room.outbound.engines("ada")
    assert "langgraph" in engines.names, "the operator may choose it"
    assert engines.chosen == "keeper"
