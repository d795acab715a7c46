"""Retail of tau2 through the gateway: the same floor and ceiling as the harness by itself, from every agent."""

import pytest

from adapters.inspect.report import figures
from adapters.inspect.session import Bench, Outcome, direct, under_test
from tests.e2e.inspect.conftest import Stand
from tests.e2e.sidekick.rooms import FRAMEWORKS

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]
AGENTS = ["eliza", *(a.name for one in FRAMEWORKS for a in one.agents)]
RETAIL = "inspect_evals.tau2.tau2:tau2_retail"
TASKS = 5


def bench(words: str, **more: str) -> Bench:
    return Bench(RETAIL, {"shuffle": False, "message_limit": 10}, limit=TASKS, words=words, timeout=60, **more)  # type: ignore[arg-type]


def rewards(outcome: Outcome) -> list[float | None]:
    return [one["reward"] for one in sorted(outcome.samples, key=lambda one: int(one["id"]))]


@pytest.fixture(scope="module")
async def sides(stand: Stand) -> dict[str, Outcome]:
    return {words: await direct(stand.child, bench(words), words) for words in ("gold", "nothing")}


@pytest.mark.parametrize("agent", AGENTS)
@pytest.mark.parametrize("words", ["gold", "nothing"])
async def test_an_agent_is_scored_as_the_harness_by_itself(
    stand: Stand, sides: dict[str, Outcome], agent: str, words: str
) -> None:
    outcome = await under_test(stand.child, stand.door, bench(words), agent)
    assert [one["error"] for one in outcome.samples] == [""] * TASKS
    assert rewards(outcome) == rewards(sides[words])
    assert figures(outcome, 1)["calls"] == figures(sides[words], 1)["calls"]
