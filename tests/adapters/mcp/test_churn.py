"""MCP upstreams that come and go leave what was there before: tasks, sockets, files, children."""

import asyncio
import gc
import sys
from pathlib import Path

import pytest

from adapters.spi import Upstream
from tests.adapters.mcp.house import House, children, files, until
from tests.adapters.mcp.raw import Raw

CHILD = (sys.executable, "-I", "-S", str(Path(__file__).parent / "child.py"))


def times(few: int, many: int) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        "count", [few, pytest.param(many, marks=[pytest.mark.slow, pytest.mark.timeout(600)])]
    )


async def unchanged(before: tuple[int, int, set[int]]) -> None:
    tasks, open_, kin = before
    gc.collect()
    await until(lambda: len(asyncio.all_tasks()) <= tasks, f"{tasks} tasks are left")
    await until(lambda: files() <= open_, f"{open_} files are left")
    await until(lambda: children() <= kin, "no child is left")


def now() -> tuple[int, int, set[int]]:
    gc.collect()
    return len(asyncio.all_tasks()), files(), children()


@times(100, 3000)
@pytest.mark.parametrize("modern", [False, True], ids=["handshake", "modern"])
async def test_connections_one_after_another(house: House, raw: Raw, modern: bool, count: int) -> None:
    raw.modern, raw.capabilities = modern, {"tools": {"listChanged": True}}
    await house.add(raw.url)
    before = now()
    opened = raw.count.total()
    for _ in range(count):
        outbound, _ = house.box.gateway.upstreams.prepare(Upstream("other", "mcp", raw.url))
        async with outbound.connect():
            assert [agent async for agent in outbound.agents()]
    await unchanged((before[0], before[1] + 4, before[2]))  # connections are kept for the next
    assert raw.count.total() - opened >= 2 * count
    assert raw.count["DELETE"] == (0 if modern else count)
    assert await house.text() == "ok"


@times(20, 300)
async def test_upstreams_come_and_go(house: House, raw: Raw, count: int) -> None:
    await house.add(raw.url)
    await house.box.remove("far")
    before = now()
    for _ in range(count):
        await house.add(raw.url)
        assert await house.text() == "ok"
        await house.box.remove("far")
    await unchanged((before[0], before[1] + 4, before[2]))


@times(10, 200)
async def test_children_come_and_go(house: House, count: int) -> None:
    await house.add(command=CHILD)
    await house.box.remove("far")
    before = now()
    for _ in range(count):
        await house.add(command=CHILD)
        assert await house.text() == "ok"
        await house.box.remove("far")
    await unchanged(before)


@times(20, 500)
async def test_connections_that_are_cut_while_they_open(house: House, raw: Raw, count: int) -> None:
    await house.add(raw.url)
    before = now()
    for steps in range(count):
        outbound, _ = house.box.gateway.upstreams.prepare(Upstream("other", "mcp", raw.url))
        task = asyncio.create_task(_held(outbound))
        for _ in range(steps % 60):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    await unchanged((before[0], before[1] + 4, before[2]))
    assert await house.text() == "ok"


@times(10, 100)
async def test_children_that_are_cut_while_they_start(house: House, count: int) -> None:
    before = now()
    for number in range(count):
        outbound, _ = house.box.gateway.upstreams.prepare(Upstream("other", "mcp", command=CHILD))
        task = asyncio.create_task(_held(outbound))
        await asyncio.sleep(0.01 * (number % 10))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    await unchanged(before)


async def _held(outbound: object) -> None:
    from adapters.mcp.outbound import McpOutbound

    assert isinstance(outbound, McpOutbound)
    async with outbound.connect():
        await asyncio.Event().wait()
