"""One document for each view, each tool an operation of its own; and clients made of it."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx2
import jsonschema_rs
import orjson
import pytest
import schemathesis
from hypothesis import example, given
from hypothesis import strategies as st

from adapters.fake.outbound import RELAYS
from adapters.fake.world import WORLDS, World, world
from adapters.http.components import PLACE, components
from adapters.http.typed import document, short
from adapters.spi import Tool, Upstream, View
from gateway.testing import Box
from registry.model import schema

URL = "fake://typed"


@pytest.fixture
async def far(box: Box) -> AsyncIterator[World]:
    WORLDS.pop(URL, None)
    made = world(URL, agents=2)
    await box.add(Upstream("world", "fake", URL))
    RELAYS[URL] = box.invoke
    for view in (
        View("all-of-it", "Everything of one", ("all__*",), (), {"all__echo": "say", "all__add": "plus"}),
        View("hasty", include=("all__hang", "all__job"), patience=0.05),
    ):
        await box.gateway.registry.put_view(view)
    yield made
    WORLDS.pop(URL)
    RELAYS.pop(URL, None)


@pytest.fixture
async def http(box: Box, far: World) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=await box.serve(), timeout=20) as client:
        yield client


class Client:
    """A client made of a document and nothing else: an operation is called by its id, its answer is checked."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._document = document
        self._url = document["servers"][0]["url"]
        self.operations: dict[str, tuple[str, dict[str, Any]]] = {
            operation["operationId"]: (path, operation)
            for path, item in document["paths"].items()
            for operation in item.values()
        }

    def _fits(self, value: Any, of: dict[str, Any]) -> bool:
        whole = {**of, "components": self._document["components"]}
        return jsonschema_rs.validator_for(whole).is_valid(value)

    async def call(self, id: str, arguments: Any, *, check: bool = True) -> tuple[int, Any]:
        path, operation = self.operations[id]
        assert self._fits(arguments, operation["requestBody"]["content"]["application/json"]["schema"]) or not check
        async with httpx2.AsyncClient(base_url=self._url, timeout=20) as client:
            response = await client.post(path, json=arguments)
        declared = operation["responses"][str(response.status_code)]
        declared = declared if "content" in declared else {}
        kind = response.headers["content-type"]
        assert self._fits(response.json(), declared["content"][kind]["schema"])
        return response.status_code, response.json()


async def described(http: httpx2.AsyncClient, view: str, **more: Any) -> dict[str, Any]:
    response = await http.get(f"/v1/views/{view}/openapi.json", **more)
    assert response.status_code == 200
    return response.json()


async def test_the_document_is_one_that_clients_take(http: httpx2.AsyncClient) -> None:
    for view in ("all-of-it", "all"):
        made = await described(http, view)
        schemathesis.openapi.from_dict(made).validate()
        assert made["openapi"] == "3.1.0"
        assert made["servers"] == [{"url": str(http.base_url).rstrip("/")}]
        assert made["components"]["securitySchemes"] == {"key": {"type": "http", "scheme": "bearer"}}
        operations = [o for item in made["paths"].values() for o in item.values()]
        assert all(len(o["description"]) <= 300 for o in operations)
        assert len({o["operationId"] for o in operations}) == len(operations)
    ids = {o["operationId"] for item in (await described(http, "all-of-it"))["paths"].values() for o in item.values()}
    assert {"say", "plus", "all__parts", "answer_question"} <= ids
    assert not {"all__echo", "all__add", "agent1__echo"} & ids
    say = (await described(http, "all-of-it"))["paths"]["/v1/views/all-of-it/tools/say"]["post"]
    assert say["requestBody"]["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/say.input"}


CALLS: dict[str, tuple[dict[str, Any], int]] = {
    "say": ({"text": "x"}, 200), "plus": ({"a": 1, "b": 2}, 200), "all__parts": ({}, 200),
    "all__count": ({"n": 3}, 200), "all__fail": ({"kind": "refused"}, 502), "all__crash": ({}, 500),
    "all__ask": ({}, 202), "all__wait": ({}, 202), "all__hang": ({}, 202), "all__garbage": ({"how": "nothing"}, 502),
    "all__job": ({"text": "wait"}, 202), "all__big": ({"bytes": 10}, 200), "all__remember": ({"text": "x"}, 200),
    "all__relay": ({"tool": "all__add", "arguments": {"a": 1, "b": 1}}, 200),
}  # fmt: skip


