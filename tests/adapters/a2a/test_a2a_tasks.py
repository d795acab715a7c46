"""Tasks: each caller's own, there again after a restart, bounded."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest
from a2a.types import ListTasksRequest, Task, TaskState, TaskStatus
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.a2a import tasks
from adapters.a2a.tasks import Tasks, context
from adapters.a2a.user import KnownUser
from adapters.spi import Caller, Upstream
from gateway.host import StoredState
from gateway.testing import Box

VERSION = {"a2a-version": "1.0"}


def who(name: str, agent: str = "all") -> Any:
    return context(agent, KnownUser(Caller(name)), {})


async def store(box: Box) -> Tasks:
    made = Tasks(StoredState(box.gateway.store, "test"))
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
    made = Tasks(StoredState(box.gateway.store, "none"))
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

    async def rpc(method: str, params: Any) -> Any:
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        async with httpx.AsyncClient(base_url=url, headers=VERSION, timeout=30) as client:
            return (await client.post("/a2a/all", json=body)).json()

    def say(id: str, skill: str, arguments: Any) -> Any:
        parts = [{"data": arguments}]
        message = {"messageId": id, "role": "ROLE_USER", "parts": parts, "metadata": {"skill": skill}}
        return {"message": message, "configuration": {"returnImmediately": skill == "hang"}}

    done = (await rpc("SendMessage", say("m1", "echo", {"text": "stay"})))["result"]["task"]["id"]
    runs = (await rpc("SendMessage", say("m2", "hang", {})))["result"]["task"]["id"]
    await asyncio.sleep(0.5)
    await box.restart()
    url = await box.serve()
    kept = (await rpc("GetTask", {"id": done}))["result"]
    assert kept["artifacts"][0]["parts"] == [{"text": "stay"}]
    assert (await rpc("GetTask", {"id": runs}))["result"]["status"]["state"] in (
        "TASK_STATE_FAILED", "TASK_STATE_CANCELED"
    )  # fmt: skip
    assert Path(box.folder).exists()
