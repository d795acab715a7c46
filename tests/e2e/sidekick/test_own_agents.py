"""Agents of the operator's, by each way of giving them; and what they may not."""

import os
import shutil
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from mcp_types import ElicitResult

from adapters.spi import Answer, Ask, Form, Result, Upstream
from tests.e2e.sidekick.conftest import MODEL_KEY, Room
from tests.e2e.sidekick.rooms import FRAMEWORKS, VENVS

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]
OWN = Path(__file__).parent / "own"
NAMES = {one.name for one in FRAMEWORKS}
AGENTS: dict[str, dict[str, Any]] = {
    "loaded": {"framework": "langgraph", "load": "graph:graph", "folder": str(OWN), "keeps": True},
    "made": {"framework": "langgraph", "load": "graph:make", "folder": str(OWN), "keeps": True, "benchmark": True},
    "clerk": {"framework": "langgraph", "file": str(OWN / "langgraph.json"), "entry": "clerk", "keeps": True},
    "outside": {"framework": "langgraph", "file": str(OWN / "langgraph.json"), "entry": "outside"},
    "which": {"framework": "langgraph", "file": str(OWN / "langgraph.json")},
    "measuring": {"framework": "pydantic-ai", "load": "pydantic_agent:agent", "folder": str(OWN)},
    "no-file": {"framework": "pydantic-ai", "file": str(OWN / "team.json")},
    "parrot": {"framework": "autogen", "load": "autogen_agent:make", "folder": str(OWN)},
    "team": {"framework": "autogen", "file": str(OWN / "team.json")},
    "crew": {"framework": "crewai", "file": str(OWN / "crew")},
    "own-crew": {"framework": "crewai", "load": "crew_agent:make", "folder": str(OWN)},
    "missing": {"framework": "autogen", "load": "autogen_agent:nothing", "folder": str(OWN)},
    "elsewhere": {"framework": "autogen", "load": "json:loads", "folder": str(OWN)},
    "no-agent": {"framework": "autogen", "load": "autogen_agent:__doc__", "folder": str(OWN)},
}
HERE = {name: said for name, said in AGENTS.items() if said["framework"] in NAMES}


def here(*names: str) -> list[str]:
    """Those whose framework is tested here."""
    return [name for name in names if name in HERE]


@pytest.fixture(scope="module", autouse=True)
async def own(room: Room) -> AsyncIterator[Room]:
    options = {**room.options, "agents": HERE, "paths": [str(OWN)], "env": {"OWN_MODEL": room.model.url}}
    await room.box.add(Upstream("own", "sidekick", room.model.url, MODEL_KEY, options=options))
    yield room
    await room.box.remove("own")


@pytest.mark.parametrize("name", here("loaded", "made", "clerk"))
async def test_a_graph_asks_and_goes_on_in_another_child(room: Room, name: str) -> None:
    call = room.call(f"{name}__ask", "how do you do")
    asked = (await room.events(call))[-1]
    assert isinstance(asked, Ask)
    (form,) = asked.requests
    assert isinstance(form, Form)
    assert form.message == "What is your name?"
    for child in room.children("langgraph", "own"):
        os.kill(child.pid, signal.SIGKILL)
    answer = Answer(asked.token, {form.id: {"answer": "Freddy"}})
    result = await room.result(room.call(f"{name}__ask", "", answer=answer))
    assert result.text == "Good day, Freddy. You said: how do you do"
    assert isinstance(result.structured, dict)
    assert result.structured["benchmarkScore"] == (0.5 if name == "made" else None)


async def test_an_mcp_client_is_asked_and_answers(room: Room) -> None:
    seen: list[str] = []

    async def fill_in(context: Any, params: Any) -> ElicitResult:
        seen.append(params.message)
        approve = "approve" in params.requested_schema["properties"]
        return ElicitResult(action="accept", content={"approve": True} if approve else {"answer": "Ada"})

    async with Client(room.url + "/mcp/all", mode="legacy", elicitation_callback=fill_in) as client:
        greeted: Any = await client.call_tool("clerk__ask", {"message": "hello"})
        spelled: Any = await client.call_tool("workflow__ask", {"message": '!use words__spell {"word": "rain"}'})
    assert greeted.content[0].text == "Good day, Ada. You said: hello"
    assert spelled.content[0].text == "The answer is R-A-I-N."
    assert seen == ["What is your name?", 'May \'words__spell\' be called with {"word": "rain"}?']