async def test_every_operation_is_called_by_a_client_made_of_the_document(http: httpx2.AsyncClient) -> None:
    client, hasty = Client(await described(http, "all-of-it")), Client(await described(http, "hasty"))
    assert set(CALLS) | {"answer_question"} == set(client.operations)
    assert set(hasty.operations) == {"all__hang", "all__job", "answer_question"}
    by = {id: hasty if id in hasty.operations else client for id in CALLS}
    found = await asyncio.gather(*(by[id].call(id, arguments) for id, (arguments, _) in CALLS.items()))
    answers = dict(zip(CALLS, found, strict=True))
    assert {id: status for id, (status, _) in answers.items()} == {id: status for id, (_, status) in CALLS.items()}
    assert answers["plus"][1] == {"sum": 3}
    assert answers["say"][1] == {"text": "x", "content": [{"type": "text", "text": "x"}]}
    assert [c["type"] for c in answers["all__parts"][1]["content"]] == ["text", "data", "file", "file"]
    assert answers["all__fail"][1]["code"] == "refused"
    hanging = answers["all__hang"][1]
    assert hanging["state"] == "working"
    assert (await http.get(f"/v1/calls/{hanging['call']}")).json()["state"] == "working"
    assert (await http.delete(f"/v1/calls/{hanging['call']}")).json()["state"] == "failed"
    status, refused = await client.call("say", {"text": 5}, check=False)
    assert (status, refused["code"]) == (400, "bad_arguments")


@pytest.mark.parametrize("tool", ["all__ask", "all__wait"])
async def test_a_question_back_is_202_and_answered(http: httpx2.AsyncClient, tool: str) -> None:
    client = Client(await described(http, "all-of-it"))
    status, asked = await client.call(tool, {})
    assert (status, asked["state"]) == (202, "asking")
    (form,) = asked["ask"]["requests"]
    said = {"tool": tool, "token": asked["ask"]["token"], "values": {form["id"]: {"name": "Ann"}}}
    status, answered = await client.call("answer_question", said)
    assert status == 200
    assert "Ann" in answered["text"]
    assert (await client.call("answer_question", said))[0] == 410
    for bad in ({}, {**said, "tool": 5}, {**said, "more": 1}, {**said, "values": []}):
        assert (await client.call("answer_question", bad, check=False))[0] == 400


async def test_what_is_not_there_or_not_allowed(box: Box, http: httpx2.AsyncClient, far: World) -> None:
    for path in ("nothing/tools/say", "all-of-it/tools/all__echo", "all-of-it/tools/agent1__echo"):
        assert (await http.post(f"/v1/views/{path}", json={"text": "x"})).status_code == 404
    assert (await http.get("/v1/views/nothing/openapi.json")).status_code == 404
    for body in ("[]", "5", "{"):
        headers = {"content-type": "application/json"}
        response = await http.post("/v1/views/all/tools/all__echo", content=body, headers=headers)
        assert (response.status_code, response.json()["code"]) == (400, "bad_arguments")
    ann = {"authorization": f"Bearer {await box.key('ann', ('all__add', 'all__echo'))}"}
    eve = {"authorization": f"Bearer {await box.key('eve', views=('other',))}"}
    assert (await http.get("/v1/views/all-of-it/openapi.json")).status_code == 401
    assert (await http.post("/v1/views/all-of-it/tools/say", json={"text": "x"})).status_code == 401
    assert (await http.get("/v1/views/all-of-it/openapi.json", headers=eve)).status_code == 404
    assert (await http.post("/v1/views/all-of-it/tools/say", json={"text": "x"}, headers=eve)).status_code == 404
    paths = (await described(http, "all-of-it", headers=ann))["paths"]
    assert [path.rpartition("/")[2] for path in paths] == ["plus", "say", "answers"]
    assert far.seen["deliver"] == 0


