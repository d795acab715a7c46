"""The stand-in says no where a Coral server does; spoken to with the official MCP client and plain HTTP."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx2
import orjson
import pytest
from mcp.client.client import Client
from mcp.client.sse import sse_client
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.e2e.coral import definitions
from tests.e2e.coral.agents import absent
from tests.e2e.coral.rules import Session
from tests.e2e.coral.standin import CoralServer

pytestmark = pytest.mark.e2e


@dataclass
class Room:
    """A session of the agents `a`, `b`, `c` and `p`, of which the test is each."""

    server: CoralServer
    session: Session
    http: httpx2.AsyncClient

    @property
    def place(self) -> str:
        return f"{self.session.namespace}/{self.session.id}"

    def url(self, name: str, end: str = "mcp") -> str:
        return f"{self.server.url}/mcp/v1/{self.session.agents[name].secret}/{end}"

    async def puppet(self, method: str, end: str, document: Any = None) -> httpx2.Response:
        content = None if document is None else orjson.dumps(document)
        return await self.http.request(method, f"/api/v1/puppet/{self.place}/{end}", content=content)


def _request(*names: str, **more: Any) -> dict[str, Any]:
    identifier = {"name": "silent", "version": "1.0.0", "registrySourceId": {"type": "local"}}
    agents = [{"id": identifier, "name": n, "provider": {"type": "local", "runtime": "function"}} for n in names]
    return {
        "agentGraphRequest": {"agents": agents, "groups": [list(names)], **more.pop("graph", {})},
        "namespaceProvider": {"type": "create_if_not_exists", "namespaceRequest": {"name": "test"}}, **more,
    }  # fmt: skip


@pytest.fixture
async def room(coral: CoralServer) -> AsyncIterator[Room]:
    coral.define(definitions.function("silent", absent))
    headers = {"authorization": f"Bearer {coral.key}", "content-type": "application/json"}
    async with httpx2.AsyncClient(base_url=coral.url, headers=headers, trust_env=False) as http:
        said = (await http.post("/api/v1/local/session", content=orjson.dumps(_request(*"abcp")))).json()
        yield Room(coral, coral.find(said["namespace"], said["sessionId"]), http)


@asynccontextmanager
async def joined(room: Room, *names: str) -> AsyncIterator[list[Client]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(Client(room.url(n), mode="legacy")) for n in names]


def _words(part: object) -> str:
    return str(getattr(part, "text", ""))


async def _ok(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    said = await client.call_tool(tool, arguments)
    assert not said.is_error, said
    assert orjson.loads(_words(said.content[0])) == said.structured_content
    return dict(said.structured_content or {})


async def _no(client: Client, tool: str, **arguments: Any) -> str:
    said = await client.call_tool(tool, arguments)
    assert said.is_error, said
    return _words(said.content[0])


async def test_threads_messages_and_mentions(room: Room) -> None:
    async with joined(room, "a", "b") as (a, b):
        thread = (await _ok(a, "coral_create_thread", threadName="t", participantNames=["b"]))["thread"]
        assert thread["participants"] == ["a", "b"]
        assert thread["state"] == {"state": "open"}
        t = thread["id"]
        said = await _ok(a, "coral_send_message", threadId=t, content="hello", mentions=["b"])
        assert said["status"] == "Message sent successfully"
        assert "cannot mention the sender" in await _no(
            a, "coral_send_message", threadId=t, content="x", mentions=["a"]
        )
        assert "not participants" in await _no(a, "coral_send_message", threadId=t, content="x", mentions=["c"])
        assert "No agent" in await _no(a, "coral_send_message", threadId=t, content="x", mentions=["z"])
        assert "does not exist" in await _no(a, "coral_send_message", threadId="no", content="x", mentions=[])
        assert "No agents" in await _no(a, "coral_create_thread", threadName="t", participantNames=["z"])
        assert "required" in await _no(a, "coral_send_message", threadId=t, content="x")
        assert "unknown key" in await _no(a, "coral_send_message", thread_id=t, threadId=t, content="x", mentions=[])
        heard = await _ok(b, "coral_wait_for_mention", currentUnixTime=0, maxWaitMs=1000)
        assert heard["message"] == said["message"]


async def test_participants_come_and_go(room: Room) -> None:
    async with joined(room, "a", "b", "c") as (a, b, c):
        t = (await _ok(a, "coral_create_thread", threadName="t", participantNames=["b"]))["thread"]["id"]
        more: dict[str, Any] = {"threadId": t, "participantName": "c"}
        assert "not participating" in await _no(c, "coral_add_participant", **more)
        await _ok(a, "coral_send_message", threadId=t, content="before you came", mentions=[])
        waiting = asyncio.create_task(_ok(c, "coral_wait_for_message", maxWaitMs=5000))
        while not room.session.agents["c"]._waiters:
            await asyncio.sleep(0.01)
        await _ok(b, "coral_add_participant", **more)
        assert (await waiting)["message"]["text"] == "before you came", "who is added is told what was said"
        assert "already participating" in await _no(b, "coral_add_participant", **more)
        await _ok(b, "coral_remove_participant", **more)
        assert "not participating" in await _no(b, "coral_remove_participant", **more)


async def test_closed_threads_forget_and_refuse(room: Room) -> None:
    async with joined(room, "a", "b") as (a, b):
        t = (await _ok(a, "coral_create_thread", threadName="t", participantNames=["b"]))["thread"]["id"]
        await _ok(a, "coral_send_message", threadId=t, content="hello", mentions=["b"])
        assert "Successfully closed" in (await _ok(b, "coral_close_thread", threadId=t, summary="done"))["message"]
        assert "is closed" in await _no(a, "coral_send_message", threadId=t, content="x", mentions=[])
        assert "not open" in await _no(a, "coral_close_thread", threadId=t, summary="again")
        said = await _ok(b, "coral_wait_for_mention", currentUnixTime=0, maxWaitMs=10)
        assert said == {"status": "Timeout reached"}, "its messages are gone"


async def test_waits_replay_from_a_millisecond_on_and_time_out(room: Room) -> None:
    clock = room.server.clock
    async with joined(room, "a", "b") as (a, b):
        t = (await _ok(a, "coral_create_thread", threadName="t", participantNames=["b"]))["thread"]["id"]
        clock.held = 1_700_000_000_123_900_000
        await _ok(a, "coral_send_message", threadId=t, content="one", mentions=["b"])
        for since, text in ((0, "one"), (1_700_000_000_123, "one"), (1_700_000_000_124, None)):
            said = await _ok(b, "coral_wait_for_mention", currentUnixTime=since, maxWaitMs=10)
            assert (said.get("message") or {}).get("text") == text
        said = await _ok(b, "coral_wait_for_agent", agentName="a", currentUnixTime=0, maxWaitMs=10)
        assert said["message"]["text"] == "one"
        said = await _ok(a, "coral_wait_for_message", currentUnixTime=0, maxWaitMs=10)
        assert said["message"]["senderName"] == "a", "own messages are replayed too"
        clock.held = None
        assert (await _ok(b, "coral_wait_for_mention", maxWaitMs=10)) == {"status": "Timeout reached"}


async def test_no_wait_is_longer_than_a_minute(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.e2e.coral.rules.MOST", 30)
    async with joined(room, "a") as (a,):
        assert (await _ok(a, "coral_wait_for_message", maxWaitMs=10_000_000))["status"] == "Timeout reached"


async def test_both_transports_and_resources(room: Room) -> None:
    async with joined(room, "a") as (a,):
        assert a.server_info is not None
        assert a.server_info.name == "Coral Agent Server"
        assert {r.uri for r in (await a.list_resources()).resources} == {"coral://instruction", "coral://state"}
        t = (await _ok(a, "coral_create_thread", threadName="t", participantNames=["b"]))["thread"]["id"]
        await _ok(a, "coral_send_message", threadId=t, content="hello", mentions=["b"])
        async with Client(sse_client(room.url("b", "sse/")), mode="legacy") as b:
            text = _words((await b.read_resource("coral://state")).contents[0])
            assert '"messageText": "hello"' in text
            assert '"mentionAgentNames": ["b"]' in text
            assert len((await b.list_tools()).tools) == 8
    for url in (room.server.url + "/mcp/v1/no-secret/mcp", room.server.url + "/mcp/v1/no-secret/sse/"):
        assert (await room.http.post(url, content=b"{}")).status_code == 401


async def test_puppets_are_held_to_the_same_rules(room: Room) -> None:
    good = await room.puppet("POST", "p/thread", {"threadName": "t", "participantNames": ["a"]})
    t = good.json()["thread"]["id"]

    async def said(mentions: list[str], thread: str = t) -> int:
        document = {"threadId": thread, "content": "x", "mentions": mentions}
        return (await room.puppet("POST", "p/thread/message", document)).status_code

    assert await said(["a"]) == 200
    assert [await said(["p"]), await said(["b"]), await said(["z"]), await said([], "no")] == [400, 404, 404, 404]
    assert (await room.puppet("POST", "z/thread", {"threadName": "t", "participantNames": []})).status_code == 404
    add = {"threadId": t, "participantName": "b"}
    assert (await room.puppet("POST", "p/thread/participant", add)).status_code == 200
    assert (await room.puppet("POST", "p/thread/participant", add)).status_code == 400
    assert (await room.puppet("DELETE", "p/thread/participant", add)).status_code == 200
    close = {"threadId": t, "summary": "done"}
    assert (await room.puppet("DELETE", "p/thread", close)).status_code == 200
    assert (await room.puppet("DELETE", "p/thread", close)).status_code == 400
    assert await said(["a"]) == 400
    assert (await room.puppet("DELETE", "p")).status_code == 200
    assert room.session.jobs["p"].done()


async def test_sessions_are_checked_before_they_are_made(room: Room) -> None:
    async def status(document: dict[str, Any]) -> int:
        return (await room.http.post("/api/v1/local/session", content=orjson.dumps(document))).status_code

    before = room.server.opened
    assert await status(_request("a", "a")) == 500
    assert await status(_request("a", graph={"groups": [["a", "z"]]})) == 500
    assert await status(_request("a", namespaceProvider={"type": "use_existing", "name": "nowhere"})) == 404
    assert await status({"agentGraphRequest": {}}) == 400
    bad = _request("a")
    bad["agentGraphRequest"]["agents"][0]["options"] = {"X": {"type": "string", "value": "1"}}
    assert await status(bad) == 500
    assert room.server.opened == before
    assert (await room.http.get("/api/v1/registry", headers={"authorization": "Bearer no"})).status_code == 401
    waiting = await room.http.post(
        "/api/v1/local/session", content=orjson.dumps(_request("a", execution={"mode": "defer"}))
    )
    path = f"/api/v1/local/session/test/{waiting.json()['sessionId']}"
    assert (await room.http.get(path)).json()["status"] == {"type": "pending_execution"}
    assert (await room.http.post(path, content=b"{}")).status_code == 200
    assert (await room.http.post(path, content=b"{}")).status_code == 400
    assert (await room.http.delete(path)).status_code == 200
    assert (await room.http.get(path)).status_code == 404


async def test_events_tell_what_happens_from_now_on(room: Room) -> None:
    url = room.server.url.replace("http", "ws") + "/ws/v1/events"
    with pytest.raises(InvalidStatus):
        await connect(f"{url}/wrong/session/{room.place}", proxy=None)
    t = room.session.agents["a"].create_thread("t", ["b"]).id
    async with connect(f"{url}/{room.server.key}/session/{room.place}", proxy=None) as socket:
        while not room.session.listeners:
            await asyncio.sleep(0.01)
        room.session.agents["a"].send(t, "hello", ["b"])
        event = orjson.loads(await socket.recv())
        assert event["type"] == "thread_message_sent"
        assert event["message"]["text"] == "hello"
        await room.server.close(room.session)
        rest = [orjson.loads(frame)["type"] async for frame in socket]
        assert rest == ["runtime_stopped"] * 4, "and the socket is closed with the session"


async def test_a_session_ends_by_its_time(room: Room) -> None:
    said = _request("a", execution={"mode": "immediate", "runtimeSettings": {"ttl": 30}})
    made = (await room.http.post("/api/v1/local/session", content=orjson.dumps(said))).json()
    for _ in range(200):
        if (await room.http.get(f"/api/v1/local/session/test/{made['sessionId']}")).status_code == 404:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it is there still")
