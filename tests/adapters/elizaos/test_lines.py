"""What the plugin says becomes agents, events and errors, whatever it says."""

import uuid
from typing import Any

import jsonschema_rs
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters import hops
from adapters.elizaos import lines
from adapters.errors import Broken, GatewayError, Refused
from adapters.spi import Address, Call, Caller, Hop, Result, Tool

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
FIELDS = st.sampled_from(["type", "content", "text", "action", "success", "missing", "mode", "didRespond", "actions"])
WORDS = st.sampled_from(["chunk", "action", "result", "message", "end", "error", "direct", "IGNORE", "REPLY", ""])
LINES = st.dictionaries(FIELDS, WORDS | JSON | st.dictionaries(FIELDS, WORDS | JSON, max_size=4), max_size=6)
PARAMETERS = st.dictionaries(
    st.text(max_size=10),
    st.dictionaries(
        st.sampled_from(["type", "description", "required", "enum", "items", "minimum", "default", "properties"]),
        st.sampled_from(["string", "integer", "object", "nonsense", True]) | JSON,
        max_size=5,
    )
    | JSON,
    max_size=5,
)
ASK = Tool("ask", name="eliza__ask", agent="eliza", address=Address("elizaos", "home", "id-of-eliza"))


def told(*said: dict[str, Any]) -> Result:
    heard = lines.Told("eliza")
    for line in said:
        heard.hear(orjson.dumps(line))
    return heard.result()


@given(st.lists(st.binary(max_size=40) | LINES.map(orjson.dumps), max_size=6))
def test_whatever_is_told_is_a_result_or_an_error_of_the_contract(said: list[bytes]) -> None:
    heard = lines.Told("eliza")
    try:
        for line in said:
            heard.hear(line)
        assert isinstance(heard.result(), Result)
    except GatewayError:
        return


@given(st.binary(max_size=200) | JSON.map(orjson.dumps))
def test_whatever_answers_for_capabilities_is_an_agent_or_broken(body: bytes) -> None:
    with pytest.raises(Broken):
        lines.agent(body, "home")


@given(PARAMETERS | JSON)
def test_whatever_an_action_calls_its_parameters_its_schema_is_one(parameters: Any) -> None:
    made = lines.arguments(parameters)
    assert jsonschema_rs.meta.is_valid(made)
    assert made["type"] == "object"


def test_parameters_become_a_schema_and_a_schema_stays_one() -> None:
    custom = {
        "who": {"type": "string", "description": "Whose", "required": True},
        "age": {"type": "number"},
        "x": "any",
    }
    made = lines.arguments(custom)
    assert made["required"] == ["who"]
    assert made["additionalProperties"] is False
    assert made["properties"]["who"] == {"description": "Whose", "type": "string"}
    assert made["properties"]["x"] == {"description": "any"}
    standard = {"type": "object", "properties": {"message": {"type": "integer"}}, "required": ["message"]}
    assert lines.arguments(standard)["properties"]["message"] == {"type": "integer"}, "its own word stands"
    assert lines.arguments({"type": "object", "properties": {"a": {"type": "nonsense"}}}) == {"type": "object"}


def test_an_agent_that_calls_an_action_ask_keeps_its_own() -> None:
    offered: dict[str, Any] = {"ask": True, "SING": True, "HUM": "yes"}
    actions = [{"name": name, "direct": direct} for name, direct in offered.items()]
    body = {"protocol": 1, "agentId": "a", "character": {"name": "A", "bio": ["z", "b"]}, "actions": actions}
    found = lines.agent(orjson.dumps(body), "home")
    assert [tool.native for tool in found.tools] == ["ask", "SING"]
    assert found.description == "b z"
    with pytest.raises(Broken, match="one version"):
        lines.agent(orjson.dumps({**body, "protocol": 2}), "home")


@given(st.text(max_size=20), st.text(max_size=20), st.text(min_size=1, max_size=20), st.text(min_size=1, max_size=20))
def test_a_room_is_of_one_caller_and_one_conversation(one: str, two: str, talk: str, other: str) -> None:
    def room(caller: str, conversation: str) -> dict[str, Any]:
        call = Call("c", ASK.name, {"message": "x", "conversation": conversation}, Caller(caller))
        found: dict[str, Any] = orjson.loads(lines.asked(call, ASK))
        return found

    first = room(one, talk)
    assert uuid.UUID(first["room"])
    assert first["kept"] is True
    assert room(one, talk) == first
    assert (room(two, other)["room"] == first["room"]) == ((one, talk) == (two, other))
    assert (room(two, talk)["user"] == first["user"]) == (one == two)
    fresh = [orjson.loads(lines.asked(Call("c", ASK.name, {"message": "x"}, Caller(one)), ASK)) for _ in range(2)]
    assert fresh[0]["room"] != fresh[1]["room"]
    assert fresh[0]["kept"] is False


def test_the_chain_and_the_time_go_with_the_call() -> None:
    chain = (Hop("c1", "eliza", "eliza__ask"), Hop("c2", "ann", "ann__ask"))
    call = Call("c2", ASK.name, {"message": "x", "timeout": 2.5, "multi_step": False}, Caller("me"), hops=chain)
    said = orjson.loads(lines.asked(call, ASK))
    assert hops.read(said["hops"]) == chain
    assert said["timeout"] == 2500
    assert said["multiStep"] is False


def test_the_last_action_decides_and_a_summary_decides_over_it() -> None:
    failed = {"type": "result", "action": "A", "success": False, "error": "no"}
    good = {"type": "result", "action": "B", "success": True, "text": "done"}
    end = {"type": "end", "mode": "actions", "didRespond": True, "content": {"text": "Running"}}
    assert told(failed, good, end).text == "done"
    with pytest.raises(Refused, match="no"):
        told(good, failed, end)
    summary = {"type": "message", "content": {"text": "all in all", "actions": ["MULTI_STEP_SUMMARY"]}}
    assert told(good, failed, summary, end).text == "all in all"
    late = {"type": "message", "evaluator": True, "content": {"text": "I reflect"}}
    assert told(good, {"type": "message", "content": {"text": "the answer"}}, late, end).text == "the answer"
    legacy = {"type": "result", "action": "B", "success": True}
    assert told(legacy, end).text == "Running", "an action that tells nobody anything"


@pytest.mark.parametrize(
    ("status", "body", "kind", "delivered"),
    [
        (401, b"{}", "Refused", "no"),
        (413, b"", "TooLarge", "no"),
        (400, b'{"error":{"code":"bad_arguments","message":"m"}}', "BadArguments", "no"),
        (500, b"<html>", "Broken", "unknown"),
        (302, b"", "Broken", "no"),
        (403, b"Forbidden", "NoneType", ""),
        (404, b"[]", "NoneType", ""),
    ],
)
def test_answers_that_are_no_stream(status: int, body: bytes, kind: str, delivered: str) -> None:
    fault = lines.refused(status, body, "home")
    assert type(fault).__name__ == kind
    assert getattr(fault, "delivered", "") == delivered
