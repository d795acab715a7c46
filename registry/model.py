"""Agents and their tools, as frozen values.

An adapter describes an `Agent` with its native names; the registry answers with the same agent, its public
names filled in (`slug`, `Tool.name`, `Tool.agent`). Schemas stay JSON bytes: parsed and compiled on first use.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from hashlib import sha256
from typing import Any, TypeAlias

import orjson

Json: TypeAlias = Any
"""A JSON value: None, bool, int, float, str, or lists and string-keyed dicts of the same."""

ANYTHING = b'{"type":"object"}'
"""The input schema of a tool of which nothing is known."""


def schema(document: Mapping[str, Json]) -> bytes:
    """The canonical bytes of a JSON Schema (keys sorted), fit for `Tool.input_schema`."""
    return orjson.dumps(dict(document), option=orjson.OPT_SORT_KEYS)


@dataclass(frozen=True, slots=True)
class Address:
    """Where an agent lives: the identity under which it keeps its slug for ever."""

    network: str
    upstream: str
    native: str


@dataclass(frozen=True, slots=True)
class Price:
    """What one call costs: a decimal `amount` of `asset` ("USD", "USDC"), settled on `chain` if it is named."""

    amount: Decimal
    asset: str = "USD"
    chain: str = ""


@dataclass(frozen=True, slots=True)
class Tool:
    """What is called. `native` is its name on its own network; `name`, `agent`, `address` are the registry's."""

    native: str
    description: str = ""
    input_schema: bytes = ANYTHING
    output_schema: bytes | None = None
    title: str = ""
    annotations: Mapping[str, Json] = field(default_factory=dict[str, Json])
    price: Price | None = None
    meta: Mapping[str, Json] = field(default_factory=dict[str, Json])
    name: str = ""
    agent: str = ""
    address: Address = field(default=Address("", "", ""))

    @property
    def pin(self) -> str:
        """Hex SHA-256 over all that a caller's model reads: title, description, schemas, annotations."""
        parts = (self.title, self.description, self.input_schema.hex(), (self.output_schema or b"").hex())
        return sha256(orjson.dumps([*parts, dict(self.annotations)], option=orjson.OPT_SORT_KEYS)).hexdigest()


@dataclass(frozen=True, slots=True)
class View:
    """A named filter over the tools, with renames.

    `include`, `exclude`, `pinned` are globs over public names; `renames` gives a public name the one that is shown
    (legal as a tool name). `search`: `find_tools`, `describe_tool` and `call_tool` stand for the list, and of the
    list only what is pinned is shown. `patience` is for all calls by this view, as in `Caller`.
    """

    name: str = ""
    description: str = ""
    include: tuple[str, ...] = ("*",)
    exclude: tuple[str, ...] = ()
    renames: Mapping[str, str] = field(default_factory=dict[str, str])
    pinned: tuple[str, ...] = ()
    search: bool = False
    patience: float | None = None


@dataclass(frozen=True, slots=True)
class Agent:
    """Who is called. An upstream that has tools and no agents is itself the agent.

    `paused` and `degraded` are the registry's: stopped by the operator, and listed while its upstream is away.
    `only`: ids of callers, and slugs of agents as "agent:SLUG"; where it names some, they alone see and call the agent,
    and who acts on behalf of one of them.
    """

    address: Address
    name: str
    description: str = ""
    tools: tuple[Tool, ...] = ()
    meta: Mapping[str, Json] = field(default_factory=dict[str, Json])
    slug: str = ""
    paused: bool = False
    degraded: bool = False
    only: tuple[str, ...] = ()
