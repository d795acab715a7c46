"""An ElizaOS scenario (`*.scenario.yaml`), and a matrix of one: read and checked. Pure.

The shape is that of `elizaos scenario run`. What needs ElizaOS's own process (mocks, a virtual file system, code,
files) is refused by name: an agent on any network has none of these.
"""

import copy
import re
from collections.abc import Iterator
from itertools import product
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from adapters.errors import BadArguments

MOST = 1000
"""Runs of one matrix."""


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Evaluation(Part):
    description: str = ""


class StringContains(Evaluation):
    type: Literal["string_contains"]
    value: str
    case_sensitive: bool = True


class RegexMatch(Evaluation):
    type: Literal["regex_match"]
    pattern: str

    @model_validator(mode="after")
    def _sound(self) -> "RegexMatch":
        try:
            re.compile(self.pattern)
        except re.error as fault:
            raise ValueError(f"'{self.pattern[:80]}' is no pattern: {fault}") from fault
        return self


class ContainsAction(Evaluation):
    type: Literal["trajectory_contains_action"]
    action: str = Field(min_length=1)


class ExecutionTime(Evaluation):
    type: Literal["execution_time"]
    max_duration_ms: float = Field(ge=0)
    min_duration_ms: float = Field(0, ge=0)
    target_duration_ms: float | None = None


class ConversationLength(Evaluation):
    type: Literal["conversation_length"]
    min_turns: int = Field(0, ge=0)
    max_turns: int | None = Field(None, ge=0)


class Judge(Evaluation):
    """`capabilities` and `json_schema` are read, as ElizaOS's files have them, and the judge is asked for neither: it
    answers in words."""

    type: Literal["llm_judge"]
    prompt: str
    expected: str = "yes"
    model_type: str = ""
    temperature: float = Field(0, ge=0, le=2)
    capabilities: tuple[str, ...] | None = Field(None, min_length=1)
    json_schema: dict[str, Any] | None = None

    @property
    def unasked(self) -> list[str]:
        """What the file says beyond what the judge is asked."""
        return [name for name in ("capabilities", "json_schema") if getattr(self, name) is not None]


OneEvaluation = Annotated[
    StringContains | RegexMatch | ContainsAction | ExecutionTime | ConversationLength | Judge,
    Field(discriminator="type"),
]


class Step(Part):
    """One thing that is said to the agent, and what must be true then."""

    input: str = Field(min_length=1)
    name: str = ""
    evaluations: tuple[OneEvaluation, ...] = Field(min_length=1)


class Environment(Part):
    type: Literal["local"]


class Judgment(Part):
    strategy: Literal["all_pass", "any_pass"]


class Scenario(Part):
    """`plugins` and `setup` say what ElizaOS's own command loads; an agent of the gateway has what it has."""

    name: str = Field(min_length=1)
    description: str
    plugins: tuple[Any, ...] = ()
    environment: Environment
    setup: dict[str, Any] | None = None
    run: tuple[Step, ...] = Field(min_length=1)
    judgment: Judgment

    @model_validator(mode="after")
    def _possible(self) -> "Scenario":
        if wanted := [key for key, value in (self.setup or {}).items() if value]:
            raise ValueError(f"setup.{wanted[0]} needs ElizaOS's own process, and no agent elsewhere has it")
        return self

    @property
    def judged(self) -> bool:
        """Whether a model must judge."""
        return any(isinstance(one, Judge) for step in self.run for one in step.evaluations)


class Axis(Part):
    parameter: str
    values: tuple[Any, ...] = Field(min_length=1)


class Matrix(Part):
    """`elizaos scenario matrix`: a scenario with each combination of values put in."""

    name: str
    description: str = ""
    base_scenario: str
    runs_per_combination: int = Field(1, ge=1)
    matrix: tuple[Axis, ...] = Field(min_length=1)


def document(text: str, where: str) -> Any:
    """Raises `BadArguments`."""
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as fault:
        raise BadArguments(f"{where}: this is not YAML: {' '.join(str(fault).split())[:300]}") from fault


def scenario(said: Any, where: str) -> Scenario:
    """Raises `BadArguments` that names the place."""
    return _checked(Scenario, said, where)


def matrix(said: Any, where: str) -> Matrix:
    """Raises `BadArguments`, also for more than a thousand runs."""
    found = _checked(Matrix, said, where)
    count = found.runs_per_combination
    for axis in found.matrix:
        count *= len(axis.values)
    if count > MOST:
        raise BadArguments(f"{where}: these are {count} runs; {MOST} is the most")
    return found


def _checked(kind: "type[Any]", said: Any, where: str) -> Any:
    try:
        return kind.model_validate(said)
    except ValidationError as fault:
        first = fault.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise BadArguments(f"{where}: {place}: {first['msg']}") from fault


def combinations(of: Matrix) -> Iterator[dict[str, Any]]:
    """Each combination of values, by parameter."""
    names = [axis.parameter for axis in of.matrix]
    for values in product(*(axis.values for axis in of.matrix)):
        yield dict(zip(names, values, strict=True))


def put(said: Any, parameters: dict[str, Any]) -> Any:
    """A copy of the document with each parameter ("run[0].input") set. Raises `BadArguments` for none such."""
    made = copy.deepcopy(said)
    for parameter, value in parameters.items():
        *path, last = [int(n) if n else name for name, n in re.findall(r"([^.\[\]]+)|\[(\d+)\]", parameter)] or [""]
        place = made
        try:
            for step in path:
                place = place[step]
            place[last]  # it must be there
            place[last] = value
        except (KeyError, IndexError, TypeError) as fault:
            raise BadArguments(f"the scenario has no '{parameter[:80]}'") from fault
    return made
