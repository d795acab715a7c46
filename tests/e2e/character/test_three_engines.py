"""One character file, the same persona on three engines; its people are known on each, over a restart."""

import asyncio

import httpx
import httpx2
import pytest
from a2a.client import A2ACardResolver, ClientConfig, ClientFactory
from a2a.helpers import get_stream_response_text, new_text_message
from a2a.types import Role, SendMessageRequest
from mcp import Client

from adapters.character.persona import read
from adapters.spi import Caller
from tests.e2e.character.conftest import ENGINES, EVERY, FILE, Room

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]


@pytest.mark.parametrize("engine", EVERY)
async def test_the_persona_is_the_same(room: Room, engine: str) -> None:
    await room.switch(engine)
    said = await room.say("How do you do?", Caller(f"somebody of {engine}"), "c")
    assert "You said:" in said
    sentences = read(FILE).sentences
    assert len(sentences) > 15
    prompt = room.prompt(engine)
    assert {sentence for sentence in sentences if sentence in prompt} == set(sentences)


@pytest.mark.parametrize("engine", ENGINES)
async def test_people_are_known_over_a_restart(room: Room, engine: str) -> None:
    await room.switch(engine)
    bob, eve = Caller(f"bob of {engine}"), Caller(f"eve of {engine}")
    await room.say("My name is Robert. My parrot is called Polly.", bob, "first")
    await room.box.restart()
    assert "Robert" not in await room.say("Good day.", eve, "second")
    assert "Polly" not in room.prompt(engine)
    await room.say("Do you know me?", bob, "second")
    prompt = room.prompt(engine)
    assert "Their name is Robert." in prompt
    assert "- My parrot is called Polly." in prompt
    assert "spoken with them 1 times" in prompt


@pytest.mark.parametrize("engine", ENGINES)
async def test_an_mcp_client_an_a2a_client_and_a_uagent_reach_it(room: Room, engine: str) -> None:
    await room.switch(engine)
    url = await room.box.serve()
    async with Client(url + "/mcp/all", mode="auto") as client:
        result = await client.call_tool("lovelace__ask", {"message": "by MCP"})
        assert "You said:" in str(getattr(result.content[0], "text", ""))
    assert "You said:" in await by_a2a(url, "by A2A")
    heard = await by_uagents(room, url, "by a uAgent")
    assert "You said:" in heard
    assert {"by MCP", "by A2A", "by a uAgent"} <= {
        piece.text for person in room.outbound._people.all() for piece in person.said
    }


async def by_a2a(url: str, text: str) -> str:
    """By the official SDK."""
    async with httpx.AsyncClient(timeout=60, trust_env=False) as http:
        card = await A2ACardResolver(http, f"{url}/a2a/lovelace").get_agent_card()
        config = ClientConfig(httpx_client=http, supported_protocol_bindings=["JSONRPC"])
        client = ClientFactory(config).create(card)
        message = SendMessageRequest(message=new_text_message(text, role=Role.ROLE_USER))
        events = [event async for event in client.send_message(message)]
    return "".join(get_stream_response_text(e) for e in events if e.WhichOneof("payload") == "artifact_update")


async def by_uagents(room: Room, url: str, text: str) -> str:
    """By the real agent, which finds it in the Almanac."""
    async with httpx2.AsyncClient(base_url=url, trust_env=False) as client:
        found = (await client.get("/uagents/agents/lovelace")).raise_for_status().json()
        (await client.post("/uagents/agents/lovelace", json={})).raise_for_status()
    for _ in range(2000):
        if found["address"] in room.town.almanac.agents:
            break
        await asyncio.sleep(0.01)
    said = await room.town.freddy.order("chat", target=found["address"], text=text, sync=True)
    return str(said["heard"][-1]["text"])
