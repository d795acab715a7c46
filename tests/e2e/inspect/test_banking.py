"""Why banking's ceiling is below 1: solutions that the evaluator itself does not reach."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from adapters.inspect.session import Bench, direct
from adapters.inspect.venv import HARNESS
from adapters.venvs import Venvs
from tests.e2e.inspect.stand import Stand
from tests.e2e.sidekick.rooms import VENVS

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]
BANKING = "inspect_evals.tau2.tau2:tau2_banking"


def tasks() -> list[dict[str, Any]]:
    data = "lib/python*/site-packages/inspect_evals/tau2/data/domains/banking_knowledge/tasks.json"
    (found,) = Venvs(VENVS).of(HARNESS).folder.glob(data)
    return json.loads(found.read_text())


def applications(task: dict[str, Any]) -> list[dict[str, Any]]:
    actions = task["evaluation_criteria"]["actions"] or []
    return [action["arguments"] for action in actions if action["name"] == "apply_for_credit_card"]


def test_the_tasks_in_which_somebody_applies_for_a_card_give_the_income_as_a_whole_number() -> None:
    found = [task for task in tasks() if applications(task)]
    assert len(found) == 19
    assert all(isinstance(one["annual_income"], int) for task in found for one in applications(task))


async def test_a_whole_number_of_income_is_never_reached(stand: Stand, tmp_path: Path) -> None:
    """The id of an application is a hash of its text. The tool takes the income as a float, so that any caller's is
    "100000.0"; the evaluator replays the solution past the tool, with "100000". Written as a float, it is reached."""
    whole = next(task for task in tasks() if task["id"] == "task_001")
    written = json.loads(json.dumps(whole))
    written["id"] = "task_001_float"
    for one in applications(written):
        one["annual_income"] = float(one["annual_income"])
    (tmp_path / "tasks.json").write_text(json.dumps([whole, written]))
    args = {"shuffle": False, "message_limit": 20, "tasks_file_override": str(tmp_path / "tasks.json")}
    outcome = await direct(stand.child, Bench(BANKING, args), "gold")
    assert {one["id"]: (one["reward"], one["error"]) for one in outcome.samples} == {
        "task_001": (0.0, ""), "task_001_float": (1.0, ""),
    }  # fmt: skip


TWICE = """
import json, sys
from inspect_evals.tau2.banking.scorer import _build_expected_db as built
from inspect_evals.tau2.data_model.tasks import Task
for said in json.load(sys.stdin):
    task = Task.model_validate(said)
    states = [built(task.evaluation_criteria.actions, task.initial_state).get_hash() for _ in range(2)]
    print(task.id, states[0] == states[1])
"""


async def test_the_evaluator_changes_the_task_whose_start_it_puts_into_the_database() -> None:
    """Two expected states of one task differ, for the first was made in the task's own `initial_state`."""
    chosen = [task for task in tasks() if task["id"] in ("task_050", "task_051")]
    process = await asyncio.create_subprocess_exec(
        str((await Venvs(VENVS).install(HARNESS)).python), "-I", "-c", TWICE,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    said, _ = await process.communicate(json.dumps(chosen).encode())
    assert dict(line.split() for line in said.decode().splitlines()) == {"task_050": "True", "task_051": "False"}
