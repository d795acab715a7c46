"""AutoGen: an assistant, and agents or teams of the operator's (import path, component JSON)."""

import json
from collections.abc import AsyncIterator
from functools import cache
from importlib.metadata import version
from typing import Any

from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.base import TaskResult
from autogen_agentchat.messages import (
    ModelClientStreamingChunkEvent,
    TextMessage,
    ThoughtEvent,
    ToolCallExecutionEvent,
    ToolCallRequestEvent,
    ToolCallSummaryMessage,
)  # fmt: skip
from autogen_core import CancellationToken, ComponentLoader
from autogen_core.model_context import UnboundedChatCompletionContext
from autogen_core.models import AssistantMessage, ModelInfo, UserMessage
from autogen_core.tools import BaseTool
from autogen_ext.models.openai import OpenAIChatCompletionClient
from openai import DefaultAsyncHttpxClient
from pydantic import BaseModel, ConfigDict
from sidekick_protocol import CallTool, Event, Final, Refused, Run, Step, Token, Tool, Usage, inside, loaded, told

STEPS = (ToolCallRequestEvent, ToolCallExecutionEvent, ThoughtEvent)


def versions() -> dict[str, str]:
    return {name: version(name) for name in ("autogen-agentchat", "autogen-core", "autogen-ext")}


async def run(run: Run, call_tool: CallTool) -> AsyncIterator[Event]:
    client = None if run.source.load else model(run)
    agent = chosen(run, call_tool, client)
    stopping = CancellationToken()
    text, stop = "", "done"
    try:
        async for event in agent.run_stream(task=told(run), cancellation_token=stopping):
            if (counted := getattr(event, "models_usage", None)) is not None:
                yield Usage(counted.prompt_tokens, counted.completion_tokens)
            if isinstance(event, ModelClientStreamingChunkEvent):
                yield Token(event.content)
            elif isinstance(event, STEPS):
                yield Step(type(event).__name__)
            elif isinstance(event, TextMessage) and event.source != "user":
                text, stop = event.content, "done"
            elif isinstance(event, ToolCallSummaryMessage):
                text, stop = event.content, "max_iterations"
            elif isinstance(event, TaskResult) and "maximum number" in (event.stop_reason or "").lower():
                stop = "max_iterations"
    finally:
        stopping.cancel()
    yield Final(text, stop)


def chosen(run: Run, call_tool: CallTool, client: Any) -> Any:
    if run.source.load:
        made = loaded(run.source)
        made = made() if callable(made) and not hasattr(made, "run_stream") else made
        if not hasattr(made, "run_stream"):
            raise Refused("what was loaded is no agent or team of AutoGen's")
        return made
    if run.source.file:
        return component(run)
    who = {"system_message": run.instructions} if run.instructions else {}
    return AssistantAgent(
        "sidekick", **who, model_client=client, tools=[GatewayTool(one, call_tool) for one in run.tools],
        model_client_stream=True, max_tool_iterations=run.limits.iterations, model_context=remembered(run),
    )  # fmt: skip


def component(run: Run) -> Any:
    """The agent or team in a component's JSON. A model client without a key in it gets the run's model."""
    path = inside(run.source.file, run.source.paths)
    try:
        said = json.loads(path.read_text())
    except (OSError, ValueError) as fault:
        raise Refused(f"{path} is no component's JSON: {fault}") from fault
    return ComponentLoader.load_component(keyed(said, run))


def keyed(said: Any, run: Run) -> Any:
    if isinstance(said, list):
        return [keyed(one, run) for one in said]
    if not isinstance(said, dict):
        return said
    found = {key: keyed(value, run) for key, value in said.items()}
    config = found.get("config")
    client = isinstance(config, dict) and "OpenAIChatCompletionClient" in str(found.get("provider", ""))
    if client and config.get("api_key") in (None, "", "**********"):
        own = {"model": run.model.name, "api_key": run.model.key or "none", "base_url": run.model.url}
        found["config"] = {**config, **own, "model_info": dict(info())}
    return found


def remembered(run: Run) -> UnboundedChatCompletionContext:
    said = [
        UserMessage(content=one["text"], source="user") if one["role"] == "user"
        else AssistantMessage(content=one["text"], source="sidekick")
        for one in run.history
    ]  # fmt: skip
    return UnboundedChatCompletionContext(initial_messages=said)


def info() -> ModelInfo:
    """Names of models that AutoGen does not know need one."""
    return ModelInfo(vision=False, function_calling=True, json_output=True, family="unknown", structured_output=False)


def model(run: Run) -> OpenAIChatCompletionClient:
    said = run.model
    return OpenAIChatCompletionClient(
        model=said.name, base_url=said.url, api_key=said.key or "none", temperature=said.temperature, max_retries=1,
        model_info=info(), http_client=connections(), **said.more,
    )  # fmt: skip


@cache
def connections() -> Any:
    """Shared by all runs: a client of its own costs each 40 ms. The key is each run's own."""
    return DefaultAsyncHttpxClient()


class Arguments(BaseModel):
    """Any: the gateway checks them against the tool's own schema."""

    model_config = ConfigDict(extra="allow")


class GatewayTool(BaseTool[Arguments, str]):
    """A tool of the gateway's, shown to the model with its own JSON Schema."""

    def __init__(self, one: Tool, call_tool: CallTool) -> None:
        super().__init__(Arguments, str, one.name, one.description)
        self._parameters = one.schema
        self._call = call_tool

    @property
    def schema(self) -> Any:
        parameters = {"properties": {}, "required": [], **self._parameters, "type": "object"}
        return {"name": self.name, "description": self.description, "parameters": parameters, "strict": False}

    async def run(self, args: Arguments, cancellation_token: CancellationToken) -> str:
        return (await self._call(self.name, args.model_dump())).text
