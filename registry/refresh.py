"""Any source of agents -> compared -> kept -> a new snapshot. Knows no adapter: it is handed the source."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Protocol

from registry.model import ANYTHING, Agent, Tool
from registry.registry import Change, Listed, Registry

MOST_AGENTS = 1000
MOST_TOOLS = 10_000
MOST_TEXT = 4096
MOST_NAME = 256
MOST_SCHEMA = 256 * 1024


class Source(Protocol):
    """Whose list it is."""

    @property
    def network(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def trusted(self) -> bool: ...


async def refresh(
    agents: Callable[[], AsyncIterator[Agent]], registry: Registry, source: Source, seconds: float
) -> Change:
    """One list. If it breaks off or takes longer, what came is taken, nothing is withdrawn, and `fault` says why."""
    came: list[Agent] = []
    notes: list[str] = []
    fault: Exception | None = None
    tools = 0
    try:
        async with asyncio.timeout(seconds):
            async for agent in agents():
                tools += len(agent.tools)
                if len(came) >= MOST_AGENTS or tools > MOST_TOOLS:
                    notes.append(f"the list has more than {MOST_AGENTS} agents or {MOST_TOOLS} tools; it was cut there")
                    break
                came.append(_fitting(agent, notes))
    except TimeoutError:
        fault = TimeoutError(f"its list did not end within {seconds:g} seconds")
    except Exception as error:  # noqa: BLE001 - whatever the source does, the others must not suffer
        fault = error
    complete = fault is None and not notes_cut(notes)
    change = await registry.take(Listed(source.network, source.name, came, complete, source.trusted))
    return replace(change, notes=(*change.notes, *notes[:20]), fault=fault)


def notes_cut(notes: list[str]) -> bool:
    return any(note.startswith("the list has more") for note in notes)


def _fitting(agent: Agent, notes: list[str]) -> Agent:
    """The agent with texts and schemas cut to what is kept."""
    tools = tuple(_fitting_tool(tool, notes) for tool in agent.tools)
    return replace(agent, name=agent.name[:MOST_NAME], description=agent.description[:MOST_TEXT], tools=tools)


def _fitting_tool(tool: Tool, notes: list[str]) -> Tool:
    input_schema, output_schema = tool.input_schema, tool.output_schema
    if len(input_schema) > MOST_SCHEMA:
        notes.append(f"the input schema of '{tool.native[:80]}' is too large, and is not checked")
        input_schema = ANYTHING
    if output_schema is not None and len(output_schema) > MOST_SCHEMA:
        notes.append(f"the output schema of '{tool.native[:80]}' is too large, and is left out")
        output_schema = None
    return replace(
        tool, description=tool.description[:MOST_TEXT], title=tool.title[:MOST_NAME],
        input_schema=input_schema, output_schema=output_schema,
    )  # fmt: skip


class Backoff:
    """Seconds to wait after each failure in a row: doubling from `first` to `most`, with a jitter of a quarter."""

    def __init__(self, first: float = 0.5, most: float = 60.0) -> None:
        self._first = first
        self._most = most
        self._next = first

    def next(self) -> float:
        wait, self._next = self._next, min(self._most, self._next * 2)
        return wait * random.uniform(0.75, 1.25)  # noqa: S311 - not a secret

    def reset(self) -> None:
        self._next = self._first
