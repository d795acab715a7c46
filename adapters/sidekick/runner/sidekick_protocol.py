"""What a runner and a backend say to each other. Standard library only: this file runs in every child's environment.

A backend is one file beside this one's folder `backends/`. It has `versions()`, which gives the versions of what it
stands on, and `run(run, call_tool)`, an async generator of the events below. What it raises becomes the run's fault.
"""

import sys
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass, field
from importlib import import_module, util
from pathlib import Path
from typing import Any, Protocol


@dataclass(frozen=True)
class Tool:
    """A tool of the gateway's. `schema`: JSON Schema of its arguments; `asks`: a person must agree to each call."""

    name: str
    description: str
    schema: dict[str, Any]
    asks: bool = False


@dataclass(frozen=True)
class Model:
    """An OpenAI-compatible model. `counts`: it may be asked to count the tokens of a stream."""

    name: str
    url: str
    key: str
    temperature: float = 0.0
    counts: bool = True

    @property
    def more(self) -> dict[str, Any]:
        """What a request for a stream says of it, in OpenAI's words."""
        return {"stream_options": {"include_usage": True}} if self.counts else {}


@dataclass(frozen=True)
class Limits:
    """`iterations`: requests to the model; `replans`: how often a plan may be made anew."""

    iterations: int = 10
    replans: int = 2


@dataclass(frozen=True)
class Source:
    """Where an agent comes from. `builtin`: one of the backend's own. Else code of the operator's: `load`
    ("module:object", found in `folder`) or `file` (what that is, the backend knows), all of it inside `paths`."""

    builtin: str = ""
    load: str = ""
    file: str = ""
    entry: str = ""
    folder: str = ""
    paths: tuple[str, ...] = ()


@dataclass(frozen=True)
class Run:
    """One task, `id` its name. `context`: what came with it; `history`: what was said before, `{"role", "text"}`;
    `instructions`: who the agent shall be, for its model's system message; `character`: the same for a framework that
    has characters.

    `checkpoint`: a file that keeps the run's steps ("": none); with `again` the run goes on from there, and with
    `answers` (by the question's id) it goes on with what a person said.
    """

    id: str
    task: str
    model: Model
    source: Source
    tools: list[Tool] = field(default_factory=list[Tool])
    context: dict[str, Any] = field(default_factory=dict[str, Any])
    history: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    limits: Limits = Limits()
    checkpoint: str = ""
    again: bool = False
    answers: dict[str, Any] | None = None
    instructions: str = ""
    character: dict[str, Any] = field(default_factory=dict[str, Any])

    @classmethod
    def of(cls, said: dict[str, Any]) -> "Run":
        """From the message `run`."""
        source: dict[str, Any] = {**said["source"], "paths": tuple(said["source"]["paths"])}
        return cls(
            said["id"], said["task"], Model(**said["model"]), Source(**source),
            [Tool(**tool) for tool in said["tools"]], said["context"], said["history"], Limits(**said["limits"]),
            said["checkpoint"], said["again"], said["answers"], said["instructions"], said["character"],
        )  # fmt: skip


@dataclass(frozen=True)
class Token:
    """A piece of the answer, as the model writes it."""

    text: str


@dataclass(frozen=True)
class Step:
    """A step of the framework's own: a node, a task."""

    name: str


@dataclass(frozen=True)
class Usage:
    """Tokens, as the model counted them, of requests of which nothing was told yet. Nothing counted is nothing told."""

    prompt: int
    completion: int


@dataclass(frozen=True)
class Question:
    """Ends the run until somebody answers. Each: `{"id", "message", "schema"}`; without a schema, a text is asked."""

    items: list[dict[str, Any]]


@dataclass(frozen=True)
class Final:
    """Ends the run. `stop`: "done", "max_iterations", "denied" or "failed"; `score`: of an agent that scores itself."""

    text: str
    stop: str = "done"
    score: float | None = None


Event = Token | Step | Usage | Question | Final


@dataclass(frozen=True)
class Answer:
    """What a tool gave, as text for a model; `ok`: it did what it should."""

    text: str
    ok: bool = True


class CallTool(Protocol):
    """Has the gateway call a tool. `key`: a step's own, so that a run that goes on from a checkpoint does not have the
    same step's tool called twice."""

    def __call__(self, name: str, arguments: dict[str, Any], key: str = "") -> Awaitable[Answer]: ...


class Backend(Protocol):
    """A backend's module."""

    def versions(self) -> dict[str, str]: ...
    def run(self, run: Run, call_tool: CallTool) -> AsyncIterator[Event]: ...


class Refused(Exception):
    """The run cannot be made as it is asked for; the text says why, for the operator."""


def inside(path: str | Path, paths: tuple[str, ...]) -> Path:
    """The path with all links followed. Raises `Refused` where it is not inside one of the configured paths."""
    found = Path(path).resolve()
    if not any(found.is_relative_to(Path(root).resolve()) for root in paths):
        raise Refused(f"{path} is outside the paths that the operator has configured")
    return found


def loaded(source: Source) -> Any:
    """The object that `source.load` names. Importing it runs its code. Raises `Refused`."""
    module, _, attribute = source.load.partition(":")
    if not module or not attribute:
        raise Refused(f"an agent is loaded by 'module:object', not by '{source.load}'")
    folder = str(inside(source.folder, source.paths))
    if folder not in sys.path:
        sys.path.insert(0, folder)
    spec = util.find_spec(module.partition(".")[0])
    if spec is None or spec.origin is None:
        raise Refused(f"there is no module '{module}' in {source.folder}")
    inside(spec.origin, source.paths)
    try:
        return getattr(import_module(module), attribute)
    except AttributeError as fault:
        raise Refused(f"the module '{module}' has no '{attribute}'") from fault


def from_file(path: Path, attribute: str, paths: tuple[str, ...]) -> Any:
    """The object of that name in a Python file. Running it is what loading means. Raises `Refused`."""
    found = inside(path, paths)
    name = "sidekick_agent_" + "".join(c if c.isalnum() else "_" for c in str(found))
    if name not in sys.modules:
        spec = util.spec_from_file_location(name, found)
        if spec is None or spec.loader is None or not found.exists():
            raise Refused(f"there is no Python file {path}")
        module = util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    if not hasattr(sys.modules[name], attribute):
        raise Refused(f"{path} has no '{attribute}'")
    return getattr(sys.modules[name], attribute)


def told(run: Run) -> str:
    """The task with its context, as one text for a model; for an agent of the operator's, which has a system message of
    its own, with the instructions before it."""
    import json

    task = run.task if run.source.builtin or not run.instructions else f"{run.instructions}\n\n# Now\n{run.task}"

    context = {key: value for key, value in run.context.items() if value not in (None, "", [], {})}
    if not context:
        return task
    return f"{task}\n\n# Context\n{json.dumps(context, ensure_ascii=False, indent=1)}"
