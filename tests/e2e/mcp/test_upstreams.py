"""Real MCP servers, called by real clients directly and through the gateway: what comes back is the same.

Each side has a server of its own, so that those with a state see the same calls in the same order.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client

from adapters.spi import Upstream
from examples.tour.eliza import npm_ci
from gateway.testing import Box
from tests.e2e.mcp import outcome, upstreams
from tests.e2e.mcp.outcome import Outcome, Trial
from tests.e2e.mcp.upstreams import FARS, Far

pytestmark = pytest.mark.e2e
OWN = FARS[-1]
Seen = dict[str, dict[str, Outcome]]


@pytest.fixture(scope="session")
def npm() -> None:
    npm_ci(upstreams.HERE, print)


def client(target: Any, mode: Any, far: Far) -> Client:
    """One that answers every question."""
    roots: Any = outcome.roots if far.roots else None
    return Client(
        target, mode=mode, cache=None, elicitation_callback=outcome.elicit, sampling_callback=outcome.sample,
        list_roots_callback=roots,
    )  # fmt: skip


def directly(upstream: Upstream, mode: str, far: Far) -> Client:
    """A client on the upstream itself."""
    if upstream.url:
        return client(upstream.url, mode, far)
    options: Any = upstream.options
    command = StdioServerParameters(
        command=upstream.command[0], args=list(upstream.command[1:]), env=options["env"], cwd=options["cwd"]
    )
    return client(stdio_client(command), mode, far)


@asynccontextmanager
async def through(box: Box, upstream: Upstream, mode: str, far: Far) -> AsyncIterator[tuple[Client, dict[str, str]]]:
    """A client on the gateway's view of that upstream, and the native names of its tools."""
    await box.add(upstream)
    assert box.degraded(upstream.name) is None
    natives = {tool.name: tool.native for tool in box.tools(upstream.name)}
    url = f"{await box.serve()}/mcp/agents/{upstream.name}"
    async with client(url, mode, far) as inside:
        yield inside, natives


async def seen(inside: Client, far: Far, natives: Mapping[str, str], root: Path) -> Seen:
    """All that a client sees of a server."""
    folder = str(root)
    return {
        "tools": await outcome.listed(inside, natives, folder),
        "documents": await outcome.documents(inside, far.arguments, far.uris, folder),
        "calls": await outcome.calls(inside, far.trials, natives, folder),
    }


async def seen_directly(far: Far, mode: str, folder: Path) -> Seen:
    async with far.started(folder) as upstream, directly(upstream, mode, far) as inside:
        return await seen(inside, far, {}, folder)


@pytest.mark.usefixtures("npm")
@pytest.mark.parametrize("mode", ["auto", "legacy"])
@pytest.mark.parametrize("far", FARS, ids=lambda far: far.name)
async def test_the_gateway_changes_nothing(box: Box, far: Far, mode: str, tmp_path: Path) -> None:
    async def through_the_gateway() -> Seen:
        folder = tmp_path / "two"
        async with far.started(folder) as upstream, through(box, upstream, mode, far) as (inside, natives):
            return await seen(inside, far, natives, folder)

    direct, other = await asyncio.gather(seen_directly(far, mode, tmp_path / "one"), through_the_gateway())
    assert {trial.tool for trial in far.trials} == set(direct["tools"]), "every tool is tried"
    found = [f"{kind}: {text}" for kind in direct for text in outcome.differences(direct[kind], other[kind])]
    assert not found, "\n".join([f"{len(found)} differences", *found])


async def test_the_comparison_itself(tmp_path: Path) -> None:
    """Two servers of one kind are the same; a changed answer, a lost tool and another error are not."""
    one, two = await asyncio.gather(*(seen_directly(OWN, "auto", tmp_path / side) for side in ("one", "two")))
    for kind, outcomes in one.items():
        assert outcome.differences(outcomes, two[kind]) == []
        for key, said in outcomes.items():
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
