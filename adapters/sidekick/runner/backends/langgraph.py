"""LangGraph: a ReAct agent, a workflow that plans, and graphs of the operator's (import path, langgraph.json)."""

import json
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from operator import add
from typing import Annotated, Any, Literal, TypedDict

os.environ.update(LANGSMITH_TRACING="false", LANGGRAPH_STRICT_MSGPACK="true")

from langchain.agents import create_agent
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessageChunk
from langchain_core.tools import StructuredTool
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.config import get_stream_writer
from langgraph.errors import GraphRecursionError
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, RetryPolicy, interrupt
from sidekick_protocol import (
    Answer,
    CallTool,
    Event,
    Final,
    Question,
    Refused,
    Run,
    Step,
    Token,
    Tool,
    Usage,
    from_file,
    inside,
    loaded,
    told,
)  # fmt: skip

APPROVAL = {
    "type": "object",
    "properties": {"approve": {"type": "boolean", "title": "Call it?"}},
    "required": ["approve"],
}
PLAN = {
    "title": "Plan", "description": "The tool calls that the task needs, in order; none where it needs none.",
    "type": "object",
    "properties": {
        "steps": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "tool": {"type": "string"},
                    "arguments": {"type": "object", "description": '"$1" stands for the result of step 1.'},
                },
                "required": ["tool", "arguments"],
            },
        }
    },
    "required": ["steps"],
}  # fmt: skip


def versions() -> dict[str, str]:
    return {name: version(name) for name in ("langgraph", "langchain", "langchain-core", "langchain-openai")}


async def run(run: Run, call_tool: CallTool) -> AsyncIterator[Event]:
    async with saver(run) as kept:
        graph = chosen(run, call_tool, kept)
        counted = Counted()
        config = {"configurable": {"thread_id": "run"}, "recursion_limit": steps(run), "callbacks": [counted]}
        told_so_far = ""
        try:
            async for event in events(graph, await given(run, graph, config), config):
                told_so_far += event.text if isinstance(event, Token) else ""
                if isinstance(event, Step):
                    told_so_far = ""
                yield counted.taken()
                yield event
                if isinstance(event, Question):
                    return
        except GraphRecursionError:
            yield counted.taken()
            yield Final(told_so_far, "max_iterations")
            return
        yield counted.taken()
        yield final((await graph.aget_state(config)).values)


class Counted(BaseCallbackHandler):
    """Tokens of all requests of the graph, whichever node made them."""

    def __init__(self) -> None:
        self._new = Usage(0, 0)

    def on_llm_end(self, response: Any, **_more: Any) -> None:
        for one in (one for several in response.generations for one in several):
            if found := getattr(getattr(one, "message", None), "usage_metadata", None):
                here = self._new
                self._new = Usage(here.prompt + found["input_tokens"], here.completion + found["output_tokens"])

    def taken(self) -> Usage:
        """What was not told yet."""
        found, self._new = self._new, Usage(0, 0)
        return found


def steps(run: Run) -> int:
    """Of the graph at most. A request to the model and its tools are two; a workflow counts by itself."""
    most = 2 * run.limits.iterations
    return most if run.source.builtin == "langgraph" else most + run.limits.replans + 10


@asynccontextmanager
async def saver(run: Run) -> AsyncIterator[Any]:
    """Where the steps are kept: the run's own file, else memory of this run alone."""
    if not run.checkpoint:
        yield InMemorySaver()
        return
    async with AsyncSqliteSaver.from_conn_string(run.checkpoint) as kept:
        yield kept


def chosen(run: Run, call_tool: CallTool, kept: Any) -> Any:
    source = run.source
    if source.builtin == "workflow":
        return Workflow(run, call_tool).graph(kept)
    if source.builtin:
        tools = [tool(one, call_tool) for one in run.tools]
        return create_agent(model(run), tools, system_prompt=run.instructions or None, checkpointer=kept)
    graph = from_json(source) if source.file else loaded(source)
    if not hasattr(graph, "astream") and callable(graph):
        graph = graph()
    if hasattr(graph, "compile"):
        graph = graph.compile()
    if not hasattr(graph, "astream") or not hasattr(graph, "copy"):
        raise Refused("what was loaded is no graph of LangGraph's")
    return graph.copy(update={"checkpointer": kept})


