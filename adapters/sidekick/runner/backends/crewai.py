"""CrewAI: a crew of one, and crews of the operator's (import path, a folder with agents.yaml and tasks.yaml).

A kickoff works in a thread that nothing stops but the end of its process; the gateway kills the child.
"""

import asyncio
import os
import threading
from collections.abc import AsyncIterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ.update(
    CREWAI_DISABLE_TELEMETRY="true", OTEL_SDK_DISABLED="true", CREWAI_TRACING_ENABLED="false",
    CREWAI_STORAGE_DIR=str(Path.home() / "crewai"),
)  # fmt: skip

import yaml
from crewai import LLM, Agent, Crew, Task
from crewai import events as kinds
from crewai.events import crewai_event_bus
from crewai.tools import BaseTool
from pydantic import BaseModel, Field, create_model
from sidekick_protocol import CallTool, Event, Final, Refused, Run, Step, Token, Tool, Usage, inside, loaded, told

STEPS = ("TaskStartedEvent", "AgentExecutionStartedEvent", "LLMCallStartedEvent", "TaskCompletedEvent")
PLAIN: dict[str, Any] = {
    "string": str, "integer": int, "number": float, "boolean": bool, "array": list[Any], "object": dict[str, Any],
}  # fmt: skip


def versions() -> dict[str, str]:
    return {"crewai": version("crewai")}


async def run(run: Run, call_tool: CallTool) -> AsyncIterator[Event]:
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[Event | BaseException] = asyncio.Queue(64)

    def put(event: Event | BaseException) -> None:
        """From the crew's thread, which waits while nobody reads."""
        asyncio.run_coroutine_threadsafe(queue.put(event), loop).result()

    counted = Counted(run.limits.iterations)
    crew = chosen(run, Caller(call_tool, loop))
    with crewai_event_bus.scoped_handlers():
        for name in STEPS:
            crewai_event_bus.on(getattr(kinds, name))(lambda _, event: put(Step(event.type)))
        crewai_event_bus.on(kinds.LLMCallStartedEvent)(lambda _, event: counted.one())
        crewai_event_bus.on(kinds.LLMStreamChunkEvent)(
            lambda _, event: put(Token(event.chunk)) if event.chunk and not event.tool_call else None
        )

        def work() -> None:
            try:
                done = crew.kickoff(inputs=run.context.get("inputs"))
                put(Usage(done.token_usage.prompt_tokens, done.token_usage.completion_tokens))
                put(Final(str(done.raw), counted.stop))
            except BaseException as fault:
                put(fault)

        threading.Thread(target=work, daemon=True).start()
        while True:
            event = await queue.get()
            if isinstance(event, BaseException):
                raise event
            if isinstance(event, Final):
                async for late in drained(queue):
                    yield late
            yield event
            if isinstance(event, Final):
                return


async def drained(queue: "asyncio.Queue[Any]") -> AsyncIterator[Event]:
    """Tokens that other threads of the bus still hold when the result is there."""
    await asyncio.to_thread(crewai_event_bus.flush, 1.0)
    while not queue.empty():
        late = queue.get_nowait()
        if isinstance(late, Token | Step):
            yield late


class Counted:
    """Requests to the model: where they are used up, CrewAI asks for an answer at once, and calls it done."""

    def __init__(self, most: int) -> None:
        self._left = most

    def one(self) -> None:
        self._left -= 1

    @property
    def stop(self) -> str:
        return "max_iterations" if self._left < 0 else "done"


def chosen(run: Run, caller: "Caller") -> Crew:
    source = run.source
    if source.load:
        made = loaded(source)
        made = made() if callable(made) and not hasattr(made, "kickoff") else made
        made = made.crew() if hasattr(made, "crew") and not hasattr(made, "kickoff") else made
        if not hasattr(made, "kickoff"):
            raise Refused("what was loaded is no crew of CrewAI's")
        return made
    said = run.model
    llm = LLM(
        model=f"openai/{said.name}",
        base_url=said.url,
        api_key=said.key or "none",
        temperature=said.temperature,
        stream=True,
    )
    tools = [tool(one, caller) for one in run.tools]
    if source.file:
        return written(run, llm, tools)
    agent = Agent(
        role="sidekick", goal="solve the task", backstory=run.instructions or "a careful assistant", llm=llm,
        tools=tools, max_iter=run.limits.iterations,
    )  # fmt: skip
    before = "\n".join(f"{one['role']}: {one['text']}" for one in run.history)
    task = f"# Said before\n{before}\n\n# Now\n{told(run)}" if before else told(run)
    task = task.replace("{", "{{").replace("}", "}}") if run.context.get("inputs") else task
    return Crew(agents=[agent], tasks=[Task(description=task, expected_output="the answer", agent=agent)], memory=False)


def written(run: Run, llm: LLM, tools: list[Any]) -> Crew:
    """The crew in a folder's agents.yaml and tasks.yaml; the task of the call is their `{task}`."""
    folder = inside(run.source.file, run.source.paths)
    try:
        said = {
            name: yaml.safe_load(inside(folder / f"{name}.yaml", run.source.paths).read_text())
            for name in ("agents", "tasks")
        }
    except (OSError, yaml.YAMLError) as fault:
        raise Refused(f"{folder} has no agents.yaml and tasks.yaml that can be read: {fault}") from fault
    agents = {k: Agent(**v, llm=llm, tools=tools, max_iter=run.limits.iterations) for k, v in said["agents"].items()}
    given = told(run)
    tasks = []
    for one in said["tasks"].values():
        made = {**one, "description": one["description"].replace("{task}", given)}
        tasks.append(Task(**{**made, "agent": agents[one["agent"]]}))
    return Crew(agents=list(agents.values()), tasks=tasks, memory=False)


class Caller:
    """Calls a tool from the crew's thread."""

    def __init__(self, call_tool: CallTool, loop: asyncio.AbstractEventLoop) -> None:
        self._call = call_tool
        self._loop = loop

    def __call__(self, name: str, arguments: dict[str, Any]) -> str:
        return asyncio.run_coroutine_threadsafe(self._call(name, arguments), self._loop).result().text


def tool(one: Tool, caller: Caller) -> BaseTool:
    class GatewayTool(BaseTool):
        name: str = one.name
        description: str = one.description
        args_schema: type[BaseModel] = arguments(one)

        def _run(self, **given: Any) -> str:
            return caller(one.name, {key: value for key, value in given.items() if value is not None})

    return GatewayTool()


def arguments(one: Tool) -> type[BaseModel]:
    """A model of the arguments' first level; the gateway checks the rest against the tool's own schema."""
    fields: dict[str, Any] = {}
    needed = set(one.schema.get("required", []))
    for name, said in one.schema.get("properties", {}).items():
        kind = PLAIN.get(said.get("type"), Any) if isinstance(said.get("type"), str) else Any
        about = Field(default=... if name in needed else None, description=said.get("description"))
        fields[name] = (kind if name in needed else kind | None, about)
    return create_model(f"{one.name}_arguments", **fields)
