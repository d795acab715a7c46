"""Agents and tools as rows: what is kept of them, read whole at the start, written where it changed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, TypeAlias

import orjson
from sqlalchemy import Connection, Table, bindparam, insert, select, update

from registry import tables
from registry.model import Address, Agent, Price, Tool

ONLY = "doolittle/only"
"""Where `Agent.only` stands in a row: beside what the network itself says of its agent."""


@dataclass(frozen=True, slots=True)
class KeptTool:
    """A tool as it is kept: the approved version, one that waits, and from how many lists in a row it was absent."""

    tool: Tool
    pending: Tool | None = None
    absent: int = 0
    withdrawn: bool = False


@dataclass(frozen=True, slots=True)
class KeptAgent:
    """An agent as it is kept, with its tools by their native names."""

    agent: Agent
    tools: Mapping[str, KeptTool] = field(default_factory=dict[str, KeptTool])
    absent: int = 0
    withdrawn: bool = False


Kept: TypeAlias = Mapping[Address, KeptAgent]


def read(connection: Connection) -> tuple[int, dict[Address, KeptAgent]]:
    """The revision, and everything that is kept."""
    agents: dict[str, KeptAgent] = {}
    tools: dict[str, dict[str, KeptTool]] = {}
    for row in connection.execute(select(tables.agents).order_by(tables.agents.c.slug)):
        address, meta = Address(row.network, row.upstream, row.native), orjson.loads(row.meta)
        only = tuple(meta.pop(ONLY, ()))
        agent = Agent(address, row.name, row.description, (), meta, row.slug, bool(row.paused), only=only)
        agents[agent.slug] = KeptAgent(agent, tools.setdefault(agent.slug, {}), row.absent, bool(row.withdrawn))
    for row in connection.execute(select(tables.tools).order_by(tables.tools.c.name)):
        owner = agents[row.agent].agent
        pending = _tool(row.pending, row, owner) if row.pending else None
        tools[row.agent][row.native] = KeptTool(_tool(row.body, row, owner), pending, row.absent, bool(row.withdrawn))
    revision = connection.execute(select(tables.revision.c.value)).scalar() or 0
    return revision, {kept.agent.address: kept for kept in agents.values()}


def write(connection: Connection, before: Kept, now: Kept) -> int:
    """Writes what differs in these agents; the new revision."""
    new_agents: list[dict[str, Any]] = []
    old_agents: list[dict[str, Any]] = []
    new_tools: list[dict[str, Any]] = []
    old_tools: list[dict[str, Any]] = []
    for address, kept in now.items():
        was = before.get(address)
        (new_agents if was is None else old_agents).append(_agent_row(kept))
        for native, tool in kept.tools.items():
            old = was.tools.get(native) if was else None
            if old is not tool:
                (new_tools if old is None else old_tools).append(_tool_row(tool))
    _insert(connection, tables.agents, new_agents)
    _update(connection, tables.agents, "slug", old_agents)
    _insert(connection, tables.tools, new_tools)
    _update(connection, tables.tools, "name", old_tools)
    return grow(connection)


def _insert(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    if rows:
        connection.execute(insert(table), rows)


def _update(connection: Connection, table: Table, key: str, rows: Sequence[Mapping[str, Any]]) -> None:
    if rows:
        named = [{f"_{column}": value for column, value in row.items()} for row in rows]
        values = {column: bindparam(f"_{column}") for column in rows[0] if column != key}
        connection.execute(update(table).where(table.c[key] == bindparam(f"_{key}")).values(values), named)


def grow(connection: Connection) -> int:
    """The next revision."""
    table = tables.revision
    if connection.execute(update(table).values(value=table.c.value + 1)).rowcount == 0:
        connection.execute(insert(table).values(id=1, value=1))
    return connection.execute(select(table.c.value)).scalar_one()


def _agent_row(kept: KeptAgent) -> dict[str, Any]:
    agent, address = kept.agent, kept.agent.address
    meta = {**agent.meta, ONLY: agent.only} if agent.only else agent.meta
    return {
        "slug": agent.slug, "network": address.network, "upstream": address.upstream, "native": address.native,
        "name": agent.name, "description": agent.description, "meta": orjson.dumps(meta).decode(),
        "absent": kept.absent, "withdrawn": kept.withdrawn, "paused": agent.paused,
    }  # fmt: skip


def _tool_row(kept: KeptTool) -> dict[str, Any]:
    tool = kept.tool
    return {
        "name": tool.name, "agent": tool.agent, "native": tool.native, "body": _body(tool),
        "pending": _body(kept.pending) if kept.pending else None, "absent": kept.absent, "withdrawn": kept.withdrawn,
    }  # fmt: skip


def _body(tool: Tool) -> str:
    price = tool.price and {"amount": str(tool.price.amount), "asset": tool.price.asset, "chain": tool.price.chain}
    said = {
        "description": tool.description, "title": tool.title, "input": tool.input_schema.decode(),
        "output": tool.output_schema.decode() if tool.output_schema is not None else None,
        "annotations": tool.annotations, "meta": tool.meta, "price": price,
    }  # fmt: skip
    return orjson.dumps(said).decode()


def _tool(body: str, row: Any, agent: Agent) -> Tool:
    said = orjson.loads(body)
    price = said["price"]
    return Tool(
        native=row.native, description=said["description"], title=said["title"], input_schema=said["input"].encode(),
        output_schema=None if said["output"] is None else said["output"].encode(), annotations=said["annotations"],
        meta=said["meta"], price=price and Price(Decimal(price["amount"]), price["asset"], price["chain"]),
        name=row.name, agent=agent.slug, address=agent.address,
    )  # fmt: skip
