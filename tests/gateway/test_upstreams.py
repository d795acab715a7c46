"""The table of upstreams: the operator's file, the store, and what goes wrong with any one of them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from pydantic import BaseModel

from adapters.errors import Conflict, ConnectFailed, Unknown
from adapters.fake.world import WORLDS, World, world
from adapters.load import Adapters, Found
from adapters.spi import Address, Agent, Call, Error, Event, Host, Manifest, Report, Result, Text, Tool, Upstream
from gateway.app import Gateway
from gateway.settings import Settings, read
from gateway.testing import Box


def fresh(url: str) -> World:
    WORLDS.pop(url, None)
    return world(url)


def fake(name: str, **more: Any) -> Upstream:
    return Upstream(name, "fake", f"fake://{name}", **more)


async def last(box: Box, tool: str, id: str = "c1", **arguments: Any) -> Event:
    return [event async for event in box.invoke(Call(id, tool, arguments, box.caller))][-1]


class Stuck:
    """An outbound adapter that hangs where it is told to."""

    def __init__(self, adapter: "StuckAdapter") -> None:
        self._of = adapter

    async def _at(self, place: str) -> None:
        if self._of.where == place:
            self._of.stuck.set()
            await self._of.go.wait()

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[None]:
        await self._at("connect")
        yield

    async def agents(self) -> AsyncIterator[Agent]:
        await self._at("before")
        yield Agent(self._of.address, self._of.address.native, tools=(Tool("get"),))
        await self._at("agents")

    async def invoke(self, call: Call, tool: Tool) -> AsyncIterator[Event]:
        yield Result((Text("here"),))

    async def check(self) -> Report:
        await self._at("check")
        return Report(True, "")


class NoOptions(BaseModel):
    """None."""


class StuckAdapter:
    options = NoOptions
    manifest = Manifest("stuck", "Stuck", frozenset({"outbound"}))

    def __init__(self, where: str) -> None:
        self.where = where
        self.stuck = asyncio.Event()
        self.go = asyncio.Event()
        self.address = Address("stuck", "s", "s")

    def outbound(self, upstream: Upstream, host: Host) -> Stuck:
        return Stuck(self)

    def inbound(self, host: Host) -> Any:
        raise AssertionError


@pytest.mark.parametrize("where", ["connect", "agents"])
async def test_a_far_side_that_hangs_is_away_after_a_while(tmp_path: Path, where: str) -> None:
    box = Box(tmp_path, refresh={"every": 3600, "timeout": 0.1})
    await box.open()
    await asyncio.wait_for(box.add(Upstream("s", "stuck", "x://y"), StuckAdapter(where)), 3)
    assert "within 0.1 seconds" in (box.degraded("s") or "")
    await box.close()


async def test_a_check_that_hangs_says_so(tmp_path: Path) -> None:
    box = Box(tmp_path, refresh={"every": 3600, "timeout": 0.1})
    await box.open()
    await box.add(Upstream("s", "stuck", "x://y"), StuckAdapter("check"))
    report = await box.report(Upstream("s", "stuck", "x://y"))
    assert (report.ok, report.text) == (False, "no answer within 0.1 seconds")
    await box.close()


async def test_removing_an_upstream_frees_whoever_waits_for_its_first_list(box: Box) -> None:
    adapter = StuckAdapter("connect")
    adding = asyncio.create_task(box.add(Upstream("s", "stuck", "x://y"), adapter))
    await asyncio.wait_for(adapter.stuck.wait(), 3)
    await box.gateway.upstreams._stop("s", forget=True)
    await asyncio.wait_for(adding, 3)


async def test_two_that_add_the_same_name_at_once_make_one(box: Box) -> None:
    fresh("fake://twin")
    add = box.gateway.upstreams.add
    ends = await asyncio.gather(*(add(fake("twin")) for _ in range(5)), return_exceptions=True)
    assert sum(isinstance(end, Conflict) for end in ends) == 4
    running = [t for t in asyncio.all_tasks() if t.get_name() == "upstream twin"]
    assert len(running) == 1


async def test_an_outage_degrades_and_the_end_of_it_mends(box: Box) -> None:
    far = fresh("fake://out")
    other = fresh("fake://fine")
    await box.add(fake("out"))
    await box.add(fake("fine"))
    before = [t.name for t in box.tools("out")]
    far.outage(True)
    await box.refresh("out")
    assert [t.name for t in box.tools("out")] == before, "they stay listed"
    agents = {a.address.upstream: a.degraded for a in box.catalog.agents(box.caller)}
    assert agents == {"out": True, "fine": False}
    name = next(t.name for t in box.tools("out") if t.native == "echo")
    gone = await last(box, name, text="x")
    assert isinstance(gone, Error)
    assert isinstance(gone.error, ConnectFailed)
    assert gone.error.delivered == "no"
    assert "out" in gone.error.public
    near = next(t.name for t in box.tools("fine") if t.native == "echo")
    assert isinstance(await last(box, near, "c2", text="x"), Result)
    assert other.seen["deliver"] == 1
    far.outage(False)
    assert isinstance(await last(box, name, "c3", text="x"), Result), "a call tries the connection anew"


async def test_a_call_to_an_upstream_that_is_not_there_any_more(box: Box) -> None:
    fresh("fake://left")
    await box.add(fake("left"))
    await box.gateway.upstreams._stop("left", forget=False)
    event = await last(box, "all__echo", text="x")
    assert isinstance(event, Error)
    assert isinstance(event.error, ConnectFailed)
    with pytest.raises(Unknown, match="there are: none"):
        box.gateway.upstreams.find("left")


# ---- the file and the store --------------------------------------------------------------------------------------


def settings(folder: Path, text: str) -> Settings:
    path = folder / "doolittle.toml"
    path.write_text(text)
    return read(path)


def section(name: str, url: str, network: str = "fake", more: str = "") -> str:
    return f"[upstreams.{name}]\nnetwork = '{network}'\nurl = '{url}'\n{more}"


async def test_what_is_wrong_with_one_upstream_of_the_file_stops_no_other(tmp_path: Path) -> None:
    fresh("fake://good")
    text = (
        section("good", "fake://good")
        + section("strange", "x://y", "fkae")
        + section("options", "fake://x", more="nonsense = 1\n")
        + section("secret", "fake://x", more="key = 'env:NO_SUCH_VARIABLE'\n")
        + section("command", "fake://x", more="key = 'command:/no/such/program'\n")
        + section("inbound", "http://127.0.0.1:1", "ear")
    )
    ear = Found("ear", Manifest("ear", "Ear", frozenset({"inbound"})), _adapter=StuckAdapter(""))
    adapters = Adapters([*Adapters.installed().all(), ear])
    async with Gateway(settings(tmp_path, text), adapters) as gateway:
        await gateway.upstreams.settle(5)
        assert [live.upstream.name for live in gateway.upstreams.all()] == ["good"]
        assert [t.name for t in gateway.registry.snapshot.tools if t.native == "echo"] == ["all__echo"]
        faults = gateway.upstreams.faults
        assert sorted(faults) == ["command", "inbound", "options", "secret", "strange"]
        assert "did you mean 'fake'" in faults["strange"]
        assert "nonsense" in faults["options"]
        assert "NO_SUCH_VARIABLE" in faults["secret"]
        with pytest.raises(Conflict):
            await gateway.upstreams.add(fake("strange"))


async def test_names_of_an_empty_store_go_by_the_order_of_the_file(tmp_path: Path) -> None:
    quick = fresh("fake://quick")
    slow = StuckAdapter("before")
    slow.address = Address("slow", "slow", "all")
    found = Found("slow", Manifest("slow", "Slow", frozenset({"outbound"})), _adapter=slow)
    text = section("slow", "x://y", "slow") + section("quick", "fake://quick")
    async with Gateway(settings(tmp_path, text), Adapters([*Adapters.installed().all(), found])) as gateway:
        await slow.stuck.wait()
        while not quick.seen["connect"]:
            await asyncio.sleep(0)
        assert not quick.seen["list"]
        slow.go.set()
        await gateway.upstreams.settle(5)
        slugs = {a.address.upstream: a.slug for a in gateway.registry.snapshot.agents.values()}
        assert slugs["slow"] == "all"
        assert slugs["quick"].startswith("all-")
    slow.where = "agents"
    slow.go.clear()
    async with Gateway(settings(tmp_path, text), Adapters([*Adapters.installed().all(), found])) as gateway:
        while not gateway.upstreams.find("quick").connected:  # its names are known: it waits for nobody
            await asyncio.sleep(0)
        assert not gateway.upstreams.find("slow").attempt.is_set()
        assert {a.address.upstream: a.slug for a in gateway.registry.snapshot.agents.values()} == slugs


async def test_the_file_wins_over_the_store(tmp_path: Path) -> None:
    for url in ("fake://one", "fake://two"):
        fresh(url)
    async with Gateway(settings(tmp_path, "")) as gateway:
        await gateway.upstreams.add(Upstream("same", "fake", "fake://one", origin="api"))
    async with Gateway(settings(tmp_path, section("same", "fake://two"))) as gateway:
        live = gateway.upstreams.find("same")
        assert (live.upstream.url, live.upstream.origin) == ("fake://two", "file")
        with pytest.raises(Conflict, match="operator's file"):
            await gateway.upstreams.remove("same")
    async with Gateway(settings(tmp_path, "")) as gateway:
        assert gateway.upstreams.find("same").upstream.url == "fake://one"
        await gateway.upstreams.remove("same")
    async with Gateway(settings(tmp_path, "")) as gateway:
        assert gateway.upstreams.all() == []
        assert not gateway.registry.snapshot.agents


async def test_reload_takes_over_what_changed_and_leaves_the_rest_connected(tmp_path: Path) -> None:
    worlds = {name: fresh(f"fake://re-{name}") for name in ("stays", "goes", "comes", "moves", "moved")}
    first = section("stays", "fake://re-stays") + section("goes", "fake://re-goes") + section("m", "fake://re-moves")
    second = section("stays", "fake://re-stays") + section("comes", "fake://re-comes") + section("m", "fake://re-moved")
    async with Gateway(settings(tmp_path, first)) as gateway:
        await gateway.upstreams.settle(5)
        gateway.settings = settings(tmp_path, second)
        said = await gateway.upstreams.reload(gateway.configured())
        assert said == {"added": ["comes"], "removed": ["goes"], "changed": ["m"]}
        await gateway.upstreams.settle(5)
        assert {t.address.upstream for t in gateway.registry.snapshot.tools} == {"stays", "comes", "m"}
        assert {n: w.seen["connect"] for n, w in worlds.items()} == dict.fromkeys(worlds, 1)
        nothing = await gateway.upstreams.reload(gateway.configured())
        assert nothing == {"added": [], "removed": [], "changed": []}


async def test_a_reload_over_v1_of_a_broken_file_changes_nothing(tmp_path: Path) -> None:
    box = Box(tmp_path)
    await box.open()
    fresh("fake://kept")
    path = tmp_path / "doolittle.toml"
    path.write_text(section("kept", "fake://kept"))
    box.gateway.config_file = path
    async with httpx2.AsyncClient(base_url=await box.serve()) as client:
        assert (await client.post("/v1/reload", json={})).json()["added"] == ["kept"]
        path.write_text("[upstreams.kept]\nnetwrk = ")
        refused = await client.post("/v1/reload", json={})
        assert (refused.status_code, "doolittle.toml" in refused.text) == (400, True)
        assert [u["name"] for u in (await client.get("/v1/upstreams")).json()] == ["kept"]
    await box.close()


async def test_an_upstream_that_changes_its_network_leaves_nothing_behind(box: Box) -> None:
    fresh("fake://n")
    table = box.gateway.upstreams
    await table.reload([fake("n")])
    await table.settle(5)
    assert box.tools("n")
    await table.reload([Upstream("n", "elizaos", "http://127.0.0.1:9")])
    assert not box.tools("n")


async def test_a_restart_serves_the_catalogue_of_an_upstream_that_does_not_answer(tmp_path: Path) -> None:
    far = fresh("fake://asleep")
    said = settings(tmp_path, section("asleep", "fake://asleep"))
    async with Gateway(said) as gateway:
        await gateway.upstreams.settle(5)
        before = [t.name for t in gateway.registry.snapshot.tools]
    far.away = True
    async with Gateway(said) as gateway:
        assert [t.name for t in gateway.registry.snapshot.tools] == before, "before anything answered"
        assert all(a.degraded for a in gateway.registry.snapshot.agents.values())
        await gateway.upstreams.settle(5)
        assert [t.name for t in gateway.registry.snapshot.tools] == before
