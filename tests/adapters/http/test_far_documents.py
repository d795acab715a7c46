"""Documents from strangers: whatever they hold, reading them ends, with tools or with a plain word."""

import copy
import json
from contextlib import suppress
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from adapters.http.far import document
from adapters.http.far.document import Document, Faulty, parse
from adapters.http.far.operations import operations
from adapters.http.far.schemas import Schemas

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)
GOOD: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {"title": "x", "version": "1"},
    "servers": [{"url": "https://{host}/v1", "variables": {"host": {"default": "example.com"}}}],
    "security": [{"key": []}],
    "paths": {
        "/pets/{id}": {
            "parameters": [{"name": "id", "in": "path", "required": True, "schema": {"type": "integer"}}],
            "post": {
                "operationId": "feed",
                "tags": ["pets"],
                "parameters": [{"$ref": "#/components/parameters/Deep"}],
                "requestBody": {"content": {"multipart/form-data": {
                    "schema": {"$ref": "#/components/schemas/Pet"}, "encoding": {"name": {"contentType": "text/plain"}},
                }}},
                "responses": {"200": {"content": {
                    "application/json": {"schema": {"$ref": "#/components/schemas/Pet"}},
                }}},
            },
        }
    },
    "components": {
        "parameters": {"Deep": {"name": "filter", "in": "query", "style": "deepObject", "schema": {"type": "object"}}},
        "schemas": {"Pet": {"type": "object", "properties": {
            "name": {"type": "string"}, "photo": {"type": "string", "format": "binary"},
            "friend": {"$ref": "#/components/schemas/Pet"},
        }}},
        "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
    },
}  # fmt: skip


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, one in inner for place in places(one, (*path, key)))]


def test_the_good_one_is_read() -> None:
    found, left_out = operations(Document(GOOD))
    assert [one.tool.native for one in found] == ["feed"]
    assert not left_out
    assert found[0].server == "https://example.com/v1"


ODD: tuple[Any, ...] = (
    None, True, 5, "x", "", [], {}, [1], {"a": 1}, {"$ref": "#/x"}, {"$ref": 5}, [[]], [{}], {"x": {}}, "\0", 1e400,
)  # fmt: skip


@pytest.mark.parametrize("place", places(GOOD)[1:], ids=lambda place: ".".join(map(str, place)))
def test_a_part_that_was_exchanged_is_no_crash(place: tuple[Any, ...]) -> None:
    """Each place of a good document holds anything else."""
    for value in ODD:
        said = copy.deepcopy(GOOD)
        holder: Any = said
        for key in place[:-1]:
            holder = holder[key]
        holder[place[-1]] = copy.deepcopy(value)
        with suppress(Faulty):
            operations(Document(said))


@given(
    st.binary(max_size=200)
    | JSON.map(lambda one: json.dumps(one).encode())
    | JSON.map(lambda one: yaml.safe_dump(one).encode())
)
def test_any_bytes_are_a_document_or_a_plain_word(raw: bytes) -> None:
    with suppress(Faulty):
        operations(parse(raw))


def test_numbers_as_keys_of_yaml_are_texts_and_dates_stay_texts() -> None:
    said = parse(b"openapi: 3.0.3\npaths: {}\nx-a: {200: 2024-01-01}\n").said
    assert said["x-a"] == {"200": "2024-01-01"}


def test_aliases_that_stand_for_a_billion_values_are_refused() -> None:
    """A kilobyte of YAML."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    with pytest.raises(Faulty, match="more than"):
        parse("\n".join(["openapi: 3.1.0", "paths: {}", *lines]).encode())


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b'{"swagger": "2.0"}', "Swagger 2.0"),
        (b'{"openapi": "4.0.0"}', "not of OpenAPI"),
        (b'{"openapi": "3.1.0", "paths": []}', "no 'paths'"),
        (b"[]", "neither JSON nor YAML of an object"),
        (b"a: b: c", "line 1"),
        (b"a: " + b"[" * 2000, "neither JSON nor YAML"),
        (b" " * (document.MOST_YAML + 1), "too large"),
        (b"!!python/object/apply:os.system ['true']", "neither JSON nor YAML"),
    ],
)
def test_what_is_none_is_said_plainly(raw: bytes, said: str) -> None:
    with pytest.raises(Faulty, match=said):
        parse(raw)


def shape(schema: Any, version: str = "3.0.3", hidden: str = "readOnly") -> tuple[Any, dict[str, Any]]:
    components = {
        "schemas": {"Node": {"type": "object", "properties": {"next": {"$ref": "#/components/schemas/Node"}}}}
    }
    converted = Schemas(Document({"openapi": version, "paths": {}, "components": components}), hidden)
    return converted.of(schema), converted.defs


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"type": "string", "nullable": True}, {"type": ["string", "null"]}),
        ({"type": "string", "nullable": True, "enum": ["a"]}, {"type": ["string", "null"], "enum": ["a", None]}),
        ({"nullable": True, "allOf": [{}]}, {"anyOf": [{"allOf": [{}]}, {"type": "null"}]}),
        ({"minimum": 1, "exclusiveMinimum": True}, {"exclusiveMinimum": 1}),
        ({"maximum": 1, "exclusiveMaximum": False}, {"maximum": 1}),
        ({"type": "object", "example": {}, "xml": {}, "x-a": 1, "discriminator": {}}, {"type": "object"}),
        (
            {"properties": {"a": {"readOnly": True}, "b": {}}, "required": ["a", "b"]},
            {"properties": {"b": {}}, "required": ["b"]},
        ),
    ],
)
def test_schemas_of_3_0_become_json_schema(given: Any, expected: Any) -> None:
    assert shape(given) == (expected, {})


def test_circles_of_references_stay_circles() -> None:
    found, defs = shape({"items": {"$ref": "#/components/schemas/Node"}})
    assert found == {"items": {"$ref": "#/$defs/Node"}}
    assert defs == {"Node": {"type": "object", "properties": {"next": {"$ref": "#/$defs/Node"}}}}


def test_a_property_may_be_called_as_a_keyword_is() -> None:
    given = {"properties": {"example": {"type": "string"}, "xml": {"type": "string"}, "$ref": {"type": "string"}}}
    assert shape(given, "3.1.0")[0] == given
