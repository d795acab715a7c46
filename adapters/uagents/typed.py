"""A tool as models of this network, so that its agents can send and get plain messages. Pure.

The digest of a model covers its title, docstring, fields, defaults and their order, so both ends need the same class:
here it is made of the tool's JSON Schema, and `source` writes the Python that makes the same. What such models cannot
say (alternatives, names that Python has no room for) goes by chat and by the MCP protocol.
"""

import inspect
import json
import keyword
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, Optional

import orjson
from pydantic.v1 import Field as V1Field
from pydantic.v1 import create_model
from uagents_core.models import ErrorMessage, Model
from uagents_core.protocol import ProtocolSpecification

from adapters.spi import Agent, Tool

PLAIN: dict[str, type] = {"string": str, "integer": int, "number": float, "boolean": bool}
NUMBERS = {"minimum": "ge", "maximum": "le", "exclusiveMinimum": "gt", "exclusiveMaximum": "lt"}
LENGTHS = {"minLength": "min_length", "maxLength": "max_length"}
UNSAID = frozenset({"oneOf", "allOf", "not", "if", "patternProperties", "prefixItems"})
DEPTH = 8
SIZE = 64 * 1024
"""Letters of a schema that is looked at."""


class Unsayable(Exception):
    """The schema says what a model cannot."""


@dataclass(frozen=True, slots=True)
class Field:
    """`kind`: the annotation, as Python and as text. `more`: words of pydantic's `Field`."""

    name: str
    kind: Any
    text: str
    default: Any
    more: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Made:
    """A model, its digest, and the text of its class with those inside it before it."""

    model: type[Model]
    digest: str
    text: str


@dataclass(frozen=True, slots=True)
class Pair:
    """What is sent to call a tool, and what comes back."""

    tool: str
    request: Made
    response: Made
    structured: bool
    """Whether the response is the tool's own structure; else its text."""


class _Maker:
    """Makes one model and those inside it."""

    def __init__(self, whole: Mapping[str, Any]) -> None:
        self._whole = whole
        self.texts: list[str] = []
        self._names: set[str] = set()

    def model(self, title: str, doc: str, schema: Mapping[str, Any], depth: int = 0) -> type[Model]:
        if depth > DEPTH or title in self._names:
            raise Unsayable(title)
        self._names.add(title)
        required = schema.get("required", [])
        fields = [self._field(title, name, said, name in required, depth) for name, said in _properties(schema)]
        kinds: dict[str, Any] = {f.name: (f.kind, V1Field(f.default, **f.more)) for f in fields}
        made = create_model(title, __base__=Model, **kinds)
        made.__doc__ = inspect.cleandoc(doc) or None
        lines = [f"class {title}(Model):"]
        lines += [f"    {made.__doc__!r}"] if made.__doc__ else []
        lines += [f"    {f.name}: {f.text} = Field({', '.join(_words(f))})" for f in fields]
        self.texts.append("\n".join(lines if len(lines) > 1 else [*lines, "    pass"]))
        return made

    def _field(self, title: str, name: str, said: Any, required: bool, depth: int) -> Field:
        if not name.isidentifier() or not name.isascii() or keyword.iskeyword(name) or name[0] == "_":
            raise Unsayable(name)
        if hasattr(Model, name):
            raise Unsayable(name)
        said = self._seen(said)
        more: dict[str, Any] = {}
        if isinstance(said.get("description"), str) and said["description"]:
            more["description"] = said["description"]
        kind, text = self._kind(title + name.title().replace("_", ""), said, depth)
        bounds = {"string": LENGTHS, "integer": NUMBERS, "number": NUMBERS}.get(str(said.get("type")), {})
        if "enum" not in said and "const" not in said:
            more |= {ours: said[theirs] for theirs, ours in bounds.items() if _number(said.get(theirs))}
        default = ... if required else said.get("default")
        if default is None:
            kind, text = Optional[kind], f"Optional[{text}]"  # noqa: UP045 - as the text says it
        return Field(name, kind, text, default, more)

    def _seen(self, said: Any) -> Mapping[str, Any]:
        """The schema behind references within the document. Raises `Unsayable`."""
        for _ in range(DEPTH):
            if said is True:
                return {}
            if not isinstance(said, dict) or said.keys() & UNSAID:
                raise Unsayable("schema")
            if "$ref" not in said:
                return said
            match = re.match(r"#/(\$defs|definitions)/([^/~%]+)\Z", str(said["$ref"]))
            found = self._whole.get(match[1], {}) if match else {}
            said = found.get(match[2]) if match and isinstance(found, dict) else None
        raise Unsayable("references")

    def _kind(self, title: str, said: Mapping[str, Any], depth: int) -> tuple[Any, str]:
        said = self._seen(said)
        choices = said.get("enum", [said["const"]] if "const" in said else None)
        if choices is not None:
            if not choices or not all(isinstance(c, str) for c in choices):
                raise Unsayable("enum")
            return Literal[tuple(choices)], f"Literal[{', '.join(map(repr, choices))}]"
        if "anyOf" in said:
            return self._optional(title, said["anyOf"], depth)
        kind = said.get("type")
        if isinstance(kind, list):
            return self._optional(title, [{**said, "type": one} for one in kind], depth)
        return self._of_type(title, said, kind, depth)

    def _optional(self, title: str, said: Any, depth: int) -> tuple[Any, str]:
        others = [one for one in said if not (isinstance(one, dict) and one.get("type") == "null")]
        if len(others) != 1 or len(others) == len(said):
            raise Unsayable("alternatives")
        kind, text = self._kind(title, others[0], depth)
        return Optional[kind], f"Optional[{text}]"  # noqa: UP045 - as the text says it

    def _of_type(self, title: str, said: Mapping[str, Any], kind: Any, depth: int) -> tuple[Any, str]:
        if kind is None and not said.keys() & {"properties", "items"}:
            return Any, "Any"
        if kind in PLAIN:
            return PLAIN[kind], PLAIN[kind].__name__
        if kind == "array":
            inner, text = self._kind(title + "Item", said.get("items", {}), depth + 1)
            return list[inner], f"list[{text}]"
        if kind == "object" and "properties" not in said:
            return dict[str, Any], "dict[str, Any]"
        if kind == "object":
            doc = said.get("description")
            return self.model(title, doc if isinstance(doc, str) else "", said, depth + 1), title
        raise Unsayable(str(kind))


