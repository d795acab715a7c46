"""Views as callers and operators meet them: the catalogue, `/v1/views`, the file."""

import asyncio
import json
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest
from structlog.testing import capture_logs

from adapters.errors import Unknown
from adapters.fake.world import WORLDS, world
from adapters.spi import Caller, Tool, Upstream, View
from gateway.app import Gateway
from gateway.settings import ConfigFault, read
from gateway.telemetry import start_log
from gateway.testing import Box
from tests.gateway.test_operator import Process

URL = "fake://views"


@pytest.fixture
async def full(box: Box) -> Box:
    WORLDS.pop(URL, None)
    world(URL, agents=3)
    await box.add(Upstream("world", "fake", URL))
    view = View("small", "Few", ("all__*",), ("all__fail", "all__garbage"), {"all__echo": "say_again"})
    await box.gateway.registry.put_view(view)
    return box


async def test_the_catalogue_through_a_view(full: Box) -> None:
    ann = Caller("ann", allow=("all__echo", "all__add", "all__fail", "agent1__echo"))
    catalog = full.catalog.view("small", ann)
    assert [t.name for t in catalog.tools(ann)] == ["all__add", "say_again"]
    assert [(a.slug, [t.name for t in a.tools]) for a in catalog.agents(ann)] == [("all", ["all__add", "say_again"])]
    tool = catalog.tool("say_again", ann)
    assert (tool.name, tool.agent, tool.native, catalog.public(tool.name)) == ("say_again", "all", "echo", "all__echo")
    assert catalog.public("nothing") == "nothing"
    for hidden in ("all__echo", "all__fail", "all__count", "agent1__echo", "nothing"):
        with pytest.raises(Unknown):
            catalog.tool(hidden, ann)
    with pytest.raises(Unknown, match="did you mean 'say_again'"):
        catalog.tool("say_agian", ann)
    assert catalog.tools(ann, "agent1") == []
    assert catalog.seen.description == "Few"
    assert catalog.revision == full.catalog.revision
    assert full.catalog.seen == View()
    assert full.catalog.view("all", ann) is full.catalog


async def test_search_through_a_view_gives_its_names(full: Box) -> None:
    ann = Caller("ann")
    catalog = full.catalog.view("small", ann)
    for query in ("says the text again", "say"):
        assert (await catalog.search(query, ann))[0].name == "say_again"
    assert (await catalog.search("fails", ann)) == []
    assert [t.name for t in await catalog.search("echo", Caller("eve", allow=("all__add",)))] == []
    assert [t.name for t in await full.catalog.search("echo", Caller("eve", allow=("agent2__*",)), 1)] == [
        "agent2__echo"
    ]
    await full.gateway.registry.pause("all", True)
    assert await catalog.search("says the text again", ann) == []
    assert catalog.tools(ann) == []
    assert catalog.tool("say_again", ann).name == "say_again"


async def test_who_may_not_use_a_view_is_told_as_if_there_were_none(full: Box) -> None:
    said: set[str] = set()
    held = Caller("ann", views=("other",))
    for caller, name in ((held, "small"), (Caller("bob"), "small2"), (Caller("bob", on_behalf_of=held), "small")):
        with pytest.raises(Unknown) as fault:
            full.catalog.view(name, caller)
        said.add(fault.value.public.replace("small2", "small"))
    assert said == {"no view is called 'small'"}
    kept = full.catalog.view("small", Caller("bob"))
    await full.gateway.registry.delete_view("small")
    with pytest.raises(Unknown):
        kept.tools(Caller("bob"))
    assert (kept.seen.name, kept.public("say_again")) == ("small", "say_again")


@pytest.fixture
def logs() -> Iterator[list[Any]]:
    start_log("warning")
    with capture_logs() as found:
        yield found
    start_log("error")


async def test_a_tool_that_is_left_out_is_warned_of_once(full: Box, logs: list[Any]) -> None:
    registry = full.gateway.registry
    await registry.put_view(View("new", include=("agent*",), renames={"agent1__echo": "agent2__new"}))
    full.catalog.view("new", Caller("ann"))
    world(URL).add("agent3")
    await full.refresh("world")
    native = world(URL).agents["agent2"]
    world(URL).agents["agent2"] = replace(native, tools=(*native.tools, Tool("new")))
    await full.refresh("world")
    for _ in range(2):
        full.catalog.view("new", Caller("ann"))
    catalog = full.catalog.view("new", Caller("ann"))
    warned = [entry for entry in logs if entry.get("view") == "new"]
    assert [(entry["log_level"], entry["left_out"]) for entry in warned] == [("warning", ("agent2__new",))]
    assert catalog.public("agent2__new") == "agent1__echo"
    assert {t.name for t in catalog.tools(Caller("ann"))} == {"agent2__new", "agent2__echo", "agent3__echo"}


async def test_views_over_v1(full: Box) -> None:
    async with httpx2.AsyncClient(base_url=await full.serve()) as http:
        said: dict[str, Any] = {"include": ["all__*"], "renames": {"all__add": "plus"}, "search": True, "patience": 5}
        made = (await http.put("/v1/views/mine", json=said)).json()
        assert (made["name"], made["origin"], made["left_out"], made["patience"]) == ("mine", "api", [], 5)
        assert "plus" in made["shown"]
        assert (await http.get("/v1/views/mine")).json() == made
        listed = (await http.get("/v1/views")).json()
        assert [(v["name"], v["search"], v["tools"]) for v in listed] == [("mine", True, 14), ("small", False, 12)]
        names = {t["name"] for t in (await http.get("/v1/tools", params={"view": "mine"})).json()}
        assert {"plus", "all__echo"} <= names
        found = (await http.get("/v1/tools", params={"view": "mine", "q": "adds numbers"})).json()
        assert found[0]["name"] == "plus"
        assert (await http.get("/v1/tools", params={"view": "nothing"})).status_code == 404
        for bad in ({"renames": {"all__add": "all__echo"}}, {"renames": {"all__add": "no good"}}, {"patience": -1}):
            assert (await http.put("/v1/views/mine", json=bad)).status_code == 400
        assert (await http.put("/v1/views/Bad", json={})).status_code == 400
        assert (await http.get("/v1/views/mine")).json() == made
        assert (await http.delete("/v1/views/mine")).status_code == 204
        for method in ("GET", "DELETE"):
            assert (await http.request(method, "/v1/views/mine")).status_code == 404


