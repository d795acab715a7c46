"""Audit lines: each is written once, whoever asks meanwhile, and whatever the store does."""

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from adapters.errors import Full
from adapters.spi import Call, Error, Event, Upstream
from gateway.audit import Audit, Line
from gateway.testing import Box
from registry.store import Store, StoreFault


def line(call: str) -> Line:
    return Line(
        call=call, root=call, parent=None, at=1.0, ms=1.0, caller="c", network="n", tool="t", agent="a",
        target_network="f", upstream="u", method="tools/call", outcome="ok", code="", delivered="yes",
        arguments_hash="h", arguments_bytes=1, result_bytes=1, hops="",
    )  # fmt: skip


async def opened(folder: Path, limit: int = 10_000) -> tuple[Store, Audit]:
    store = Store(f"sqlite:///{folder}/x.db")
    await store.open()
    return store, Audit(store, limit)


def names(lines: list[dict[str, Any]]) -> list[str]:
    return sorted(one["call"] for one in lines)


async def test_lines_are_written_once_however_many_read_meanwhile(tmp_path: Path) -> None:
    store, audit = await opened(tmp_path)
    said = [f"{n:04}" for n in range(1200)]
    for name in said:
        audit.add(line(name))
    await asyncio.gather(*(audit.flush() for _ in range(5)))
    assert names(await audit.last(5000)) == said
    await store.close()


class Slow:
    """Holds the store's thread in the middle of an insert until it is let go."""

    def __init__(self, store: Store) -> None:
        self.begun, self._go = threading.Event(), threading.Event()
        event.listen(store._engine, "before_cursor_execute", self._hold)

    def _hold(self, *_: object) -> None:
        self.begun.set()
        assert self._go.wait(5)

    async def held(self) -> None:
        assert await asyncio.to_thread(self.begun.wait, 5)

    def go(self) -> None:
        self._go.set()


async def test_a_reader_that_hangs_up_doubles_nothing(tmp_path: Path) -> None:
    store, audit = await opened(tmp_path)
    slow = Slow(store)
    for name in ("a", "b"):
        audit.add(line(name))
    reader = asyncio.create_task(audit.last(5))
    await slow.held()
    reader.cancel()
    await asyncio.gather(reader, return_exceptions=True)
    slow.go()
    audit.add(line("c"))
    assert names(await audit.last(50)) == ["a", "b", "c"]
    await store.close()


async def test_stopping_in_the_middle_of_a_batch_loses_and_doubles_nothing(tmp_path: Path) -> None:
    store, audit = await opened(tmp_path)
    slow = Slow(store)
    await audit.start()
    said = [f"{n:03}" for n in range(600)]
    for name in said:
        audit.add(line(name))
    await slow.held()
    stopping = asyncio.create_task(audit.stop())
    await asyncio.sleep(0)
    slow.go()
    await stopping
    assert names(await audit.last(5000)) == said
    await store.close()


async def test_lines_wait_for_a_store_that_fails(tmp_path: Path) -> None:
    store, audit = await opened(tmp_path, 2)
    engine, store._engine = store._engine, None
    audit.add(line("a"))
    with pytest.raises(StoreFault):
        await audit.flush()
    audit.require_room()
    audit.add(line("b"))
    with pytest.raises(Full):
        audit.require_room()
    store._engine = engine
    assert names(await audit.last(10)) == ["a", "b"]
    audit.require_room()
    await store.close()


async def test_calls_that_are_refused_for_want_of_room_do_not_fill_the_memory(tmp_path: Path) -> None:
    box = Box(tmp_path, limits={"audit_queue": 3})
    await box.open()
    await box.add(Upstream("world", "fake", "fake://full"))
    engine, box.gateway.store._engine = box.gateway.store._engine, None

    async def call(n: int) -> Event:
        return [e async for e in box.invoke(Call(f"n{n}", "all__echo", {"text": "x"}, box.caller))][-1]

    ends = [await call(n) for n in range(30)]
    refused = [e for e in ends if isinstance(e, Error) and isinstance(e.error, Full)]
    assert len(refused) == 27
    assert len(box.gateway.audit._lines) == 3
    box.gateway.store._engine = engine
    assert names(await box.gateway.audit.last(100)) == ["n0", "n1", "n2"]
    await box.close()
