"""Samples of what the real server said, and what they are in the contract."""

from typing import Any

import orjson
import pytest

from adapters.elizaos import translate
from adapters.errors import BadArguments, Broken, ConnectFailed, Full, GatewayError, Refused
from adapters.spi import File, Result, Text

AGENT = "b850bc30-45f8-0041-a00a-83df46d8555d"
USER = "6a1c1d6e-7c8e-5d1e-9d2e-0a7d0c1f5e2b"
DOCUMENT: dict[str, Any] = {
    "id": AGENT,
    "name": "Eliza",
    "username": "eliza",
    "bio": ["She listens.", "Eliza answers."],
    "system": "You are Eliza.",
    "topics": ["phonetics", "flowers"],
    "adjectives": ["patient"],
    "plugins": [],
    "settings": {"secrets": {"OPENAI_API_KEY": "c3f1:9d0e"}, "note": "plain-secret"},
    "secrets": {"TOKEN": "canary"},
    "status": "active",
}
REPLY: dict[str, Any] = {
    "thought": "say it again",
    "actions": ["REPLY"],
    "providers": [],
    "text": "You said: hello",
    "simple": True,
    "responseId": "160c2f0c-6dfa-453a-96d0-b4355a5e7efc",
}
STACK = (
    "InvalidContentError: …\n    at validateContent (file:///srv/node_modules/@elizaos/server/dist/index.js:25623:11)"
)


def wire(value: Any) -> bytes:
    return orjson.dumps(value)


def answered(response: Any) -> bytes:
    return wire({"success": True, "userMessage": {"content": "hello"}, "agentResponse": response})


def acted(actions: list[str], callback: Any = None, text: str = "Running it for you.") -> bytes:
    more = {"actionCallbacks": callback} if callback is not None else {}
    return answered({**REPLY, "actions": actions, "text": text, "simple": False, **more})


def memory(who: str, at: int, **content: Any) -> dict[str, Any]:
    return {"id": f"m{at}", "entityId": who, "createdAt": at, "content": content}


def act(at: int, name: str, who: str = AGENT, **more: Any) -> dict[str, Any]:
    return memory(who, at, type="action_result", actionName=name, **more)


def remembered(*memories: dict[str, Any]) -> bytes:
    return wire({"success": True, "data": {"memories": list(memories)}})


def test_an_agent_is_described_the_same_however_it_was_shuffled_and_without_its_secrets() -> None:
    one = translate.agent(wire({"success": True, "data": DOCUMENT}), "home")
    shuffled = {**DOCUMENT, "bio": DOCUMENT["bio"][::-1], "topics": DOCUMENT["topics"][::-1]}
    assert translate.agent(wire({"data": shuffled}), "home") == one
    assert one.description == "Eliza answers. She listens. You are Eliza. Topics: flowers, phonetics."
    assert [tool.native for tool in one.tools] == ["ask"]
    for secret in ("c3f1", "OPENAI", "plain-secret", "canary", "TOKEN"):
        assert secret not in repr(one)


def test_an_agent_needs_no_more_than_an_id() -> None:
    assert translate.agent(wire({"data": {"id": AGENT, "bio": None, "topics": 3}}), "home").name == AGENT


def test_the_list_names_active_and_inactive_agents() -> None:
    entry = {"id": AGENT, "name": "Eliza", "characterName": "Eliza", "bio": "She listens.", "status": "active"}
    body = wire({"success": True, "data": {"agents": [entry, "nonsense", {"id": None}]}})
    assert translate.listed(body, "home") == [
        {"id": AGENT, "name": "Eliza", "status": "active"},
        {"id": "", "name": "", "status": ""},
    ]


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b'{"data":{"agents":{}}}', b"null", b"\xff"])
def test_garbage_in_place_of_a_list_is_broken(body: bytes) -> None:
    with pytest.raises(Broken):
        translate.listed(body, "home")


def test_a_user_is_the_same_for_ever_and_another_for_each_caller() -> None:
    assert translate.user("ann") == translate.user("ann") == "0d744b81-61ed-5cc0-a499-301a12c8c107"
    assert translate.user("bob") != translate.user("ann")


def test_a_session_has_a_room() -> None:
    assert translate.session(wire({"sessionId": "s", "channelId": "r"}), "home") == ("s", "r")
    with pytest.raises(Broken):
        translate.session(b"{}", "home")


def test_a_reply() -> None:
    result = translate.answer(answered(REPLY), "home")
    assert result == Result((Text("You said: hello"),), meta={"actions": ["REPLY"], "unconfirmed": False})


def test_attachments_that_have_an_address_are_files() -> None:
    attached = [
        {"url": "https://example.org/a.png", "contentType": "image/png", "title": "A"},
        {"url": "/media/b"},
        "nonsense",
    ]
    result = translate.answer(answered({**REPLY, "attachments": attached}), "home")
    assert result.content[1:] == (File("image/png", uri="https://example.org/a.png", name="A"),)


def test_the_last_callback_of_an_action_is_its_result() -> None:
    body = acted(["TEST_STEPS"], {"text": "the result of the steps", "actions": ["TEST_STEPS"]})
    assert translate.answer(body, "home").text == "the result of the steps"


@pytest.mark.parametrize(
    "callback",
    [
        {"text": "no such flower", "error": True},
        {"text": "no such flower", "success": False},
        {"text": "no such flower", "actions": ["SEND_MESSAGE_ERROR"]},
        {"text": "no such flower", "actions": ["MUTE_ROOM_FAILED"]},
    ],
)
def test_a_callback_that_says_so_is_a_failure(callback: dict[str, Any]) -> None:
    with pytest.raises(Refused, match="no such flower"):
        translate.answer(acted(["TEST"], callback), "home")


