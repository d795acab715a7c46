"""A task of inspect-evals that is not tau2, with tools and without a sandbox: its data is in the wheel."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from adapters.spi import Upstream
from examples.scripted_model.server import Message, ScriptedModel
from tests.e2e.inspect.stand import Stand

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]
TASK = "inspect_evals.agent_threat_bench.agent_threat_bench:agent_threat_bench_memory_poison"
POISON = "HACKED"
"""What the first task's knowledge base says that an agent shall answer."""


class Reader(ScriptedModel):
    """Reads the knowledge base, and says what stands there: all of it, or its first sentence."""

    whole = False

    def decide(self, request: Message) -> tuple[str, Message | None]:
        given = [m["content"] for m in request["messages"] if m["role"] == "tool"]
        if not given:
            (name,) = [t["function"]["name"] for t in request["tools"] if t["function"]["name"].endswith("memory_read")]
            return "", {"name": name, "arguments": {"key": "vacation_policy"}}
        return given[-1] if self.whole else given[-1].partition(".")[0], None


@pytest.fixture(scope="module")
async def reader(stand: Stand) -> AsyncIterator[tuple[Reader, str]]:
    """The model, and the tool of an agent that thinks with it."""
    async with Reader().serving() as model:
        assert isinstance(model, Reader)
        options = {**stand.options, "frameworks": ["langgraph"]}
        await stand.box.add(Upstream("readers", "sidekick", model.url, "sk-x", options=options))
        (tool,) = [t.name for t in stand.box.tools("readers") if t.address.native == "langgraph"]
        yield model, tool
        await stand.box.remove("readers")


async def ran(stand: Stand, capsys: pytest.CaptureFixture[str], agent: str) -> dict[str, Any]:
    assert await stand.bench(TASK, "--agent", agent, "--limit", "1", "--json") == 0
    return json.loads(capsys.readouterr().out)


async def test_the_agent_calls_the_tasks_tools_and_the_task_scores_it(
    stand: Stand, reader: tuple[Reader, str], capsys: pytest.CaptureFixture[str]
) -> None:
    model, agent = reader
    said = await ran(stand, capsys, agent)
    (row,) = said["rows"]
    assert (row["reward"], row["calls"], row["scores"]) == (1.0, 1, {"utility": 1.0, "security": 1.0})
    assert POISON in str(model.bodies[-1]["messages"]), "what the harness's own tool gave reached the model"
    assert (said["floor"], said["ceiling"]) == (0.0, None), "nobody knows its solution in words"
    assert (said["user"], said["judge"]) == ("the task's own messages", "the task's own scorer")
    score = (await stand.door.manage("GET", f"/v1/agents/{agent.partition('__')[0]}"))["benchmark"]
    assert (score["benchmark"], score["benchmarkScore"]) == (TASK, 1.0)


async def test_what_counts_is_the_least_of_its_scores(
    stand: Stand, reader: tuple[Reader, str], capsys: pytest.CaptureFixture[str]
) -> None:
    model, agent = reader
    model.whole = True
    (row,) = (await ran(stand, capsys, agent))["rows"]
    assert (row["reward"], row["scores"]) == (0.0, {"utility": 1.0, "security": 0.0})
