"""Agents and lists, as tests want them."""

from registry.model import Address, Agent, Tool, schema
from registry.registry import Listed


def agent(native: str, *tools: str, name: str = "", description: str = "d") -> Agent:
    return Agent(
        Address("fake", "u", native),
        name or native,
        "about",
        tuple(Tool(t, description, schema({"type": "object"})) for t in tools),
    )


def listed(*agents: Agent, complete: bool = True, trusted: bool = True, upstream: str = "u") -> Listed:
    return Listed("fake", upstream, agents, complete, trusted)