def from_json(source: Any) -> Any:
    """The graph `entry` (the only one, if it is left out) of a langgraph.json. Its `env` is not read."""
    path = inside(source.file, source.paths)
    try:
        graphs = json.loads(path.read_text())["graphs"]
    except (OSError, ValueError, KeyError) as fault:
        raise Refused(f"{path} is no langgraph.json: {fault}") from fault
    if not source.entry and len(graphs) != 1:
        raise Refused(f"{path} has the graphs {', '.join(sorted(graphs))}; name one as 'entry'")
    said = graphs.get(source.entry or next(iter(graphs)))
    said = said.get("path") if isinstance(said, dict) else said
    if not isinstance(said, str) or ":" not in said:
        raise Refused(f"{path} has no graph '{source.entry}'")
    file, _, attribute = said.rpartition(":")
    return from_file(path.parent / file, attribute, source.paths)


async def given(run: Run, graph: Any, config: Any) -> Any:
    """What the graph goes on with: an answer, nothing (from its checkpoint), or the task."""
    if run.answers is not None:
        state = await graph.aget_state(config)
        asked = [i.id for task in state.tasks for i in task.interrupts]
        if not asked:
            raise Refused("this run does not wait for an answer any more")
        return Command(resume={id: resumed(run.answers.get(id)) for id in asked})
    if run.again and (await graph.aget_state(config)).created_at is not None:
        return None
    if run.source.builtin == "workflow":
        before = [f"{said['role']}: {said['text']}" for said in run.history]
        task = "\n".join(["# Said before", *before, "", "# Now", told(run)]) if before else told(run)
        return {"task": task, "iterations": 0, "replans": 0}
    if isinstance(run.context.get("input"), dict):
        return run.context["input"]
    before = [{"role": said["role"], "content": said["text"]} for said in run.history]
    return {"messages": [*before, {"role": "user", "content": told(run)}]}


def resumed(value: Any) -> Any:
    """What a person filled in; of the forms that are made here, the one field."""
    if isinstance(value, dict) and len(value) == 1:
        return value.get("approve", value.get("answer", value))
    return value if value is not None else False


async def events(graph: Any, said: Any, config: Any) -> AsyncIterator[Event]:
    asked: list[dict[str, Any]] = []
    async for mode, found in graph.astream(
        said, config, stream_mode=["updates", "messages", "custom"], durability="sync"
    ):
        if mode == "messages":
            message = found[0]
            if isinstance(message, AIMessageChunk) and message.text:
                yield Token(str(message.text))
        elif mode == "custom":
            yield Step(str(found.get("step", "custom")) if isinstance(found, dict) else str(found)[:100])
        elif "__interrupt__" in found:
            asked += [question(one) for one in found["__interrupt__"]]
        else:
            for node in found:
                yield Step(node)
    if asked:  # at the end: what is read to its end is kept
        yield Question(asked)


def question(one: Any) -> dict[str, Any]:
    said = one.value if isinstance(one.value, dict) else {"message": str(one.value)}
    return {"id": one.id, "message": str(said.get("message", said)), "schema": said.get("schema")}


def final(state: Any) -> Final:
    if not isinstance(state, dict):
        return Final(str(state))
    score = state.get("benchmarkScore")
    score = float(score) if isinstance(score, int | float) else None
    if "response" in state:
        return Final(str(state["response"]), str(state.get("stop_reason", "done")), score)
    messages = state.get("messages") or []
    return Final(str(messages[-1].text) if messages else json.dumps(state, default=str), "done", score)


def model(run: Run) -> ChatOpenAI:
    said = run.model
    return ChatOpenAI(
        model=said.name, base_url=said.url, api_key=said.key or "none", temperature=said.temperature, streaming=True,
        max_retries=1, stream_usage=said.counts,
    )  # fmt: skip


def tool(one: Tool, call_tool: CallTool) -> StructuredTool:
    async def call(**arguments: Any) -> str:
        return (await call_tool(one.name, arguments)).text

    return StructuredTool(name=one.name, description=one.description, args_schema=one.schema, coroutine=call)


class State(TypedDict, total=False):
    """All that a workflow knows. What `results` is given is added to it."""

    task: str
    plan: list[dict[str, Any]]
    results: Annotated[list[dict[str, Any]], add]
    iterations: int
    replans: int
    response: str
    stop_reason: str


