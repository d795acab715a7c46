"""Tasks: each caller's own, there again after a restart, bounded."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from a2a.types import ListTasksRequest, Task, TaskState, TaskStatus
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event
from sqlalchemy.exc import OperationalError

from adapters.a2a import journal, tasks
from adapters.a2a.tasks import Tasks
from adapters.a2a.user import KnownUser, context
from adapters.spi import Caller, Upstream
from gateway.host import OwnHost
from gateway.testing import Box
from tests.adapters.a2a.wires import rpc, say


def who(name: str, agent: str = "all") -> Any:
    return context(agent, KnownUser(Caller(name)), {})


def a_host(box: Box) -> OwnHost:
    return box.gateway._host("test")


async def store(box: Box) -> Tasks:
    made = Tasks(a_host(box))
    await made.load()
    return made


def task(id: str, state: Any = TaskState.TASK_STATE_COMPLETED) -> Task:
    made = Task(id=id, context_id="c", status=TaskStatus(state=state))
    made.status.timestamp.GetCurrentTime()
    return made


STEP = st.tuples(
    st.sampled_from(["save", "get", "list", "delete"]), st.sampled_from(["ann", "bob", "a\nb"]),
    st.sampled_from(["all", "b", "b\nann"]), st.sampled_from(["t1", "t2", "x\ny"]),
)  # fmt: skip


@given(steps=st.lists(STEP, max_size=30))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
async def test_nobody_sees_anothers(box: Box, steps: list[tuple[str, str, str, str]]) -> None:
    """Whatever is done by whom: each sees what that caller saved at that agent, and nothing else. Callers' ids and
    agents' names never hold a line break (they are of the gateway's making); here they do, to be sure."""
    made = Tasks(a_host(box))
    expected: dict[tuple[str, str], set[str]] = {}
    for verb, name, agent, id in steps:
        held = expected.setdefault((name, agent), set())
        if verb == "save":
            await made.save(task(id), who(name, agent))
            held.add(id)
        elif verb == "delete" and id in held:
            await made.delete(id, who(name, agent))
            held.discard(id)
        elif verb == "get":
            assert (await made.get(id, who(name, agent)) is not None) == (id in held)
        listed = await made.list(ListTasksRequest(), who(name, agent))
        assert {one.id for one in listed.tasks} == held


async def test_what_ended_stays_and_what_ran_has_failed(box: Box) -> None:
    first = await store(box)
    await first.save(task("done"), who("ann"))
    await first.save(task("asks", TaskState.TASK_STATE_INPUT_REQUIRED), who("ann"))
    await first.save(task("runs", TaskState.TASK_STATE_WORKING), who("ann"))
    await first.close()
    second = await store(box)
    found = {one.id: one for one in (await second.list(ListTasksRequest(), who("ann"))).tasks}
    assert found["done"].status.state == TaskState.TASK_STATE_COMPLETED
    for id in ("asks", "runs"):
        assert found[id].status.state == TaskState.TASK_STATE_FAILED
        assert found[id].status.message.parts[0].text == "gateway restarted"
    assert await second.get("done", who("bob")) is None
    await second.close()


async def test_of_many_the_oldest_that_ended_go(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "KEPT", 3)
    made = await store(box)
    await made.save(task("runs", TaskState.TASK_STATE_WORKING), who("ann"))
    for number in range(5):
        await made.save(task(f"t{number}"), who("ann"))
    kept = {one.id for one in (await made.list(ListTasksRequest(), who("ann"))).tasks}
    assert kept == {"runs", "t3", "t4"}
    await made.close()
    again = await store(box)
    assert {one.id for one in (await again.list(ListTasksRequest(), who("ann"))).tasks} == kept
    await again.close()


async def test_a_task_is_read_over_the_wire_after_a_restart(box: Box) -> None:
    """Of a gateway that ended in the middle of one call, and after another."""
    await box.add(Upstream("world", "fake", "fake://a2a-restart"))
    url = await box.serve()

    done = (await rpc(url, "SendMessage", say("m1", "echo", {"text": "stay"})))["task"]["id"]
    runs = (await rpc(url, "SendMessage", say("m2", "hang", returnImmediately=True)))["task"]["id"]
    await box.restart()
    url = await box.serve()
    kept = await rpc(url, "GetTask", {"id": done})
    assert kept["artifacts"][0]["parts"] == [{"text": "stay"}]
    assert (await rpc(url, "GetTask", {"id": runs}))["status"]["state"] in (
        "TASK_STATE_FAILED", "TASK_STATE_CANCELED"
    )  # fmt: skip
    assert Path(box.folder).exists()


# ---- what is written when -------------------------------------------------------------------------------------------


async def kept(box: Box) -> dict[str, int]:
    """By id, the state in which each task is in the database."""
    found = [Task.FromString(raw) for _, raw in await a_host(box).state("tasks").items()]
    return {one.id: one.status.state for one in found}


async def test_what_a_caller_comes_back_for_is_written_before_it_is_told(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A question; beginning and end of a task that outlives its request; the end of one that is known as running."""
    monkeypatch.setattr(journal, "PAUSE", 3600)
    made = await store(box)
    runs, done = TaskState.TASK_STATE_WORKING, TaskState.TASK_STATE_COMPLETED
    await made.save(task("plain", runs), who("ann"))
    await made.save(task("plain"), who("ann"))
    await made.save(task("known", runs), who("ann"))
    assert await kept(box) == {}, "plain calls are not waited for"
    asks = TaskState.TASK_STATE_INPUT_REQUIRED
    await made.save(task("asks", asks), who("ann"))
    assert await kept(box) == {"plain": done, "known": runs, "asks": asks}
    await made.save(task("known"), who("ann"))
    assert (await kept(box))["known"] == done
    lasting = context("all", KnownUser(Caller("ann")), {tasks.LASTING: True})
    await made.save(task("long", runs), lasting)
    assert (await kept(box))["long"] == runs
    await made.save(task("long"), lasting)
    assert (await kept(box))["long"] == done
    await made.close()


