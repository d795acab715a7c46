"""Agents that register themselves: whose a name is, what may be reached, and what time does."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from adapters import wire
from adapters.errors import BadArguments, ConnectFailed, Denied, GatewayError
from adapters.spi import Address, Agent, Call, Error, Event, Host, Manifest, Report, Result, Text, Tool, Upstream
from gateway.leases import named, require_address
from gateway.settings import RegistrationSettings
from gateway.testing import Box

NEAR = {"networks": ["127.0.0.0/8"]}
CALLBACK = "the-key-that-the-agent-made"


class Place:
    """Where an agent answers: HTTP, with the key that it saw last."""

    def __init__(self) -> None:
        self.keys: list[str] = []
        self.agents = ["ann"]

    async def open(self) -> str:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = int(self._server.sockets[0].getsockname()[1])
        return f"http://127.0.0.1:{self.port}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                self.keys.append(head.decode().partition("authorization: ")[2].partition("\r\n")[0])
                body = orjson.dumps(self.agents)
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    def close(self) -> None:
        self._server.close()


class Out:
    def __init__(self, upstream: Upstream, host: Host) -> None:
        self._upstream = upstream
        self._host = host

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[None]:
        yield

    async def _read(self) -> Any:
        headers = {"authorization": self._upstream.secret}
        request = self._host.http.build_request("GET", self._upstream.url, headers=headers)
        return orjson.loads((await wire.send(self._host.http, request, self._upstream.name))[1])

    async def agents(self) -> AsyncIterator[Agent]:
        for name in await self._read():
            yield Agent(Address("homely", self._upstream.name, name), name, tools=(Tool("ask"),))

    async def invoke(self, call: Call, tool: Tool) -> AsyncIterator[Event]:
        yield Result((Text(",".join(await self._read())),))

    async def check(self) -> Report:
        return Report(True, "")


class NoOptions(BaseModel):
    """There are none."""


class Homely:
    """A network whose far sides register themselves, over real HTTP."""

    options = NoOptions
    manifest = Manifest("homely", "Homely", frozenset({"outbound"}), can=frozenset({"register"}))

    def outbound(self, upstream: Upstream, host: Host) -> Out:
        return Out(upstream, host)

    def inbound(self, host: Host) -> Any:
        raise BadArguments("it does not call")


class House:
    """A gateway that agents may register with, and its doors."""

    def __init__(self, box: Box) -> None:
        self.box = box

    async def open(self) -> "House":
        self.box._adapters["homely"] = Homely()
        await self.box.open()
        self.url = await self.box.serve()
        self.ann = await self.box.key("ann", roles=("register",))
        self.eve = await self.box.key("eve", roles=("register", "call"))
        self.root = await self.box.key("root", roles=("call", "admin"))
        return self

    async def ask(self, method: str, path: str, key: str, said: Any = None) -> httpx2.Response:
        async with httpx2.AsyncClient(base_url=self.url, headers={"authorization": f"Bearer {key}"}) as client:
            return await client.request(method, path, json=said)

    async def register(self, key: str, url: str, label: str = "home", **more: Any) -> httpx2.Response:
        said = {"network": "homely", "url": url, "key": CALLBACK, **more.pop("said", {}), **more}
        return await self.ask("PUT", f"/v1/registrations/{label}", key, said)

    async def up(self, key: str, url: str, label: str = "home", **more: Any) -> dict[str, Any]:
        """Registers, and again until the gateway has been there."""
        for _ in range(500):
            answer = await self.register(key, url, label, **more)
            assert answer.status_code == 200, answer.text
            if answer.json()["up"]:
                return answer.json()
            await asyncio.sleep(0.01)
        raise AssertionError("it was never reached")

    async def call(self, tool: str) -> Event:
        return [e async for e in self.box.invoke(Call(f"c{next(_ids)}", tool, {}, self.box.caller))][-1]


_ids = iter(range(10_000))


@asynccontextmanager
async def standing(folder: Path, **registration: Any) -> AsyncIterator[tuple[House, Place, str]]:
    house = await House(Box(folder, registration=registration)).open()
    place = Place()
    try:
        yield house, place, await place.open()
    finally:
        place.close()
        await house.box.close()


async def until(holds: Any) -> None:
    for _ in range(1000):
        if holds():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never happened")


async def test_an_agent_registers_itself_and_is_called_with_its_own_key(tmp_path: Path) -> None:
    async with standing(tmp_path, **NEAR) as (house, place, url):
        lease = await house.up(house.ann, url)
        assert lease["seconds"] == 60
        assert lease["agents"] == ["ann"]
        event = await house.call("ann__ask")
        assert isinstance(event, Result)
        assert set(place.keys) == {CALLBACK}
        (listed,) = (await house.ask("GET", "/v1/upstreams", house.root)).json()
        assert {key: listed[key] for key in ("name", "origin", "trusted", "up")} == {
            "name": lease["name"], "origin": "self", "trusted": False, "up": True,
        }  # fmt: skip
        await house.box.gateway.audit.flush()
        kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
        assert CALLBACK.encode() not in kept
        assert CALLBACK not in str(listed)


async def test_it_takes_a_key_with_the_role(tmp_path: Path) -> None:
    async with standing(tmp_path, **NEAR) as (house, _place, url):
        assert (await house.register("dk_nobody", url)).status_code == 401
        assert (await house.register(house.root, url)).status_code == 403
        assert (await house.ask("DELETE", "/v1/registrations/home", house.root)).status_code == 403
        assert (await house.ask("GET", "/v1/upstreams", house.ann)).status_code == 403, (
            "and it is good for nothing else"
        )
        answer = await house.ask("POST", "/v1/tools/ann__ask/calls", house.ann, {"arguments": {}})
        assert answer.status_code == 403


async def test_another_key_neither_renews_nor_withdraws_nor_inherits(tmp_path: Path) -> None:
    async with standing(tmp_path, **NEAR) as (house, _place, url):
        hers = await house.up(house.ann, url)
        other = Place()
        theirs = await house.up(house.eve, await other.open())
        assert theirs["name"] != hers["name"]
        assert theirs["agents"] != hers["agents"] == ["ann"]
        found = house.box.gateway.upstreams.find(hers["name"])
        assert found.upstream.url == url
        assert (await house.ask("DELETE", f"/v1/registrations/{hers['name']}", house.eve)).status_code == 404
        assert isinstance(await house.call("ann__ask"), Result)
        assert (await house.ask("DELETE", "/v1/registrations/home", house.ann)).status_code == 204
        assert "ann" not in house.box.gateway.registry.snapshot.agents
        again = await house.up(house.eve, f"http://127.0.0.1:{other.port}/", "home")
        assert "ann" not in again["agents"], "a name is given once"
        full = await house.up(house.eve, f"http://127.0.0.1:{other.port}", hers["name"])
        assert "ann" not in full["agents"], "whatever it calls itself"
        back = await house.up(house.ann, url)
        assert back["agents"] == ["ann"], "and who comes back finds it"
        other.close()


@given(st.from_regex(r"[a-z0-9]+(-[a-z0-9]+)*", fullmatch=True), st.text(min_size=1), st.text(min_size=1))
def test_names_of_two_keys_never_meet(label: str, one: str, two: str) -> None:
    from adapters.spi import Caller
    from gateway.settings import NAME

    first, second = named(label, Caller(one)), named(label, Caller(two))
    assert len(first) <= 24
    assert NAME.match(first)
    assert (first == second) == (one == two)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:1", "http://localhost:1", "http://10.1.2.3", "http://192.168.0.1:3000", "http://[::1]:80",
        "http://[::ffff:127.0.0.1]", "http://169.254.169.254/", "http://100.64.0.1", "http://0.0.0.0", "https://[fe80::1]",
        "http://[64:ff9b::7f00:1]", "http://168.63.129.16",
    ],
)  # fmt: skip
def test_a_private_address_is_not_taken_unless_it_is_allowed(url: str) -> None:
    with pytest.raises(Denied):
        require_address(url, RegistrationSettings.model_validate({}))


@pytest.mark.parametrize(
    "url",
    [
        "", "home", "ftp://198.51.100.7", "file:///etc/passwd", "http://", "http://a:b@example.org", "http://@example.org",
        "http://example.org/?x=1", "http://example.org/#x", "http://example.org:99999", "http://exa mple.org", "http://[::1",
        "http://example.org/\r\nhost: x",
    ],
)  # fmt: skip
def test_what_is_no_plain_address_is_not_taken(url: str) -> None:
    with pytest.raises(GatewayError):
        require_address(url, RegistrationSettings.model_validate({"networks": ["0.0.0.0/0", "::/0"]}))


@given(st.text(max_size=60))
def test_any_text_is_taken_or_refused(url: str) -> None:
    try:
        require_address(url, RegistrationSettings.model_validate({}))
    except (BadArguments, Denied):
        return
    assert url.startswith(("http://", "https://", "HTTP", "hTTP", "Http"))


async def test_a_name_that_leads_to_a_private_address_is_never_connected_to(tmp_path: Path) -> None:
    """Written so that only a look-up tells; and nothing tells the registrant what was found."""
    async with standing(tmp_path) as (house, place, url):
        for host in ("127.1", "0x7f.0.0.1", "2130706433", "localhost.localdomain"):
            answers = [await house.register(house.eve, f"http://{host}:{place.port}", "guess") for _ in range(3)]
            assert {a.status_code for a in answers} == {200}
            assert {a.text.count('"up":false') for a in answers} == {1}
            await house.box.refresh(answers[0].json()["name"])
        assert place.keys == []
        assert (await house.register(house.eve, url)).status_code == 403


async def test_callers_are_not_told_what_is_at_a_registered_address(tmp_path: Path) -> None:
    async with standing(tmp_path, **NEAR) as (house, place, url):
        await house.up(house.eve, url)
        place.close()
        house.box.gateway.registry.snapshot.agents["ann"]
        closed = Place()
        gone = await closed.open()
        closed.close()
        answer = (await house.register(house.eve, gone)).json()
        assert answer["up"] is False
        await house.box.refresh(answer["name"])
        event = await house.call("ann__ask")
        assert isinstance(event, Error)
        assert event.error.public == f"the upstream '{answer['name']}' is away"
        (listed,) = (await house.ask("GET", "/v1/upstreams", house.root)).json()
        assert listed["said"], "the operator is"


async def test_a_lease_that_runs_out_is_degraded_and_comes_back(tmp_path: Path) -> None:
    async with standing(tmp_path, lease=0.3, **NEAR) as (house, place, url):
        lease = await house.up(house.ann, url)
        agents = house.box.gateway.registry
        await until(lambda: agents.snapshot.agents["ann"].degraded)
        event = await house.call("ann__ask")
        assert isinstance(event, Error)
        assert isinstance(event.error, ConnectFailed)
        assert event.error.delivered == "no"
        assert "lease has run out" in event.error.public
        asked = len(place.keys)
        await house.box.refresh(lease["name"])
        assert len(place.keys) == asked, "nobody speaks for that address any more"
        assert (await house.ask("GET", "/v1/upstreams", house.root)).json()[0]["up"] is False
        assert (await house.up(house.ann, url))["agents"] == ["ann"]
        assert not agents.snapshot.agents["ann"].degraded
        assert isinstance(await house.call("ann__ask"), Result)


async def test_who_renews_stays(tmp_path: Path) -> None:
    async with standing(tmp_path, lease=2.0, **NEAR) as (house, _place, url):
        lease = await house.up(house.ann, url)
        ends = house.box.gateway.leases._ends
        first = ends[lease["name"]].when()
        await house.up(house.ann, url)
        assert ends[lease["name"]].when() > first
        assert len(ends) == 1


async def test_after_a_restart_of_the_gateway_the_agent_is_there_at_once(tmp_path: Path) -> None:
    async with standing(tmp_path, **NEAR) as (house, place, url):
        lease = await house.up(house.ann, url)
        await house.box.restart()
        await house.box.gateway.upstreams.settle(5)
        place.keys.clear()
        event = await house.call("ann__ask")
        assert isinstance(event, Result)
        assert place.keys == [CALLBACK]
        assert lease["name"] in house.box.gateway.leases._ends, "for one lease more"
        await house.box.restart()
        house.url = await house.box.serve()
        assert (await house.ask("DELETE", "/v1/registrations/home", house.ann)).status_code == 204
        await house.box.restart()
        assert house.box.gateway.upstreams.all() == []


async def test_an_agent_that_starts_anew_has_another_key_or_address(tmp_path: Path) -> None:
    async with standing(tmp_path, **NEAR) as (house, place, url):
        await house.up(house.ann, url)
        await house.up(house.ann, url, said={"key": "another"})
        place.keys.clear()
        await house.call("ann__ask")
        assert place.keys == ["another"]
        moved = Place()
        await house.up(house.ann, await moved.open())
        await house.call("ann__ask")
        assert moved.keys[-1] == CALLBACK
        moved.close()


async def test_the_operators_own_wins(tmp_path: Path) -> None:
    async with standing(tmp_path, **NEAR) as (house, _place, url):
        lease = await house.up(house.ann, url)
        assert (await house.ask("DELETE", f"/v1/upstreams/{lease['name']}", house.root)).status_code == 204
        assert house.box.gateway.upstreams.all() == []
        await house.box.add(Upstream(lease["name"], "fake", "fake://taken"))
        answer = await house.register(house.ann, url)
        assert answer.status_code == 409
        assert house.box.gateway.upstreams.find(lease["name"]).upstream.network == "fake"


async def test_networks_that_do_not_register_are_refused(tmp_path: Path) -> None:
    async with standing(tmp_path, **NEAR) as (house, _place, url):
        answers = [await house.register(house.ann, url, network=n) for n in ("fake", "mcp", "http", "nowhere")]
        assert [a.status_code for a in answers] == [400, 400, 400, 404]
        assert house.box.gateway.upstreams.all() == []
        assert (await house.register(house.ann, url, "Not A Name")).status_code == 400
        assert (await house.register(house.ann, url, command=["sh"])).status_code == 400


async def test_one_key_holds_so_many_and_changes_so_often(tmp_path: Path) -> None:
    async with standing(tmp_path, most=2, **NEAR) as (house, _place, url):
        codes = [(await house.register(house.ann, url, label)).status_code for label in ("a", "b", "c", "a")]
        assert codes == [200, 200, 503, 200]
        assert (await house.register(house.eve, url, "c")).status_code == 200, "another key has its own"
        answers = [await house.register(house.ann, url, "a", said={"key": str(n)}) for n in range(60)]
        assert answers[0].status_code == 200
        assert answers[-1].status_code == 429
        assert int(answers[-1].headers["retry-after"]) > 0
