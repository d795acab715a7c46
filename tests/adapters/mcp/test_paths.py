"""Which tools a client of MCP is shown: by path, by key, behind search; and the gateway's own tools."""

from collections.abc import AsyncIterator
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.fake.world import WORLDS, World, world
from adapters.mcp import own_tools, server
from adapters.mcp.rpc import Message
from adapters.spi import Caller, Upstream
from gateway.testing import Box
from tests.adapters.mcp import wire
from tests.adapters.mcp.wire import ANN, HURRIED, Client, Face, words

URL = "fake://shown"
VIEWS: dict[str, Any] = {
    "sums": {"include": ["all__add", "all__echo"], "renames": {"all__add": "plus"}},
    "found": {"search": True, "pinned": ["all__e*"], "renames": {"all__echo": "say"}},
    "slow": {"include": ["all__*"], "patience": 0.05},
    "taken": {"include": ["all__echo"], "renames": {"all__echo": "get_call"}},
}
SEARCH = ["call_tool", "describe_tool", "find_tools"]
WAITING = ["cancel_call", "get_call"]
ERAS = pytest.mark.parametrize("modern", [True, False], ids=["modern", "handshake"])


@pytest.fixture
async def box(tmp_path: Path) -> AsyncIterator[Box]:
    WORLDS.pop(URL, None)
    made = Box(tmp_path, views=VIEWS)
    await made.open()
    await made.add(Upstream("world", "fake", URL, options={"agents": 3}))
    yield made
    await made.close()


@pytest.fixture
async def face(box: Box) -> AsyncIterator[Face]:
    async with wire.held(wire.face(box)) as found:
        yield found


def far() -> World:
    return world(URL)


async def listed(client: Client) -> list[str]:
    found: list[str] = []
    cursor: Message = {}
    while True:
        page = (await client.ask("tools/list", cursor))["result"]
        assert ("ttlMs" in page and page["cacheScope"] == "private") == client.modern
        found += wire.names(page["tools"])
        if "nextCursor" not in page:
            return found
        cursor = {"cursor": page["nextCursor"]}


# ---- by path ------------------------------------------------------------------------------------------------------


@ERAS
async def test_what_each_path_shows(face: Face, modern: bool) -> None:
    async def at(path: str, caller: Caller = ANN) -> list[str]:
        return await listed(face.client(path=path, modern=modern, caller=caller))

    everything = await at("/mcp/all")
    assert len(everything) == 16
    assert everything == sorted(everything)
    assert await at("/mcp/agents/agent1") == ["agent1__echo"]
    assert await at("/mcp") == SEARCH
    assert await at("/mcp/views/sums") == ["all__echo", "plus"]
    assert await at("/mcp/views/found") == sorted(["say", *SEARCH])
    assert await at("/mcp/views/slow", replace(ANN, patience=None)) == sorted(
        [*WAITING, *(n for n in everything if n.startswith("all__"))]
    )
    assert await at("/mcp", HURRIED) == sorted([*SEARCH, *WAITING])
    assert await at("/mcp/all", HURRIED) == sorted([*everything, *WAITING])


@pytest.mark.parametrize("path", ["/mcp/agents/nobody", "/mcp/views/none", "/mcp/agents/world"])
@ERAS
async def test_what_is_not_there_is_not_found(face: Face, path: str, modern: bool) -> None:
    client = face.client(path=path, modern=modern)
    for method, params in (("tools/list", {}), ("tools/call", {"name": "all__echo"}), ("ping", {}), ("no/such", {})):
        stream = await client.begin(method, params).end()
        assert stream.status == 404
        assert "no " in stream.messages[0]["error"]["message"]


async def test_an_agent_that_goes_is_not_found_any_more(face: Face, box: Box) -> None:
    client = face.client(path="/mcp/agents/agent2")
    assert words(await client.call("agent2__echo", text="x")) == "x"
    far().remove("agent2")
    for _ in range(2):
        await box.refresh("world")
    assert (await client.begin("tools/list").end()).status == 404
    far().add("agent2")
    await box.refresh("world")
    assert words(await client.call("agent2__echo", text="x")) == "x"


async def test_an_agent_of_which_a_key_sees_nothing(face: Face) -> None:
    caller = replace(ANN, allow=("agent1__*",))
    assert (await face.client(path="/mcp/agents/all", caller=caller).begin("tools/list").end()).status == 404
    assert await listed(face.client(path="/mcp/agents/agent1", caller=caller)) == ["agent1__echo"]