async def test_idempotency_chain_and_hanging_up(box: Box, http: httpx2.AsyncClient, far: World) -> None:
    headers = {"idempotency-key": "once", "doolittle-hops": "r/other/other__ask"}
    for _ in range(2):
        response = await http.post("/v1/views/all-of-it/tools/say", json={"text": "x"}, headers=headers)
        assert response.json()["text"] == "x"
    assert far.seen["deliver"] == 1
    assert far.hops["once"] == "r/other/other__ask,once/all/all__echo"
    for text in ("a", "b"):
        path, talk = "/v1/views/all/tools/all__remember", {"doolittle-conversation": "talk", "doolittle-budget": "0.5"}
        answer = await http.post(path, json={"text": text}, headers=talk)
    assert answer.json()["text"] == "a b"
    for bad in ({"doolittle-budget": "much"}, {"idempotency-key": "x" * 129}, {"doolittle-hops": "nonsense"}):
        assert (await http.post(path, json={"text": "c"}, headers=bad)).status_code == 400
    before = far.seen["cancel"]
    async with httpx2.AsyncClient(base_url=http.base_url) as client:
        call = asyncio.create_task(client.post("/v1/views/all/tools/all__hang", json={}))
        while not far.running:
            await asyncio.sleep(0.002)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
    while far.running:
        await asyncio.sleep(0.002)
    assert far.seen["cancel"] == before + 1


async def test_the_patience_of_a_key_ends_the_waiting_and_not_the_call(
    box: Box, http: httpx2.AsyncClient, far: World
) -> None:
    ann = {"authorization": f"Bearer {await box.key('ann', patience=0.05)}"}
    response = await http.post("/v1/tools/all__job/calls", json={"arguments": {"text": "wait"}, "id": "j"}, headers=ann)
    assert (response.status_code, response.json()["state"]) == (202, "working")
    while "j" not in far.jobs:
        await asyncio.sleep(0.002)
    assert far.seen["cancel"] == 0
    far.jobs["j"].done.set()
    while (record := (await http.get("/v1/calls/j", headers=ann)).json())["state"] == "working":
        await asyncio.sleep(0.002)
    assert record["result"]["text"] == "done: wait"


# ---- schemas -----------------------------------------------------------------------------------------------------


def references(said: Any) -> Iterator[str]:
    if isinstance(said, dict):
        for key, value in said.items():
            if key == "$ref" and isinstance(value, str):
                yield value
            else:
                yield from references(value)
    elif isinstance(said, list):
        for one in said:
            yield from references(one)


def whole(found: dict[str, Any], name: str = "t.input") -> dict[str, Any]:
    return {"$ref": PLACE + name, "components": {"schemas": found}}


EMBEDDED: list[tuple[dict[str, Any], list[Any], list[Any]]] = [
    ({"$defs": {"A": {"type": "integer"}}, "properties": {"a": {"$ref": "#/$defs/A"}}}, [{"a": 1}], [{"a": "x"}]),
    ({"definitions": {"A b/c~": {"const": 1}}, "properties": {"a": {"$ref": "#/definitions/A%20b~1c~0"}}},
     [{"a": 1}], [{"a": 2}]),
    ({"$defs": {"N": {"properties": {"next": {"$ref": "#/$defs/N"}, "v": {"type": "integer"}}}},
      "properties": {"n": {"$ref": "#/$defs/N"}}}, [{"n": {"next": {"v": 1}}}], [{"n": {"next": {"v": "x"}}}]),
    ({"properties": {"a": {"type": "integer"}, "b": {"$ref": "#/properties/a"}}}, [{"b": 1}], [{"b": "x"}]),
    ({"properties": {"in": {"$ref": "#"}, "v": {"type": "integer"}}}, [{"in": {"v": 1}}], [{"in": {"v": "x"}}]),
    ({"$id": "https://x.example/s", "$defs": {"A": {"type": "integer"}}, "properties": {"a": {"$ref": "s#/$defs/A"}}},
     [{"a": 1}], [{"a": "x"}]),
    ({"$defs": {"A": {"$id": "urn:a", "$defs": {"B": {"type": "integer"}}, "properties": {"b": {"$ref": "#/$defs/B"}}}},
      "properties": {"a": {"$ref": "urn:a"}}}, [{"a": {"b": 1}}], [{"a": {"b": "x"}}]),
    ({"$defs": {"A": {"$anchor": "here", "type": "integer"}}, "properties": {"a": {"$ref": "#here"}}},
     [{"a": 1}], [{"a": "x"}]),
    ({"properties": {"$ref": {"type": "integer"}, "e": {"enum": [{"$ref": "#/nowhere"}]}}},
     [{"$ref": 1, "e": {"$ref": "#/nowhere"}}], [{"$ref": "x"}]),
    ({"$schema": "http://json-schema.org/draft-07/schema#", "properties": {"a": {"items": [{"type": "integer"}]}}},
     [{"a": [1]}], [{"a": ["x"]}]),
    ({"properties": {"a": {"minimum": 1, "exclusiveMinimum": True}}}, [{"a": 2}], [{"a": 1}]),
    ({"allOf": [{"$ref": "#/$defs/A"}], "$defs": {"A": {"required": ["a"]}}}, [{"a": 1}], [{}]),
]  # fmt: skip


