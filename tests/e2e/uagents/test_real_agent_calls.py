"""A real uAgent calls what is behind the gateway: by chat, by models, and by MCP; at once and later."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx2
import pytest

from adapters.fake.world import WORLDS, World, world
from adapters.spi import Upstream
from adapters.uagents import calling, typed
from gateway.testing import Box
from tests.conftest import ROOT
from tests.e2e.uagents.conftest import Town

pytestmark = pytest.mark.e2e
URL = "fake://uagents"
EXECUTED = """
import json, sys
from uagents import Model
names = {}
exec(compile(sys.stdin.read(), "models", "exec"), names)
found = {n: Model.build_schema_digest(m) for n, m in names.items() if isinstance(m, type) and m is not Model
         and issubclass(m, Model)}
print(json.dumps({"digests": found, "address": names["ADDRESS"]}))
"""


@pytest.fixture
async def far(street: Box) -> World:
    WORLDS.pop(URL, None)
    made = world(URL)
    await street.add(Upstream("behind", "fake", URL))
    return made


async def listed(box: Box, slug: str = "all") -> dict[str, Any]:
    async with httpx2.AsyncClient(base_url=box.gateway.base_url, trust_env=False) as client:
        found: dict[str, Any] = (await client.get(f"/uagents/agents/{slug}")).raise_for_status().json()
    return found


async def known(town: Town, address: str) -> None:
    """Until the Almanac has heard of it."""
    for _ in range(2000):
        if address in town.almanac.agents:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("never made known")


@pytest.fixture
async def all(street: Box, far: World, town: Town) -> str:
    """The address of the agent of the fake network, which the real agent finds by the Almanac."""
    address = str((await listed(street))["address"])
    async with httpx2.AsyncClient(base_url=street.gateway.base_url, trust_env=False) as client:
        (await client.post("/uagents/agents/all", json={})).raise_for_status()
    await known(town, address)
    return address


async def test_it_chats_asynchronously(all: str, town: Town) -> None:
    found = await town.freddy.order("chat", target=all, text='count {"n": 3}')
    first, *rest = found["heard"]
    assert first == {"acknowledged": True}
    meta = [c["metadata"] for one in rest for c in one["content"] if c["type"] == "metadata"]
    assert [m.get("done") for m in meta] == ["1", "2", "3"]
    assert rest[-1]["text"] == "counted to 3"


async def test_it_chats_synchronously(all: str, town: Town) -> None:
    found = await town.freddy.order("chat", target=all, text='echo {"text": "By George!"}', sync=True)
    assert found["ok"], found
    assert found["heard"] == [{"text": "By George!"}]


async def test_a_long_answer_is_a_stream_of_messages(all: str, town: Town) -> None:
    found = await town.freddy.order("chat", target=all, text='big {"bytes": 40000}', until=3)
    texts = [one["text"] for one in found["heard"] if one.get("text")]
    assert [len(t) for t in texts] == [16384, 16384, 7232]
    kinds = [[c["type"] for c in one["content"]] for one in found["heard"] if one.get("text")]
    assert kinds[0][0] == "start-stream"
    assert "end-stream" in kinds[-1]
    whole = await town.freddy.order("chat", target=all, text='big {"bytes": 40000}', sync=True)
    assert len(whole["heard"][0]["text"]) == 40000


async def test_a_question_is_answered_in_the_session(all: str, town: Town) -> None:
    found = await town.freddy.order("chat", target=all, text="help me")
    assert 'name {"argument": "value"}' in found["heard"][-1]["text"]
    asked = await town.freddy.order("chat", target=all, text="ask {}")
    assert asked["heard"][-1]["text"] == "What is your name? (name)"


async def test_it_sends_a_model_of_the_printed_source(street: Box, all: str, town: Town) -> None:
    said = await listed(street)
    command = [sys.executable, "-c", EXECUTED]
    done = await asyncio.to_thread(
        subprocess.run, command, input=said["source"], capture_output=True, text=True, check=True, timeout=110
    )
    found = json.loads(done.stdout)
    assert found["address"] == all
    agent = next(a for a in street.gateway.registry.snapshot.agents.values() if a.slug == "all")
    pairs = typed.pairs(agent)
    assert len(pairs) == len(agent.tools)
    for pair in pairs:
        for made in (pair.request, pair.response):
            assert found["digests"][made.model.__name__] == made.digest
    answer = await town.freddy.order(
        "send", target=all, digest=found["digests"]["AddRequest"], message={"a": 2, "b": 40}
    )
    assert json.loads(answer["heard"][0]["payload"]) == {"sum": 42}
    echo = await town.freddy.order(
        "send", target=all, digest=found["digests"]["EchoRequest"], message={"text": "x", "delay": None}
    )
    assert json.loads(echo["heard"][0]["payload"]) == {"text": "x"}, "a field that was left out is null in a model"


async def test_it_lists_and_calls_by_mcp(street: Box, all: str, town: Town) -> None:
    async def send(digest: str, message: dict[str, Any]) -> dict[str, Any]:
        found = await town.freddy.order("send", target=all, digest=digest, message=message)
        said: dict[str, Any] = json.loads(found["heard"][0]["payload"])
        return said

    tools = (await send(calling.LIST_TOOLS, {}))["tools"]
    assert {t["name"] for t in tools} == {t.name for t in street.tools("behind")}
    assert all_have_schemas(tools)
    called = await send(calling.CALL_TOOL, {"tool": "add", "args": {"a": 1, "b": 2}})
    assert json.loads(called["result"]) == {"sum": 3}, "JSON, and not a text of Python"
    assert called["error"] is None
    failed = await send(calling.CALL_TOOL, {"tool": "all__fail", "args": {"kind": "refused"}})
    assert failed["error"].startswith("refused: ")
    assert (await send("model:" + "0" * 64, {}))["error"].startswith("unsupported message")


def all_have_schemas(tools: list[dict[str, Any]]) -> bool:
    return min(tool["inputSchema"]["type"] == "object" for tool in tools)


async def test_sixty_four_at_once_from_one_sender_are_not_crossed(all: str, town: Town) -> None:
    """The real agent sends them all, each from its one address."""
    gate = asyncio.Semaphore(64)

    async def one(number: int) -> bool:
        said = {"tool": "echo", "args": {"text": f"number {number}"}}
        async with gate:
            found = await town.freddy.order("send", target=all, digest=calling.CALL_TOOL, message=said)
        return json.loads(found["heard"][0]["payload"])["result"] == f"number {number}"

    assert sum(await asyncio.gather(*(one(n) for n in range(256)))) == 256


async def test_the_stock_probe_finds_it_ready(street: Box, all: str) -> None:
    async with httpx2.AsyncClient(base_url=street.gateway.base_url, trust_env=False) as client:
        for headers, state in (
            ({"x-uagents-address": all}, "ready"),
            ({"x-uagents-address": "agent1q"}, "not-ready"),
            ({}, "indeterminate"),
        ):
            response = await client.head("/uagents/submit", headers=headers)
            assert response.status_code == 200
            assert response.headers["x-uagents-status"] == state


async def test_a_real_eliza_is_chatted_with(street: Box, town: Town, eliza: Any) -> None:
    """Asynchronously and synchronously."""
    await street.add(Upstream("home", "elizaos", eliza.url, eliza.key))
    async with httpx2.AsyncClient(base_url=street.gateway.base_url, trust_env=False) as client:
        address = (await client.post("/uagents/agents/eliza", json={})).raise_for_status().json()["address"]
    for sync in (False, True):
        found = await town.freddy.order("chat", target=address, text="How do you do?", sync=sync)
        assert found["ok"], found
        assert found["heard"][-1]["text"]


def test_serving_and_calling_imports_no_uagents(tmp_path: Path) -> None:
    """Nor a module that writes logs where it stands."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.e2e.uagents.alone", str(tmp_path)], cwd=ROOT, capture_output=True, text=True,
        timeout=110, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"answered": "hello", "called": "hello", "uagents": [], "files": []}
