"""Pydantic AI: an agent, and agents of the operator's (import path)."""

from collections.abc import AsyncIterator
from functools import cache
from importlib.metadata import version
from typing import Any

from openai import DefaultAsyncHttpxClient
from pydantic_ai import (
    Agent,
    AgentRunResultEvent,
    FunctionToolCallEvent,
    FunctionToolResultEvent,
    PartDeltaEvent,
    PartStartEvent,
    UsageLimits,
)  # fmt: skip
from pydantic_ai import (
    Tool as AgentTool,
)
from pydantic_ai.exceptions import UsageLimitExceeded
from pydantic_ai.messages import ModelRequest, ModelResponse, TextPart, TextPartDelta, UserPromptPart
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.usage import RunUsage
from sidekick_protocol import CallTool, Event, Final, Refused, Run, Step, Token, Tool, Usage, loaded, told


def versions() -> dict[str, str]:
    return {name: version(name) for name in ("pydantic-ai-slim", "openai")}


async def run(run: Run, call_tool: CallTool) -> AsyncIterator[Event]:
    agent = chosen(run, call_tool)
    limits = UsageLimits(request_limit=run.limits.iterations)
    text, counted = "", RunUsage()
    how = {"message_history": remembered(run), "usage_limits": limits, "usage": counted}
    try:
        async with agent.run_stream_events(told(run), **how) as events:
            async for event in events:
                if isinstance(event, AgentRunResultEvent):
                    yield Usage(counted.input_tokens, counted.output_tokens)
                    yield Final(str(event.result.output))
                    return
                said = written(event)
                text += said
                if said:
                    yield Token(said)
                elif isinstance(event, FunctionToolCallEvent | FunctionToolResultEvent):
                    text = ""
                    yield Step(type(event).__name__)
    except UsageLimitExceeded:
        yield Usage(counted.input_tokens, counted.output_tokens)
        yield Final(text, "max_iterations")


def written(event: Any) -> str:
    if isinstance(event, PartStartEvent) and isinstance(event.part, TextPart):
        return event.part.content
    if isinstance(event, PartDeltaEvent) and isinstance(event.delta, TextPartDelta):
        return event.delta.content_delta
    return ""


def chosen(run: Run, call_tool: CallTool) -> Agent[Any, Any]:
    if run.source.file:
        raise Refused("this framework loads agents by 'load' (module:object), and from no file")
    if run.source.load:
        made = loaded(run.source)
        if not isinstance(made, Agent):
            raise Refused("what was loaded is no agent of Pydantic AI's")
        return made
    said = run.model
    provider = OpenAIProvider(base_url=said.url, api_key=said.key or "none", http_client=connections())
    model = OpenAIChatModel(said.name, provider=provider, settings={"temperature": said.temperature})
    tools = [tool(one, call_tool) for one in run.tools]
    return Agent(model, instructions=run.instructions or None, tools=tools)


@cache
def connections() -> Any:
    """Shared by all runs: a client of its own costs each 40 ms. The key is each run's own."""
    return DefaultAsyncHttpxClient()


def remembered(run: Run) -> list[Any]:
    return [
        ModelRequest(parts=[UserPromptPart(content=one["text"])]) if one["role"] == "user"
        else ModelResponse(parts=[TextPart(content=one["text"])])
        for one in run.history
    ]  # fmt: skip


def tool(one: Tool, call_tool: CallTool) -> Any:
    async def call(**arguments: Any) -> str:
        return (await call_tool(one.name, arguments)).text

    schema = {"properties": {}, **one.schema}
    return AgentTool.from_schema(call, name=one.name, description=one.description, json_schema=schema)
