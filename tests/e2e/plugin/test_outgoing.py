"""A user talks with a real ElizaOS agent, which calls on through the gateway."""

import asyncio
import json
from typing import Any

import pytest

from adapters.fake.world import world
from adapters.spi import Call, Error, Result
from gateway.testing import Box
from tests.e2e.plugin.agents import User
from tests.e2e.plugin.conftest import Place, prompts

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]


async def lines(place: Place, words: str, count: int) -> list[str]:
    """What the server logged of it, once it is so many lines."""
    for _ in range(150):
        found = [line for line in place.server.log.splitlines() if words in line]
        if len(found) >= count:
            return found
        await asyncio.sleep(0.1)
    raise AssertionError(place.server.log[-3000:])


async def test_an_agent_of_the_fake_network_answers(user: User) -> None:
    assert (await user.say('!call all__echo {"text":"the rain"}'))["text"] == "the rain"
    (result,) = await user.results()
    assert result["success"] is True
    assert result["text"] == "the rain"
    assert result["values"]["lastAgent"] == "all"
    known = {"tool": "all__echo", "agent": "all", "network": "fake", "cost": None, "toolsUsed": ["all__echo"]}
    assert {key: result["data"][key] for key in known} == known
    assert len(result["data"]["callId"]) == 32


async def test_a_tool_of_an_mcp_server_answers(user: User) -> None:
    assert '"words":4' in (await user.say('!call words__count {"text":"the rain in Spain"}'))["text"].replace(" ", "")
    (result,) = await user.results()
    assert result["data"]["structured"]["words"] == 4
    assert result["data"]["network"] == "mcp"


async def test_an_agent_that_works_in_steps_gives_the_arguments_itself(place: Place) -> None:
    async with User(place.server, "Pickering") as user:
        said = await user.say('!multi CALL_AGENT {"tool":"all__echo","arguments":{"text":"in steps"}}')
        assert said["text"] == "Step by step, it is done."
        (result,) = await user.results()
        assert (result["success"], result["text"]) == (True, "in steps")


async def test_an_agent_is_asked_by_its_name_alone(place: Place, user: User) -> None:
    said = await user.say('!call Higgins {"message":"How kind of you"}')
    assert said["text"] == "You said: How kind of you"
    assert prompts(place, "How kind of you")


async def test_steps_are_seen_while_they_happen(user: User) -> None:
    pieces, last = await user.watch('!call all__count {"n":3}')
    assert len(pieces) >= 3
    assert last["text"] == "123" or "3" in last["text"]


async def test_tools_are_found_by_words(user: User) -> None:
    said = (await user.say("!find count the words of a text"))["text"]
    assert "words__count: Counts the words and letters of a text." in said
    (result,) = await user.results()
    assert result["data"]["tools"][0]["name"] == "words__count"


async def test_the_model_reads_of_the_tools_that_fit_the_message(place: Place, user: User) -> None:
    asked: list[str] = []
    for _ in range(100):  # the catalogue is refreshed in the background, a minute after the agent's start
        await user.say("how many words has Pygmalion")
        asked = [prompt for prompt in prompts(place, "how many words has Pygmalion") if "<providers>" in prompt]
        if "- words__count: Counts the words" in asked[-1]:
            break
        await asyncio.sleep(1)
    assert "- words__count: Counts the words" in asked[-1]
    assert asked[-1].count("\n- all__") < 5


async def test_arguments_that_do_not_fit_are_repaired_once(place: Place, user: User) -> None:
    assert "7" in (await user.say('!call all__add {"a":"3","b":4}'))["text"]
    (asked,) = prompts(place, "# What was wrong")
    assert '{"a":"3","b":4}' in asked
    said = await user.say('!call all__add {"a":"three","b":4}')
    assert said["error"] is True
    assert said["text"].startswith("all__add could not do it:")


async def test_a_tool_that_is_not_there_brings_what_comes_near(user: User) -> None:
    said = await user.say('!call letters__count {"text":"x"}')
    assert said["text"].startswith("There is no agent or tool called 'letters__count'. Near to it: ")
    assert "words__count" in said["text"]
    assert (await user.results())[0]["success"] is False


