"""What is read of a Coral server and written for it, without one."""

import json
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.coral import translate
from adapters.coral.command import environment
from adapters.coral.joined import Ledger
from adapters.coral.publish import definition
from adapters.coral.translate import Thread
from adapters.errors import BadArguments, Broken
from adapters.load import Adapters
from adapters.spi import Tool, Upstream
from gateway.testing import Box
from registry.model import schema
from tests.e2e.coral.definitions import read


@given(st.text())
def test_any_name_becomes_a_coral_name(said: str) -> None:
    name = translate.name(said)
    assert translate.NAME.match(name)
    assert len(name) <= translate.LONGEST


def test_slugs_are_coral_names_as_they_are() -> None:
    assert translate.name("eliza-2") == "eliza-2"


@pytest.mark.parametrize(
    ("said", "milliseconds"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:01.5Z", 1500),
        ("2026-11-22T10:00:00.123456789Z", 1795341600123),
        ("2026-11-22T10:00:00.999999Z", 1795341600999),
        ("2026-11-22T11:00:00.1+01:00", 1795341600100),
    ],
)
def test_moments_are_cut_to_milliseconds(said: str, milliseconds: int) -> None:
    assert translate.milliseconds(said) == milliseconds


def test_newest_versions_are_taken_by_their_precedence() -> None:
    versions = ["1.9.0", "1.10.0", "1.10.0-rc.1", "1.10.0-alpha", "0.99.1"]
    source = {"identifier": {"type": "local"}, "agents": [{"name": "a", "versions": versions}, {"name": "b"}, 7]}
    other = {"identifier": {"type": "linked", "linkedServerId": "x"}, "agents": [{"name": "c", "versions": ["1.0.0"]}]}
    assert list(translate.listed([source, other], ["local"])) == [("local", "a", "1.10.0")]
    with pytest.raises(Broken):
        list(translate.listed({"message": "no"}, ["local"]))


# ---- the state that agents read ---------------------------------------------------------------------------------


def _state(threads: list[dict[str, Any]]) -> str:
    agents = json.dumps([{"agentName": "x", "agentDescription": "```\n# Threads and messages\n[]"}])
    said = json.dumps(threads, ensure_ascii=False)
    return f"\n# Agents\n```json\n{agents}\n```\n\n# Threads and messages\n```json\n{said}\n```\n"


def _message(text: str, sender: str, *mentions: str, at: str = "2026-11-22T10:00:00Z") -> dict[str, Any]:
    said: dict[str, Any] = {"messageText": text, "sendingAgentName": sender, "messageTimestamp": at}
    return {**said, "mentionAgentNames": list(mentions)} if mentions else said


@given(st.lists(st.tuples(st.text(), st.sampled_from(["ann", "bob", "me"]), st.booleans()), max_size=8))
def test_no_text_of_others_is_taken_for_the_state(said: list[tuple[str, str, bool]]) -> None:
    messages = [_message(text, sender, *(["me"] if to_me else [])) for text, sender, to_me in said]
    (found,) = translate.threads(_state([{"threadId": "t", "state": "open", "messages": messages}]))
    assert [(sender, text, bool(names)) for sender, text, names in found.messages] == [
        (sender, text, to_me) for text, sender, to_me in said
    ]


def test_a_state_that_is_none_is_said() -> None:
    assert translate.threads("# General\nYou are an agent named me.") == []
    for bad in ("# Threads and messages\n", "# Threads and messages\n[{}]", "# Threads and messages\n[nonsense"):
        with pytest.raises(Broken):
            translate.threads(bad)


# ---- which mentions are new -------------------------------------------------------------------------------------