async def test_what_a_person_does_not_allow_is_not_called(room: Room) -> None:
    task = '!use words__count {"text": "a"}\n!use words__spell {"word": "rain"}\n!use words__count {"text": "b"}'
    asked = (await room.events(room.call("workflow__ask", task)))[-1]
    assert isinstance(asked, Ask)
    values = {asked.requests[0].id: {"approve": False}}
    result = await room.result(room.call("workflow__ask", "", answer=Answer(asked.token, values)))
    assert isinstance(result.structured, dict)
    assert result.structured["stopReason"] == "denied"
    assert result.structured["toolsUsed"] == ["words__count"]
    assert result.structured["toolCalls"] == 1


async def test_a_plan_that_fails_is_made_anew(room: Room) -> None:
    task = '!use all__fail {"kind": "refused"}\n!else all__echo {"text": "one two"}\n!else words__count {"text": "$2"}'
    result = await room.result(room.call("workflow__ask", task))
    assert isinstance(result.structured, dict)
    assert result.structured["toolsUsed"] == ["all__fail", "all__echo", "words__count"]
    assert result.structured["stopReason"] == "done"
    assert '"words": 2' in result.text, "an argument was the result of the second step"


async def test_a_plan_that_fails_for_good_says_so(room: Room) -> None:
    task = '!use all__fail {"kind": "refused"}\n!else all__fail {"kind": "broken"}'
    result = await room.result(room.call("workflow__ask", task))
    assert isinstance(result.structured, dict)
    assert (result.structured["status"], result.structured["stopReason"]) == ("failed", "failed")
    assert result.structured["toolCalls"] == 3, "once, and after each of two plans more"


USE = '!use words__count {"text": "the rain"}'
SAY = {
    "measuring": ("hello", "measured"),
    "parrot": ("hello", "By George!"),
    "team": ("hello", "You said: hello"),
    "crew": (USE, "The answer is"),
    "own-crew": ("hello", "say good day"),
}


@pytest.mark.parametrize("name", here(*SAY))
async def test_agents_by_import_by_component_and_by_yaml(room: Room, name: str) -> None:
    task, text = SAY[name]
    result = await room.result(room.call(f"{name}__ask", task))
    assert text in result.text
    assert isinstance(result.structured, dict)
    used = ["words__count"] if task == USE else []
    assert result.structured["toolsUsed"] == used, "what it has of its own, the gateway has not called"


REFUSED = {
    "outside": "is outside the paths that the operator has configured",
    "which": "has the graphs clerk, outside; name one as 'entry'",
    "no-file": "loads agents by 'load' (module:object), and from no file",
    "missing": "the module 'autogen_agent' has no 'nothing'",
    "elsewhere": "is outside the paths that the operator has configured",
    "no-agent": "what was loaded is no agent or team",
}


@pytest.mark.parametrize("name", here(*REFUSED))
async def test_what_cannot_be_loaded_is_said(room: Room, name: str) -> None:
    error = (await room.fault(room.call(f"{name}__ask", "hello"))).error
    assert REFUSED[name] in error.public
    assert (error.code, error.delivered) == ("refused", "no")


async def test_each_has_children_of_its_own(room: Room) -> None:
    """Code of the operator's is not in the process that has other runs' keys."""
    for name in here("measuring", "parrot"):
        await room.result(room.call(f"{name}__ask", "hello"))
    pools = room.outbound("own")._pools
    groups = {group for _, group in pools if group}
    assert set(here("measuring", "parrot")) <= groups
    pids = [child.pid for pool in pools.values() for child in pool.children]
    assert len(pids) == len(set(pids))


async def test_a_link_that_leads_out_is_refused_in_the_child_too(room: Room, tmp_path: Path) -> None:
    """The file is changed after the gateway has looked at it."""
    inside, outside = tmp_path / "in", tmp_path / "out"
    inside.mkdir()
    outside.mkdir()
    shutil.copy(OWN / "autogen_agent.py", inside / "late_agent.py")
    shutil.copy(OWN / "autogen_agent.py", outside / "late_agent.py")
    agents = {"late": {"framework": "autogen", "load": "late_agent:make", "folder": str(inside)}}
    options = {**room.options, "agents": agents, "paths": [str(inside)], "venvs": str(VENVS)}
    await room.box.add(Upstream("late", "sidekick", room.model.url, MODEL_KEY, options=options))
    try:
        (inside / "late_agent.py").unlink()
        (inside / "late_agent.py").symlink_to(outside / "late_agent.py")
        error = (await room.fault(room.call("late__ask", "hello"))).error
        assert "is outside the paths" in error.public
        (inside / "late_agent.py").unlink()
        shutil.copy(OWN / "autogen_agent.py", inside / "late_agent.py")
        result = (await room.events(room.call("late__ask", "hello")))[-1]
        assert isinstance(result, Result)
    finally:
        await room.box.remove("late")
