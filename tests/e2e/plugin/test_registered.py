"""Agents that registered themselves: chains through them, and what goes away and comes back."""

import asyncio
import json
from pathlib import Path

import pytest

from adapters.errors import Unreachable
from adapters.spi import Call, Caller, Error, Result, Upstream
from examples.tour.eliza import ElizaServer
from gateway.testing import Box
from tests.e2e.conftest import KEY
from tests.e2e.plugin.agents import Line
from tests.e2e.plugin.inside import FIXED, NEAR, Inside

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]


# ---- chains -----------------------------------------------------------------------------------------------------


async def test_a_circle_is_cut_by_the_hops_that_came_with_the_message(inside: Inside) -> None:
    """Eliza -> gateway -> Pickering -> gateway -> Eliza. Their keys name no agent: the chain is what was handed on."""
    inner = "!call eliza__ask " + json.dumps({"message": "and again"})
    step = {"tool": "pickering__ask", "arguments": {"message": inner, "multi_step": False}}
    call = inside.call("eliza__ask", {"message": f"!call {step['tool']} {json.dumps(step['arguments'])}"})
    before = inside.noted("large", "large-stream")
    last = [event async for event in inside.box.invoke(call)][-1]
    assert isinstance(last, Error)
    assert "go round in a circle" in last.error.public
    assert "eliza__ask -> pickering__ask -> eliza__ask" in last.error.public
    assert inside.noted("large", "large-stream") == before + 2, "no third message reached an agent"


async def test_a_chain_has_the_rights_of_who_began_it(inside: Inside) -> None:
    """Whoever may call Eliza alone reaches nobody else through her, though her own key could."""
    only = Caller("visitor", allow=("eliza__*",))
    words = "!call pickering__ask " + json.dumps({"message": "hello", "multi_step": False})
    error = await inside.broken(inside.call("eliza__ask", {"message": words}, caller=only))
    assert error.public == "My key does not allow this call."
    assert await inside.said(words) == "You said: hello"


async def test_who_goes_away_ends_the_calls_that_the_agent_makes_for_him(inside: Inside) -> None:
    words = "!call pickering__ask " + json.dumps({"message": "!slow 60000", "multi_step": False})
    running = asyncio.create_task(inside.events(words))
    calls = inside.box.gateway.calls
    while not any(one.call.tool == "pickering__ask" for one in calls.running()):
        await asyncio.sleep(0.02)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    for _ in range(300):
        if not calls.running():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("the call of the agent goes on")


# ---- time, and what goes away -----------------------------------------------------------------------------------


async def test_either_side_may_start_anew_in_any_order(built: Path, tmp_path: Path) -> None:
    """The agent first, then the gateway; the gateway anew; the server killed and anew; the server stopped."""
    box = Box(tmp_path / "box", registration=NEAR)
    line = Line("")
    line.far = None
    async with line.listening() as at:
        env = {"PLUGINS": str(built), "DOOLITTLE_URL": at, "TEST_ACTIONS": "1"}
        server = await ElizaServer(tmp_path / "mortal", key=KEY, env=env).start()
        await box.open()
        place = Inside(box, server, line, {})
        line.turn(await box.serve())
        await place.listed("eliza")
        assert await place.said("first", conversation="long") == "You said: first"
        await place.restart()
        await place.listed("eliza")
        assert await place.said("!talk second", conversation="long") == "second"
        running = asyncio.create_task(place.fault("!slow 60000 die", timeout=30))
        while "!slow 60000 die" not in server.model_log.read_text():
            await asyncio.sleep(0.02)
        await server.kill()
        error = await asyncio.wait_for(running, 10)
        assert isinstance(error, Unreachable)
        assert error.delivered == "unknown"
        assert "eliza" in error.public
        assert (await place.fault("nobody is there")).delivered == "no"
        await server.start()
        last = (await place.events("back again"))[-1]
        for _ in range(300):
            if isinstance(last, Result):
                break
            await asyncio.sleep(0.1)
            last = (await place.events("back again"))[-1]
        assert isinstance(last, Result), last
        await server.stop()
        assert "eliza" not in box.gateway.registry.snapshot.agents, "it took its offer back"
    await box.close()


async def test_the_operators_upstream_takes_the_better_route_where_it_is(inside: Inside, box: Box) -> None:
    """One server, its own key and the plugin's: Higgins by the plugin, the others, who have other keys, by the API."""
    options = {"plugin": {"key": FIXED}}
    await box.add(Upstream("home", "elizaos", inside.server.url, KEY, options=options))
    names = {tool.name for tool in box.tools("home")}
    assert "higgins__TEST_WELL" in names
    assert {n for n in names if n.startswith("eliza")} == {"eliza__ask"}
    for agent, better in (("higgins", True), ("eliza", False)):
        call = Call(f"both-{agent}", f"{agent}__ask", {"message": "hello"}, box.caller)
        *previews, last = [event async for event in box.invoke(call)]
        assert isinstance(last, Result)
        assert last.text == "You said: hello"
        assert bool(previews) is better
    report = await box.report(Upstream("home", "elizaos", inside.server.url, KEY, options=options))
    assert report.ok
    assert report.facts["by_plugin"] == ["Higgins"]
    wrong = Upstream("home", "elizaos", inside.server.url, KEY, options={"plugin": {"key": "no"}})
    report = await box.report(wrong)
    assert report.ok
    assert "plugin.key" in report.text


async def test_a_call_is_one_request_on_a_connection_that_is_kept(inside: Inside, box: Box) -> None:
    counted = Line(inside.server.url)
    async with counted.listening() as at:
        options = {"plugin": {"key": FIXED, "agents": [inside.id("Higgins")]}}
        await box.add(Upstream("home", "elizaos", at, options=options))
        for number in range(5):
            call = Call(f"keep-{number}", "higgins__ask", {"message": "hello"}, box.caller)
            assert isinstance([event async for event in box.invoke(call)][-1], Result)
        assert counted.taken == 1