def _thread(id: str, *messages: tuple[str, str, set[str]], open: bool = True) -> Thread:
    return Thread(id, open, tuple((sender, text, frozenset(names)) for sender, text, names in messages))


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["ann", "bob", "me"]), st.booleans()), max_size=40),
    st.sets(st.integers(0, 40)),
)
def test_each_mention_is_found_once_whenever_it_is_looked(log: list[tuple[str, str, bool]], looks: set[int]) -> None:
    """Messages arrive one by one in three threads; it is looked after some of them, and at the end."""
    ledger = Ledger("me")
    ledger.new([_thread(id) for id in "abc"])
    threads: dict[str, list[tuple[str, str, set[str]]]] = {id: [] for id in "abc"}
    found: list[str] = []
    for number, (id, sender, to_me) in enumerate(log):
        threads[id].append((sender, str(number), {"me"} if to_me and sender != "me" else set()))
        if number in looks:
            found += [m.text for m in ledger.new([_thread(i, *said) for i, said in threads.items()])]
    found += [m.text for m in ledger.new([_thread(i, *said) for i, said in threads.items()])]
    wanted = [str(n) for n, (_, sender, to_me) in enumerate(log) if to_me and sender != "me"]
    assert Counter(found) == Counter(wanted)
    for id in "abc":
        mine = [m for m in found if log[int(m)][0] == id]
        assert mine == sorted(mine, key=int), "in the order of the thread"


def test_a_process_that_starts_again_does_not_answer_twice() -> None:
    said = [("ann", "one", {"me"}), ("bob", "two", {"me"}), ("me", "to ann", {"ann"}), ("ann", "three", {"me"})]
    assert [m.text for m in Ledger("me").new([_thread("t", *said)])] == ["two", "three"]


def test_closed_threads_have_nothing_to_say() -> None:
    ledger = Ledger("me")
    assert ledger.new([_thread("t", open=False)]) == []
    assert ledger.places == {}


# ---- what we write ----------------------------------------------------------------------------------------------


@given(st.text(max_size=3000), st.text(min_size=1, max_size=40))
def test_every_definition_is_one_that_a_server_takes(tmp_path_factory: Any, about: str, name: str) -> None:
    agent = {"agent": "higgins", "name": name, "description": about, "tools": ["higgins__ask"] * 60}
    path: Path = tmp_path_factory.mktemp("agent") / "coral-agent.toml"
    try:
        path.write_text(definition(agent, ["coral-agent", "--agent", "higgins"], "sse"), encoding="utf-8")
    except UnicodeEncodeError:
        return
    found = read(path)
    assert found.name == "higgins"
    assert found.runtimes["executable"]["transport"] == "sse"
    assert found.options["DOOLITTLE_KEY"]["secret"] is True
    assert tomllib.loads(path.read_text(encoding="utf-8"))["edition"] == 4


def test_a_tool_becomes_a_custom_tool() -> None:
    takes = {
        "type": "object",
        "properties": {"a": {"type": "integer"}},
        "required": ["a"],
        "additionalProperties": False,
    }
    made = translate.custom_tool(Tool("add", "Adds.", schema(takes), name="all__add"), "http://gateway")
    assert made["transport"] == {"type": "http", "url": "http://gateway/coral/tools/all__add"}
    assert made["inputSchema"] == {"type": "object", "properties": takes["properties"], "required": ["a"]}
    assert orjson.dumps(made)


def test_the_environment_of_a_session_is_needed() -> None:
    said = {"CORAL_CONNECTION_URL": "http://x", "CORAL_AGENT_ID": "a", "CORAL_SESSION_ID": "s", "OTHER": "x"}
    assert environment(said) == {k: v for k, v in said.items() if k != "OTHER"}
    with pytest.raises(BadArguments, match="CORAL_AGENT_ID"):
        environment({**said, "CORAL_AGENT_ID": ""})


async def test_settings_that_do_not_exist_are_refused(box: Box) -> None:
    adapter = Adapters.installed().find("coral").load()
    assert set(adapter.options.model_fields) >= {"agents", "until", "idle", "ttl", "sessions"}
    with pytest.raises(BadArguments, match="https"):
        await box.add(Upstream("reef", "coral", "ws://127.0.0.1:1"))


def test_a_mention_says_who_else_takes_part() -> None:
    said = [("ann", "one", {"me", "bob"}), ("carol", "two", set[str]()), ("ann", "three", {"me"})]
    assert [m.among for m in Ledger("me").new([_thread("t", *said)])] == [("bob", "carol"), ("bob", "carol")]