@pytest.mark.parametrize(("said", "good", "bad"), EMBEDDED, ids=range(len(EMBEDDED)))
def test_a_schema_means_the_same_inside_the_document(said: dict[str, Any], good: list[Any], bad: list[Any]) -> None:
    found = components("t.input", schema(said))
    check = jsonschema_rs.validator_for(whole(found))
    assert all(check.is_valid(value) for value in good)
    assert not any(check.is_valid(value) for value in bad)


@pytest.mark.parametrize(
    "said",
    [
        {"properties": {"a": {"$ref": "http://127.0.0.1:9/x"}}}, {"properties": {"a": {"$ref": "#/$defs/none"}}},
        {"properties": {"a": {"$ref": "#none"}}}, {"$ref": "#"}, {"$ref": "#/$defs/A", "$defs": {"A": {"$ref": "#"}}},
        {"type": "nonsense"}, {"$ref": "http://[bad"}, {"$id": "http://[bad"}, {"$defs": {"A": 5}, "$ref": "#/$defs/A"},
        {"properties": 5}, {"required": [1]}, {"$ref": "#/required/0", "required": ["a"]},
    ],
    ids=range(12),
)  # fmt: skip
def test_what_leads_nowhere_may_be_anything(said: dict[str, Any]) -> None:
    found = components("t.input", schema(said))
    check = jsonschema_rs.validator_for(whole(found), offline=True)
    assert check.is_valid({"a": 1})


def test_deep_schemas_are_cut_and_can_be_written() -> None:
    deep: Any = {"type": "string"}
    value: Any = 1
    for _ in range(400):
        deep, value = {"properties": {"a": deep}}, [value]
    made = document("v", View(), [Tool("t", name="t", input_schema=schema_of({**deep, "default": value}))], "http://x")
    assert orjson.dumps(made)


def schema_of(said: dict[str, Any]) -> bytes:
    """As `schema`, of what is nested too deeply for it."""
    return json.dumps(said).encode()


KEYS = st.sampled_from(["a", "b/c", "~", "$ref", "ü"])
LEAVES = st.one_of(
    st.sampled_from([{"type": "integer"}, {"type": ["string", "null"]}, True, {"enum": [{"$ref": "#/x"}]}]),
    st.sampled_from(["#", "#/$defs/a", "#/$defs/~0", "#/properties/a", "#here", "http://x.example/", "#/x"]).map(
        lambda to: {"$ref": to}
    ),
)


def is_object(said: object) -> bool:
    return isinstance(said, dict)


SCHEMAS = st.recursive(
    LEAVES,
    lambda inner: st.fixed_dictionaries(
        {},
        optional={
            "properties": st.dictionaries(KEYS, inner, max_size=3),
            "$defs": st.dictionaries(KEYS, inner, max_size=3),
            "items": inner,
            "anyOf": st.lists(inner, min_size=1, max_size=2),
            "$anchor": st.just("here"),
        },
    ),
    max_leaves=8,
).filter(is_object)


@given(SCHEMAS)
@example({"properties": {"ü %": {"type": "integer"}, "a": {"$ref": "#/properties/%C3%BC%20%25"}}})
def test_every_reference_of_a_document_resolves_inside_it(said: dict[str, Any]) -> None:
    tools = [Tool(n, name=n, input_schema=schema(said), output_schema=schema(said)) for n in ("t", "t_input", "u")]
    made = document("v", View(), tools, "http://x.example")
    for name, one in made["components"]["schemas"].items():
        text = orjson.loads(orjson.dumps(one))
        assert jsonschema_rs.meta.is_valid(text), name
        jsonschema_rs.validator_for({"$ref": PLACE + name, "components": made["components"]}, offline=True)


@given(st.text(), st.integers(2, 50))
def test_texts_are_cut_at_blanks(text: str, most: int) -> None:
    cut = short(text, most)
    assert len(cut) <= most
    assert cut == " ".join(text.split()) or cut.endswith("…")
