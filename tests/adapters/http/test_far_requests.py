"""Arguments become the request that the document describes, and nothing else."""

import base64
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.errors import BadArguments
from adapters.http.far import requests
from adapters.http.far.document import Document
from adapters.http.far.operations import FILE, Operation, operations

LIST = ["blue", "black", "brown"]
OBJECT = {"R": 100, "G": 200, "B": 150}


def operation(said: dict[str, Any], path: str = "/x", version: str = "3.1.0") -> Operation:
    document = Document({"openapi": version, "paths": {path: {"post": said}}})
    found, left_out = operations(document)
    assert not left_out, left_out
    return found[0]


def parameter(where: str, style: str, explode: bool, **more: Any) -> Operation:
    said = {"name": "color", "in": where, "style": style, "explode": explode, "required": where == "path", **more}
    return operation({"parameters": [said]}, "/{color}" if where == "path" else "/x")


@pytest.mark.parametrize(
    ("style", "explode", "of_list", "of_object"),
    [
        ("simple", False, "/blue,black,brown", "/R,100,G,200,B,150"),
        ("simple", True, "/blue,black,brown", "/R=100,G=200,B=150"),
        ("label", False, "/.blue,black,brown", "/.R,100,G,200,B,150"),
        ("label", True, "/.blue.black.brown", "/.R=100.G=200.B=150"),
        ("matrix", False, "/;color=blue,black,brown", "/;color=R,100,G,200,B,150"),
        ("matrix", True, "/;color=blue;color=black;color=brown", "/;R=100;G=200;B=150"),
    ],
)
def test_styles_of_paths(style: str, explode: bool, of_list: str, of_object: str) -> None:
    """The table of OpenAPI 3.1, "Style Examples", and RFC 6570 for what it leaves open."""
    of = parameter("path", style, explode)
    assert requests.parts(of, {"color": LIST}).target == of_list
    assert requests.parts(of, {"color": OBJECT}).target == of_object


@pytest.mark.parametrize(
    ("style", "explode", "of_list", "of_object"),
    [
        ("form", True, "color=blue&color=black&color=brown", "R=100&G=200&B=150"),
        ("form", False, "color=blue,black,brown", "color=R,100,G,200,B,150"),
        ("spaceDelimited", False, "color=blue%20black%20brown", "color=R%20100%20G%20200%20B%20150"),
        ("pipeDelimited", False, "color=blue%7Cblack%7Cbrown", "color=R%7C100%7CG%7C200%7CB%7C150"),
        ("deepObject", True, "color=blue,black,brown", "color%5BR%5D=100&color%5BG%5D=200&color%5BB%5D=150"),
    ],
)
def test_styles_of_queries(style: str, explode: bool, of_list: str, of_object: str) -> None:
    of = parameter("query", style, explode)
    assert requests.parts(of, {"color": LIST}).target == f"/x?{of_list}"
    assert requests.parts(of, {"color": OBJECT}).target == f"/x?{of_object}"


def test_deep_objects_nest_and_their_lists_repeat() -> None:
    of = parameter("query", "deepObject", True)
    made = requests.parts(of, {"color": {"a": {"b": [1, 2]}, "c": True}})
    assert unquote(made.target) == "/x?color[a][b]=1&color[a][b]=2&color[c]=true"


def test_reserved_characters_stay_where_the_document_says_so() -> None:
    of = parameter("query", "form", True, allowReserved=True)
    assert requests.parts(of, {"color": "a/b?c&d#e"}).target == "/x?color=a/b?c%26d%23e"


def test_parameters_as_json_in_headers_and_in_cookies() -> None:
    said = {
        "parameters": [
            {"name": "filter", "in": "query", "content": {"application/json": {"schema": {"type": "object"}}}},
            {"name": "X-Kind", "in": "header", "schema": {"type": "array"}},
            {"name": "who", "in": "cookie", "schema": {"type": "string"}},
            {"name": "Authorization", "in": "header", "schema": {"type": "string"}},
            {"name": "Host", "in": "header", "schema": {"type": "string"}},
        ]
    }
    of = operation(said)
    made = requests.parts(of, {"filter": {"a": 1}, "X-Kind": ["b", "c"], "who": "a;b"})
    assert unquote(made.target) == '/x?filter={"a":1}'
    assert made.headers == {"x-kind": "b,c"}
    assert made.cookies == ["who=a%3Bb"]
    assert {p.argument for p in of.parameters} == {"filter", "X-Kind", "who"}


@given(st.text(max_size=40))
def test_a_value_in_a_path_stays_one_step_of_it(value: str) -> None:
    """Whatever is said there: no other path, no query, no fragment, no other host."""
    of = operation({"parameters": [{"name": "id", "in": "path", "required": True}]}, "/pets/{id}/name")
    try:
        made = requests.parts(of, {"id": value}).target
    except BadArguments:
        assert not value or {".", ".."} & set(value.replace("\\", "/").split("/"))
        return
    found = urlsplit("http://far.test" + made)
    assert (found.hostname, found.query, found.fragment) == ("far.test", "", "")
    assert found.path.split("/")[0::3] == ["", "name"]
    assert unquote(found.path.split("/")[2]) == value


