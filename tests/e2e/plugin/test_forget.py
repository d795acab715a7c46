"""`doolittle forget` reaches ElizaOS servers: by the plugin all of a person, by the plain API what was said."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from adapters.elizaos import translate
from adapters.spi import Caller, Result, Speech, Upstream
from tests.e2e.conftest import KEY
from tests.e2e.plugin.inside import FIXED, Inside

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]
BOB, EVE = Caller("forgetful bob"), Caller("mindful eve")


async def talk(inside: Inside, word: str, caller: Caller, tool: str = "eliza__ask", **more: Any) -> str:
    call = inside.call(tool, {"message": f"!talk {word}", "conversation": "kept"}, caller=caller, **more)
    last = [event async for event in inside.box.invoke(call)][-1]
    assert isinstance(last, Result), last
    return last.text


async def forget(inside: Inside, caller: str, **more: str) -> dict[str, dict[str, Any]]:
    """By `/v1`: the reports by upstream."""
    key = await inside.box.key("forgetting", roles=("call", "admin"))
    async with httpx2.AsyncClient(base_url=await inside.box.serve(), trust_env=False, timeout=60) as client:
        headers = {"authorization": f"Bearer {key}"}
        response = await client.post("/v1/forget", json={"caller": caller, **more}, headers=headers)
    return {report["name"]: report for report in response.raise_for_status().json()}


def of(reports: dict[str, dict[str, Any]], name: str) -> dict[str, Any]:
    return next(report for upstream, report in reports.items() if upstream.startswith(name))


async def test_by_the_plugin_a_person_is_gone_and_another_stays(inside: Inside) -> None:
    assert await talk(inside, "one", BOB) == "one"
    assert await talk(inside, "red", EVE) == "red"
    assert await talk(inside, "agent", Caller("forgetful bob/ada")) == "agent"
    reports = await forget(inside, BOB.id)
    assert of(reports, "eliza") == {
        "name": of(reports, "eliza")["name"], "ok": True, "facts": {},
        "text": f"{inside.id('Eliza')}: 2 people, 2 rooms forgotten",
    }  # fmt: skip
    assert await talk(inside, "two", BOB) == "two", "the next conversation of that person recalls nothing"
    assert await talk(inside, "two", Caller("forgetful bob/ada")) == "two"
    assert await talk(inside, "blue", EVE) == "red blue", "another's memory stays"
    await forget(inside, BOB.id)
    assert ": 0 people, 0 rooms" in of(await forget(inside, BOB.id), "eliza")["text"]


async def test_who_spoke_is_known_after_a_restart_of_the_gateway(inside: Inside) -> None:
    helper = Caller("late bob/helper")
    await talk(inside, "one", helper)
    await inside.restart()
    await inside.listed("eliza", "pickering")
    assert ": 1 people, 1 rooms" in of(await forget(inside, "late bob"), "eliza")["text"]
    assert await talk(inside, "two", helper) == "two"


async def test_of_a_room_that_several_share_one_part_is_removed(inside: Inside) -> None:
    """Two people of one caller, in one conversation."""
    club = Caller("a club")
    for name, word in (("Ann", "tulip"), ("Ben", "rose")):
        await talk(inside, word, club, speech=Speech(name))
    report = of(await forget(inside, club.id, speaker="Ann"), "eliza")
    assert (report["ok"], report["text"].partition(": ")[2]) == (True, "1 people, 0 rooms forgotten")
    said = await talk(inside, "lily", club, speech=Speech("Ben"))
    assert "tulip" not in said
    assert said == "rose lily"


async def test_the_route_answers_to_the_agents_key_alone_and_takes_ids_only(inside: Inside) -> None:
    at = f"/doolittle/forget?agentId={inside.id('Higgins')}"
    users = {"users": [translate.user("nobody of ours")]}
    async with httpx2.AsyncClient(base_url=inside.server.url) as client:
        for headers in ({}, {"authorization": f"Bearer {KEY}"}, {"x-api-key": KEY}, {"authorization": FIXED}):
            assert (await client.post(at, json=users, headers=headers)).status_code == 401
        good = {"authorization": f"Bearer {FIXED}"}
        assert (await client.post(at, json=users, headers=good)).json()["people"] == 0
        for bad in ({}, {"users": []}, {"users": ["*"]}, {"users": [*users["users"], "x"]}, {"users": "all"}):
            assert (await client.post(at, json=bad, headers=good)).status_code == 400


@pytest.fixture
async def plain(inside: Inside) -> AsyncIterator[str]:
    """Higgins by the plain API: his tool."""
    await inside.box.add(Upstream("plain", "elizaos", inside.server.url, KEY))
    yield next(t.name for t in inside.box.tools("plain") if t.address.native == inside.id("Higgins"))
    await inside.box.remove("plain")


async def test_by_the_plain_api_what_was_said_is_gone_and_it_says_what_stays(inside: Inside, plain: str) -> None:
    for caller, word in ((BOB, "hyacinth"), (EVE, "camomile")):
        await talk(inside, word, caller, plain)
        call = inside.call(plain, {"message": f"and {word} in passing"}, caller=caller)
        assert isinstance([event async for event in inside.box.invoke(call)][-1], Result)
    async with httpx2.AsyncClient(base_url=inside.server.url, headers={"x-api-key": KEY}) as client:

        async def kept() -> str:
            path = f"/api/memory/{inside.id('Higgins')}/memories"
            found = [(await client.get(path, params={"tableName": kind})).json() for kind in ("messages", "facts")]
            return json.dumps(found)

        assert "hyacinth" in await kept()
        report = (await forget(inside, BOB.id))["plain"]
        assert not report["ok"]
        stays = "who they were stays, for the plain API cannot remove it"
        assert f"Higgins: 2 conversations removed; {stays}" in report["text"]
        assert "Eliza: 0 conversations removed" in report["text"]
        left = await kept()
    assert "hyacinth" not in left
    assert "camomile" in left
    assert await talk(inside, "two", BOB, plain) == "two"
    assert await talk(inside, "two", EVE, plain) == "camomile two"
