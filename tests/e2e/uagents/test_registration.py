"""Agents are made known: to the Almanac by signature, to Agentverse by key; renewed, and quiet without a network."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx2
import pytest
from structlog.testing import capture_logs
from uagents_core.protocol import ProtocolSpecification

from adapters.errors import Refused
from adapters.fake.world import WORLDS, world
from adapters.spi import Upstream
from adapters.uagents import almanac as directory
from adapters.uagents import calling, chat, envelopes, registrar
from adapters.uagents.signing import Signer
from gateway.settings import NetworkSettings
from gateway.telemetry import start_log
from gateway.testing import Box
from tests.e2e.uagents.almanac import KEY, Almanac, served

pytestmark = pytest.mark.e2e
URL = "fake://registered"


@pytest.fixture
async def there() -> AsyncIterator[tuple[Almanac, str]]:
    made = Almanac()
    async with served(made) as url:
        yield made, url


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registrar, "LOOK", 0.05)
    monkeypatch.setattr(registrar, "POLL", 0.05)


@pytest.fixture
def loud() -> Iterator[None]:
    """Warnings are logged."""
    start_log("warning")
    yield
    start_log("error")


async def until(holds: Callable[[], bool]) -> None:
    for _ in range(1000):
        if holds():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("never happened")


async def face(box: Box, agents: int = 1, **said: Any) -> list[dict[str, Any]]:
    WORLDS.pop(URL, None)
    world(URL, agents)
    await box.add(Upstream("behind", "fake", URL, options={"agents": agents}))
    box.gateway.settings.networks["uagents"] = NetworkSettings.model_validate(said)
    async with httpx2.AsyncClient(base_url=await box.serve(), trust_env=False) as client:
        found: list[dict[str, Any]] = (await client.get("/uagents/agents")).json()
    return found


async def test_the_almanac_hears_of_all_in_batches_with_endpoint_protocols_and_manifest(
    box: Box, there: tuple[Almanac, str]
) -> None:
    almanac, url = there
    agents = await face(box, 150, almanac=url, registration="almanac")
    await until(lambda: len(almanac.agents) == 150)
    assert set(almanac.agents) == {agent["address"] for agent in agents}
    assert not almanac.refused
    posts = [path for method, path in almanac.seen if method == "POST" and "almanac/agents" in path]
    assert posts == ["/v1/almanac/agents/batch"] * 2
    for agent in agents:
        record = almanac.agents[agent["address"]]
        assert record["endpoints"] == [{"url": box.gateway.base_url + "/uagents/submit", "weight": 1}]
        assert {chat.DIGEST, calling.MCP} <= set(record["protocols"])
        for own in set(record["protocols"]) - {chat.DIGEST, calling.MCP}:
            manifest = almanac.manifests[own]
            assert ProtocolSpecification.compute_digest(manifest) == own


async def test_it_is_renewed_before_it_expires_with_a_new_signature(
    box: Box, there: tuple[Almanac, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    almanac, url = there
    monkeypatch.setattr(registrar, "RENEW", 0.2)
    (agent,) = await face(box, almanac=url, registration="almanac")
    await until(lambda: agent["address"] in almanac.agents)
    first = almanac.agents[agent["address"]]["expiry"]
    await until(lambda: almanac.agents[agent["address"]]["expiry"] != first)
    assert not almanac.refused, "an old attestation would be refused"


async def test_a_rotated_identity_and_a_new_agent_are_made_known(box: Box, there: tuple[Almanac, str]) -> None:
    almanac, url = there
    (agent,) = await face(box, almanac=url, registration="almanac")
    await until(lambda: agent["address"] in almanac.agents)
    await box.gateway.keyring.rotate(("uagents", "all"))
    await until(lambda: len(almanac.agents) == 2)
    world(URL).add("newcomer")
    await box.refresh("behind")
    await until(lambda: len(almanac.agents) == 3)


async def test_agentverse_by_key_with_profile_and_readme(
    box: Box, there: tuple[Almanac, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    almanac, url = there
    (agent,) = await face(box, almanac=url, registration="agentverse", key=KEY)
    await until(lambda: agent["address"] in almanac.profiles)
    monkeypatch.setattr(registrar, "RENEW", 0.0)
    seen = len(almanac.seen)
    await until(lambda: len(almanac.seen) > seen + 4)
    assert sum(path == "/v2/agents" for _, path in almanac.seen) == 1, "it stays there, and is not renewed"
    profile = almanac.profiles[agent["address"]]
    assert profile["endpoints"][0]["url"].endswith("/uagents/submit")
    assert chat.DIGEST in profile["protocols"]
    assert "all__echo" in profile["profile"]["readme"]
    assert len(profile["name"]) <= 32
    assert len(profile["profile"]["description"]) <= 300
    assert profile["profile"]["starter_prompts"]


@pytest.mark.usefixtures("loud")
async def test_a_wrong_key_is_said_once_and_calls_go_on(box: Box, there: tuple[Almanac, str]) -> None:
    almanac, url = there
    with capture_logs() as logs:
        await face(box, almanac=url, registration="agentverse", key="no")
        await until(lambda: len(almanac.refused) >= 3)
    said = [line for line in logs if line["event"] == "agents are not made known"]
    assert len(said) == 1
    assert "no challenge (401)" in said[0]["said"]


@pytest.mark.usefixtures("loud")
async def test_without_a_network_nothing_waits_and_nothing_is_repeated(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = 0
    attest = directory.Almanac.attest

    async def counted(*words: Any) -> None:
        nonlocal tries
        tries += 1
        await attest(*words)

    monkeypatch.setattr(directory.Almanac, "attest", counted)
    with capture_logs() as logs:
        began = time.monotonic()
        await face(box, almanac="http://127.0.0.1:9", registration="almanac")
        assert time.monotonic() - began < 30
        await until(lambda: [line for line in logs if line["event"] == "agents are not made known"] != [])
        await asyncio.sleep(0.5)
    assert len([line for line in logs if line["event"] == "agents are not made known"]) == 1
    assert tries <= 5, "later each time"


async def test_off_by_default_nobody_is_told(box: Box, there: tuple[Almanac, str]) -> None:
    almanac, url = there
    await face(box, almanac=url)
    await asyncio.sleep(0.3)
    assert not almanac.seen
    async with httpx2.AsyncClient(base_url=box.gateway.base_url, trust_env=False) as client:
        response = await client.post("/uagents/agents/all", json={})
    assert response.status_code == 400
    assert 'registration = "almanac"' in response.json()["detail"]


async def test_what_waits_in_the_mailbox_is_answered(box: Box, there: tuple[Almanac, str]) -> None:
    from adapters.uagents.testing import Mouth

    almanac, url = there
    async with Mouth() as mouth:
        pinned = {mouth.signer.address: mouth.url}
        (agent,) = await face(box, almanac=url, registration="agentverse", key=KEY, mailbox=True, endpoints=pinned)
        await until(lambda: agent["address"] in almanac.boxes)
        record = almanac.agents[agent["address"]]
        assert record["endpoints"] == [{"url": f"{url}/v2/agents/mailbox/submit", "weight": 1}]
        session = uuid.uuid4()
        heard = mouth.heard[session] = asyncio.Queue()
        made = envelopes.make(mouth.signer, agent["address"], session, chat.ask('echo {"text": "by post"}'))
        forged = made.model_copy(update={"signature": Signer.fresh().sign_digest(b"0" * 32)})
        async with httpx2.AsyncClient(trust_env=False) as client:
            for one in (forged, made, made):
                headers = {"content-type": "application/json"}
                content = one.model_dump_json()
                (
                    await client.post(f"{url}/v2/agents/mailbox/submit", content=content, headers=headers)
                ).raise_for_status()
        assert (await heard.get()).schema_digest == chat.ACKNOWLEDGEMENT
        answer = await heard.get()
        assert chat.read(envelopes.payload(answer)).text == "by post"
        await until(lambda: not almanac.boxes[agent["address"]])
        assert heard.empty(), "a copy is not answered again"


async def test_the_stand_in_is_strict(there: tuple[Almanac, str]) -> None:
    almanac, url = there
    signer = Signer.fresh()
    async with httpx2.AsyncClient(trust_env=False) as client:
        speak = directory.Almanac(client, url)
        good = directory.attestation(signer, "https://example.org/submit", [chat.DIGEST])
        old = good.model_copy(update={"timestamp": int(time.time()) - 4000})
        for bad in (
            good.model_copy(update={"endpoints": []}),
            good.model_copy(update={"agent_identifier": f"agent://{Signer.fresh().address}"}),
            old,
        ):
            with pytest.raises(Refused, match="401"):
                await speak.attest([bad])
        await speak.attest([good])
        assert (await speak.record(signer.address) or {})["status"] == "active"
        await speak.status(signer, False)
        assert almanac.agents[signer.address]["status"] == "inactive"
        almanac.agents[signer.address]["expiry"] = "2020-01-01T00:00:00+00:00"
        assert await speak.record(signer.address, fresh=True) is None
        with pytest.raises(Refused, match="digest mismatch"):
            await speak.publish({"version": "1.0", "metadata": {"digest": "proto:x"}, "models": [], "interactions": []})