async def test_one_agent_s_path_reaches_no_other(face: Face) -> None:
    client = face.client(path="/mcp/agents/agent1")
    assert (await client.call("all__echo", text="x"))["code"] == -32602
    assert words(await client.call("agent1__echo", text="x")) == "x"


async def test_names_that_a_view_shows(face: Face) -> None:
    client = face.client(path="/mcp/views/sums")
    assert (await client.call("plus", a=1, b=2))["structuredContent"] == {"sum": 3}
    assert (await client.call("all__add", a=1, b=2))["code"] == -32602, "its public name is not one here"
    assert (await client.call("all__count", n=1))["code"] == -32602, "not in the view"
    assert words(await client.call("plus", a="x", b=2)).startswith("plus ")


async def test_a_tool_shown_by_a_name_of_ours(face: Face) -> None:
    """A view may call a tool `get_call`: then that is what it is, unless patience needs the name."""
    patient, hurried = (face.client(path="/mcp/views/taken", caller=caller) for caller in (ANN, HURRIED))
    assert await listed(patient) == ["get_call"]
    assert words(await patient.call("get_call", text="x")) == "x"
    assert await listed(hurried) == WAITING
    assert "needed" in words(await hurried.call("get_call", text="x"))


# ---- by key -------------------------------------------------------------------------------------------------------


async def test_a_key_with_views(face: Face) -> None:
    one = replace(ANN, views=("sums",))
    assert await listed(face.client(path="/mcp", caller=one)) == ["all__echo", "plus"]
    assert await listed(face.client(path="/mcp/all", caller=one)) == ["all__add", "all__echo"]
    assert (await face.client(path="/mcp/views/slow", caller=one).begin("tools/list").end()).status == 404
    two = replace(ANN, views=("sums", "slow"))
    assert await listed(face.client(path="/mcp", caller=two)) == SEARCH
    assert await listed(face.client(path="/mcp/views/sums", caller=two)) == ["all__echo", "plus"]
    gone = replace(ANN, views=("none",))
    assert (await face.client(path="/mcp", caller=gone).begin("tools/list").end()).status == 404


async def test_a_view_called_default(tmp_path: Path) -> None:
    made = Box(tmp_path / "other", views={"default": {"include": ["agent1__*"]}, "sums": VIEWS["sums"]})
    await made.open()
    await made.add(Upstream("world", "fake", URL))
    async with wire.face(made) as face:
        assert await listed(face.client(path="/mcp")) == ["agent1__echo"]
        one = replace(ANN, views=("sums",))
        assert await listed(face.client(path="/mcp", caller=one)) == ["all__echo", "plus"]
        two = replace(ANN, views=("sums", "none"))
        assert await listed(face.client(path="/mcp", caller=two)) == SEARCH
    await made.close()


# ---- lists --------------------------------------------------------------------------------------------------------


@ERAS
async def test_long_lists_come_in_pages(face: Face, box: Box, modern: bool) -> None:
    for number in range(450):
        far().agents[f"many{number}"] = replace(far().agents["agent1"], slug="", name=f"Many {number}")
        far().agents[f"many{number}"] = replace(
            far().agents[f"many{number}"], address=replace(far().agents["agent1"].address, native=f"many{number}")
        )
    await box.refresh("world")
    client = face.client(modern=modern)
    first = (await client.ask("tools/list"))["result"]
    assert len(first["tools"]) == server.PAGE
    names = await listed(client)
    assert len(names) == len(set(names)) == 466
    assert names == sorted(names)
    assert await listed(client) == names


@ERAS
async def test_schemas_of_results_are_left_out_where_patience_applies(face: Face, modern: bool) -> None:
    for path, caller, there in (
        ("/mcp/all", ANN, True), ("/mcp/all", HURRIED, False), ("/mcp/views/slow", ANN, True),
        ("/mcp/views/slow", replace(ANN, patience=None), False), ("/mcp/views/sums", ANN, True),
    ):  # fmt: skip
        client = face.client(path=path, caller=caller, modern=modern)
        tools = (await client.ask("tools/list"))["result"]["tools"]
        assert any("outputSchema" in tool for tool in tools) is there, path


# ---- search -------------------------------------------------------------------------------------------------------