def _properties(schema: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    found = schema.get("properties", {})
    if not isinstance(found, dict) or schema.keys() & (UNSAID | {"anyOf", "$ref"}):
        raise Unsayable("properties")
    yield from found.items()


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _words(field: Field) -> list[str]:
    default = "..." if field.default is ... else repr(field.default)
    return [default, *(f"{name}={value!r}" for name, value in field.more.items())]


def made(title: str, doc: str, schema: Mapping[str, Any]) -> Made:
    """Raises `Unsayable`."""
    maker = _Maker(schema)
    try:
        if schema.get("type") != "object":
            raise Unsayable(title)
        model = maker.model(title, doc, schema)
        return Made(model, Model.build_schema_digest(model), "\n\n\n".join(maker.texts))
    except (TypeError, ValueError, KeyError, NameError, AttributeError, RecursionError) as fault:
        raise Unsayable(f"{title}: {fault}") from fault


def pair(tool: Tool) -> Pair | None:
    """The tool's models; None where a model cannot say its schema."""
    return _pair(tool.name, tool.description, tool.input_schema, tool.output_schema)


@lru_cache(4096)
def _pair(name: str, description: str, takes: bytes, gives: bytes | None) -> Pair | None:
    stem = "".join(p[:1].upper() + p[1:] for p in re.split(r"[^a-zA-Z0-9]+", name.partition("__")[2])) or "Call"
    stem = stem if stem[0].isalpha() else f"T{stem}"
    if len(takes) > SIZE:
        return None
    try:
        request = made(f"{stem}Request", description, orjson.loads(takes))
    except Unsayable:
        return None
    doc = f"What {name} answers."
    try:
        if gives is None or len(gives) > SIZE:
            raise Unsayable(name)
        return Pair(name, request, made(f"{stem}Response", doc, orjson.loads(gives)), True)
    except Unsayable:
        text = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
        return Pair(name, request, made(f"{stem}Response", doc, text), False)


def pairs(agent: Agent) -> list[Pair]:
    """Of all its tools whose schemas models can say; of two with the same request, the first."""
    found: dict[str, Pair] = {}
    for tool in agent.tools:
        one = pair(tool)
        if one is not None:
            found.setdefault(one.request.digest, one)
    return list(found.values())


def protocol(agent: Agent, of: list[Pair]) -> ProtocolSpecification:
    """All of them as one protocol."""
    replies: dict[type[Model], set[type[Model]]] = {p.request.model: {p.response.model, ErrorMessage} for p in of}
    return ProtocolSpecification(name=agent.slug, version="1.0.0", interactions=replies)


def source(agent: Agent, address: str) -> str:
    """Python whose models have the same digests as those here."""
    found = pairs(agent)
    unsaid = [tool.name for tool in agent.tools if pair(tool) is None]
    lines = [f'"""Models of {agent.slug}, at {address}.', ""]
    lines += [f"{p.request.model.__name__} -> {p.response.model.__name__}  ({p.tool})" for p in found]
    lines += [f"{name} by chat and by the MCP protocol only: a model cannot say its schema." for name in unsaid]
    head = ['"""', "from typing import Any, Literal, Optional", "", "from pydantic.v1 import Field"]
    head += ["from uagents import Model", "", f"ADDRESS = {address!r}"]
    texts = [text for p in found for text in (p.request.text, p.response.text)]
    return "\n".join([*lines, *head, "", ""]) + "\n" + "\n\n\n".join(texts) + "\n"


# ---- what comes and goes -----------------------------------------------------------------------------------------


def arguments(said: Any, schema: Any) -> Any:
    """What a model sent, without the nulls of fields that were left out: models write those, schemas refuse them."""
    if isinstance(said, list):
        inner = schema.get("items") if isinstance(schema, dict) else None
        return [arguments(one, inner) for one in said]
    if not isinstance(said, dict):
        return said
    properties = schema.get("properties", {}) if isinstance(schema, dict) else {}
    required = schema.get("required", []) if isinstance(schema, dict) else []
    return {
        name: arguments(value, properties.get(name))
        for name, value in said.items()
        if value is not None or name in required or _nullable(properties.get(name))
    }


def _nullable(schema: Any) -> bool:
    return isinstance(schema, dict) and '"null"' in json.dumps([schema.get("type"), schema.get("anyOf")])
