"""One OpenAPI document for each view, in which each tool is an operation of its own. Pure.

Written so that clients that make tools of operations (ChatGPT actions among them) take it: short descriptions, one
security scheme, an absolute address, plain names.
"""

from collections.abc import Sequence
from typing import Any

from adapters.http import openapi
from adapters.http.components import PLACE, components
from adapters.spi import Json, Tool, View

LONGEST = 300
"""Characters of an operation's description."""
ANSWER: dict[str, Json] = {
    "type": "object",
    "required": ["text", "content"],
    "properties": {"text": {"type": "string"}, "content": {"type": "array", "items": {"type": "object"}}},
}
OPEN = "It asks back, or takes longer than this caller waits: the call as it is so far."


def document(view: str, seen: View, tools: Sequence[Tool], base_url: str) -> dict[str, Json]:
    """The document of the view of this name. Every reference in it resolves inside it."""
    schemas: dict[str, Json] = {**openapi.SCHEMAS, "Answer": ANSWER}
    paths: dict[str, Json] = {}
    for tool in tools:
        schemas |= _object(f"{tool.name}.input", tool.input_schema)
        if tool.output_schema is not None:
            schemas |= components(f"{tool.name}.output", tool.output_schema)
        paths[f"/v1/views/{view}/tools/{tool.name}"] = {"post": _operation(tool)}
    paths[f"/v1/views/{view}/answers"] = {"post": openapi.answers(_free("answer_question", tools))}
    about = seen.description or "Agents of any network, called over plain HTTP."
    return {
        "openapi": "3.1.0",
        "info": {"title": f"Doolittle: {view}", "version": "1", "description": about, "x-doolittle-hops": True},
        "servers": [{"url": base_url}],
        "security": [{"key": []}, {}],
        "paths": paths,
        "components": {"securitySchemes": {"key": {"type": "http", "scheme": "bearer"}}, "schemas": schemas},
    }


def _object(name: str, schema: bytes) -> dict[str, Json]:
    """The components of an input schema, which always names its properties: some clients ask for that."""
    found = components(name, schema)
    whole: Any = found[name]
    if isinstance(whole, dict) and "$ref" not in whole:
        whole.setdefault("type", "object")
        whole.setdefault("properties", {})
    return found


def _operation(tool: Tool) -> dict[str, Json]:
    given = {"$ref": f"{PLACE}{tool.name}.input"}
    taken = {"$ref": f"{PLACE}{tool.name}.output" if tool.output_schema is not None else f"{PLACE}Answer"}
    made: dict[str, Json] = {
        "operationId": tool.name,
        "summary": short(tool.title or tool.name, 80),
        "description": short(tool.description, LONGEST),
        "requestBody": {"required": True, "content": {"application/json": {"schema": given}}},
        "responses": {
            "200": {"description": "What it answered.", "content": {"application/json": {"schema": taken}}},
            "202": {"description": OPEN, "content": {"application/json": {"schema": {"$ref": f"{PLACE}Call"}}}},
            **openapi.problems(*openapi.PROBLEMS),
        },
    }
    if tool.annotations.get("readOnlyHint") is True:
        made["x-openai-isConsequential"] = False
    return made


def short(text: str, most: int) -> str:
    """At most so many characters, cut at a blank."""
    text = " ".join(text.split())
    if len(text) <= most:
        return text
    head = text[: most - 1]
    return (head.rpartition(" ")[0] or head) + "…"


def _free(name: str, tools: Sequence[Tool]) -> str:
    taken = {tool.name for tool in tools}
    while name in taken:
        name += "_"
    return name