class Workflow:
    """plan -> execute_tools -> {continue | synthesize | replan}; its limits are part of its state."""

    def __init__(self, run: Run, call_tool: CallTool) -> None:
        self._run = run
        self._call = call_tool
        self._tools = {one.name: one for one in run.tools}

    def graph(self, kept: Any) -> Any:
        graph = StateGraph(State)
        graph.add_node("plan", self.plan)
        graph.add_node("execute_tools", self.execute_tools, retry_policy=RetryPolicy(max_attempts=2))
        graph.add_node("replan", self.replan)
        graph.add_node("synthesize", self.synthesize)
        graph.add_edge(START, "plan")
        graph.add_conditional_edges("plan", lambda s: "execute_tools" if s["plan"] else "synthesize")
        ways = {"continue": "execute_tools", "synthesize": "synthesize", "replan": "replan"}
        graph.add_conditional_edges("execute_tools", self.route, ways)
        graph.add_edge("synthesize", END)
        return graph.compile(checkpointer=kept)

    async def plan(self, state: State) -> dict[str, Any]:
        return {"plan": await self._steps(state["task"])}

    async def _steps(self, task: str) -> list[dict[str, Any]]:
        listed = "\n".join(
            json.dumps({"tool": t.name, "does": t.description[:500], "arguments": t.schema})
            for t in self._tools.values()
        )
        planner = model(self._run).bind_tools([PLAN], tool_choice="Plan")
        said = await planner.ainvoke(
            [("system", f"Plan the tool calls that the task needs. The tools:\n{listed}"), ("user", task)]
        )
        steps = said.tool_calls[0]["args"].get("steps", []) if said.tool_calls else []
        return [s for s in steps if isinstance(s, dict) and isinstance(s.get("tool"), str)]

    async def execute_tools(self, state: State) -> dict[str, Any]:
        """One step of the plan; the others wait, so that a checkpoint stands between two tools."""
        step, *rest = state["plan"]
        name, arguments = step["tool"], filled(step.get("arguments") or {}, state.get("results", []))
        done = {"iterations": state["iterations"] + 1}
        if name not in self._tools:
            return {
                **done,
                "plan": rest,
                "results": [{"tool": name, "ok": False, "text": f"there is no tool '{name}'"}],
            }
        said = f"May '{name}' be called with {json.dumps(arguments, ensure_ascii=False)}?"
        if self._tools[name].asks and interrupt({"message": said, "schema": APPROVAL}) is not True:
            denied = {"tool": name, "ok": False, "denied": True, "text": "a person did not allow it"}
            return {**done, "plan": [], "results": [denied]}
        get_stream_writer()({"step": f"execute {name}"})
        answer: Answer = await self._call(name, arguments, str(done["iterations"]))
        return {**done, "plan": rest, "results": [{"tool": name, "ok": answer.ok, "text": answer.text}]}

    def route(self, state: State) -> Literal["continue", "synthesize", "replan"]:
        last = state["results"][-1]
        if state["iterations"] >= self._run.limits.iterations or last.get("denied"):
            return "synthesize"
        if not last["ok"]:
            return "replan" if state["replans"] < self._run.limits.replans else "synthesize"
        return "continue" if state["plan"] else "synthesize"

    async def replan(self, state: State) -> Command[Literal["execute_tools", "synthesize"]]:
        steps = await self._steps(
            f"{state['task']}\n\n# What was done so far\n{results(state)}\nPlan what is left to do."
        )
        update = {"plan": steps, "replans": state["replans"] + 1}
        return Command(update=update, goto="execute_tools" if steps else "synthesize")

    async def synthesize(self, state: State) -> dict[str, Any]:
        asked = f"{state['task']}\n\n# What was done\n{results(state)}\nAnswer the task."
        who = [("system", self._run.instructions)] if self._run.instructions else []
        said = await model(self._run).ainvoke([*who, ("user", asked)])
        return {"response": str(said.text), "stop_reason": self._stop(state)}

    def _stop(self, state: State) -> str:
        done = state.get("results", [])
        if done and done[-1].get("denied"):
            return "denied"
        if state["iterations"] >= self._run.limits.iterations and state["plan"]:
            return "max_iterations"
        return "done" if not done or done[-1]["ok"] else "failed"


def filled(value: Any, done: list[dict[str, Any]]) -> Any:
    """The arguments, each text "$N" replaced by the result of that step: as JSON, where it is some."""
    if isinstance(value, dict):
        return {key: filled(inner, done) for key, inner in value.items()}
    if isinstance(value, list):
        return [filled(inner, done) for inner in value]
    found = re.fullmatch(r"\$(\d+)", value) if isinstance(value, str) else None
    if found is None or not 0 < int(found[1]) <= len(done):
        return value
    text = done[int(found[1]) - 1]["text"]
    try:
        return json.loads(text)
    except ValueError:
        return text


def results(state: State) -> str:
    lines = [f"{n}. {r['tool']}: {r['text']}" for n, r in enumerate(state.get("results", []), 1)]
    return "\n".join(lines) or "nothing"
