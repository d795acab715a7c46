"""The index, and the check of arguments against schemas that nobody vouches for."""

import socket
import time
from dataclasses import replace

import pytest

from registry.model import Agent, Json, Tool, schema
from registry.snapshot import Entry, Snapshot
from tests.registry.samples import agent


def entry(document: bytes) -> Entry:
    return Entry(Tool("t", input_schema=document), agent("a"))


def test_arguments_are_checked_with_their_places() -> None:
    checked = entry(schema({"properties": {"a": {"properties": {"b": {"type": "integer"}}}}, "required": ["c"]}))
    faults = checked.errors({"a": {"b": "x"}})
    assert any(fault.startswith("a.b:") for fault in faults)
    assert any('"c" is a required property' in fault for fault in faults)
    assert checked.errors({"a": {"b": 1}, "c": None}) == []


@pytest.mark.parametrize(
    "document",
    [
        b'{"type": "nonsense"}',
        b'{"$ref": "http://127.0.0.1:9/x"}',
        b'{"$ref": "file:///etc/passwd"}',
        b"[1]",
        b"not json",
    ],
)
def test_a_schema_that_cannot_be_compiled_checks_nothing_and_says_so(document: bytes) -> None:
    broken = entry(document)
    assert broken.errors({"a": 1}) == []
    assert broken.schema_fault


def test_hostile_patterns_and_arguments_end() -> None:
    assert entry(schema({"properties": {"a": {"pattern": "^(a+)+$"}}})).errors({"a": "a" * 5000 + "!"})
    deep: list[object] = []
    for _ in range(10_000):
        deep = [deep]
    entry(schema({"properties": {"a": {"items": {"items": {"type": "string"}}}}})).errors({"a": deep})
    entry(schema({"type": "array", "items": {"$ref": "#"}})).errors({"a": deep})
    entry(schema({"properties": {"a": {"type": "integer"}}})).errors({"a": 10**400})


def test_the_nearest_names_are_found() -> None:
    one = replace(agent("eliza"), slug="eliza", tools=(Tool("ask", name="eliza__ask", agent="eliza"),))
    assert Snapshot(1, [one]).nearest("elisa__ask", 3) == ["eliza__ask"]


def test_a_reference_that_leads_elsewhere_is_never_followed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as far:
        far.settimeout(0)
        place = f"http://127.0.0.1:{far.getsockname()[1]}"
        for document in (
            {"$ref": f"{place}/x"},
            {"$ref": f"{place}/x#/$defs/a"},
            {"$dynamicRef": f"{place}/x"},
            {"$schema": f"{place}/x"},
            {"$id": f"{place}/", "properties": {"a": {"$ref": "x"}}},
            {"properties": {"a": {"$id": f"{place}/", "$ref": "x"}}},
            {"allOf": [{"$ref": "#/$defs/a"}], "$defs": {"a": {"$ref": f"{place}/x"}}},
            {"$schema": "http://json-schema.org/draft-04/schema#", "id": f"{place}/", "$ref": "x"},
        ):
            told = entry(schema(document))
            assert told.errors({"a": 1}) == []
            assert told.schema_fault
        with pytest.raises(BlockingIOError):
            far.accept()


def bomb(word: str, levels: int = 40) -> dict[str, Json]:
    """Looks 2^levels times at the same place."""
    parts: dict[str, Json] = {f"a{n}": {word: [{"$ref": f"#/$defs/a{n + 1}"}] * 2} for n in range(levels)}
    return {"$ref": "#/$defs/a0", "$defs": parts | {f"a{levels}": {"type": "string"}}}


def chained(word: str, levels: int = 40) -> dict[str, Json]:
    parts: dict[str, Json] = {
        f"a{n}": {word: [{"$ref": f"#/$defs/a{n + 1}"}], "unevaluatedProperties": False} for n in range(levels)
    }
    return {"$ref": "#/$defs/a0", "$defs": parts | {f"a{levels}": {"properties": {"a": True}}}}


