"""Between the contract and what a harness says. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from adapters.errors import Broken
from adapters.spi import Json, Result, Text, Tool
from registry.model import ANYTHING, schema


def tools(said: Json) -> tuple[Tool, ...]:
    """Raises `Broken` for a list that is none."""
    if not isinstance(said, list):
        raise Broken("the harness gave no list of tools")
    return tuple(_tool(one) for one in said)


def _tool(said: Any) -> Tool:
    try:
        given = said["schema"]
        form = schema(given) if isinstance(given, dict) else ANYTHING
        return Tool(str(said["name"]), str(said["description"]), form, title=str(said["name"]))
    except (KeyError, TypeError) as fault:
        raise Broken("the harness listed a tool without a name, a description or a schema") from fault


def result(said: Json) -> Result:
    """A tool's answer as the harness gave it; what failed there is an answer too, and its text says so."""
    if not isinstance(said, dict) or not isinstance(said.get("text"), str):
        raise Broken("the harness gave no answer")
    return Result((Text(said["text"]),))


def beside(form: Mapping[str, Any], session: str, steps: int) -> dict[str, Any]:
    """What an agent's tool takes beside: the tools that it is offered, and its limit of steps."""
    properties: Mapping[str, Any] = form.get("properties") or {}
    found: dict[str, Any] = {}
    if properties.get("tools", {}).get("type") == "array":
        found["tools"] = [f"{session}__*"]
    if properties.get("iterations", {}).get("type") == "integer":
        found["iterations"] = steps
    return found


def names(given: Sequence[Tool]) -> list[str]:
    return sorted(tool.native for tool in given)
