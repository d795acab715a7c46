"""A real ElizaOS agent engages each sidekick by its action PYTHON_ANALYZE; they call other networks' agents for it."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from adapters.spi import Upstream
from examples.tour.eliza import HERE, PLUGIN, ElizaServer, install
from tests.e2e.conftest import KEY
from tests.e2e.plugin.agents import User
from tests.e2e.sidekick.conftest import TASK, Room
from tests.e2e.sidekick.rooms import AGENTS, One

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]
every = pytest.mark.parametrize("one", AGENTS, ids=lambda one: one.name)


@dataclass
class Eliza:
    """One agent for each sidekick, and one whose sidekick takes the framework that is named."""

    room: Room
    server: ElizaServer

    def user(self, name: str) -> User:
        return User(self.server, name)


def character(folder: Path, name: str, **settings: str) -> str:
    said = json.loads((HERE / "characters" / "eliza.json").read_text())
    said |= {"name": name, "username": name, "settings": settings}
    path = folder / f"{name}.json"
    path.write_text(json.dumps(said))
    return str(path)


@pytest.fixture(scope="module")
async def eliza(room: Room, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Eliza]:
    folder = tmp_path_factory.mktemp("elizaos")
    install(print)
    known = {"DOOLITTLE_URL": room.url, "DOOLITTLE_TIMEOUT": "60"}
    targets = {"Any": "sidekick__analyze", **{f"With-{one.name}": f"{one.name}__ask" for one in AGENTS}}
    agents = [
        character(
            folder, name, **known, DOOLITTLE_SIDEKICK=target, DOOLITTLE_KEY=await room.box.key(name, agent=name.lower())
        )
        for name, target in targets.items()
    ]  # fmt: skip
    env = {"PLUGINS": str(PLUGIN), "LOG_LEVEL": "warn"}
    server = await ElizaServer(folder / "home", key=KEY, agents=",".join(agents), env=env).start()
    await room.box.add(Upstream("home", "elizaos", server.url, KEY))
    yield Eliza(room, server)
    await room.box.remove("home")
    await server.stop()


@every
async def test_the_same_task_from_a_users_message(eliza: Eliza, one: One) -> None:
    async with eliza.user(f"With-{one.name}") as user:
        pieces, last = await user.watch(f"!analyze this: {TASK}")
        (result,) = await user.results()
    shown = "".join(pieces)
    assert "calls words__count" in shown
    assert "words__count answered" in shown
    assert '"words": 4' in last["text"]
    assert result["success"] is True
    assert result["data"]["toolsUsed"] == ["words__count"]
    assert result["data"]["structured"]["stopReason"] == "done"
    assert result["data"]["tool"] == f"{one.name}__ask"


@pytest.mark.parametrize("word", ["LangChain", "AutoGen"])
async def test_the_framework_that_the_user_names_does_it(eliza: Eliza, word: str) -> None:
    async with eliza.user("Any") as user:
        said = await user.say(f"!analyze with {word}: {TASK}")
        (result,) = await user.results()
    assert '"words": 4' in said["text"]
    assert result["values"]["benchmarkScore"] is None
    assert result["data"]["framework"] == {"LangChain": "langgraph", "AutoGen": "autogen"}[word]


async def test_what_the_specialist_must_know_reaches_its_model(eliza: Eliza) -> None:
    async with eliza.user("Any") as user:
        await user.say("My name is Freddy.")
        await user.say("!analyze my name")
    (said,) = [m["content"] for m in eliza.room.model.bodies[-1]["messages"] if m["role"] == "user"]
    assert "# Context" in said
    assert "My name is Freddy." in said
    assert "You are Any" in said or "You are Eliza" in said


async def test_a_sidekick_asks_an_agent_of_elizaos(eliza: Eliza) -> None:
    """elizaos > sidekick > elizaos: the second agent is another, and hears of the task."""
    given = {"tools": ["with-autogen__ask"]}
    task = '!use with-autogen__ask {"message": "Where do I come from?"}'
    result = await eliza.room.result(eliza.room.call("langgraph__ask", task, arguments=given))
    assert result.text == "The answer is You said: Where do I come from?."


async def test_a_circle_through_a_sidekick_is_cut(eliza: Eliza) -> None:
    """A sidekick asks an agent, which engages the same sidekick for it, as whoever holds its key."""
    task = '!use with-langgraph__ask {"message": "!analyze again"}'
    call = eliza.room.call("langgraph__ask", task, id="circle", arguments={"tools": ["with-langgraph__ask"]})
    result = await eliza.room.result(call)
    chain = "langgraph__ask -> with-langgraph__ask -> langgraph__ask"
    assert f"the chain of calls came back to where it was: {chain}" in result.text
    assert isinstance(result.structured, dict)
    assert result.structured["toolsUsed"] == ["with-langgraph__ask"]