@pytest.mark.parametrize(
    "document",
    [
        bomb("allOf"),
        bomb("anyOf"),
        bomb("oneOf"),
        chained("anyOf"),
        {"anyOf": [{"$ref": "#"}, {"$ref": "#"}]},
        {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}},
        {"$defs": {f"a{i}": {"anyOf": [{"$ref": f"#/$defs/a{j}"} for j in range(30)]} for i in range(30)},
         "$ref": "#/$defs/a0"},
        {"$anchor": "a", "allOf": [{"$dynamicRef": "#a"}] * 2},
    ],
)  # fmt: skip
def test_a_schema_without_measure_is_not_used(document: dict[str, Json]) -> None:
    began = time.process_time()
    told = entry(schema(document))
    assert told.schema_fault
    assert told.errors({"a": 1}) == []
    assert time.process_time() - began < 2


def formulas() -> Entry:
    """A usual syntax tree: what does not fit it is sought in 3^depth places."""
    kinds: list[Json] = [
        {"type": "object", "properties": {"op": {"const": op}, "left": {"$ref": "#/$defs/f"}}, "required": ["op"]}
        for op in ("and", "or", "not")
    ]
    return entry(
        schema({"$defs": {"f": {"anyOf": [*kinds, {"type": "string"}]}}, "properties": {"q": {"$ref": "#/$defs/f"}}})
    )


@pytest.mark.parametrize("depth", [1, 4, 10, 30, 1000, 100_000])
def test_a_tree_is_checked_as_deep_as_that_ends(depth: int) -> None:
    good: Json = "x"
    bad: Json = 1
    for _ in range(depth):
        good, bad = {"op": "not", "left": good}, {"op": "not", "left": bad}
    began = time.process_time()
    tree = formulas()
    told, found = tree.errors({"q": good}), tree.errors({"q": bad})
    assert time.process_time() - began < 2
    assert found
    assert (told == []) == (depth <= 10), "what is too deep is said to be"
    assert not tree.schema_fault


def test_a_list_of_itself_is_checked_far_down_and_no_further() -> None:
    listing = entry(schema({"type": "object", "properties": {"a": {"type": "array", "items": {"$ref": "#"}}}}))
    for depth, fits in ((60, True), (10_000, False), (200_000, False)):
        value: Json = {}
        for _ in range(depth):
            value = {"a": [value]}
        assert (listing.errors(value) == []) == fits
    assert listing.errors({"a": [{"a": [1]}]}) == ['a.0.a.0: 1 is not of type "object"']


def test_large_arguments_name_their_first_fault() -> None:
    numbers = entry(schema({"additionalProperties": {"type": "string"}}))
    assert len(numbers.errors({str(n): n for n in range(50)})) == 20
    assert numbers.errors({str(n): n for n in range(50_000)}) == ['0: 0 is not of type "string"']
    assert numbers.errors({str(n): "x" for n in range(50_000)}) == []


@pytest.mark.parametrize("value", [{"a": "\ud800"}, {"\ud800": 1}, {1: 2}, {"a": float("nan")}, {"a": 10**4000}])
def test_arguments_that_are_no_json_are_answered(value: Json) -> None:
    told = entry(schema({"properties": {"a": {"minLength": 3, "minimum": 1}}, "propertyNames": {"minLength": 1}}))
    assert all(isinstance(fault, str) for fault in told.errors(value))


@pytest.mark.parametrize("depth", [250, 900, 5_000, 50_000])
def test_deep_schemas_end(depth: int) -> None:
    for word in (b"items", b"not", b"properties"):
        told = entry((b'{"' + word + b'":') * depth + b"{}" + b"}" * depth)
        told.errors({"a": [[]]})


def test_the_index_is_sorted_and_nearest_stays_quick() -> None:
    agents: list[Agent] = []
    for n in range(100):
        slug = f"agent-{n}"
        tools = tuple(Tool(f"t{i}", name=f"{slug}__tool_{i}", agent=slug) for i in range(100))
        agents.append(Agent(agent("x").address, slug, tools=tools, slug=slug))
    snapshot = Snapshot(1, reversed(agents))
    names = [tool.name for tool in snapshot.tools]
    assert names == sorted(names)
    assert list(snapshot.agents) == sorted(snapshot.agents)
    assert "agent-7__tool_42" in snapshot.nearest("agent-7__tool_4Z", 20)
    assert len(snapshot.nearest("agent-7__tool_42" * 1000, 3)) <= 3
    assert snapshot.find("agent-7__tool_42") is not None
    assert snapshot.find("") is snapshot.find("agent-7") is None
