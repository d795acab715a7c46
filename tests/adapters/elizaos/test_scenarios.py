"""Scenarios: what is read, what is refused, and what each evaluator says."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.elizaos import scenario as s
from adapters.elizaos.evaluations import Done, Found, evaluate, judged
from adapters.errors import BadArguments
from tests.conftest import ROOT

FILES = sorted((ROOT / "examples" / "scenarios").glob("*.scenario.yaml"))
DONE = Done("You said: The Rain", ("CALL_AGENT", "words__count"), 0.5, 3)


def made(**more: Any) -> dict[str, Any]:
    said: dict[str, Any] = {"name": "n", "description": "d", "environment": {"type": "local"}}
    said |= {"run": [{"input": "x", "evaluations": [{"type": "string_contains", "value": "x"}]}]}
    return {**said, "judgment": {"strategy": "all_pass"}, **more}


def test_the_examples_are_read() -> None:
    assert len(FILES) >= 6
    for path in FILES:
        assert s.scenario(s.document(path.read_text(), str(path)), str(path)).run


@pytest.mark.parametrize(
    ("said", "text"),
    [
        (made(environment={"type": "e2b"}), "environment.type"),
        (made(setup={"mocks": [{"method": "x"}]}), "setup.mocks needs ElizaOS's own process"),
        (made(setup={"virtual_fs": {"a": "b"}}), "setup.virtual_fs"),
        (made(run=[]), "run"),
        (made(run=[{"code": "ls", "evaluations": []}]), "run.0"),
        (made(run=[{"input": "x", "evaluations": [{"type": "file_exists", "path": "a"}]}]), "file_exists"),
        (made(run=[{"input": "x", "evaluations": [{"type": "regex_match", "pattern": "("}]}]), "is no pattern"),
        (made(judgment={"strategy": "most_pass"}), "judgment.strategy"),
        (made(more=1), "more"),
        ([], "dictionary"),
        (None, "dictionary"),
    ],
)
def test_what_cannot_be_is_refused_by_name(said: Any, text: str) -> None:
    with pytest.raises(BadArguments) as caught:
        s.scenario(said, "f.yaml")
    assert caught.value.public.startswith("f.yaml: ")
    assert text in caught.value.public


def test_setup_that_is_empty_and_plugins_are_no_matter() -> None:
    assert s.scenario(made(setup={"mocks": []}, plugins=["a", {"name": "b"}]), "f").plugins


@pytest.mark.parametrize(
    ("one", "holds"),
    [
        ({"type": "string_contains", "value": "The Rain"}, True),
        ({"type": "string_contains", "value": "the rain"}, False),
        ({"type": "string_contains", "value": "the rain", "case_sensitive": False}, True),
        ({"type": "regex_match", "pattern": r"^you said:\s\w+"}, True),
        ({"type": "regex_match", "pattern": "said$"}, False),
        ({"type": "trajectory_contains_action", "action": "call-agent"}, True),
        ({"type": "trajectory_contains_action", "action": "COUNT"}, True),
        ({"type": "trajectory_contains_action", "action": "words__count"}, True),
        ({"type": "trajectory_contains_action", "action": "CALL"}, False),
        ({"type": "execution_time", "max_duration_ms": 500}, True),
        ({"type": "execution_time", "max_duration_ms": 499}, False),
        ({"type": "execution_time", "max_duration_ms": 900, "min_duration_ms": 501}, False),
        ({"type": "conversation_length", "min_turns": 3}, True),
        ({"type": "conversation_length", "max_turns": 2}, False),
    ],
)
async def test_each_evaluator(one: dict[str, Any], holds: bool) -> None:
    step = s.scenario(made(run=[{"input": "x", "evaluations": [one]}]), "f").run[0]
    found = await evaluate(step.evaluations[0], DONE, None)
    assert (found.success, found.evaluator_type) == (holds, one["type"])
    assert found.summary.startswith("not so") is not holds
    assert not (await evaluate(step.evaluations[0], Done("You said: The Rain", error="away"), None)).success


@given(st.lists(st.booleans()), st.sampled_from(["all_pass", "any_pass"]))
def test_judgment(kept: list[bool], strategy: str) -> None:
    found = [Found("t", one, "") for one in kept]
    assert judged(found, strategy) is (bool(kept) and (all(kept) if strategy == "all_pass" else any(kept)))


# ---- matrices -----------------------------------------------------------------------------------------------------


def test_a_matrix_is_all_combinations() -> None:
    path = ROOT / "examples" / "scenarios" / "greetings.matrix.yaml"
    found = list(s.combinations(s.matrix(s.document(path.read_text(), "m"), "m")))
    assert len(found) == 4
    put = s.put(made(), {"run[0].input": "other", "judgment.strategy": "any_pass"})
    assert (put["run"][0]["input"], put["judgment"]["strategy"]) == ("other", "any_pass")


@pytest.mark.parametrize(
    "parameter", ["run[1].input", "judgement.strategy", "run.input", "", "run[0].evaluations[0].x"]
)
def test_a_parameter_that_is_not_there_is_said(parameter: str) -> None:
    with pytest.raises(BadArguments, match="the scenario has no"):
        s.put(made(), {parameter: 1})


def test_a_matrix_has_an_end() -> None:
    said = {"name": "m", "base_scenario": "b", "matrix": [{"parameter": "p", "values": list(range(1001))}]}
    with pytest.raises(BadArguments, match="1000 is the most"):
        s.matrix(said, "m")


def test_what_is_no_yaml_is_said(tmp_path: Path) -> None:
    with pytest.raises(BadArguments, match="this is not YAML"):
        s.document("a: [", "f.yaml")


SCHEMA = {"type": "object", "properties": {"judgment": {"type": "string"}}}


@pytest.mark.parametrize(
    ("more", "names"),
    [
        ({}, None),
        ({"json_schema": SCHEMA}, ["json_schema"]),
        ({"capabilities": ["is polite"], "json_schema": SCHEMA}, ["capabilities", "json_schema"]),
    ],
)
async def test_what_a_judge_is_not_asked_is_said(more: dict[str, Any], names: list[str] | None) -> None:
    said = {"type": "llm_judge", "prompt": "Is it so?", "expected": "yes", **more}
    step = s.scenario(made(run=[{"input": "x", "evaluations": [said]}]), "f").run[0]

    async def judge(_one: s.Judge, response: str) -> tuple[bool, str]:
        return True, response

    found = await evaluate(step.evaluations[0], DONE, judge)
    assert (found.success, found.summary, found.details.get("not_asked")) == (True, DONE.response, names)


@pytest.mark.parametrize("more", [{"json_schema": "yes"}, {"capabilities": []}, {"schema": {}}])
def test_what_no_judge_has_is_refused(more: dict[str, Any]) -> None:
    said = {"type": "llm_judge", "prompt": "Is it so?", **more}
    with pytest.raises(BadArguments, match=next(iter(more))):
        s.scenario(made(run=[{"input": "x", "evaluations": [said]}]), "f")
