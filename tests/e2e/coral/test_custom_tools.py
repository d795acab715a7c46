"""Our tools in Coral sessions, as custom tools. Against the stand-in."""

import asyncio
from typing import Any

import httpx2
import orjson
import pytest
from mcp.client.client import Client

from adapters.fake.world import World
from adapters.spi import Upstream
from gateway.settings import NetworkSettings
from gateway.testing import Box
from tests.e2e.coral import definitions
from tests.e2e.coral.agents import absent
from tests.e2e.coral.face import sign
from tests.e2e.coral.rules import SessionAgent
from tests.e2e.coral.standin import CoralServer
from tests.e2e.coral.test_outgoing import events

pytestmark = pytest.mark.e2e


@pytest.fixture
async def tools(box: Box, coral: CoralServer, far: World) -> dict[str, Any]:
    said = NetworkSettings.model_validate({"secret": coral.secret, "admit": ["server"]})
    box.gateway.settings.networks["coral"] = said
    box.gateway.keys.networks = {"coral": said}
    url = await box.serve()
    async with httpx2.AsyncClient(base_url=url, trust_env=False) as client:
        return dict((await client.get("/coral/tools")).json()["customTools"])


async def test_any_agent_of_a_session_calls_our_tools(box: Box, coral: CoralServer, far: World, tools: Any) -> None:
    coral.define(definitions.function("silent", absent))
    identifier = {"name": "silent", "version": "1.0.0", "registrySourceId": {"type": "local"}}
    agent = {"id": identifier, "name": "a", "provider": {"type": "local", "runtime": "function"}}
    graph = {"agents": [{**agent, "customToolAccess": list(tools)}], "customTools": tools}
    space = {"type": "create_if_not_exists", "namespaceRequest": {"name": "test"}}
    session = coral.open({"agentGraphRequest": graph, "namespaceProvider": space})
    async with Client(f"{coral.url}/mcp/v1/{session.agents['a'].secret}/mcp", mode="legacy") as client:
        listed = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert listed["all__echo"].input_schema["required"] == ["text"]

        async def said(tool: str, **arguments: Any) -> tuple[str, bool]:
            found = await client.call_tool(tool, arguments)
            return str(getattr(found.content[0], "text", "")), bool(found.is_error)

        assert await said("all__echo", text="Grüße") == ("Grüße", False)
        assert await said("all__add", a=1, b=2) == ('{"sum":3}', False)
        assert (await said("all__remember", text="one"))[0] == "one"
        assert (await said("all__remember", text="two"))[0] == "one two", "the session is the conversation"
        assert (await said("all__echo", text=5))[0].startswith("Error (bad_arguments)")
        assert (await said("all__ask"))[0].startswith("Error (bad_arguments): 'all__ask' asks back")
        assert await said("all__fail", kind="refused") == ("Error code 502 returned", True)


async def test_a_tool_that_takes_long_is_asked_again(
    box: Box, coral: CoralServer, far: World, tools: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapters.coral.inbound.PATIENCE", 0.2)
    async with httpx2.AsyncClient(trust_env=False) as client:
        said = await _signed(client, coral, tools["all__echo"], {"text": "at last", "delay": 0.5})
        assert "still being worked at" in said.text
        await asyncio.sleep(0.5)
        said = await _signed(client, coral, tools["all__echo"], {"text": "at last", "delay": 0.5})
        assert said.text == "at last"
    assert far.seen["deliver"] == 1


async def _signed(client: httpx2.AsyncClient, coral: CoralServer, tool: Any, arguments: Any) -> httpx2.Response:
    body = orjson.dumps(arguments)
    headers = {"content-type": "application/json", "X-Coral-Signature": sign(coral.secret, body)}
    return await client.post(f"{tool['transport']['url']}/s/a", content=body, headers=headers)


async def test_signatures_must_hold(box: Box, coral: CoralServer, far: World, tools: Any) -> None:
    url = f"{tools['all__echo']['transport']['url']}/s/a"
    body = b'{"text":"x"}'
    kind = {"content-type": "application/json"}
    async with httpx2.AsyncClient(trust_env=False, headers=kind) as client:
        good = sign(coral.secret, body)
        for bad in ("", "00", sign("other", body), sign(coral.secret, b"{}"), good[:-1]):
            response = await client.post(url, content=body, headers={"X-Coral-Signature": bad})
            assert response.status_code == 401
        assert far.seen["deliver"] == 0
        for _ in range(2):  # a limit of the network's: who has heard a call may repeat it
            assert (await client.post(url, content=body, headers={"X-Coral-Signature": good.upper()})).text == "x"
        await box.key("ann")
        assert (await client.post(url, content=body, headers={"X-Coral-Signature": good})).text == "x", "it is admitted"
        assert (await client.get(url.partition("/coral/")[0] + "/coral/tools")).status_code == 401


async def test_without_a_secret_there_are_no_custom_tools(box: Box, far: World) -> None:
    url = await box.serve()
    async with httpx2.AsyncClient(base_url=url, trust_env=False) as client:
        headers = {"content-type": "application/json", "X-Coral-Signature": sign("", b"{}")}
        response = await client.post("/coral/tools/all__echo/s/a", content=b"{}", headers=headers)
        assert response.status_code == 401
        assert "secret" in response.json()["detail"]


async def test_the_chain_of_a_custom_tool_is_that_of_its_session(
    box: Box, coral: CoralServer, far: World, tools: Any
) -> None:
    """The agent of a session of ours calls a tool: the outer call is its parent."""

    async def user(agent: SessionAgent) -> None:
        agent.connect()
        while True:
            heard = await agent.mention(0)
            if heard is None:
                continue
            async with httpx2.AsyncClient(trust_env=False) as client:
                body = orjson.dumps({"text": heard.text})
                headers = {"content-type": "application/json", "X-Coral-Signature": sign(coral.secret, body)}
                url = f"{tools['all__echo']['transport']['url']}/{agent.session.id}/user"
                said = await client.post(url, content=body, headers=headers)
            agent.send(heard.thread, said.text, [heard.sender])
            await asyncio.Event().wait()

    coral.define(definitions.function("user", user))
    await box.add(Upstream("reef", "coral", coral.url, coral.key))
    end = (await events(box, "user__ask", message="hello"))[-1]
    assert getattr(end, "text", end) == "hello"
    (chain,) = far.hops.values()
    assert [hop.split("/")[2] for hop in chain.split(",")] == ["user__ask", "all__echo"]
