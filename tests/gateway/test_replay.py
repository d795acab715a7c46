"""What was shown once is refused, over restarts too, for as long as it may still be valid."""

import asyncio
import time
from typing import Any

import pytest
from sqlalchemy import func, select

from adapters.errors import Full
from gateway import replay
from gateway.replay import ReplayLog
from gateway.testing import Box
from registry.tables import replay as table

LATER = time.time() + 600


async def test_a_mark_is_new_once_and_scopes_are_apart(box: Box) -> None:
    one, two = box.gateway.replays.of("one"), box.gateway.replays.of("two")
    assert await one.admit(b"mark", LATER)
    assert not await one.admit(b"mark", LATER)
    assert await two.admit(b"mark", LATER)


async def test_also_after_a_restart(box: Box) -> None:
    assert await box.gateway.replays.of("net").admit(b"mark", LATER)
    await box.restart()
    assert not await box.gateway.replays.of("net").admit(b"mark", LATER)


async def test_of_many_at_once_exactly_one_gets_in_and_they_share_commits(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, store = box.gateway.replays, box.gateway.store
    runs = 0
    run = store.run

    async def counted(work: Any) -> Any:
        nonlocal runs
        runs += 1
        return await run(work)

    monkeypatch.setattr(store, "run", counted)
    scope = log.of("net")
    found = await asyncio.gather(*(scope.admit(b"%d" % (n % 100), LATER) for n in range(1000)))
    assert sum(found) == 100
    assert runs <= 5, "committed in groups"
    assert log._writer is None


async def test_it_is_in_the_log_before_the_call_runs(box: Box) -> None:
    scope = box.gateway.replays.of("net")
    for n in range(3):
        assert await scope.admit(b"%d" % n, LATER)
        count = await box.gateway.store.run(lambda c: c.execute(select(func.count()).select_from(table)).scalar())
        assert count == n + 1


async def test_what_has_expired_goes(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    scope = box.gateway.replays.of("net")
    assert await scope.admit(b"old", time.time() - 100)
    assert await scope.admit(b"young", LATER)
    monkeypatch.setattr(replay, "SWEEP", 0.0)
    assert await scope.admit(b"next", LATER)
    left = await box.gateway.store.run(lambda c: set(c.execute(select(table.c.mark)).scalars()))
    assert left == {b"young".hex(), b"next".hex()}


async def test_what_cannot_be_written_is_not_let_in(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    log = ReplayLog(box.gateway.store)

    async def broken(_work: Any) -> Any:
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(box.gateway.store, "run", broken)
        with pytest.raises(Full):
            await log.of("net").admit(b"x", LATER)
    assert await log.of("net").admit(b"x", LATER), "and the next is"
    monkeypatch.setattr(replay, "ROOM", 0)
    with pytest.raises(Full):
        await log.of("net").admit(b"y", LATER)


async def test_who_goes_away_leaves_the_others_alone(box: Box) -> None:
    scope = box.gateway.replays.of("net")
    waiting = [asyncio.create_task(scope.admit(b"%d" % n, LATER)) for n in range(10)]
    await asyncio.sleep(0)
    waiting[3].cancel()
    found = await asyncio.gather(*waiting, return_exceptions=True)
    assert sum(one is True for one in found) == 9
