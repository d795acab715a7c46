"""One agent by all of its engines, in one table."""

import json
from typing import Any

import pytest

from adapters.errors import BadArguments
from adapters.spi import Upstream
from tests.conftest import ROOT
from tests.e2e.inspect.stand import AGENTS, Stand

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]
WORDS = ["tau2", "--domain", "retail", "--limit", "1", "--user", "gold", "--no-baselines"]


async def chosen(stand: Stand, agent: str) -> str:
    return (await stand.door.manage("GET", f"/v1/agents/{agent}/engine"))["chosen"]


async def test_a_character_by_all_of_its_engines(stand: Stand, capsys: pytest.CaptureFixture[str]) -> None:
    assert await stand.bench(*WORDS, "--agent", "ada", "--engines", "all", "--json") == 1, "one is not there"
    said = json.loads(capsys.readouterr().out)
    rows: dict[str, dict[str, Any]] = {row["engine"]: row for row in said["rows"]}
    ran = {*AGENTS, "server"} - {"eliza"}
    assert set(rows) == {*ran, "gone"}
    assert {name: (row["reward"], row["errors"], row["fault"]) for name, row in rows.items() if name in ran} == {
        name: (1.0, 0, "") for name in ran
    }
    assert rows["gone"]["reward"] is None
    assert "the engine 'gone' of ada is not there" in rows["gone"]["fault"]
    assert await chosen(stand, "ada") == "workflow"
    record = await stand.door.manage("GET", "/v1/agents/ada")
    assert {name: score["benchmarkScore"] for name, score in record["benchmarks"].items()} == dict.fromkeys(ran, 1.0)
    assert record["benchmark"]["engine"] == "workflow"


async def test_an_elizaos_agent_in_one_step_and_in_several(stand: Stand, capsys: pytest.CaptureFixture[str]) -> None:
    """In one step it calls one tool a message, and the task needs several."""
    assert await stand.bench(*WORDS, "--agent", "eliza", "--engines", "all", "--json") == 0
    rows = {row["engine"]: row for row in json.loads(capsys.readouterr().out)["rows"]}
    assert {name: row["reward"] for name, row in rows.items()} == {"as-set": 1.0, "multi-step": 1.0, "single-shot": 0.0}
    assert rows["single-shot"]["calls"] < rows["multi-step"]["calls"]
    assert await chosen(stand, "eliza") == "as-set"
    record = await stand.door.manage("GET", "/v1/agents/eliza")
    assert record["benchmark"]["benchmarkScore"] == 1.0
    await stand.door.manage("PUT", "/v1/agents/eliza/engine", {"engine": "single-shot"})
    record = await stand.door.manage("GET", "/v1/agents/eliza")
    await stand.door.manage("PUT", "/v1/agents/eliza/engine", {"engine": "as-set"})
    assert record["benchmark"]["benchmarkScore"] == 0.0, "the record is of the engine by which it thinks now"


async def test_the_table_names_each_engine(stand: Stand, capsys: pytest.CaptureFixture[str]) -> None:
    """With the tokens that its model counted, and what they cost at the price that was told."""
    before = stand.model.requests
    price = ["--price", "2/10"]
    code = await stand.bench(*WORDS, "--agent", "ada", "--engines", "langgraph,gone", *price, "--no-record")
    asked = stand.model.requests - before
    lines = capsys.readouterr().out.splitlines()
    assert code == 1
    (row,) = [line.split() for line in lines if line.startswith("ada on langgraph ")]
    assert row[3] == "1.000"
    cost = (10 * asked * 2 + 5 * asked * 10) / 1e6
    assert row[-5:-1] == [str(10 * asked), str(5 * asked), str(round(cost, 6)), "-"]
    assert any(line.startswith("ada on gone  ") and "not run" in line for line in lines)
    assert "2/10 a million" in lines[2]


async def test_engines_that_nobody_has_are_refused_before_anything_runs(stand: Stand) -> None:
    asked = stand.model.requests
    for words, said in (
        (["--agent", "ada", "--engines", "langgraph,nothing"], "has no engine 'nothing'; there are: "),
        (["--agent", "langgraph", "--engines", "all"], "compare others by --agent a,b,c"),
        (["--agent", "ada,eliza", "--engines", "all"], "those of one agent"),
    ):
        with pytest.raises(BadArguments, match=said):
            await stand.bench(*WORDS, *words)
    assert stand.model.requests == asked
    assert await chosen(stand, "ada") == "workflow"


async def test_a_character_that_takes_no_tools_of_callers_cannot_be_measured(stand: Stand) -> None:
    ada = str(ROOT / "examples" / "python_first" / "ada.json")
    await stand.box.add(Upstream("bea", "character", command=(ada,), options={"engine": "langgraph"}))
    try:
        with pytest.raises(BadArguments, match="'borrows = true'"):
            await stand.bench(*WORDS, "--agent", "bea")
    finally:
        await stand.box.remove("bea")
