"""One agent by each of its engines: switched through the gateway, and switched back whatever happens."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from adapters.errors import BadArguments, GatewayError
from adapters.inspect.session import Outcome, asked
from adapters.spi import Door
from adapters.words import note

ALL = "all"
NONE = (
    "engines are chosen for characters (doolittle add character) and for ElizaOS agents that have the plugin; compare"
    " others by --agent a,b,c"
)


@dataclass(frozen=True, slots=True)
class Plan:
    """Engines that are there, those that are not and why, and by which the agent thinks now."""

    slug: str
    present: list[str]
    absent: dict[str, str]
    chosen: str


async def by_engine(door: Door, agent: str, wanted: str, run: Callable[[], Awaitable[Outcome]]) -> list[Outcome]:
    """An arm for each engine of `wanted` ("all", or names by commas). One that cannot be run is an arm that says why.

    Raises as `planned`, before anything is run.
    """
    plan = await planned(door, agent, wanted)
    arms: list[Outcome] = []
    async with _restored(door, plan.slug, plan.chosen):
        for number, name in enumerate(plan.present, 1):
            note(f"{agent} on {name} ({number} of {len(plan.present)}) …")
            arms.append(replace(await _one(door, plan.slug, name, run), agent=agent, engine=name))
    return [*arms, *(Outcome(agent, [], 0.0, {}, name, why) for name, why in plan.absent.items())]


async def planned(door: Door, agent: str, wanted: str) -> Plan:
    """Raises `BadArguments` for an agent that has no engines, and for names of none."""
    slug = asked(door, agent).tool.agent
    found = await _engines(door, slug)
    if not found["engines"]:
        raise BadArguments("; ".join(found["missing"].values()) or f"'{slug}' has no engine")
    names = found["engines"] if wanted == ALL else [name for name in wanted.split(",") if name]
    known = {*found["engines"], *found["missing"]}
    if strange := [name for name in names if name not in known]:
        there = ", ".join(found["engines"]) or "none"
        raise BadArguments(f"'{slug}' has no engine '{strange[0][:40]}'; there are: {there}")
    absent = found["missing"] if wanted == ALL else {n: found["missing"][n] for n in names if n in found["missing"]}
    return Plan(slug, [name for name in names if name not in absent], absent, found["chosen"])


async def _engines(door: Door, slug: str) -> dict[str, Any]:
    try:
        return await door.manage("GET", f"/v1/agents/{slug}/engine")
    except BadArguments as fault:
        raise BadArguments(f"{fault.public}; {NONE}") from fault


async def _one(door: Door, slug: str, name: str, run: Callable[[], Awaitable[Outcome]]) -> Outcome:
    try:
        await door.manage("PUT", f"/v1/agents/{slug}/engine", {"engine": name})
        return await run()
    except GatewayError as fault:
        return Outcome("", [], 0.0, {}, fault=fault.public)


@asynccontextmanager
async def _restored(door: Door, slug: str, engine: str) -> AsyncIterator[None]:
    """Who breaks this off gets the former engine back too."""
    try:
        yield
    finally:
        await asyncio.shield(_back(door, slug, engine))


async def _back(door: Door, slug: str, engine: str) -> None:
    try:
        await door.manage("PUT", f"/v1/agents/{slug}/engine", {"engine": engine})
    except GatewayError as fault:
        note(f"'{slug}' does not think by '{engine}' again: {fault.public}")