async def test_what_is_told_cannot_be_read_before_it_is_written(box: Box) -> None:
    made = await store(box)
    lasting = context("all", KnownUser(Caller("ann")), {tasks.LASTING: True})
    await made.save(task("long", TaskState.TASK_STATE_WORKING), lasting)
    saving = asyncio.ensure_future(made.save(task("long"), lasting))
    await asyncio.sleep(0)
    read = await made.get("long", who("ann"))
    assert read is not None
    assert read.status.state == TaskState.TASK_STATE_WORKING
    await saving
    read = await made.get("long", who("ann"))
    assert read is not None
    assert read.status.state == TaskState.TASK_STATE_COMPLETED
    await made.close()


async def test_a_database_that_takes_no_writes_keeps_nobody_waiting(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told all the same, and written when it can be."""
    monkeypatch.setattr(journal, "AGAIN", 0.0)
    made = await store(box)
    run, broken = box.gateway.store.run, True

    async def refuse(work: Any) -> Any:
        if broken:
            raise OperationalError("insert", {}, Exception("disk full"))
        return await run(work)

    monkeypatch.setattr(box.gateway.store, "run", refuse)
    await made.save(task("asks", TaskState.TASK_STATE_INPUT_REQUIRED), who("ann"))
    assert await made.get("asks", who("ann")) is not None
    broken = False
    while "asks" not in await kept(box):
        await asyncio.sleep(0.01)
    await made.close()


async def test_plain_messages_stay_free_of_the_database(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted: what is written of many calls is written beside them, together."""
    monkeypatch.setattr(journal, "PAUSE", 3600)
    await box.add(Upstream("world", "fake", "fake://a2a-hot"))
    url = await box.serve()
    await rpc(url, "SendMessage", say("first", "echo", {"text": "x"}))
    written: list[str] = []

    def seen(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if " state " in statement.replace("\n", " "):
            written.append(statement)

    event.listen(box.gateway.store._engine, "before_cursor_execute", seen)
    for number in range(20):
        answer = await rpc(url, "SendMessage", say(f"m{number}", "echo", {"text": "x"}))
        assert answer["task"]["status"]["state"] == "TASK_STATE_COMPLETED"
    assert not written
    await rpc(url, "SendMessage", say("asks", "ask"))
    assert {one.split()[0] for one in written} == {"DELETE", "INSERT"}
    assert len(written) == 2, "a question is waited for, and takes all others along"
