"""Resources that clients of the handshake era watch, and those that nobody watches any more."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from adapters.mcp import subscriptions
from gateway.testing import Box
from tests.adapters.mcp import wire
from tests.adapters.mcp.wire import Client, Face
from tests.e2e.mcp.everything.tool import World

WATCHED = "test://watched-resource"
UPDATED = "notifications/resources/updated"


@pytest.fixture
async def far(box: Box) -> AsyncIterator[World]:
    async with wire.held(wire.server(box, "own", "handshake")) as found:
        yield found


@pytest.fixture
async def face(box: Box, far: World) -> AsyncIterator[Face]:
    async with wire.held(wire.face(box)) as found:
        yield found


async def begun(face: Face) -> Client:
    return await face.client(modern=False).initialize()


async def subscribe(client: Client, uri: str = WATCHED, method: str = "resources/subscribe") -> Any:
    said = await client.ask(method, {"uri": uri})
    return said.get("error", {}).get("code")


def watched(face: Face) -> int:
    return sum(len(mine) for mine in face.inbound._watching._of.values())


def watches(box: Box) -> int:
    return sum(task.get_name() == "mcp watch" for task in asyncio.all_tasks())


async def until(true: Any) -> None:
    async with asyncio.timeout(20):
        while not true():
            await asyncio.sleep(0.005)


async def test_a_change_is_told_to_who_watches(face: Face, far: World, box: Box) -> None:
    client, other = await begun(face), await begun(face)
    mine, theirs = await client.stream().opened(), await other.stream().opened()
    await asyncio.gather(*(subscribe(client) for _ in range(3)))
    assert watched(face) == 1, "once, however often it is said"
    await until(lambda: watches(box) == 1)
    await far.resource_changed(WATCHED)
    assert (await mine.until(UPDATED))["params"] == {"uri": WATCHED}
    assert await subscribe(client, method="resources/unsubscribe") is None
    await until(lambda: watches(box) == 0)
    assert face.inbound._watching._of == {}
    for stream in (mine, theirs):
        await stream.leave()
    assert not [m for m in theirs.messages if m["method"] == UPDATED]


@pytest.mark.parametrize("how", ["DELETE", "stream"])
async def test_a_session_that_ends_watches_nothing(face: Face, box: Box, how: str) -> None:
    client = await begun(face)
    stream = await client.stream().opened()
    assert await subscribe(client) is None
    assert watches(box) == 1
    if how == "DELETE":
        await client.stream("DELETE").end()
        await stream.end()
    else:
        await stream.leave()
    await until(lambda: watches(box) == 0)
    assert watched(face) == 0


async def test_bounds(face: Face, box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscriptions, "EACH", 2)
    monkeypatch.setattr(subscriptions, "MOST", 3)
    client, other = await begun(face), await begun(face)
    uris = ("test://static-text", "test://static-binary", WATCHED)
    assert [await subscribe(client, uri) for uri in uris] == [None, None, -32602]
    assert [await subscribe(other, uri) for uri in uris] == [None, -32602, -32602]
    for one in (client, other):
        await one.stream("DELETE").end()
    await until(lambda: watches(box) == 0)
    assert face.inbound._watching._of == {}


async def test_what_cannot_be_watched(face: Face, box: Box) -> None:
    client = await begun(face)
    async with wire.server(box, "two"):
        for uri in ("doolittle://three/x", "x", ""):
            assert await subscribe(client, uri) == -32602
    assert await subscribe(client, WATCHED, "resources/unsubscribe") is None
    assert await subscribe(face.client(modern=False)) in (-32600, -32602), "without a session"
    assert face.inbound._watching._of == {}