@given(st.text(max_size=40))
def test_a_value_in_a_header_is_one_line_of_ascii(value: str) -> None:
    of = operation({"parameters": [{"name": "X-A", "in": "header", "schema": {"type": "string"}}]})
    try:
        said = requests.parts(of, {"X-A": value}).headers["x-a"]
    except BadArguments:
        assert not value.isascii() or not value.isprintable()
        return
    assert said == value
    assert "\n" not in said
    assert "\r" not in said


def test_names_that_clash_are_told_apart() -> None:
    said = {
        "parameters": [
            {"name": "id", "in": "path", "required": True},
            {"name": "id", "in": "query"},
            {"name": "name", "in": "query"},
            {"name": "a b", "in": "query"},
        ],
        "requestBody": {
            "content": {"application/json": {"schema": {"properties": {"name": {}, "a b": {}, "a_b": {}}}}}
        },
    }
    of = operation(said, "/{id}")
    arguments = {
        "id__path": "1", "id__query": "2", "name__query": "3", "a_b__query": "4", "name": "5", "a_b": "6", "a_b_2": "7",
    }  # fmt: skip
    made = requests.parts(of, arguments)
    assert made.target == "/1?id=2&name=3&a%20b=4"
    assert made.content == b'{"name":"5","a b":"6","a_b":"7"}'


def test_a_body_that_need_not_be_is_left_out() -> None:
    said = {"requestBody": {"content": {"application/json": {"schema": {"properties": {"a": {}}, "required": ["a"]}}}}}
    assert requests.parts(operation(said), {}).content is None
    required = operation({"requestBody": {**said["requestBody"], "required": True}})
    assert b'"required":["a"]' in required.tool.input_schema


def test_files_travel_as_parts() -> None:
    """OpenAPI 3.0's `format: binary`, and 3.1's `contentMediaType`; lists of files; objects as JSON."""
    properties = {
        "a": {"type": "string", "format": "binary"},
        "b": {"type": "array", "items": {"type": "string", "contentMediaType": "image/png"}},
        "c": {"type": "object"},
        "d": {"type": "integer"},
    }
    content = {"multipart/form-data": {"schema": {"type": "object", "properties": properties}}}
    of = operation({"requestBody": {"content": content}})
    one = {"base64": base64.b64encode(b"\0one").decode(), "name": "one.bin", "mediaType": "application/x-one"}
    two = {"base64": base64.b64encode(b"two").decode()}
    made = requests.parts(of, {"a": one, "b": [two, two], "c": {"d": 1}, "d": 7})
    assert made.files == [
        ("a", ("one.bin", b"\0one", "application/x-one")),
        ("b", ("file", b"two", "application/octet-stream")),
        ("b", ("file", b"two", "application/octet-stream")),
        ("c", (None, b'{"d":1}', "application/json")),
        ("d", (None, b"7", "text/plain; charset=utf-8")),
    ]
    with pytest.raises(BadArguments, match="base64"):
        requests.parts(of, {"a": {"base64": "!"}})


@pytest.mark.parametrize(
    ("media_type", "schema", "value", "content"),
    [
        ("application/json", {"type": "array"}, [1, 2], b"[1,2]"),
        ("application/vnd.api+json", {"type": "array"}, [1], b"[1]"),
        ("text/plain", {"type": "string"}, "hi", b"hi"),
        ("application/xml", {"type": "object"}, "<a/>", b"<a/>"),
        ("application/octet-stream", {}, {"base64": "AAE="}, b"\0\1"),
        (
            "application/x-www-form-urlencoded",
            {"type": "object", "additionalProperties": True},
            {"a": [1, 2]},
            b"a=1&a=2",
        ),
    ],
)
def test_bodies_of_each_kind(media_type: str, schema: Any, value: Any, content: bytes) -> None:
    of = operation({"requestBody": {"required": True, "content": {media_type: {"schema": schema}}}})
    made = requests.parts(of, {"body": value})
    assert made.content == content
    assert made.headers["content-type"] == media_type


def test_what_cannot_be_called_is_named_with_its_reason() -> None:
    paths: Any = {
        "/other": {"get": {"parameters": [{"$ref": "https://evil.example/x.json"}]}},
        "/nowhere": {"get": {"parameters": [{"$ref": "#/components/parameters/A"}]}},
        "/circle": {"get": {"parameters": [{"$ref": "#/components/parameters/B"}]}},
        "/{missing}": {"get": {}},
        "/style": {"get": {"parameters": [{"name": "a", "in": "query", "style": "cubist"}]}},
        "/shape": {"get": {"parameters": "none"}},
        "/fine": {"get": {}},
    }
    circle = {"B": {"$ref": "#/components/parameters/B"}}
    found, left_out = operations(Document({"openapi": "3.0.3", "paths": paths, "components": {"parameters": circle}}))
    assert [one.tool.native for one in found] == ["GET /fine"]
    assert left_out == {
        "GET /other": "'https://evil.example/x.json' refers to another document, which is not fetched",
        "GET /nowhere": "'#/components/parameters/A' leads nowhere",
        "GET /circle": "references lead in a circle",
        "GET /{missing}": "nothing says what 'missing' in its path is",
        "GET /style": "its parameter 'a' has the style 'cubist'",
        "GET /shape": "an object was expected",
    }


def test_bytes_stand_in_arguments_in_one_way() -> None:
    assert set(FILE["properties"]) == {"base64", "name", "mediaType"}
