"""Plain requests are answered without the SDK. That must make no difference on the wire: two faces over one gateway,
one of which leaves all to the SDK, answer whatever is sent alike."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, note, settings

from adapters.fake.world import WORLDS
from adapters.mcp.rpc import CAPABILITIES_KEY, LOG_KEY, MODERN, VERSION_KEY, Message
from adapters.spi import Upstream
from gateway.testing import Box
from tests.adapters.mcp import wire
from tests.adapters.mcp.drafts import Draft, drafts
from tests.adapters.mcp.wire import Face

URL = "fake://alike"
ID = re.compile(r"[0-9a-f]{32}")
STATE = re.compile(r"\.[0-9a-f]{64,}")
HEALTHY = (HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large)
FREE = settings(deadline=None, suppress_health_check=HEALTHY, derandomize=True, database=None)


class Two:
    """The same face twice."""

    def __init__(self, fast: Face, slow: Face, session: str) -> None:
        self.faces = (fast, slow)
        self._session = session

    async def send(self, face: Face, draft: Draft) -> tuple[int, list[Any]]:
        lines = [(name, self._session if value == "SESSION" else value) for name, value in draft.lines()]
        stream = await face.open(lines, draft.data(), path=draft.path).end()
        return stream.status, [canonical(message) for message in stream.messages]

    async def compare(self, draft: Draft) -> None:
        note(f"{draft.path} {draft.lines()}\n{draft.data()!r}")
        fast, slow = [await self.send(face, draft) for face in self.faces]
        assert fast == slow


@asynccontextmanager
async def pair(box: Box) -> AsyncIterator[Two]:
    WORLDS.pop(URL, None)
    await box.add(Upstream("world", "fake", URL))
    async with wire.server(box, "own"), wire.face(box) as fast, wire.face(box, fast=False) as slow:
        session = (await fast.client(modern=False).initialize()).session
        yield Two(fast, slow, session)


@pytest.fixture
async def two(box: Box) -> AsyncIterator[Two]:
    async with wire.held(pair(box)) as found:
        yield found


def canonical(of: Any) -> Any:
    """As it is compared: ids made up for one call are all alike, and what is so by default is left out."""
    match of:
        case dict():
            return {k: canonical(v) for k, v in sorted(of.items()) if (k, v) != ("isError", False)}
        case list():
            return [canonical(one) for one in of]
        case str():
            if of[:1] == "{":
                try:
                    return canonical(orjson.loads(of))
                except orjson.JSONDecodeError:
                    pass
            return STATE.sub(".STATE", ID.sub("ID", of))
        case _:
            return of


@settings(FREE, max_examples=150)
@given(drafts())
async def test_both_answer_alike(two: Two, draft: Draft) -> None:
    await two.compare(draft)


@settings(FREE, max_examples=100)
@given(drafts(most=0))
async def test_what_is_well_formed_is_answered_alike(two: Two, draft: Draft) -> None:
    await two.compare(draft)


@pytest.mark.slow
@pytest.mark.timeout(900)
@settings(FREE, max_examples=8000)
@given(drafts(most=4))
async def test_both_answer_alike_for_long(two: Two, draft: Draft) -> None:
    await two.compare(draft)


def modern(method: str, params: Message, **meta: Any) -> Draft:
    whole = {**params, "_meta": {VERSION_KEY: MODERN, CAPABILITIES_KEY: {}, **meta}}
    headers = {"accept": ["application/json, text/event-stream"], "content-type": ["application/json"]}
    headers |= {"mcp-protocol-version": [MODERN], "mcp-method": [method]}
    if method in wire.NAMED:
        headers["mcp-name"] = [params[wire.NAMED[method]]]
    return Draft({"jsonrpc": "2.0", "id": 1, "method": method, "params": whole}, headers)


@pytest.mark.parametrize("name", ["=?base64?dGVzdDovL3N0YXRpYy10ZXh0é?=", "test://é"])
async def test_letters_outside_ascii_in_a_header_are_refused(two: Two, name: str) -> None:
    asked = modern("resources/read", {"uri": "test://static-text"})
    asked.headers["mcp-name"] = [name]
    for face in two.faces:
        status, (said,) = await two.send(face, asked)
        assert status == 400
        assert "base64" in said["error"]["message"]


@pytest.mark.parametrize(("more", "status"), [({"error": {"code": 1, "message": "m"}}, 202), ({"result": {}}, 200)])
async def test_what_is_a_request_and_an_answer_is_left_to_the_sdk(two: Two, more: Message, status: int) -> None:
    asked = modern("resources/read", {"uri": "test://static-text"})
    asked.body.update(more)
    asked.headers = {key: asked.headers[key] for key in ("accept", "content-type")}
    fast, slow = [await two.send(face, asked) for face in two.faces]
    assert fast == slow
    assert fast[0] == status


async def test_a_resource_that_is_not_there_has_the_code_of_the_era(two: Two) -> None:
    gone = modern("resources/read", {"uri": "test://none"})
    for face in two.faces:
        status, (said,) = await two.send(face, gone)
        assert (status, said["error"]["code"]) == (400, -32602)
    gone.headers = {key: gone.headers[key] for key in ("accept", "content-type")}
    for face in two.faces:
        status, (said,) = await two.send(face, gone)
        assert (status, said["error"]["code"]) == (200, -32002)


async def test_log_lines_come_where_they_were_asked_for(two: Two) -> None:
    tool = {"name": "own__test_tool_with_logging", "arguments": {}}
    for level, lines in (("debug", 3), ("info", 3), ("emergency", 0), ("", 0)):
        draft = modern("tools/call", tool, **({LOG_KEY: level} if level else {}))
        for face in two.faces:
            _, messages = await two.send(face, draft)
            assert [m.get("method") for m in messages] == ["notifications/message"] * lines + [None]


async def test_a_version_that_is_blank_is_unknown(two: Two) -> None:
    draft = modern("tools/list", {})
    draft.headers["mcp-protocol-version"] = [""]
    for face in two.faces:
        assert (await two.send(face, draft))[0] == 400


@pytest.mark.parametrize("odd", [[], {}, {"a": 1}, None, 5])
async def test_a_method_that_is_no_text_is_refused(two: Two, odd: Any) -> None:
    for era in (MODERN, ""):
        draft = modern("tools/list", {})
        draft.body["method"] = odd
        draft.headers["mcp-protocol-version"] = [era] if era else []
        for face in two.faces:
            assert (await two.send(face, draft))[0] == 400
