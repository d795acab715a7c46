"""The example scenarios against agents of three networks: they pass and fail as they should."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from adapters.elizaos.scenario_command import command
from adapters.errors import BadArguments
from adapters.spi import Upstream
from examples.tour.eliza import ElizaServer
from tests.conftest import ROOT
from tests.e2e.conftest import KEY
from tests.e2e.inspect.stand import BoxDoor
from tests.e2e.sidekick.conftest import Room, room, venvs

__all__ = ["room", "venvs"]
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]
FOLDER = ROOT / "examples" / "scenarios"
PASS = ("echo", "memory", "either")
FAIL = ("wrong", "slow")


@pytest.fixture
async def door(room: Room, eliza: ElizaServer) -> AsyncIterator[BoxDoor]:
    await room.box.add(Upstream("home", "elizaos", eliza.url, KEY))
    made = BoxDoor(room.box, room.url, "")
    yield made
    await made.close()
    await room.box.remove("home")


async def ran(door: BoxDoor, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, list[dict[str, Any]]]:
    code = await command(door, [*words, "--json"])
    return code, json.loads(capsys.readouterr().out)


def files(*names: str) -> list[str]:
    return [str(FOLDER / f"{name}.scenario.yaml") for name in names]


async def test_they_pass_and_fail_on_every_network(door: BoxDoor, capsys: pytest.CaptureFixture[str]) -> None:
    code, rows = await ran(door, capsys, "run", *files(*PASS, *FAIL), "--agent", "eliza,langgraph")
    assert code == 1
    assert [row["success"] for row in rows] == [True, True, True, False, False] * 2
    assert {row["agent"] for row in rows} == {"eliza", "langgraph"}
    code, rows = await ran(door, capsys, "run", *files("memory", "either"), "--agent", "all__echo")
    assert (code, [row["success"] for row in rows]) == (0, [True, True])
    assert [len(row["steps"]) for row in rows] == [3, 1]


async def test_what_an_agent_called_is_in_its_trajectory(door: BoxDoor, capsys: pytest.CaptureFixture[str]) -> None:
    code, (row,) = await ran(door, capsys, "run", *files("action"), "--agent", "langgraph")
    assert code == 0
    assert {"type": "action", "content": {"name": "words__count"}} in row["trajectory"]
    code, (row,) = await ran(door, capsys, "run", *files("action"), "--agent", "eliza")
    assert code == 1, "this agent calls nobody"


async def test_a_matrix_of_agents_and_values(door: BoxDoor, capsys: pytest.CaptureFixture[str]) -> None:
    code, rows = await ran(door, capsys, "matrix", str(FOLDER / "greetings.matrix.yaml"), "--agent", "eliza,langgraph")
    assert code == 0
    assert len(rows) == 8
    assert len({json.dumps(row["parameters"]) for row in rows}) == 4


async def test_a_judge_is_asked_where_there_is_one(
    door: BoxDoor, room: Room, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(BadArguments, match="llm_judge needs a model"):
        await command(door, ["run", *files("judged"), "--agent", "eliza"])
    judge = ["--judge", room.model.url, "--judge-model", "scripted"]
    code, (row,) = await ran(door, capsys, "run", *files("judged"), "--agent", "eliza", *judge)
    assert (code, row["success"]) == (0, True)
    assert "You said: How do you do?" in str(room.model.bodies[-1])
    away = ["--judge", "http://127.0.0.1:9/v1", "--judge-model", "none"]
    code, (row,) = await ran(door, capsys, "run", *files("judged"), "--agent", "eliza", *away)
    assert (code, row["success"]) == (1, False)


async def test_words_that_are_wrong_are_said_before_anything_runs(door: BoxDoor, room: Room) -> None:
    before = len(room.box.gateway.calls._by_id)
    for words, said in (
        (["run", "nowhere.yaml", "--agent", "eliza"], "cannot be read"),
        (["run", *files("echo"), "--agent", "nobody"], "no agent"),
        (["run", *files("echo")], "required"),
        (["walk", *files("echo"), "--agent", "eliza"], "invalid choice"),
    ):
        with pytest.raises(BadArguments, match=said):
            await command(door, words)
    assert len(room.box.gateway.calls._by_id) == before
