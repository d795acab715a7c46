"""Agents of the stand-in's registry: `coral-agent.toml` files, held against the lengths and patterns of edition 4, and
agents that are functions of a test."""

import re
import tomllib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.e2e.coral.rules import SessionAgent

NAME = re.compile(r"[a-z0-9]([a-z0-9]*(-[a-z0-9]+)*)?\Z")
VERSION = re.compile(r"\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?\Z")
OPTION = re.compile(r"[a-zA-Z_][a-zA-Z_$0-9]*\Z")
TYPES = {
    "string": str, "bool": bool, "i32": int, "i64": int, "u32": int, "f64": float, "list[string]": list,
}  # fmt: skip
Function = Callable[[SessionAgent], Awaitable[None]]


@dataclass(slots=True)
class Definition:
    """One version of an agent. `function`: it runs in the server's own process."""

    name: str
    version: str
    description: str = ""
    runtimes: dict[str, Any] = field(default_factory=dict[str, Any])
    options: dict[str, Any] = field(default_factory=dict[str, Any])
    function: Function | None = None
    folder: Path | None = None

    def document(self, source: str) -> dict[str, Any]:
        """What `GET /api/v1/registry/{source}/{name}/{version}` answers."""
        return {
            "registryAgent": {
                "info": {
                    "capabilities": [], "readme": "-", "summary": "-", "description": self.description,
                    "identifier": {**self.identifier(source)}, "license": {"type": "spdx", "expression": "MIT"},
                },
                "edition": 4, "runtimes": self.runtimes, "options": self.options, "exportSettings": {},
            },
            "restrictions": [],
        }  # fmt: skip

    def identifier(self, source: str = "local") -> dict[str, Any]:
        return {"name": self.name, "version": self.version, "registrySourceId": {"type": source}}

    def fault(self, given: Mapping[str, Any]) -> str:
        """What is wrong with the options of a request; blank if nothing is."""
        if strange := given.keys() - self.options.keys():
            return f"Agent {self.name} contains unknown options: {', '.join(sorted(strange))}"
        for key, value in given.items():
            if value.get("type") != self.options[key]["type"] or not isinstance(
                value.get("value"), TYPES[self.options[key]["type"]]
            ):
                return f"Agent {self.name} contains wrong types for options: {key}"
        required = {k for k, o in self.options.items() if o.get("required") and o.get("default") is None}
        if missing := required - given.keys():
            return f"Agent {self.name} is missing required options: {', '.join(sorted(missing))}"
        return ""

    def environment(self, given: Mapping[str, Any]) -> dict[str, str]:
        defaults = {k: o["default"] for k, o in self.options.items() if o.get("default") is not None}
        values = {**defaults, **{k: v["value"] for k, v in given.items()}}
        return {k: str(int(v)) if isinstance(v, bool) else str(v) for k, v in values.items()}


def function(name: str, run: Function, description: str = "", **options: Any) -> Definition:
    return Definition(name, "1.0.0", description, {"function": {}}, options, run)


def read(path: Path) -> Definition:
    """Raises `ValueError` for what a Coral server does not take."""
    said = tomllib.loads(path.read_text())
    if not 3 <= said["edition"] <= 4:
        raise ValueError(f"edition {said['edition']}")
    agent = said["agent"]
    lengths = {"name": 32, "version": 24, "description": 1024, "summary": 256, "readme": 4096}
    for key, most in lengths.items():
        if not isinstance(agent[key], str) or not 1 <= len(agent[key]) <= most:
            raise ValueError(f"agent.{key} has 1 to {most} characters")
    if not NAME.match(agent["name"]) or not VERSION.match(agent["version"]):
        raise ValueError(f"agent.name or agent.version: {agent['name']} {agent['version']}")
    if agent["license"]["type"] not in ("spdx", "text"):
        raise ValueError("agent.license")
    _require_runtimes(said["runtimes"])
    options = said.get("options", {})
    for key, option in options.items():
        if not OPTION.match(key) or option["type"] not in TYPES:
            raise ValueError(f"options.{key}")
    return Definition(
        agent["name"], agent["version"], agent["description"], said["runtimes"], options, folder=path.parent
    )


def _require_runtimes(runtimes: Mapping[str, Any]) -> None:
    if not runtimes or not runtimes.keys() <= {"executable", "docker", "prototype"}:
        raise ValueError("runtimes")
    executable = runtimes["executable"]
    if executable.get("transport", "streamable_http") not in ("streamable_http", "sse"):
        raise ValueError("runtimes.executable.transport")
    if not 1 <= len(executable["path"]) <= 4096 or len("".join(executable["arguments"]).encode()) > 2048:
        raise ValueError("runtimes.executable")


async def puppet(agent: SessionAgent) -> None:
    """Does nothing of itself, and never ends: REST speaks for it."""
    import asyncio

    agent.connect()
    await asyncio.Event().wait()


async def echo(agent: SessionAgent) -> None:
    """Hears what is said from its first wait on."""
    agent.connect()
    since = None
    while True:
        heard = await agent.mention(since)
        if heard is not None:
            since = heard.at // 10**6 + 1
            agent.send(heard.thread, heard.text, [heard.sender])
