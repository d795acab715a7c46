"""Long lists come in pages, sorted, each tool once, to clients of both eras."""

from typing import Any

import pytest
from mcp import Client

from adapters.fake.world import WORLDS
from adapters.mcp.server import PAGE
from adapters.spi import Upstream
from gateway.testing import Box


@pytest.mark.parametrize("mode", ["2026-07-28", "legacy"])
async def test_a_list_in_pages(box: Box, mode: Any) -> None:
    WORLDS.pop("fake://pages", None)
    await box.add(Upstream("many", "fake", "fake://pages", options={"agents": 2 * PAGE + 50}))
    expected = [tool.name for tool in box.catalog.tools(box.caller)]
    assert len(expected) > 2 * PAGE
    names: list[str] = []
    pages = 0
    async with Client(await box.serve() + "/mcp/all", mode=mode) as client:
        cursor = None
        while pages == 0 or cursor:
            page = await client.list_tools(cursor=cursor)
            names += [tool.name for tool in page.tools]
            cursor = page.next_cursor
            pages += 1
        one = await client.list_tools(cursor="agent9__zzz")
    assert pages == 3
    assert names == expected
    assert one.tools, "a cursor whose tool has left goes on behind it"
    async with Client(box.gateway.base_url + "/mcp/agents/agent7", mode=mode) as client:
        assert [tool.name for tool in (await client.list_tools()).tools] == ["agent7__echo"]