async def test_a_tool_that_asks_back_is_not_left_in_silence(user: User) -> None:
    said = await user.say("!call all__ask {}")
    assert "asks back" in said["text"]
    assert (await user.results())[0]["success"] is False


async def test_a_slow_tool_is_left_in_time(place: Place, user: User) -> None:
    said = await asyncio.wait_for(user.say("!call all__hang {}"), 10)
    assert said["text"] == "It took too long, so I stopped waiting."
    for _ in range(50):
        if not world("fake://plugin").running:
            break
        await asyncio.sleep(0.1)
    assert not world("fake://plugin").running
    assert (await user.say("hello"))["text"] == "You said: hello"


async def test_a_circle_is_cut_with_a_clear_error(place: Place) -> None:
    """Eliza, called through the gateway, calls Eliza: her key tells the gateway which call caused which."""
    inner = json.dumps({"message": "and again"})
    call = Call("circle", "eliza__ask", {"message": f"!call eliza__ask {inner}"}, place.box.caller)
    last = [event async for event in place.box.invoke(call)][-1]
    assert isinstance(last, Error)
    assert "round in a circle" in last.error.public
    assert "eliza__ask -> eliza__ask" in last.error.public or "ask -> ask" in last.error.public


async def test_a_circle_through_another_agent_is_cut_too(place: Place) -> None:
    """Pickering asks Eliza, who asks Pickering."""
    inner = "!call pickering__ask " + json.dumps({"message": "and again"})
    step = {"tool": "eliza__ask", "arguments": {"message": inner}}
    call = Call("round", "pickering__ask", {"message": f"!multi CALL_AGENT {json.dumps(step)}"}, place.box.caller)
    last = [event async for event in place.box.invoke(call)][-1]
    assert isinstance(last, Result)
    told = prompts(
        place, "eliza__ask could not do it: I did not call pickering__ask, for that would go round in a circle"
    )
    assert "pickering" in told[0], "and Pickering's model reads why"


async def test_without_a_gateway_the_agent_is_as_it_was(place: Place, user: User) -> None:
    async with User(place.server, "Higgins") as other:
        assert (await other.say("who offers what"))["text"] == "You said: who offers what"
        (without,) = prompts(place, "who offers what")
        assert "CALL_AGENT" not in without
        assert "FIND_AGENT" not in without
    assert (await user.say("who has what to offer"))["text"] == "You said: who has what to offer"
    (offered,) = prompts(place, "who has what to offer")
    assert "CALL_AGENT" in offered
    assert "FIND_AGENT" in offered


async def test_a_gateway_that_goes_and_comes_back(place: Place, user: User) -> None:
    there = place.line.far
    place.line.turn(None)
    said = await user.say('!call all__echo {"text":"x"}')
    assert said["text"] == "I cannot reach the other agents at present: the gateway does not answer."
    assert (await user.results())[0]["success"] is False
    assert (await user.say("still here"))["text"] == "You said: still here"
    await user.say('!call all__echo {"text":"x"}')
    assert len(await lines(place, "the agent goes on without it", 1)) == 1
    place.line.turn(there)
    assert len(await lines(place, "answers again", 1)) == 1, "without being asked"
    assert (await user.say('!call all__echo {"text":"again"}'))["text"] == "again"


async def test_a_key_that_is_refused(place: Place, user: User, box: Box) -> None:
    """Another gateway takes the place of the first, and knows no such key."""
    await box.key("somebody")
    there = place.line.far
    place.line.turn(await box.serve())
    said: dict[str, Any] = await user.say('!call all__echo {"text":"x"}')
    assert said["text"] == "The gateway does not accept my key, so I cannot reach other agents."
    assert await lines(place, "does not accept DOOLITTLE_KEY", 1)
    place.line.turn(there)
    assert (await user.say('!call all__echo {"text":"back"}'))["text"] == "back"
