"""Sessions of the handshake era: their ids say all by themselves, and nothing stays of clients that vanish."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.fake.world import WORLDS, World, world
from adapters.mcp import streams
from adapters.mcp.near import LIFE, Sessions
from adapters.spi import Upstream
from gateway.testing import Box
from tests.adapters.mcp import wire
from tests.adapters.mcp.wire import ANN, BOB, Client, Face, Stream, words

URL = "fake://sessions"
CHANGED = "notifications/tools/list_changed"


@pytest.fixture
async def far(box: Box) -> World:
    WORLDS.pop(URL, None)
    made = world(URL)
    await box.add(Upstream("world", "fake", URL))
    return made


@pytest.fixture
async def face(box: Box, far: World) -> AsyncIterator[Face]:
    async with wire.held(wire.face(box)) as found:
        yield found


async def begun(face: Face, **how: Any) -> Client:
    return await face.client(modern=False, **how).initialize()


async def until(true: Any) -> None:
    async with asyncio.timeout(20):
        while not true():
            await asyncio.sleep(0.005)


async def works(client: Client) -> bool:
    """False: its session is not found."""
    stream = await client.begin("tools/call", {"name": "all__echo", "arguments": {"text": "x"}}).end()
    assert stream.status in (200, 404)
    return stream.status == 200


# ---- ids ----------------------------------------------------------------------------------------------------------


async def test_any_replica_reads_an_id(face: Face, box: Box, tmp_path: Path) -> None:
    client = await begun(face)
    replica, stranger = Box(tmp_path / "replica"), Box(tmp_path / "stranger")
    place = replica.folder / ".doolittle"
    place.mkdir(parents=True, mode=0o700)
    (place / "seal.key").write_bytes((box.folder / ".doolittle" / "seal.key").read_bytes())
    (place / "seal.key").chmod(0o600)
    for other, known in ((replica, True), (stranger, False)):
        await other.open()
        await other.add(Upstream("world", "fake", URL))
        async with wire.face(other) as there:
            client.face = there
            assert await works(client) is known
        await other.close()


async def test_a_session_is_its_callers_own(face: Face) -> None:
    client = await begun(face, caller=ANN)
    assert await works(client)
    client.caller = BOB
    assert not await works(client)
    assert (await client.stream().end()).status == 404
    assert (await client.stream("DELETE").end()).status == 404
    client.caller = ANN
    assert await works(client)


async def test_a_session_expires(face: Face, box: Box) -> None:
    now = 1_000_000.0
    face.inbound._sessions = Sessions(box.gateway._host("face/mcp"), clock=lambda: now)
    client = await begun(face)
    now += LIFE - 1
    assert await works(client)
    now += 2
    assert not await works(client)


async def test_a_session_that_was_ended(face: Face) -> None:
    client, other = await begun(face), await begun(face)
    stream = await client.stream().opened()
    assert (await client.stream("DELETE").end()).status == 200
    await stream.end()
    assert not await works(client)
    assert (await client.stream().end()).status == 404
    assert (await client.stream("DELETE").end()).status == 404
    assert (await client.tell("notifications/initialized").end()).status == 404
    assert await works(other)


FREE = settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])


@FREE
@given(
    st.integers(1, 80), st.characters(min_codepoint=33, max_codepoint=255), st.sampled_from(["for", "before", "end"])
)
async def test_an_altered_id_is_unknown(face: Face, at: int, other: str, how: str) -> None:
    client = await begun(face)
    id = client.session
    altered = {"for": id[:at] + other + id[at + 1 :], "before": id[:at] + other + id[at:], "end": id + other}[how]
    if altered.strip() != id:
        assert (await client.stream("DELETE", altered).end()).status == 404
        assert (await client.stream("DELETE", id[:at]).end()).status == 404
    assert await works(client)


async def test_every_last_character_but_one_is_wrong(face: Face) -> None:
    """The bits that the encoding leaves over are no way around the end of a session."""
    client = await begun(face)
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    for last in alphabet.replace(client.session[-1], ""):
        assert (await client.stream("DELETE", client.session[:-1] + last).end()).status == 404


async def test_without_a_session(face: Face) -> None:
    client = face.client(modern=False)
    assert await works(client), "calls need none"
    assert (await face.open([("accept", "text/event-stream")], b"", "GET").end()).status == 400
    modern = [("accept", "text/event-stream"), ("mcp-protocol-version", "2026-07-28")]
    assert (await face.open(modern, b"", "GET").end()).status == 405
    assert (await face.open(modern, b"", "DELETE").end()).status == 405


async def test_pings(face: Face) -> None:
    for client in (await begun(face), face.client(modern=False)):
        assert (await client.ask("ping"))["result"] == {}


# ---- standing streams ---------------------------------------------------------------------------------------------


async def test_a_changed_list_is_told_in_both_eras(face: Face, box: Box, far: World) -> None:
    client, modern = await begun(face), face.client()
    standing = await client.stream().opened()
    listening = modern.begin("subscriptions/listen", {"notifications": {"toolsListChanged": True}})
    await listening.until("notifications/subscriptions/acknowledged")
    far.add("new")
    await standing.until(CHANGED)
    await listening.until(CHANGED)
    names = wire.names((await client.ask("tools/list"))["result"]["tools"])
    assert "new__echo" in names
    for stream in (standing, listening):
        await stream.leave()
    assert len(face.inbound._streams) == 0


async def test_many_changes_are_told_once(face: Face) -> None:
    client = await begun(face)
    standing = await client.stream().opened()
    message = {"jsonrpc": "2.0", "method": CHANGED}
    for _ in range(100):
        face.inbound._streams.tell(message)
    await standing.until(CHANGED)
    assert standing.messages == [message]
    await standing.leave()


async def test_a_message_comes_on_one_stream_of_a_session(face: Face) -> None:
    client, other = await begun(face), await begun(face)
    mine = [await client.stream().opened() for _ in range(3)]
    theirs = await other.stream().opened()
    face.inbound._streams.tell({"jsonrpc": "2.0", "method": CHANGED})
    await theirs.until(CHANGED)
    await mine[-1].until(CHANGED)
    assert sum(len(stream.messages) for stream in mine) == 1
    for stream in (*mine, theirs):
        await stream.leave()


async def test_a_fifth_stream_ends_the_oldest(face: Face) -> None:
    client = await begun(face)
    held = [client.stream() for _ in range(6)]
    for stream in held:
        await stream.opened()
    for stream in held[:2]:
        await stream.end()
    assert not any(stream.task.done() for stream in held[2:])
    assert len(face.inbound._streams) == streams.EACH
    for stream in held[2:]:
        await stream.leave()


async def test_clients_that_never_close(face: Face, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "MOST", 190)
    clients = [await begun(face) for _ in range(200)]
    held: list[Stream] = [client.stream() for client in clients]
    for stream in held:
        await stream.opened()
    full = held[190:]
    assert [stream.status for stream in held[:190]] == [200] * 190
    assert [stream.status for stream in full] == [503] * 10
    assert all(int(stream.headers["retry-after"]) > 0 for stream in full)
    assert len(face.inbound._streams) == 190
    assert await works(clients[-1]), "calls are answered all the same"
    for stream in held:
        await stream.leave()
    assert len(face.inbound._streams) == 0
    assert (await clients[-1].stream().opened()).status == 200
    face.inbound._streams.close()


# ---- churn --------------------------------------------------------------------------------------------------------


async def churn(face: Face, times: int) -> None:
    """Clients that do a bit of everything, and vanish."""
    for number in range(times):
        client = await begun(face, name=f"client{number}", caller=(ANN, BOB)[number % 2])
        await client.tell("notifications/initialized").end()
        assert words(await client.call("all__echo", text="x")) == "x"
        if number % 8 == 0:
            await client.ask("logging/setLevel", {"level": "debug"})
            stream = await client.stream().opened()
            call = client.begin("tools/call", {"name": "all__hang", "arguments": {}})
            await asyncio.sleep(0)
            await call.leave()
            await stream.leave()
        if number % 16 == 0:
            await client.ask("resources/subscribe", {"uri": "test://none"})


def held(face: Face) -> dict[str, int]:
    table, sessions = face.inbound._table, face.inbound._sessions
    return {
        "tasks": len(asyncio.all_tasks()), "files": len(os.listdir("/proc/self/fd")), "running": len(table.running),
        "cancelled": len(table.cancelled), "asked": len(table.asked), "streams": len(face.inbound._streams),
        "open": len(face.inbound._streams._open), "watched": len(face.inbound._watching._of),
        "ended": len(sessions._ended),
    }  # fmt: skip


async def churned(face: Face, far: World, times: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("near", "answering"):
        monkeypatch.setattr(f"adapters.mcp.{module}.KNOWN", 20)
    await churn(face, 16)
    await until(lambda: far.running == 0)
    before = held(face)
    await churn(face, times)
    await until(lambda: far.running == 0 and held(face)["tasks"] <= before["tasks"])
    assert {**held(face), "tasks": before["tasks"]} == before, "of tasks, some that ran before have ended"
    assert len(face.inbound._table.levels) == 20
    assert len(face.inbound._sessions._known) == 20


async def test_nothing_stays_of_sessions(face: Face, far: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await churned(face, far, 500, monkeypatch)


@pytest.mark.slow
@pytest.mark.timeout(1800)
async def test_nothing_stays_of_many_sessions(face: Face, far: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await churned(face, far, 30_000, monkeypatch)


# ---- cancels and levels -------------------------------------------------------------------------------------------


async def test_a_cancel_is_for_one_call_of_ones_own(face: Face, far: World) -> None:
    client, other = await begun(face), await begun(face)
    hanging = {"name": "all__hang", "arguments": {}}
    first, second = client.begin("tools/call", hanging), client.begin("tools/call", hanging)
    await until(lambda: far.running == 2)
    for wrong in (other, face.client(modern=False), await begun(face, caller=BOB)):
        for id in (2, 3, "2", None, [], {}):
            stream = await wrong.tell("notifications/cancelled", {"requestId": id}).end()
            assert stream.status == 202
    assert far.running == 2
    assert (await client.tell("notifications/cancelled", {"requestId": 2, "reason": "enough"}).end()).status == 202
    await first.end()
    assert first.messages == [], "nothing is said after a cancel"
    await until(lambda: far.running == 1)
    assert not second.task.done()
    await client.tell("notifications/cancelled", {"requestId": 3}).end()
    await second.end()
    assert second.messages == []
    await until(lambda: far.running == 0)
    assert await works(client)
    assert not face.inbound._table.running
    assert not face.inbound._table.cancelled


async def test_a_client_that_goes_cancels(face: Face, far: World) -> None:
    for client in (await begun(face), face.client(modern=False), face.client()):
        call = client.begin("tools/call", {"name": "all__hang", "arguments": {}})
        await until(lambda: far.running == 1)
        await call.leave()
        await until(lambda: far.running == 0)


async def test_each_session_hears_its_own_level(face: Face, box: Box) -> None:
    async with wire.server(box, "own"):
        heard: dict[str, int] = {}
        clients = {level: await begun(face) for level in ("debug", "info", "error", "nonsense", "")}
        for level, client in clients.items():
            if level:
                said = await client.ask("logging/setLevel", {"level": level})
                assert ("error" in said) == (level == "nonsense")
        for level, client in clients.items():
            call = {"name": "own__test_tool_with_logging", "arguments": {}}
            stream = await client.begin("tools/call", call).end()
            heard[level] = sum(m.get("method") == "notifications/message" for m in stream.messages)
        assert heard == {"debug": 3, "info": 3, "error": 0, "nonsense": 3, "": 3}
