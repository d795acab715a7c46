"""Real MCP servers, called by real clients directly and through the gateway: what comes back is the same.

Each side has a server of its own, so that those with a state see the same calls in the same order.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client

from adapters.spi import Upstream
from examples.tour.eliza import NODE
from gateway.testing import Box
from tests.e2e.mcp import eyes, outcome, upstreams
from tests.e2e.mcp.child import child
from tests.e2e.mcp.eyes import Eyes
from tests.e2e.mcp.outcome import Outcome, Trial
from tests.e2e.mcp.upstreams import FARS, Far

pytestmark = pytest.mark.e2e
OWN = FARS[-1]
Seen = dict[str, dict[str, Outcome]]


@pytest.fixture
async def box(tmp_path: Path) -> AsyncIterator[Box]:
    """A gateway whose clients wait for ever: no answer is an interim one."""
    made = Box(tmp_path / "box", patience={"clients": {"*": 0}})
    await made.open()
    yield made
    await made.close()


def client(target: Any, mode: Any) -> Client:
    """One that answers every question that the gateway carries; roots it does not."""
    return Client(target, mode=mode, cache=None, elicitation_callback=outcome.elicit, sampling_callback=outcome.sample)


@asynccontextmanager
async def looking(upstream: Upstream, how: str) -> AsyncIterator[Eyes]:
    """A client on what `upstream` says: the Python one in that mode, or a TypeScript one ("v1", "v2")."""
    if how.startswith("v"):
        async with eyes.typescript(how, upstream.url) as asks:
            yield asks
        return
    target: Any = upstream.url
    if not target:
        options: Any = upstream.options
        command, *args = upstream.command
        target = stdio_client(StdioServerParameters(command=command, args=args, env=options["env"], cwd=options["cwd"]))
    async with client(target, how) as inside:
        yield eyes.python(inside)


async def seen(asks: Eyes, far: Far, natives: Mapping[str, str], root: Path) -> Seen:
    """All that a client sees of a server."""
    folder = str(root)
    return {
        "tools": await outcome.listed(asks, natives, folder),
        "documents": await outcome.documents(asks, far.arguments, far.uris, folder),
        "calls": await outcome.calls(asks, far.trials, natives, folder),
    }


async def seen_directly(far: Far, how: str, folder: Path) -> Seen:
    async with far.started(folder) as upstream, looking(upstream, how) as asks:
        return await seen(asks, far, {}, folder)


async def seen_through(box: Box, far: Far, how: str, folder: Path) -> Seen:
    """By the gateway's view of that upstream alone."""
    async with far.started(folder) as upstream:
        await box.add(upstream)
        assert box.degraded(upstream.name) is None
        natives = {tool.name: tool.native for tool in box.tools(upstream.name)}
        inside = Upstream(far.name, "mcp", url=f"{await box.serve()}/mcp/agents/{far.name}")
        async with looking(inside, how) as asks:
            found = await seen(asks, far, natives, folder)
        await box.remove(far.name)
        return found


async def compare(box: Box, far: Far, how: str, folder: Path) -> None:
    """Fails with every difference."""
    async with asyncio.TaskGroup() as both:
        first = both.create_task(seen_directly(far, how, folder / "one"))
        second = both.create_task(seen_through(box, far, how, folder / "two"))
    direct, other = first.result(), second.result()
    assert {trial.tool for trial in far.trials} == set(direct["tools"]), "every tool is tried"
    found = [f"{kind}: {text}" for kind in direct for text in outcome.differences(direct[kind], other[kind])]
    assert not found, "\n".join([f"{len(found)} differences", *found])


QUICK = {("reference", "auto"), ("reference-http", "v2"), ("files", "auto"), ("memory", "auto"), ("own", "legacy")}


def pairs() -> list[Any]:
    """Every server with every client that can reach it; `make test` takes some of them, and all with our own."""
    found: list[Any] = []
    for far in FARS:
        for how in ("auto", "legacy", *(("v1", "v2") if far.http else ())):
            quick = far is OWN or (far.name, how) in QUICK
            marks = () if quick else (pytest.mark.slow,)
            found.append(pytest.param(far, how, marks=marks, id=f"{far.name}-{how}"))
    return found


@pytest.mark.usefixtures("npm")
@pytest.mark.parametrize(("far", "how"), pairs())
async def test_the_gateway_changes_nothing(box: Box, far: Far, how: str, tmp_path: Path) -> None:
    await compare(box, far, how, tmp_path)


INSPECTOR = "node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js"


async def inspected(url: str, *words: str) -> Any:
    """What the Inspector prints."""
    command = [str(NODE), INSPECTOR, "--cli", url, "--transport", "http", *words]
    async with child(command, cwd=upstreams.HERE) as process:
        assert process.stdout
        said = (await process.stdout.read()).decode()
        assert await process.wait() == 0, said[-2000:]
    return json.loads(said[said.index("{") :])


@pytest.mark.usefixtures("npm")
async def test_the_inspector_sees_the_same(box: Box, tmp_path: Path) -> None:
    call = ("--method", "tools/call", "--tool-arg", "city=Oslo", "--tool-name")
    async with OWN.started(tmp_path / "one") as upstream:
        await box.add(upstream)
        public = {tool.native: tool.name for tool in box.tools(OWN.name)}
        inside = f"{await box.serve()}/mcp/agents/{OWN.name}"
        listed, through, direct, other = await asyncio.gather(
            inspected(upstream.url, "--method", "tools/list"),
            inspected(inside, "--method", "tools/list"),
            inspected(upstream.url, *call, "structured"),
            inspected(inside, *call, public["structured"]),
        )
        await box.remove(OWN.name)
    names = {tool["name"] for tool in through["tools"]} - {*outcome.VERBS}
    assert {public[tool["name"]] for tool in listed["tools"]} == names
    for key in ("content", "structuredContent"):
        assert direct[key] == other[key]


async def test_the_comparison_itself(tmp_path: Path) -> None:
    """Two servers of one kind are the same; a changed answer, a lost tool and another error are not."""
    one, two = await asyncio.gather(*(seen_directly(OWN, "auto", tmp_path / side) for side in ("one", "two")))
    for kind, outcomes in one.items():
        assert outcome.differences(outcomes, two[kind]) == []
        for key, said in list(outcomes.items())[:3]:
            changed = {**outcomes, key: {**said, "isError": "changed"}}
            assert len(outcome.differences(outcomes, changed)) == 1
            assert len(outcome.differences(outcomes, {k: v for k, v in outcomes.items() if k != key})) == 1


async def test_what_is_not_compared() -> None:
    meta = {"doolittle/call": "7", "io.modelcontextprotocol/serverInfo": {}, "example.org/x": 1}
    found: Any = {"_meta": meta, "at": "2026-01-02T03:04:05.678Z in /tmp/one/file", "blob": "aGVsbG8="}
    assert outcome.clean(found, "/tmp/one") == {
        "_meta": {"example.org/x": 1},
        "at": "TIME in ROOT/file",
        "blob": "decoded: hello",
    }
    assert outcome.clean({"_meta": {"doolittle/call": "7"}}, "") == {}
    assert Trial("a", {"path": "{root}/b"}).filled("/c") == {"path": "/c/b"}
