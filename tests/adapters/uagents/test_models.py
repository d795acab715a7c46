"""Digests of models and protocols: those that are known, and those that are made of tools."""

import json
from dataclasses import replace
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st
from uagents_core.contrib.protocols.chat import ChatAcknowledgement, ChatMessage
from uagents_core.models import Model

from adapters.errors import GatewayError
from adapters.fake.translate import TOOLS
from adapters.spi import Address, Agent, Tool
from adapters.uagents import calling, chat, translate, typed
from registry.model import schema

KNOWN = {
    ChatMessage: "2601825997203ee07dbb9ff6e7c71ae7bdaf6a7c8b817361f2f88f4b29c68d0c",
    ChatAcknowledgement: "741eb75692abbeb43c131e364ad939af23f14e8288ba0ec3df130843ef79bd7f",
    calling.ErrorMessage: "94cb082f79871c5e80a20637f935d233f0ce11a135d5a3a3c6071e81102a84d5",
    calling.ListTools: "ebcd0ac6720c049515a2b5da6f744f0cd9ac9070766d6dde8e0b9d70621affa9",
    calling.CallTool: "4bcd4178c45f68f7ce820d330063d70a4cc9a7e50f499b846748a9bb4404719d",
    calling.ListToolsResponse: "12f5cb14c6477a0601e40da853236eb24772025e2d9fbb0366e2851fe96e81f8",
    calling.CallToolResponse: "6a1ab91005d96333668d0e7b479ef07700b7deb4356d68717085cf817043ee0b",
    calling.RequestPayment: "0589d17b29aa33aeab80e3d6c41a3df3b273a55bb4fad318dc9358d138fdedf1",
    calling.CommitPayment: "ee38e5b04dbd7ecc7c1580aacf528f60047a105be73a530fd5aab9eb26bcf4f5",
    calling.RejectPayment: "951db90daec62cd03010749539b1f48af7e4574548efb3e41b877cffd5af9e83",
    calling.CancelPayment: "82e347ff471b02d7e507b07dbbd3074d8775017aff7da5fd319853de21679ecc",
    calling.CompletePayment: "989bbe39db5f7971d2c0ada99c783460743541525385e75c04618bd07a2f5fb8",
}
"""As `uagents` 0.26.1, `uagents-core` 0.4.12 and `uagents-adapter` 0.6.2 have them."""


def test_digests_are_those_that_agents_on_the_network_have() -> None:
    for model, digest in KNOWN.items():
        assert Model.build_schema_digest(model) == f"model:{digest}", model
    assert chat.DIGEST == "proto:30a801ed3a83f9a0ff0a9f1e6fe958cb91da1fc2218b153df7b6cbf87bd33d62"
    assert calling.MCP == "proto:bc7aed33dbd44a2a415c513666b6f2504ba7ab63ba326dbe63efd86921c629dc"


def agent(*tools: Tool) -> Agent:
    named = tuple(replace(t, name=f"all__{t.native}", agent="all") for t in tools)
    return Agent(Address("fake", "w", "all"), "all", tools=named, slug="all")


def executed(text: str) -> dict[str, Any]:
    """The names of the printed source. `uagents.Model` is `uagents_core`'s, which need not be waited for here."""
    names: dict[str, Any] = {}
    exec(compile(text.replace("from uagents import", "from uagents_core.models import"), "models", "exec"), names)
    return names


def same(of: Agent) -> None:
    names = executed(typed.source(of, "agent1q"))
    for pair in typed.pairs(of):
        for made in (pair.request, pair.response):
            assert Model.build_schema_digest(names[made.model.__name__]) == made.digest, made.text


def test_the_printed_source_makes_the_same_models() -> None:
    of = agent(*TOOLS.values())
    assert len(typed.pairs(of)) == len(TOOLS)
    same(of)


texts = st.text(max_size=30)
WIDE = st.integers(-(2**63), 2**63 - 1)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
some = st.fixed_dictionaries
plain = st.one_of(
    some({"type": st.just("string"), "description": texts}),
    some({"type": st.just("integer"), "minimum": st.integers(-9, 9), "default": WIDE}),
    some({"type": st.just("number"), "exclusiveMaximum": FLOATS}),
    some({"type": st.just("boolean"), "default": st.booleans()}),
    some({"enum": st.lists(texts, min_size=1, max_size=3, unique=True)}),
    some({"type": st.just("string"), "default": texts, "maxLength": st.just(50)}),
    st.sampled_from(
        [
            {},
            {"type": ["string", "null"]},
            {"anyOf": [{"type": "integer"}, {"type": "null"}], "default": None},
            {"oneOf": [{"type": "integer"}, {"type": "string"}]},
            {"type": "object"},
        ]
    ),
)
names = st.one_of(st.sampled_from(["text", "json", "schema", "class", "_x", "n", "a_b", "größe", "x-y", "dict"]), texts)


def nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    lists = some({"type": st.just("array"), "items": inner})
    return lists | some({"type": st.just("object"), "properties": properties(inner)})


def properties(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(names, inner, max_size=4)


@given(properties(st.recursive(plain, nested, max_leaves=6)), texts, st.integers(0, 4))
def test_whatever_the_schema_the_source_says_the_same_or_it_is_left_out(
    fields: dict[str, Any], text: str, required: int
) -> None:
    document = {"type": "object", "properties": fields, "required": list(fields)[:required]}
    same(agent(Tool("tool", text, schema(document), schema(document))))


@given(st.recursive(st.none() | st.booleans() | texts, lambda i: st.lists(i) | st.dictionaries(names, i), max_leaves=9))
def test_no_schema_crashes_the_making_of_models(document: Any) -> None:
    same(agent(Tool("tool", "", orjson.dumps({"type": "object", "properties": document}))))


def test_what_models_cannot_say_is_left_out() -> None:
    for bad in (
        {"oneOf": [{"type": "object"}]},
        {"type": "string"},
        {"type": "object", "properties": {"class": {"type": "string"}}},
        {"type": "object", "properties": {"json": {"type": "string"}}},
        {"type": "object", "properties": {"x": {"$ref": "#/$defs/missing"}}},
        {"type": "object", "properties": {"x": {"$ref": "http://evil.example/x"}}},
        {"type": "object", "properties": {"x": {"$ref": "#/$defs/x"}}, "$defs": {"x": {"$ref": "#/$defs/x"}}},
    ):
        of = agent(Tool("tool", "", schema(bad)))
        assert typed.pairs(of) == []
        assert "all__tool by chat and by the MCP protocol only" in typed.source(of, "agent1q")
    inside = {"type": "object", "properties": {"x": {"$ref": "#/$defs/X"}}, "$defs": {"X": {"type": "integer"}}}
    same(agent(Tool("tool", "", schema(inside))))


def test_nulls_of_fields_that_were_left_out_are_dropped_and_others_stay() -> None:
    document = {
        "type": "object",
        "properties": {"a": {"type": "string"}, "b": {"type": ["string", "null"]}, "c": {"items": {"properties": {}}}},
        "required": ["d"],
    }
    said = {"a": None, "b": None, "c": [{"x": None, "y": 1}], "d": None}
    assert typed.arguments(said, document) == {"b": None, "c": [{"y": 1}], "d": None}


def test_tools_of_a_manifest_are_those_that_are_answered_and_true() -> None:
    made = typed.protocol(agent(*TOOLS.values()), typed.pairs(agent(*TOOLS.values()))).manifest()
    manifest = json.loads(json.dumps(made))
    tools = {t.native: t for t in translate.model_tools(manifest)}
    assert set(tools) == {p.request.model.__name__ for p in typed.pairs(agent(*TOOLS.values()))}
    forged = json.loads(json.dumps(manifest))
    for model in forged["models"]:
        model["schema"]["description"] = "Something else."
    assert list(translate.model_tools(forged)) == [], "a schema that is not what its digest says is nobody's"
    assert translate.distinct(iter([tools["EchoRequest"], tools["EchoRequest"]]))[1].native.startswith("EchoRequest-")


@given(st.recursive(st.none() | st.booleans() | st.integers() | texts, lambda i: st.lists(i) | st.dictionaries(
    st.sampled_from(["models", "interactions", "digest", "schema", "request", "responses", "tools", "name", "error",
                     "inputSchema", "accepted_funds", "amount"]), i), max_leaves=12))  # fmt: skip
def test_no_document_of_a_stranger_crashes_the_reading_of_it(document: Any) -> None:
    said = document if isinstance(document, dict) else {"models": document, "interactions": document}
    list(translate.model_tools(said))
    for read in (
        lambda: translate.mcp_tools(said, "x"),
        lambda: translate.mcp_result(said, "x"),
        lambda: translate.payment(said),
    ):
        try:
            read()
        except GatewayError:
            continue
