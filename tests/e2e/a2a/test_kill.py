"""What a caller or a webhook was told is there after `kill -9`; what was not told is told then."""

import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from adapters.spi import Upstream
from gateway.testing import Box
from tests.adapters.a2a.wires import VERSION, Hook, hooking, rpc, say
from tests.e2e.mcp.child import child, line_with

pytestmark = pytest.mark.e2e


@asynccontextmanager
async def mortal(folder: Path, hook: Hook) -> AsyncIterator[tuple[str, Any]]:
    """Its URL, and what kills it at once."""
    command = (sys.executable, "-m", "tests.e2e.a2a.mortal", str(folder), hook.origin)
    async with child(command) as process:
        url = json.loads(await line_with(process, "ready"))["ready"]

        async def kill() -> None:
            os.kill(process.pid, 9)
            await process.wait()

        yield url, kill


@asynccontextmanager
async def after(folder: Path, hook: Hook) -> AsyncIterator[str]:
    """A gateway on the same database."""
    box = Box(folder, networks={"a2a": {"push_to": [hook.origin]}})
    await box.open()
    try:
        await box.add(Upstream("world", "fake", "fake://mortal"))
        yield await box.serve()
    finally:
        await box.close()


async def last_of(url: str, task: str) -> str:
    """The state of the end, as a subscriber hears it."""
    body = {"jsonrpc": "2.0", "id": 1, "method": "SubscribeToTask", "params": {"id": task}}
    last = ""
    async with (
        httpx.AsyncClient(headers=VERSION, timeout=60) as client,
        client.stream("POST", f"{url}/a2a/all", json=body) as answer,
    ):
        async for line in answer.aiter_lines():
            update = json.loads(line[6:]).get("result", {}) if line.startswith("data: ") else {}
            last = update.get("statusUpdate", {}).get("status", {}).get("state", last)
            if last == "TASK_STATE_COMPLETED":
                break
    return last


async def test_an_end_that_was_told_outlives_a_kill(tmp_path: Path) -> None:
    async with hooking() as hook, mortal(tmp_path, hook) as (url, kill):
        said = say("m1", "echo", {"text": "stay", "delay": 0.3}, returnImmediately=True)
        id = (await rpc(url, "SendMessage", said))["task"]["id"]
        assert await last_of(url, id) == "TASK_STATE_COMPLETED"
        await kill()
        async with after(tmp_path, hook) as url:
            task = await rpc(url, "GetTask", {"id": id})
            assert task["status"]["state"] == "TASK_STATE_COMPLETED"
            assert task["artifacts"][0]["parts"] == [{"text": "stay"}]


async def test_a_task_that_was_begun_is_known_after_a_kill(tmp_path: Path) -> None:
    """And so is a question, whose answer nobody waits for any more."""
    async with hooking() as hook, mortal(tmp_path, hook) as (url, kill):
        asks = (await rpc(url, "SendMessage", say("m1", "ask")))["task"]
        assert asks["status"]["state"] == "TASK_STATE_INPUT_REQUIRED"
        runs = (await rpc(url, "SendMessage", say("m2", "hang", returnImmediately=True)))["task"]
        await kill()
        async with after(tmp_path, hook) as url:
            for one in (asks, runs):
                task = await rpc(url, "GetTask", {"id": one["id"]})
                assert task["status"]["state"] == "TASK_STATE_FAILED"
                assert task["status"]["message"]["parts"] == [{"text": "gateway restarted"}]


async def test_webhooks_hear_of_the_end_after_a_kill(tmp_path: Path) -> None:
    """Of a task that ran, and of one whose end the hook had not taken."""
    async with hooking() as hook, mortal(tmp_path, hook) as (url, kill):
        wanting = {"id": "mine", "url": hook.url, "token": "t0ken"}
        hook.answers = [None]
        said = say("m1", "echo", {"text": "x"}, taskPushNotificationConfig=wanting)
        done = (await rpc(url, "SendMessage", said))["task"]["id"]
        said = say("m2", "hang", returnImmediately=True, taskPushNotificationConfig=wanting)
        runs = (await rpc(url, "SendMessage", said))["task"]["id"]
        await hook.until(lambda: len(hook.heard) >= 2)
        await kill()
        hook.answers, hook.heard = [200], []
        async with after(tmp_path, hook):
            await hook.until(lambda: len(hook.heard) >= 2)

        told = {body["task"]["id"]: body["task"]["status"]["state"] for _, body in hook.heard}
        assert told == {done: "TASK_STATE_COMPLETED", runs: "TASK_STATE_FAILED"}
        assert {headers["x-a2a-notification-token"] for headers, _ in hook.heard} == {"t0ken"}
