"""Tasks: owned by their caller, read from memory, written behind to the gateway's own database."""

import asyncio
import time
from collections import OrderedDict
from contextlib import suppress
from typing import Any

from a2a.server.context import ServerCallContext
from a2a.server.tasks import InMemoryTaskStore, TaskStore
from a2a.types import ListTasksRequest, ListTasksResponse, Part, Task, TaskState, TaskStatus

from adapters.a2a.translate import ENDED, agent_message
from adapters.spi import State

KEPT = 10_000
"""Tasks of all callers; of those that have ended, the oldest go first."""
DAYS = 7.0
PAUSE = 0.2
"""Seconds in which changes of a task are gathered before they are written."""


def owner(context: ServerCallContext) -> str:
    """The caller, and the agent that it talks with: nobody reads another's task, at any agent."""
    return f"{context.state['agent']}\n{context.user.user_name}"


class Tasks(TaskStore):
    """Use `load` before the first request, and `close` after the last."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._held = InMemoryTaskStore(owner_resolver=owner)
        self._order: OrderedDict[tuple[str, str], bool] = OrderedDict()
        self._changed: dict[tuple[str, str], bytes | None] = {}
        self._wake = asyncio.Event()
        self._writer: asyncio.Task[None] | None = None

    async def load(self) -> None:
        """What was kept. What ran when the gateway ended has failed, and says so."""
        for key, raw in await self._state.items():
            whose, _, id = key.rpartition("\n")
            task = Task.FromString(raw)
            if task.status.timestamp.seconds < time.time() - DAYS * 86400:
                self._changed[whose, id] = None
                continue
            if task.status.state not in ENDED:
                said = agent_message([Part(text="gateway restarted")], id, task.context_id)
                ended = TaskStatus(state=TaskState.TASK_STATE_FAILED, message=said)
                ended.timestamp.GetCurrentTime()
                task.status.CopyFrom(ended)
                self._changed[whose, id] = task.SerializeToString()
            self._held._impl.tasks.setdefault(whose, {})[id] = task
            self._order[whose, id] = True
        self._writer = asyncio.create_task(self._write(), name="a2a tasks")
        self._wake.set()

    async def close(self) -> None:
        if self._writer is not None:
            self._writer.cancel()
            with suppress(asyncio.CancelledError):
                await self._writer
        await self._flush()

    # -- the SDK's store ------------------------------------------------------------------------------------------

    async def save(self, task: Task, context: ServerCallContext) -> None:
        await self._held.save(task, context)
        key = (owner(context), task.id)
        self._order[key] = task.status.state in ENDED
        self._order.move_to_end(key)
        self._changed[key] = task.SerializeToString()
        self._wake.set()
        if len(self._order) > KEPT:
            self._forget()

    async def get(self, task_id: str, context: ServerCallContext) -> Task | None:
        return await self._held.get(task_id, context)

    async def list(self, params: ListTasksRequest, context: ServerCallContext) -> ListTasksResponse:
        return await self._held.list(params, context)

    async def delete(self, task_id: str, context: ServerCallContext) -> None:
        await self._held.delete(task_id, context)
        self._gone((owner(context), task_id))

    def _gone(self, key: tuple[str, str]) -> None:
        self._order.pop(key, None)
        self._changed[key] = None
        self._wake.set()

    def _forget(self) -> None:
        """The oldest that has ended; where none has, nothing: running tasks are bounded by calls."""
        found = next((key for key, ended in self._order.items() if ended), None)
        if found is not None:
            self._held._impl.tasks.get(found[0], {}).pop(found[1], None)
            self._gone(found)

    # -- behind ---------------------------------------------------------------------------------------------------

    async def _write(self) -> None:
        while True:
            await self._wake.wait()
            await asyncio.sleep(PAUSE)
            self._wake.clear()
            await self._flush()

    async def _flush(self) -> None:
        changed, self._changed = self._changed, {}
        for (whose, id), raw in changed.items():
            key = f"{whose}\n{id}"
            await (self._state.delete(key) if raw is None else self._state.put(key, raw))


def context(agent: str, user: Any, state: dict[str, Any]) -> ServerCallContext:
    """What the SDK carries along: the caller and the agent."""
    return ServerCallContext(user=user, state={**state, "agent": agent})