async def test_views_are_listed_by_those_who_may_use_them_and_managed_by_admins(full: Box) -> None:
    root, ann = await full.key("root", roles=("call", "admin")), await full.key("ann", ("all__echo",))
    async with httpx2.AsyncClient(base_url=await full.serve()) as http:
        as_ann = {"authorization": f"Bearer {ann}"}
        (line,) = (await http.get("/v1/views", headers=as_ann)).json()
        assert (line["name"], line["tools"]) == ("small", 1)
        for method, body in (("GET", None), ("PUT", {}), ("DELETE", None)):
            assert (await http.request(method, "/v1/views/small", headers=as_ann, json=body)).status_code == 403
        assert (await http.get("/v1/views/small", headers={"authorization": f"Bearer {root}"})).status_code == 200


TEXT = """
[views.mine]
description = "From the file"
include = ["all__*"]
pinned = ["all__echo"]
search = true
patience = 30
[views.mine.renames]
all__echo = "say"
"""


async def test_views_of_the_file_win_and_are_read_only_over_v1(tmp_path: Path) -> None:
    path = tmp_path / "doolittle.toml"
    path.write_text(TEXT)
    async with Gateway(read(path), config_file=path) as gateway:
        await gateway.registry.put_view(View("mine", "stored"))
        transport = httpx2.ASGITransport(gateway.management())
        async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
            found = (await http.get("/v1/views/mine")).json()
            assert (found["origin"], found["description"], found["renames"]) == (
                "file",
                "From the file",
                {"all__echo": "say"},
            )
            assert (found["search"], found["patience"], found["pinned"]) == (True, 30, ["all__echo"])
            assert (await http.put("/v1/views/mine", json={})).status_code == 409
            assert (await http.delete("/v1/views/mine")).status_code == 409
            path.write_text(TEXT.replace("From the file", "Changed"))
            assert (await http.post("/v1/reload", json={})).status_code == 200
            assert (await http.get("/v1/views/mine")).json()["description"] == "Changed"
            path.write_text("[views.Bad]\n")
            assert (await http.post("/v1/reload", json={})).status_code == 400
            path.write_text("")
            await http.post("/v1/reload", json={})
            assert (await http.get("/v1/views/mine")).json()["description"] == "stored"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("\n[views.Bad_Name]\n", ":2: views have names like"),
        ("[views.a]\nrenames = { a__x = 'b c' }\n", ":1: tools have names"),
        ("[views.a]\ninclde = []\n", "unknown key 'inclde'; did you mean 'include'?"),
    ],
)
def test_a_fault_in_a_view_of_the_file_names_the_line(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "doolittle.toml"
    path.write_text(text)
    with pytest.raises(ConfigFault) as fault:
        read(path)
    assert said in str(fault.value)


@pytest.mark.e2e
async def test_views_and_limits_by_command(tmp_path: Path) -> None:
    process = Process(tmp_path)

    async def run(*words: str) -> subprocess.CompletedProcess[str]:
        return await asyncio.to_thread(process.run, *words)

    async def said(*words: str) -> Any:
        done = await run("--json", *words)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    assert "There are no views" in (await run("views", "list")).stdout
    await process.start()
    while not await said("tools"):
        await asyncio.sleep(0.05)
    words = ("--include", "all__*", "--exclude", "all__fail", "--rename", "all__echo=say", "--pin", "all__e*")
    made = await said("views", "set", "few", *words, "--search", "--patience", "9", "--description", "A few")
    assert (made["renames"], made["search"], made["patience"]) == ({"all__echo": "say"}, True, 9)
    changed = await said("views", "set", "few", "--no-search", "--exclude", "")
    assert changed | {"search": True, "exclude": ["all__fail"], "shown": made["shown"]} == made
    assert (changed["search"], changed["exclude"]) == (False, [])
    assert await said("views", "show", "few") == changed
    assert "all__echo=say" in (await run("views", "show", "few")).stdout
    assert [(v["name"], v["tools"]) for v in await said("views", "list")] == [("few", 14)]
    assert "say" in {t["name"] for t in await said("tools", "--view", "few")}
    assert "say" in (await run("tools", "--view", "few", "says the text again")).stdout
    assert (await run("tools", "--view", "fwe")).returncode == 2
    assert (await run("views", "set", "few", "--rename", "all__echo")).returncode == 2
    limits = ("--rate", "60/minute", "--concurrent", "3", "--daily", "100", "--view", "few", "--patience", "20")
    assert (await run("keys", "create", "root", "--role", "call", "--role", "admin")).returncode == 0
    assert (await run("keys", "create", "ann", *limits, "--days", "3")).returncode == 0
    shown = (await run("keys", "list")).stdout
    assert "60/minute, 3 at once, 0/100 a day, waits 20 s" in shown
    assert "never" in shown
    assert (await run("keys", "create", "bob", "--view", "none")).returncode == 2
    assert (await run("views", "remove", "few")).stdout == "removed few\n"
    assert (await run("views", "show", "few")).returncode == 2
    await process.end()
