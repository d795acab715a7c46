"""Who wants to be told: kept over restarts, sealed, its owner's alone, guarded; and told of each end at least once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from a2a.types import AuthenticationInfo, TaskPushNotificationConfig
from a2a.utils.errors import InvalidParamsError

from adapters.a2a import pushes, teller
from adapters.a2a.tasks import Tasks
from adapters.spi import Upstream
from gateway.testing import Box
from tests.adapters.a2a.test_a2a_tasks import a_host, task, who
from tests.adapters.a2a.wires import Hook, hooking, rpc, say

GET, LIST = "GetTaskPushNotificationConfig", "ListTaskPushNotificationConfigs"


def config(id: str = "mine", url: str = "https://example.com/hook", **more: Any) -> TaskPushNotificationConfig:
    return TaskPushNotificationConfig(id=id, url=url, **more)


@pytest.fixture
async def hook() -> AsyncIterator[Hook]:
    async with hooking() as found:
        yield found


@asynccontextmanager
async def pushing(folder: Path, *places: str) -> AsyncIterator[Box]:
    """A gateway that may push to these places inside."""
    box = Box(folder, networks={"a2a": {"push_to": list(places)}})
    await box.open()
    try:
        await box.add(Upstream("world", "fake", "fake://pushes"))
        yield box
    finally:
        await box.close()


# ---- what is kept ---------------------------------------------------------------------------------------------------


async def test_they_are_there_again_and_their_owners_alone(box: Box) -> None:
    first = Tasks(a_host(box))
    assert await first.load() == []
    await first.save(task("t1"), who("ann"))
    for id in ("mine", "other"):
        await first.pushes.set_info("t1", config(id, token="t0ken"), who("ann"))
    await first.pushes.delete_info("t1", who("bob"))
    await first.pushes.delete_info("t1", who("ann"), "other")
    second = Tasks(a_host(box))
    assert await second.load() == []
    (kept,) = await second.pushes.get_info("t1", who("ann"))
    assert (kept.id, kept.url, kept.token, kept.task_id) == ("mine", "https://example.com/hook", "t0ken", "t1")
    assert await second.pushes.get_info("t1", who("bob")) == []
    assert await second.pushes.get_info("t1", who("ann", "b")) == []
    await second.pushes.delete_info("t1", who("ann"))
    third = Tasks(a_host(box))
    await third.load()
    assert await third.pushes.get_info("t1", who("ann")) == []
    for one in (first, second, third):
        await one.close()


async def test_secrets_are_sealed_at_rest(box: Box) -> None:
    made = Tasks(a_host(box))
    await made.load()
    secret = AuthenticationInfo(scheme="Bearer", credentials="s3cret-credentials")
    await made.pushes.set_info("t1", config(url="https://example.com/s3cret-path", authentication=secret), who("ann"))
    ((_, raw),) = await a_host(box).state("pushes").items()
    assert b"s3cret" not in raw
    assert b"s3cret".hex().encode() not in raw
    await made.close()
    files = [path for path in (box.folder / ".doolittle").rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if b"s3cret-credentials" in path.read_bytes()]


async def test_what_belongs_to_no_task_or_was_sealed_elsewhere_goes(box: Box) -> None:
    first = Tasks(a_host(box))
    await first.load()
    await first.pushes.set_info("never", config(), who("ann"))
    await first.save(task("t1"), who("ann"))
    await first.pushes.set_info("t1", config(), who("ann"))
    await first.close()
    other = Tasks(replace(a_host(box), name="elsewhere"))
    state = a_host(box).state("pushes")
    kept = dict(await state.items())
    assert len(kept) == 2
    second = Tasks(a_host(box))
    await second.load()
    await second.close()
    assert len(await state.items()) == 1
    await state.write({key: other.pushes._host.seal(b"{}") for key in kept})
    third = Tasks(a_host(box))
    await third.load()
    assert await third.pushes.get_info("t1", who("ann")) == []
    await third.close()
    assert await state.items() == []


async def test_they_go_with_their_task(box: Box) -> None:
    made = Tasks(a_host(box))
    await made.load()
    await made.save(task("t1"), who("ann"))
    await made.pushes.set_info("t1", config(), who("ann"))
    await made.delete("t1", who("ann"))
    assert not made.pushes.heard("all\nann", "t1")
    await made.close()
    assert await a_host(box).state("pushes").items() == []


async def test_there_is_a_most(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pushes, "KEPT", 4)
    made = Tasks(a_host(box))
    await made.load()
    for number in range(pushes.MOST):
        await made.pushes.set_info("t1", config(f"c{number}"), who("ann"))
    await made.pushes.set_info("t1", config("c0", url="https://example.com/new"), who("ann"))
    with pytest.raises(InvalidParamsError, match="at most"):
        await made.pushes.set_info("t1", config("more"), who("ann"))
    with pytest.raises(InvalidParamsError, match="longer than"):
        await made.pushes.set_info("t2", config(token="x" * 5000), who("ann"))
    for number in range(40):
        await made.pushes.set_info(f"orphan{number}", config(), who("ann"))
    assert sum(made.pushes.heard("all\nann", f"orphan{number}") for number in range(40)) <= 4
    await made.close()


# ---- over restarts --------------------------------------------------------------------------------------------------


def wanting(hook: Hook, **more: Any) -> Any:
    return {"id": "mine", "url": hook.url, "token": "t0ken",
            "authentication": {"scheme": "Bearer", "credentials": "s3cret"}, **more}  # fmt: skip


async def test_a_task_that_ran_is_told_as_failed_after_a_restart(tmp_path: Path, hook: Hook) -> None:
    async with pushing(tmp_path, hook.origin) as box:
        url, ann, bob = await box.serve(), await box.key("ann"), await box.key("bob")
        said = say("m1", "hang", returnImmediately=True, taskPushNotificationConfig=wanting(hook))
        id = (await rpc(url, "SendMessage", said, ann))["task"]["id"]
        await hook.until(lambda: "WORKING" in hook.states)
        await box.restart()
        url = await box.serve()
        await hook.until(lambda: hook.states[-1] == "FAILED")
        headers, body = hook.heard[-1]
        assert body["task"]["status"]["message"]["parts"] == [{"text": "gateway restarted"}]
        assert headers["authorization"] == "Bearer s3cret"
        assert headers["x-a2a-notification-token"] == "t0ken"
        which = {"taskId": id, "id": "mine"}
        assert (await rpc(url, GET, which, ann))["url"] == hook.url
        assert [one["id"] for one in (await rpc(url, LIST, {"taskId": id}, ann))["configs"]] == ["mine"]
        for method, params in ((GET, which), (LIST, {"taskId": id}), ("DeleteTaskPushNotificationConfig", which)):
            assert (await rpc(url, method, params, bob))["code"] == -32001
        await rpc(url, "DeleteTaskPushNotificationConfig", which, ann)
        assert not (await rpc(url, LIST, {"taskId": id}, ann)).get("configs")


async def test_an_end_that_was_told_is_not_told_again(tmp_path: Path, hook: Hook) -> None:
    async with pushing(tmp_path, hook.origin) as box:
        url = await box.serve()
        said = say("m1", "echo", {"text": "x"}, taskPushNotificationConfig=wanting(hook))
        id = (await rpc(url, "SendMessage", said))["task"]["id"]
        await hook.until(lambda: "COMPLETED" in hook.states)
        late = await rpc(url, "CreateTaskPushNotificationConfig", {"taskId": id, **wanting(hook, id="late")})
        assert late["id"] == "late"
        while any(one.get_name() == "a2a teller" for one in asyncio.all_tasks()):
            await asyncio.sleep(0.01)
        hook.heard = []
        for _ in range(2):
            await box.restart()
            url = await box.serve()
            assert len((await rpc(url, LIST, {"taskId": id}))["configs"]) == 2
        again = say("m2", "echo", {"text": "y"}, taskPushNotificationConfig=wanting(hook))
        await rpc(url, "SendMessage", again)
        await hook.until(lambda: "COMPLETED" in hook.states)
        assert not [body for _, body in hook.heard if id in str(body)]


async def test_a_telling_that_was_not_finished_is_done_after_the_restart(tmp_path: Path, hook: Hook) -> None:
    """And nobody waits for it: the caller has the answer, while the hook gives none."""
    async with pushing(tmp_path, hook.origin) as box:
        url = await box.serve()
        hook.answers = [None]
        said = say("m1", "echo", {"text": "x"}, taskPushNotificationConfig=wanting(hook))
        answer = (await rpc(url, "SendMessage", said))["task"]
        assert answer["status"]["state"] == "TASK_STATE_COMPLETED"
        await hook.until(lambda: bool(hook.heard))
        hook.answers, hook.heard = [200], []
        await box.restart()
        await box.serve()
        await hook.until(lambda: "COMPLETED" in hook.states)
        assert hook.heard[-1][1]["task"]["artifacts"][0]["parts"] == [{"text": "x"}]


async def test_an_end_is_told_again_until_it_is_taken(
    tmp_path: Path, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(teller, "AGAIN", (0.0, 0.0))
    async with pushing(tmp_path, hook.origin) as box:
        url = await box.serve()
        hook.answers = [503]
        said = say("m1", "echo", {"text": "x"}, taskPushNotificationConfig=wanting(hook))
        await rpc(url, "SendMessage", said)
        await hook.until(lambda: hook.states.count("COMPLETED") == 3)
        hook.answers, hook.heard = [200, 429, 200], []
        await rpc(url, "SendMessage", said | {"message": said["message"] | {"messageId": "m2"}})
        await hook.until(lambda: "COMPLETED" in hook.states)
        assert all(state in ("SUBMITTED", "WORKING", "COMPLETED") for state in hook.states), "in order, and no third"
        assert hook.states.index("COMPLETED") >= len(hook.states) - 2


async def test_the_guard_holds_after_a_restart_too(tmp_path: Path, hook: Hook) -> None:
    """What the operator let in once, and no longer does, is not told."""
    async with pushing(tmp_path, hook.origin) as box:
        url = await box.serve()
        said = say("m1", "hang", returnImmediately=True, taskPushNotificationConfig=wanting(hook))
        id = (await rpc(url, "SendMessage", said))["task"]["id"]
        await hook.until(lambda: "WORKING" in hook.states)
    heard = len(hook.heard)
    async with hooking() as other, pushing(tmp_path, other.origin) as box:
        url = await box.serve()
        assert (await rpc(url, "GetTask", {"id": id}))["status"]["state"] == "TASK_STATE_FAILED"
        await rpc(url, "SendMessage", say("m2", "echo", {"text": "x"}, taskPushNotificationConfig=wanting(other)))
        await other.until(lambda: "COMPLETED" in other.states)
        assert len(hook.heard) == heard