@pytest.mark.parametrize(("response", "words"), [(None, "no answer"), ({**REPLY, "text": " "}, "empty answer")])
def test_no_answer_and_an_empty_one(response: Any, words: str) -> None:
    with pytest.raises(Refused, match=words):
        translate.answer(answered(response), "home")


@pytest.fixture
def silent() -> Result:
    """The outcome of an action of which nothing was heard."""
    with pytest.raises(translate.Unclear) as unclear:
        translate.answer(acted(["WHATEVER"]), "home")
    assert isinstance(unclear.value.outcome, Result)
    return unclear.value.outcome


def test_memory_tells_what_a_silent_action_did(silent: Result) -> None:
    body = remembered(act(2, "WHATEVER", actionResult={"success": True, "text": "done"}), memory(USER, 1, text="x"))
    result = translate.cleared(silent, body, USER)
    assert result.text == "done"
    assert result.meta == {"actions": ["WHATEVER"], "unconfirmed": False}


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (act(2, "NOPE", USER, thought="Action not found: NOPE", actionStatus="failed"), "NOPE, which it does not have"),
        (act(2, "X", actionResult={"success": False, "text": "no such flower"}), "no such flower"),
        (act(2, "X", actionResult={"success": False, "error": {}}), "the action X failed"),
    ],
)
def test_memory_tells_how_an_action_failed(silent: Result, found: dict[str, Any], words: str) -> None:
    with pytest.raises(Refused, match=words):
        translate.cleared(silent, remembered(found, memory(USER, 1, text="x")), USER)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b'{"data":{"memories":[1,{"content":2}]}}',
        remembered(memory(USER, 3, text="this one"), act(2, "NOPE", thought="Action not found: NOPE")),
        remembered(act(2, "WHATEVER", actionResult={}, actionStatus="failed"), memory(USER, 1, text="x")),
    ],
)
def test_a_memory_that_tells_nothing_leaves_the_outcome(silent: Result, body: bytes) -> None:
    assert translate.cleared(silent, body, USER) == silent
    assert silent.meta["unconfirmed"] is True


def test_memory_tells_ignoring_from_failing() -> None:
    hidden = translate.failure(500, {}, wire({"success": False, "error": translate.HIDDEN}), "home")
    assert isinstance(hidden, translate.Unclear)
    ignored = remembered(act(2, "IGNORE", actionResult={}, text="Executed action: IGNORE"), memory(USER, 1, text="x"))
    with pytest.raises(Refused, match="chose not to answer"):
        translate.cleared(hidden.outcome, ignored, USER)
    with pytest.raises(Refused, match="does not say why"):
        translate.cleared(hidden.outcome, remembered(memory(USER, 1, text="x")), USER)


def sessions_error(code: str, message: str) -> bytes:
    return wire({"error": {"code": code, "message": message, "timestamp": "…", "details": {}, "stack": STACK}})


def api_error(code: str, message: str) -> bytes:
    return wire({"success": False, "error": {"code": code, "message": message}})


REFUSED_KEY = wire({"error": "API key required", "message": "Missing or invalid X-API-KEY header"})
LIMIT = api_error("RATE_LIMIT_EXCEEDED", "Too many requests. Please try again later.")


@pytest.mark.parametrize(
    ("status", "body", "kind", "delivered", "words"),
    [
        (401, REFUSED_KEY, Refused, "no", "'home' refuses the gateway's key"),
        (400, sessions_error("VALIDATION_ERROR", "Content exceeds …"), BadArguments, "no", "Content exceeds"),
        (404, sessions_error("AGENT_NOT_FOUND", "…"), Refused, "no", "not on 'home' any more"),
        (404, api_error("NOT_FOUND", "Agent not found"), Refused, "no", "not on 'home' any more"),
        (400, api_error("INVALID_CONTENT_TYPE", "Invalid …"), Refused, "no", "Invalid"),
        (429, LIMIT, Full, "no", "takes no more requests"),
        (500, sessions_error("INTERNAL_SERVER_ERROR", "oh"), Refused, "yes", "'home' failed (500)"),
        (500, wire({"success": False, "error": "a string"}), Refused, "yes", "'home' failed (500)"),
        (503, b"<html>", ConnectFailed, "unknown", "not ready (503)"),
    ],
)
def test_each_shape_of_error(status: int, body: bytes, kind: type[GatewayError], delivered: str, words: str) -> None:
    error = translate.failure(status, {}, body, "home")
    assert isinstance(error, kind)
    assert error.delivered == delivered
    assert words in error.public
    assert "node_modules" not in error.public + error.detail


@pytest.mark.parametrize("code", ["SESSION_NOT_FOUND", "SESSION_EXPIRED"])
def test_a_session_that_is_gone(code: str) -> None:
    assert isinstance(translate.failure(404, {}, sessions_error(code, "…"), "home"), translate.SessionGone)


@pytest.mark.parametrize(
    ("headers", "wait"),
    [({"retry-after": "898"}, 898), ({"ratelimit-reset": "12"}, 12), ({}, 60), ({"retry-after": "soon"}, 60)],
)
def test_busy_says_when(headers: dict[str, str], wait: float) -> None:
    error = translate.failure(429, headers, LIMIT, "home")
    assert isinstance(error, Full)
    assert error.retry_after == wait
