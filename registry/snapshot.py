"""The immutable index of all agents and tools. Every read on the call path is here; it is swapped whole."""

import difflib
import heapq
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from hashlib import sha256
from types import MappingProxyType
from typing import Any

import jsonschema_rs
import orjson

from registry.model import Agent, Json, Tool

VALIDATORS = 4096
MOST_FAULTS = 20
_compiled: "OrderedDict[bytes, jsonschema_rs.Validator | str]" = OrderedDict()


def validator(schema: bytes) -> "jsonschema_rs.Validator | str":
    """The compiled schema, kept by its hash; or, for one that cannot be compiled, what is wrong with it.

    Never fetches a `$ref`, and matches patterns in linear time.
    """
    key = sha256(schema).digest()
    found = _compiled.get(key)
    if found is None:
        try:
            patterns = jsonschema_rs.RegexOptions(size_limit=2**20)
            found = jsonschema_rs.validator_for(orjson.loads(schema), offline=True, pattern_options=patterns)
        except (ValueError, jsonschema_rs.ValidationError) as fault:
            found = str(fault).splitlines()[0][:200]
        _compiled[key] = found
        if len(_compiled) > VALIDATORS:
            _compiled.popitem(last=False)
    return found


class Entry:
    """A tool, its agent, and the check of its arguments, compiled on first use."""

    __slots__ = ("_validator", "agent", "tool")

    def __init__(self, tool: Tool, agent: Agent) -> None:
        self.tool = tool
        self.agent = agent
        self._validator: Any = None

    def _check(self) -> "jsonschema_rs.Validator | str":
        if self._validator is None:
            self._validator = validator(self.tool.input_schema)
        return self._validator

    @property
    def schema_fault(self) -> str:
        """Why the arguments of this tool cannot be checked; empty where they can."""
        check = self._check()
        return check if isinstance(check, str) else ""

    def errors(self, arguments: Mapping[str, Json]) -> list[str]:
        """What does not fit the input schema, each with its place; empty if all does, or nothing can be checked."""
        check = self._check()
        if isinstance(check, str):
            return []
        try:
            if check.is_valid(arguments):
                return []
            faults: list[str] = []
            for fault in check.iter_errors(arguments):
                place = ".".join(str(p) for p in fault.instance_path)
                faults.append(f"{place}: {fault.message[:300]}" if place else fault.message[:300])
                if len(faults) == MOST_FAULTS:
                    break
            return faults
        except (ValueError, TypeError, OverflowError, RecursionError) as fault:
            return [str(fault)[:200]]


class Snapshot:
    """`agents` by slug and `tools`, both sorted, each agent's tools with it. Never changed after it is made."""

    def __init__(self, revision: int, agents: Iterable[Agent]) -> None:
        self.revision = revision
        listed = sorted(agents, key=lambda agent: agent.slug)
        self.agents: Mapping[str, Agent] = MappingProxyType({agent.slug: agent for agent in listed})
        entries = {tool.name: Entry(tool, agent) for agent in listed for tool in agent.tools}
        self._entries = {name: entries[name] for name in sorted(entries)}
        self.tools: tuple[Tool, ...] = tuple(entry.tool for entry in self._entries.values())

    def find(self, name: str) -> Entry | None:
        """The tool of this public name."""
        return self._entries.get(name)

    def nearest(self, name: str, count: int) -> list[str]:
        """Names that look like this one, most alike first."""
        name = name[:80]
        if len(self._entries) <= 2000:
            return difflib.get_close_matches(name, self._entries, count, 0.5)
        shared = [other for other in self._entries if other[:4] == name[:4]]
        return heapq.nlargest(
            count, shared[:2000], key=lambda other: difflib.SequenceMatcher(None, name, other).ratio()
        )