async def test_tools_are_found_described_and_called(face: Face) -> None:
    client = face.client(path="/mcp")
    found = await client.call("find_tools", query="add two numbers")
    assert found["structuredContent"]["tools"][0]["name"] == "all__add"
    assert "all__add (a, b)" in words(found)
    described = (await client.call("describe_tool", _name="all__add", name="all__add"))["structuredContent"]
    assert described["inputSchema"]["required"] == ["a", "b"]
    assert "outputSchema" in described
    said = await call_tool(client, "all__add", {"a": 1, "b": 2})
    assert said["structuredContent"] == {"sum": 3}
    assert (await call_tool(client, "all__add", {"a": "x"}))["isError"]
    assert (await client.call("all__add", a=1, b=2))["structuredContent"] == {"sum": 3}, "by itself too"


async def call_tool(client: Client, name: str, arguments: Any) -> Message:
    said = await client.ask("tools/call", {"name": "call_tool", "arguments": {"name": name, "arguments": arguments}})
    return said.get("result") or said["error"]


@pytest.mark.parametrize("name", sorted(own_tools.NAMES))
async def test_call_tool_does_not_call_our_own(face: Face, name: str) -> None:
    said = await call_tool(face.client(path="/mcp", caller=HURRIED), name, {"name": name, "arguments": {}})
    assert said["isError"]
    assert "by itself" in words(said)


@pytest.mark.parametrize("path", ["/mcp/all", "/mcp/views/sums", "/mcp/agents/all"])
async def test_our_own_tools_are_unknown_elsewhere(face: Face, path: str) -> None:
    client = face.client(path=path)
    for name in own_tools.NAMES:
        assert (await client.call(name))["code"] == -32602


ODD: list[Message] = [
    {}, {"query": ""}, {"query": 5}, {"query": "x", "limit": 0}, {"query": "x", "limit": 26},
    {"query": "x", "limit": True}, {"name": 5},
    {"name": "all__echo", "arguments": []}, {"call": 5}, {"call": "x", "wait": -1},
    {"call": "x", "wait": "1"}, {"call": "x", "wait": True},
]  # fmt: skip


@pytest.mark.parametrize("given", ODD, ids=str)
async def test_wrong_arguments_of_our_own_tools(face: Face, given: Message) -> None:
    client = face.client(path="/mcp", caller=HURRIED)
    for name in own_tools.NAMES:
        if not (name == "describe_tool" and given.get("name") == "all__echo"):
            said = await client.ask("tools/call", {"name": name, "arguments": given})
            assert said.get("result", {}).get("isError") or said["error"]["code"] == -32602


async def test_a_name_that_is_nearly_right(face: Face) -> None:
    client = face.client(path="/mcp")
    said = await client.ask("tools/call", {"name": "describe_tool", "arguments": {"name": "all__ecko"}})
    assert "all__echo" in said["error"]["message"]


PATTERNS = st.sampled_from(["*", "all__*", "agent1__*", "*__echo", "all__a*", "none", "all__echo", "agent?__*"])
HEALTHY = (HealthCheck.function_scoped_fixture, HealthCheck.too_slow)


@settings(max_examples=40, deadline=None, suppress_health_check=HEALTHY, derandomize=True)
@given(
    allow=st.lists(PATTERNS, max_size=2),
    views=st.sets(st.sampled_from(["sums", "found", "slow"])),
    query=st.sampled_from(["echo", "text again", "add numbers", "agent", "all__add", "count", "plus", "say"]),
    path=st.sampled_from(["/mcp", "/mcp/views/found"]),
)
async def test_search_shows_nothing_that_may_not_be_called(
    face: Face, allow: list[str], views: set[str], query: str, path: str
) -> None:
    caller = replace(ANN, allow=tuple(allow), views=tuple(sorted(views)))
    client = face.client(path=path, caller=caller)
    if (await client.begin("tools/list").end()).status == 404 or "find_tools" not in await listed(client):
        return
    found = await client.call("find_tools", query=query, limit=25)
    window = {"say": "all__echo"} if path.endswith("found") or views == {"found"} else {}
    for tool in found.get("structuredContent", {}).get("tools", []):
        public = window.get(str(tool["name"])) or str(tool["name"])
        assert any(fnmatchcase(public, pattern) for pattern in allow)
        said = await call_tool(client, tool["name"], {"text": "x"})
        assert said.get("_meta", {}).get("doolittle/error", {}).get("code") not in ("denied", "unknown")
        assert "code" not in said
    if not found.get("structuredContent"):
        agents = words(found).partition("Agents: ")[2]
        assert not allow or agents
