"""PYTHON_ANALYZE: a real agent engages a specialist through the gateway."""

import pytest

from tests.e2e.plugin.agents import User
from tests.e2e.plugin.conftest import Place, prompts

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]


async def test_the_specialist_gets_the_task_with_what_it_must_know(user: User) -> None:
    await user.say("My name is Freddy.")
    said = await user.say("!analyze the vowels of London")
    first, second, *rest = said["text"].splitlines()
    assert first == "I engage the Python specialist (langgraph)."
    assert second == "[langgraph] !analyze the vowels of London"
    assert "You are Eliza" in said["text"]
    assert any("My name is Freddy." in line for line in rest)
    (result,) = await user.results()
    assert result["success"] is True
    assert result["text"].startswith("[langgraph]")
    assert result["values"]["benchmarkScore"] == 0.75
    known = {
        "tool": "sidekick__analyze",
        "toolsUsed": ["pandas", "search"],
        "benchmarkScore": 0.75,
        "framework": "langgraph",
    }
    assert {key: result["data"][key] for key in known} == known


async def test_its_steps_are_seen_while_they_happen(user: User) -> None:
    pieces, last = await user.watch("!analyze with CrewAI, please")
    shown = "".join(pieces)
    for words in ("I engage the Python specialist (crewai).", "step plan", "step compute"):
        assert words in shown
    assert last["text"].startswith("[crewai] !analyze with CrewAI, please")


async def test_without_one_the_action_is_not_offered(place: Place, user: User) -> None:
    async with User(place.server, "Pickering") as other:
        await other.say("!multi NONE who analyzes nothing")
    await user.say("who analyzes something")
    assert "PYTHON_ANALYZE" in prompts(place, "who analyzes something")[0]
    (first, *_) = prompts(place, "who analyzes nothing")
    assert "CALL_AGENT" in first
    assert "PYTHON_ANALYZE" not in first


async def test_one_that_fails_is_a_plain_sentence(place: Place, user: User) -> None:
    await place.box.remove("sidekick")
    said = await user.say("!analyze nothing")
    assert said["error"] is True
    assert said["text"].startswith("There is no agent or tool called 'sidekick__analyze'.")
    assert (await user.results())[0]["success"] is False
    assert (await user.say("still here"))["text"] == "You said: still here"
