"""Which agents an upstream is, and that records lead nowhere inside."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from adapters.errors import Denied
from adapters.spi import Call, Error, Upstream
from adapters.uagents import almanac as directory
from adapters.uagents import chat
from adapters.uagents.signing import Signer
from gateway.testing import Box
from tests.e2e.uagents.almanac import Almanac, served
from tests.e2e.uagents.conftest import Town

pytestmark = pytest.mark.e2e


@pytest.fixture
async def there() -> AsyncIterator[tuple[Almanac, str]]:
    made = Almanac()
    async with served(made) as url:
        yield made, url


async def settle(url: str, count: int, endpoint: str = "https://93.184.216.34/submit", **meta: str) -> list[str]:
    """So many agents that chat, registered by their own signatures."""
    async with httpx2.AsyncClient(trust_env=False) as client:
        speak = directory.Almanac(client, url)
        signers = [Signer.fresh() for _ in range(count)]
        told = [
            directory.attestation(s, endpoint, [chat.DIGEST], {"name": f"{meta.get('name', 'agent')} {n}"})
            for n, s in enumerate(signers)
        ]
        await speak.attest(told)
    return [signer.address for signer in signers]


def agents(box: Box, upstream: str) -> set[str]:
    found = box.gateway.registry.snapshot.agents.values()
    return {a.address.native for a in found if a.address.upstream == upstream}


async def test_a_list_of_addresses(box: Box, there: tuple[Almanac, str]) -> None:
    _, url = there
    known = await settle(url, 3)
    await box.add(Upstream("some", "uagents", url, options={"agents": known[:2]}))
    assert agents(box, "some") == set(known[:2])


async def test_all_that_speak_a_protocol_and_no_more_than_fifty(box: Box, there: tuple[Almanac, str]) -> None:
    _, url = there
    await settle(url, 60)
    await box.add(Upstream("many", "uagents", url, options={"protocol": chat.DIGEST}))
    assert len(agents(box, "many")) == 50
    await box.add(Upstream("none", "uagents", url, options={"protocol": "proto:" + "0" * 64}))
    assert agents(box, "none") == set()
    report = await box.report(Upstream("none", "uagents", url, options={"protocol": "proto:" + "0" * 64}))
    assert not report.ok
    assert "no agent fits" in report.text


async def test_what_a_search_finds_and_no_more_than_fifty(box: Box, there: tuple[Almanac, str]) -> None:
    almanac, url = there
    weather = await settle(url, 55, name="weather")
    await settle(url, 5, name="cooking")
    await box.add(Upstream("found", "uagents", url, options={"search": "weather"}))
    assert len(agents(box, "found")) == 50
    assert agents(box, "found") <= set(weather)
    for address in weather[10:]:
        almanac.agents[address]["status"] = "inactive"
    for _ in range(2):
        await box.refresh("found")
    assert agents(box, "found") == set(weather[:10])


async def test_ours_are_not_listed_as_strangers(box: Box, there: tuple[Almanac, str], town: Town) -> None:
    from gateway.settings import NetworkSettings

    almanac, url = there
    await box.add(Upstream("behind", "fake", "fake://ours"))
    said = {"almanac": url, "registration": "almanac"}
    box.gateway.settings.networks["uagents"] = NetworkSettings.model_validate(said)
    await box.serve()
    while not almanac.agents:
        await asyncio.sleep(0.01)
    (other,) = await settle(url, 1)
    await box.add(Upstream("all", "uagents", url, options={"protocol": chat.DIGEST}))
    assert agents(box, "all") == {other}


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://127.0.0.1:{port}/submit", "http://localhost:{port}/submit", "http://[::1]:{port}/submit",
        "http://169.254.169.254/latest/meta-data/", "http://2130706433:{port}/", "file:///etc/passwd", "not a url",
        "http://10.0.0.1/", "gopher://127.0.0.1:{port}/", "",
    ],
)  # fmt: skip
async def test_a_record_that_points_inside_is_not_followed(box: Box, there: tuple[Almanac, str], endpoint: str) -> None:
    """Nothing is sent, and the caller is told that it was not delivered."""
    _, url = there
    touched = 0

    async def canary(_reader: Any, writer: asyncio.StreamWriter) -> None:
        nonlocal touched
        touched += 1
        writer.close()

    trap = await asyncio.start_server(canary, "127.0.0.1", 0)
    port = trap.sockets[0].getsockname()[1]
    (address,) = await settle(url, 1, endpoint.format(port=port))
    box.gateway.settings.networks.pop("uagents", None)
    await box.serve()
    await box.add(Upstream("lure", "uagents", f"agent://{address}", options={"almanac": url}))
    (tool,) = box.tools("lure")
    events = [e async for e in box.invoke(Call("c", tool.name, {"message": "hello"}, box.caller))]
    last = events[-1]
    assert isinstance(last, Error), events
    assert last.error.delivered == "no"
    assert last.error.code in (Denied.code, "connect_failed")
    assert touched == 0
    report = await box.report(Upstream("lure", "uagents", f"agent://{address}", options={"almanac": url}))
    assert not report.ok
    assert touched == 0
    trap.close()


async def test_a_record_is_believed_for_a_while_and_asked_for_anew_when_it_does_not_hold(
    there: tuple[Almanac, str],
) -> None:
    almanac, url = there
    (address,) = await settle(url, 1)
    async with httpx2.AsyncClient(trust_env=False) as client:
        found = directory.Almanac(client, url)
        for _ in range(3):
            assert await found.endpoints(address) == ["https://93.184.216.34/submit"]
        asked = [path for method, path in almanac.seen if method == "GET"]
        assert len(asked) == 1
        found.forget(address)
        await found.endpoints(address)
        assert len([path for method, path in almanac.seen if method == "GET"]) == 2


async def test_settings_that_make_no_sense_are_told(box: Box) -> None:
    from adapters.errors import BadArguments

    for url, options in (
        ("agent://nobody", {}),
        ("http://127.0.0.1:1", {}),
        ("http://127.0.0.1:1", {"agents": ["agent1x"]}),
        ("http://127.0.0.1:1", {"search": "x", "colour": "red"}),
    ):
        with pytest.raises(BadArguments):
            await box.add(Upstream("bad", "uagents", url, options=options))


async def test_check_speaks_plainly(box: Box, town: Town) -> None:
    good = await box.report(town.upstream)
    assert good.ok, good
    assert good.facts == {"agents": 1}
    away = Upstream("away", "uagents", town.upstream.url, options={"almanac": "http://127.0.0.1:9"})
    said = await box.report(away)
    assert not said.ok
    assert "127.0.0.1:9" in said.text
