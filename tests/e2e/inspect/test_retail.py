"""Retail of tau2 through the gateway: the same floor and ceiling as the harness by itself, from every agent."""

import asyncio
import json
from pathlib import Path

import pytest

from adapters.inspect.command import command
from adapters.inspect.report import figures
from adapters.inspect.session import Bench, Outcome, direct, under_test
from adapters.inspect.venv import HARNESS
from adapters.spi import Upstream
from adapters.venvs import Venvs
from tests.e2e.inspect.stand import AGENTS, Stand
from tests.e2e.sidekick.rooms import VENVS

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]
RETAIL = "inspect_evals.tau2.tau2:tau2_retail"
TASKS = 5


def bench(words: str, control: str = "", limit: int = TASKS) -> Bench:
    args = {"shuffle": False, "message_limit": 10}
    return Bench(RETAIL, args, limit=limit, words=words, timeout=60, control=control)


def rewards(outcome: Outcome) -> list[float | None]:
    return [one["reward"] for one in sorted(outcome.samples, key=lambda one: int(one["id"]))]


@pytest.fixture(scope="module")
async def sides(stand: Stand) -> dict[str, Outcome]:
    found = await asyncio.gather(
        direct(stand.child, bench("gold"), "gold"), direct(stand.other, bench("nothing"), "nothing")
    )
    return dict(zip(("gold", "nothing"), found, strict=True))


@pytest.mark.parametrize("agent", AGENTS)
async def test_an_agent_is_scored_as_the_harness_by_itself(stand: Stand, sides: dict[str, Outcome], agent: str) -> None:
    """Ceiling and floor, in two sessions of one agent at once."""
    found = await asyncio.gather(
        under_test(stand.child, stand.door, bench("gold"), agent),
        under_test(stand.other, stand.door, bench("nothing"), agent),
    )
    for words, outcome in zip(("gold", "nothing"), found, strict=True):
        assert [one["error"] for one in outcome.samples] == [""] * TASKS
        assert rewards(outcome) == rewards(sides[words])
        assert figures(outcome, 1)["calls"] == figures(sides[words], 1)["calls"]


async def test_calls_that_bypass_the_harness_are_worth_nothing(stand: Stand) -> None:
    """Each call succeeds, on another database: the harness has not seen it."""
    outcome = await under_test(stand.child, stand.door, bench("gold", control="bypass", limit=2), "langgraph")
    assert rewards(outcome) == [0.0, 0.0]
    assert [one["calls"] for one in outcome.samples] == [0, 0]
    inner = [r.call for r in stand.box.gateway.calls._by_id.values() if r.call.tool.endswith("__get_order_details")]
    assert inner, "they were called, through the gateway"


async def test_a_session_is_gone_when_it_ends(stand: Stand) -> None:
    left = await stand.door.manage("GET", "/v1/upstreams")
    assert {one["name"] for one in left} == {"helpers", "home", "ada"}
    keys = await stand.door.manage("GET", "/v1/keys")
    assert all(key["revoked"] for key in keys if key["name"].startswith("b"))


async def test_an_agent_that_fails_is_an_error_and_not_a_zero_of_its_own(stand: Stand) -> None:
    """The model is away: every sample ends with an error, which says why."""
    await stand.box.add(Upstream("out", "sidekick", "http://127.0.0.1:9/v1", "sk-x", options=stand.options))
    (tool,) = [t.name for t in stand.box.tools("out") if t.address.native == "langgraph"]
    try:
        outcome = await under_test(stand.child, stand.door, bench("nothing", limit=2), tool)
    finally:
        await stand.box.remove("out")
    assert [one["reward"] for one in outcome.samples] == [None, None]
    assert all("failed at this task" in one["error"] for one in outcome.samples)
    assert figures(outcome, 1)["errors"] == 2


async def test_an_evaluator_that_breaks_is_an_error_and_is_not_dropped(stand: Stand, tmp_path: Path) -> None:
    """A task whose solution names a tool that is not there: the evaluator cannot replay it."""
    (found,) = Venvs(VENVS).of(HARNESS).folder.glob("lib/python*/site-packages/inspect_evals/tau2/data/domains/retail")
    tasks = json.loads((found / "tasks.json").read_text())[:2]
    tasks[0]["evaluation_criteria"]["actions"][0]["name"] = "no_such_tool"
    (tmp_path / "tasks.json").write_text(json.dumps(tasks))
    args = {"shuffle": False, "tasks_file_override": str(tmp_path / "tasks.json")}
    outcome = await direct(stand.child, Bench(RETAIL, args), "nothing")
    assert sorted((one["id"], one["reward"]) for one in outcome.samples) == [("0", None), ("1", 0.0)]
    assert "no_such_tool" in next(one["error"] for one in outcome.samples if one["id"] == "0")
    counted = figures(outcome, 1)
    assert (counted["errors"], counted["n"], counted["samples"]) == (1, 2, 2)


async def test_a_model_may_play_the_user(stand: Stand) -> None:
    """It hears what the agent says, and its fault is an error of the sample."""
    user = {"kind": "openai", "url": stand.model.url, "model": "scripted", "key": "sk-user"}
    args = {"shuffle": False, "message_limit": 2}
    asked = stand.model.requests
    outcome = await under_test(stand.child, stand.door, Bench(RETAIL, args, limit=1, words="", user=user), "autogen")
    assert [(one["reward"], one["error"], one["turns"]) for one in outcome.samples] == [(0.0, "", 2)]
    assert stand.model.requests == asked + 4, "two turns of the user, and two of the agent"
    assert "sk-user" in stand.model.keys
    away = Bench(RETAIL, args, limit=1, words="", user={**user, "url": "http://127.0.0.1:9/v1"})
    (sample,) = (await under_test(stand.child, stand.door, away, "autogen")).samples
    assert sample["reward"] is None
    assert sample["error"].startswith("the user's model: ConnectError")


async def test_the_command_starts_a_harness_and_ends_it(stand: Stand, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["tau2", "--agent", "autogen", "--domain", "retail", "--limit", "1", "--trials", "2"]
    code = await command(stand.door, [*words, "--user", "gold", "--venvs", str(VENVS), "--json"])
    said = json.loads(capsys.readouterr().out)
    assert code == 0
    assert [(row["agent"], row["reward"], row["pass^k"], row["errors"]) for row in said["rows"]] == [
        ("autogen", 1.0, [1.0, 1.0], 0),
    ]  # fmt: skip
    assert (said["floor"], said["ceiling"], said["n"], said["trials"], said["seed"]) == (0.0, 1.0, 1, 2, 1)
    assert said["user"].startswith("scripted")
    assert said["versions"] == {"inspect-ai": "0.3.285", "inspect-evals": "0.26.0"}
    score = (await stand.door.manage("GET", "/v1/agents/autogen"))["benchmark"]
    assert (score["benchmarkScore"], score["benchmark"], score["user"]) == (1.0, "tau2_retail", said["user"])


async def test_several_agents_are_one_table(stand: Stand, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--limit", "1", "--no-baselines", "--no-record"]
    assert await stand.bench("tau2", "--agent", "langgraph,autogen", *words) == 0
    rows = [line.split()[:2] for line in capsys.readouterr().out.splitlines()[5:]]
    assert rows == [["langgraph", "0.000"], ["autogen", "0.000"]]
