"""Resources, prompts and completion of the MCP servers behind a view: with their own names where there is one server,
with its agent's name in front where there are more."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from adapters.mcp.rpc import Message
from adapters.spi import Upstream
from gateway.testing import Box
from tests.adapters.mcp import wire
from tests.adapters.mcp.wire import ANN, Client, Face
from tests.e2e.mcp.everything.tool import World

ERAS = pytest.mark.parametrize("modern", [True, False], ids=["modern", "handshake"])
PROMPTS = 6
RESOURCES = 3
TEXT = "test://static-text"
ADA: Message = {"action": "accept", "content": {"context": "tea"}}


@asynccontextmanager
async def standing(folder: Path) -> AsyncIterator[tuple[Box, Face]]:
    box = Box(folder)
    await box.open()
    one, two = wire.server(box, "one", "modern", page=2), wire.server(box, "two", "handshake", page=2)
    async with one, two, wire.face(box) as face:
        yield box, face
    await box.close()


@pytest.fixture(scope="module")
async def both(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Box, Face]]:
    """Two servers upstream, one of each era, that list two things a page; for all tests here."""
    async with wire.held(standing(tmp_path_factory.mktemp("proxy"))) as found:
        yield found


@pytest.fixture
def box(both: tuple[Box, Face]) -> Box:
    return both[0]


@pytest.fixture
def face(both: tuple[Box, Face]) -> Face:
    return both[1]


async def near(face: Face, modern: bool, path: str = "/mcp/all", can: Message | None = None) -> Client:
    client = face.client(modern=modern, path=path, can=can or {})
    return client if modern else await client.initialize()


async def everything(client: Client, method: str, key: str) -> list[Message]:
    """All pages of a list."""
    found: list[Message] = []
    params: Message = {}
    for _ in range(20):
        page = (await client.ask(method, params))["result"]
        assert ("ttlMs" in page and "cacheScope" in page) == client.modern
        found += page[key]
        if "nextCursor" not in page:
            return found
        params = {"cursor": page["nextCursor"]}
    raise AssertionError("pages without end")


def error(said: Message) -> int:
    return int(said["error"]["code"])


# ---- several ------------------------------------------------------------------------------------------------------


@ERAS
async def test_lists_of_two_servers(face: Face, modern: bool) -> None:
    client = await near(face, modern)
    prompts = wire.names(await everything(client, "prompts/list", "prompts"))
    assert len(prompts) == len(set(prompts)) == 2 * PROMPTS
    assert [name.partition("__")[0] for name in prompts] == ["one"] * PROMPTS + ["two"] * PROMPTS
    uris = wire.names(await everything(client, "resources/list", "resources"), "uri")
    assert len(uris) == len(set(uris)) == 2 * RESOURCES
    assert f"doolittle://one/{TEXT}" in uris
    templates = await everything(client, "resources/templates/list", "resourceTemplates")
    assert wire.names(templates, "uriTemplate") == [
        f"doolittle://{slug}/test://template/{{id}}/data" for slug in ("one", "two")
    ]


@ERAS
async def test_one_of_two_servers(face: Face, modern: bool) -> None:
    client = await near(face, modern)
    for slug in ("one", "two"):
        given = {"name": f"{slug}__test_prompt_with_arguments", "arguments": {"arg1": slug, "arg2": "x"}}
        said = (await client.ask("prompts/get", given))["result"]
        assert f"arg1='{slug}'" in said["messages"][0]["content"]["text"]
        uri = f"doolittle://{slug}/{TEXT}"
        (content,) = (await client.ask("resources/read", {"uri": uri}))["result"]["contents"]
        assert content["uri"] == uri
        assert "static text" in content["text"]
        filled = f"doolittle://{slug}/test://template/7/data"
        (content,) = (await client.ask("resources/read", {"uri": filled}))["result"]["contents"]
        assert '"id": "7"' in content["text"]


@ERAS
async def test_completion_goes_to_the_right_server(face: Face, modern: bool) -> None:
    client = await near(face, modern)
    refs: list[Message] = [
        {"type": "ref/prompt", "name": "two__test_prompt_with_arguments"},
        {"type": "ref/resource", "uri": "doolittle://one/test://template/{id}/data"},
    ]
    for ref in refs:
        given = {"ref": ref, "argument": {"name": "arg1", "value": "par"}}
        said = (await client.ask("completion/complete", given))["result"]["completion"]
        assert said["values"] == ["paris", "park", "party"]


@ERAS
async def test_what_is_not_there(face: Face, modern: bool) -> None:
    client = await near(face, modern)
    for name in ("none", "three__x", "one__", "__x", "one__none", "test_simple_prompt"):
        assert error(await client.ask("prompts/get", {"name": name})) == -32602, name
    gone = -32602 if modern else -32002
    assert error(await client.ask("resources/read", {"uri": "doolittle://one/test://none"})) == gone
    for uri in (TEXT, "doolittle://three/x", "doolittle://one", "doolittle://", "doolittle:///x"):
        assert error(await client.ask("resources/read", {"uri": uri})) in (-32602, gone), uri
    for cursor in ("x", "", "\x00"):
        said = await client.ask("prompts/list", {"cursor": cursor})
        assert error(said) == -32602, cursor


async def test_a_cursor_of_a_server_that_has_gone(face: Face, box: Box) -> None:
    client = await near(face, True)
    page = (await client.ask("prompts/list"))["result"]
    assert page["nextCursor"].startswith("one\n")
    said = (await client.ask("prompts/list", {"cursor": "ooo\n2"}))["result"]
    assert said["prompts"][0]["name"].startswith("two__"), "on with the next one"


@ERAS
async def test_one_server_away(face: Face, box: Box, modern: bool) -> None:
    client = await near(face, modern)
    async with wire.running(World()) as url:
        await box.add(Upstream("away", "mcp", url, options={"era": "modern"}))
        names = wire.names(await everything(client, "prompts/list", "prompts"))
        assert {name.partition("__")[0] for name in names} == {"away", "one", "two"}
    names = wire.names(await everything(client, "prompts/list", "prompts"))
    assert {name.partition("__")[0] for name in names} == {"one", "two"}
    assert "error" in await client.ask("prompts/get", {"name": "away__test_simple_prompt"})
    assert "result" in await client.ask("prompts/get", {"name": "two__test_simple_prompt"})
    alone = await near(face, modern, "/mcp/agents/away")
    assert "error" in await alone.ask("prompts/list"), "nothing is hidden where there is nobody else"
    await box.remove("away")


@ERAS
async def test_a_prompt_that_asks_back(face: Face, modern: bool) -> None:
    client = await near(face, modern, can={"elicitation": {}})
    given: Message = {"name": "one__test_input_required_result_prompt"}
    if modern:
        asked = (await client.ask("prompts/get", given))["result"]
        answers = {id: ADA for id in asked["inputRequests"]}
        again = {**given, "requestState": asked["requestState"], "inputResponses": answers}
        said = (await client.ask("prompts/get", again))["result"]
    else:
        stream = client.begin("prompts/get", given)
        question = await stream.until("elicitation/create")
        await client.post({"jsonrpc": "2.0", "id": question["id"], "result": ADA}).end()
        said = (await stream.end()).messages[-1]["result"]
    assert said["messages"][0]["content"]["text"] == "Context: {'context': 'tea'}"


async def test_what_a_key_may_not_see(face: Face) -> None:
    """With one server left, that one has its own names."""
    client = await near(face, True)
    client.caller = replace(ANN, allow=("two__*",))
    names = wire.names(await everything(client, "prompts/list", "prompts"))
    assert len(names) == PROMPTS
    assert not any(name.startswith(("one__", "two__")) for name in names)
    assert error(await client.ask("prompts/get", {"name": "one__test_simple_prompt"})) == -32602
    assert error(await client.ask("resources/read", {"uri": f"doolittle://one/{TEXT}"})) == -32602


# ---- one ----------------------------------------------------------------------------------------------------------


@ERAS
@pytest.mark.parametrize("slug", ["one", "two"])
async def test_one_server_has_its_own_names(face: Face, modern: bool, slug: str) -> None:
    client = await near(face, modern, f"/mcp/agents/{slug}")
    names = wire.names(await everything(client, "prompts/list", "prompts"))
    assert len(names) == PROMPTS
    assert "test_simple_prompt" in names
    uris = wire.names(await everything(client, "resources/list", "resources"), "uri")
    assert TEXT in uris
    assert len(uris) == RESOURCES
    (content,) = (await client.ask("resources/read", {"uri": TEXT}))["result"]["contents"]
    assert content["uri"] == TEXT
    assert (await client.ask("prompts/get", {"name": "test_simple_prompt"}))["result"]["messages"]
    ref = {"type": "ref/prompt", "name": "test_prompt_with_arguments"}
    given = {"ref": ref, "argument": {"name": "arg1", "value": "test"}}
    assert len((await client.ask("completion/complete", given))["result"]["completion"]["values"]) == 2


@ERAS
async def test_no_server_at_all(face: Face, box: Box, modern: bool) -> None:
    await box.add(Upstream("world", "fake", "fake://proxy"))
    client = await near(face, modern, "/mcp/agents/all")
    for method, key in (("prompts/list", "prompts"), ("resources/list", "resources")):
        assert await everything(client, method, key) == []
    assert error(await client.ask("prompts/get", {"name": "x"})) == -32602
    await box.remove("world")
