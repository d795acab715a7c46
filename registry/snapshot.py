"""The immutable index of all agents and tools. Every read on the call path is here; it is swapped whole."""

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from types import MappingProxyType

import jsonschema_rs
import orjson

from registry import names
from registry.model import Agent, Json, Tool, View
from registry.views import Window
from registry.weight import Weight, levels, weigh

VALIDATORS = 4096
MOST_FAULTS = 20
MOST_PLACES = 20_000
"""Places of arguments up to which all their faults are listed; of larger ones the first is."""
FEW_TOLD, MOST_TOLD = 30, 5_000
"""Looks (see `registry.weight`) up to which faults are listed: each takes some 30 us."""


@dataclass(frozen=True, slots=True)
class Check:
    """A compiled schema and what it may cost; or, for one that cannot be used, what is wrong with it."""

    validator: "jsonschema_rs.Validator | None"
    weight: Weight | None = None
    fault: str = ""


_compiled: "OrderedDict[bytes, Check]" = OrderedDict()


def check(schema: bytes) -> Check:
    """The compiled schema, kept by its hash. Never fetches a `$ref`, and matches patterns in linear time."""
    key = sha256(schema).digest()
    found = _compiled.get(key)
    if found is None:
        found = _compiled[key] = _compile(schema)
        if len(_compiled) > VALIDATORS:
            _compiled.popitem(last=False)
    else:
        _compiled.move_to_end(key)
    return found


def _compile(schema: bytes) -> Check:
    try:
        document = orjson.loads(schema)
        weight = weigh(document)
        patterns = jsonschema_rs.RegexOptions(size_limit=2**20)
        validator = jsonschema_rs.validator_for(document, offline=True, pattern_options=patterns)
    except Exception as fault:  # noqa: BLE001 - whatever is wrong with a schema, the tool stays usable
        return Check(None, fault=(str(fault).splitlines() or [type(fault).__name__])[0][:200])
    return Check(validator, weight)


class Entry:
    """A tool, its agent, and the check of its arguments, compiled on first use."""

    __slots__ = ("_kept", "agent", "tool")

    def __init__(self, tool: Tool, agent: Agent) -> None:
        self.tool = tool
        self.agent = agent
        self._kept: Check | None = None

    def _check(self) -> Check:
        if self._kept is None:
            self._kept = check(self.tool.input_schema)
        return self._kept

    @property
    def schema_fault(self) -> str:
        """Why the arguments of this tool cannot be checked; empty where they can."""
        return self._check().fault

    def errors(self, arguments: Mapping[str, Json]) -> list[str]:
        """What does not fit the input schema, each with its place; empty if all does, or nothing can be checked."""
        kept = self._check()
        if kept.validator is None:
            return []
        try:
            if kept.weight is not None and (refused := kept.weight.refuses(arguments)):
                return [refused]
            return [] if kept.validator.is_valid(arguments) else _faults(kept.validator, kept.weight, arguments)
        except (ValueError, TypeError, OverflowError, RecursionError) as fault:
            return [str(fault)[:200]]


def _faults(validator: "jsonschema_rs.Validator", weight: Weight | None, arguments: Json) -> list[str]:
    """Listing faults costs a thousand times more than finding that there are some: it is for small arguments."""
    if weight is not None and weight.exceeds(arguments, FEW_TOLD, MOST_TOLD):
        return ["does not fit the tool's schema, and is nested too deeply to say where"]
    if sum(levels(arguments, 1000)) > MOST_PLACES:
        try:
            validator.validate(arguments)
        except jsonschema_rs.ValidationError as fault:
            return [_said(fault)]
    return [_said(fault) for fault, _ in zip(validator.iter_errors(arguments), range(MOST_FAULTS), strict=False)]


def _said(fault: "jsonschema_rs.ValidationError") -> str:
    place = ".".join(str(step)[:80] for step in fault.instance_path)
    return f"{place}: {fault.message[:300]}" if place else fault.message[:300]


class Snapshot:
    """`agents` by slug and `tools`, both sorted, each agent's tools with it; `views` by name; `only` (`Agent.only`) by
    slug. Never changed after it is made."""

    def __init__(
        self, revision: int, agents: Iterable[Agent], views: Mapping[str, View] = MappingProxyType({})
    ) -> None:
        self.revision = revision
        self.views = views
        listed = sorted(agents, key=lambda agent: agent.slug)
        self.agents: Mapping[str, Agent] = MappingProxyType({agent.slug: agent for agent in listed})
        self.only: Mapping[str, tuple[str, ...]] = {agent.slug: agent.only for agent in listed if agent.only}
        entries = {tool.name: Entry(tool, agent) for agent in listed for tool in agent.tools}
        self._names = sorted(entries)
        self._entries = {name: entries[name] for name in self._names}
        self.tools: tuple[Tool, ...] = tuple(entry.tool for entry in self._entries.values())
        self._windows: dict[str, Window] = {}

    def find(self, name: str) -> Entry | None:
        """The tool of this public name."""
        return self._entries.get(name)

    def window(self, name: str) -> Window | None:
        """What the view of this name shows, made on first use; None without such a view."""
        found = self._windows.get(name)
        if found is None and name in self.views:
            found = self._windows[name] = Window(self.views[name], self.tools)
        return found

    def nearest(self, name: str, count: int) -> list[str]:
        """Names that look like this one, most alike first. Among very many: of those that begin as it does."""
        return names.nearest(self._names, name, count)
