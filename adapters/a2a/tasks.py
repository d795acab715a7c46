"""Tasks: owned by their caller, read from memory, kept in the gateway's own database.

What a caller comes back for is written before it is told: questions, beginning and end of a task that outlives its
request or is pushed, and the end of one that the database knows as running. A task that began and ended between two
turns of the writer was told in its own answer, and is written behind: plain calls stay free of the database.
"""

import time
from collections import OrderedDict

from a2a.server.context import ServerCallContext
from a2a.server.tasks import InMemoryTaskStore, TaskStore
from a2a.types import ListTasksRequest, ListTasksResponse, Part, Task, TaskState, TaskStatus

from adapters.a2a.journal import Journal
from adapters.a2a.pushes import Ear, Pushes
from adapters.a2a.translate import ENDED, agent_message
from adapters.a2a.user import owner
from adapters.spi import Host

KEPT = 10_000
"""Tasks of all callers; of those that have ended, the oldest go first."""
DAYS = 7.0
ASKS = TaskState.TASK_STATE_INPUT_REQUIRED
LASTING = "lasting"
"""In the state of a request: its task outlives it."""


class Tasks(TaskStore):
    """Use `load` before the first request, and `close` after the last."""

    def __init__(self, host: Host) -> None:
        self._state = host.state("tasks")
        self._journal = Journal(host, self._state)
        self._held = InMemoryTaskStore(owner_resolver=owner)
        self._order: OrderedDict[tuple[str, str], bool] = OrderedDict()
        self.pushes = Pushes(host, self)

    async def load(self) -> list[tuple[Ear, Task]]:
        """What was kept; what ran when the gateway ended has failed, and says so. Returns who does not know an end."""
        for key, raw in await self._state.items():
            whose, _, id = key.rpartition("\n")
            task = Task.FromString(raw)
            if task.status.timestamp.seconds < time.time() - DAYS * 86400:
                self._journal.put(key, None)
                continue
            if task.status.state not in ENDED:
                said = agent_message([Part(text="gateway restarted")], id, task.context_id)
                ended = TaskStatus(state=TaskState.TASK_STATE_FAILED, message=said)
                ended.timestamp.GetCurrentTime()
                task.status.CopyFrom(ended)
                self._journal.put(key, task.SerializeToString())
            self._held._impl.tasks.setdefault(whose, {})[id] = task
            self._order[whose, id] = True
        self._journal.start()
        return [(ear, self._held._impl.tasks[ear.owner][ear.task]) for ear in await self.pushes.load()]

    async def close(self) -> None:
        await self.pushes.close()
        await self._journal.close()

    def ended(self, whose: str, id: str) -> bool | None:
        """Whether this owner's task has ended; None: there is none."""
        return self._order.get((whose, id))

    async def kept(self) -> None:
        """Returns when all of them are in the database as they are."""
        await self._journal.kept()

    # -- the SDK's store ------------------------------------------------------------------------------------------

    async def save(self, task: Task, context: ServerCallContext) -> None:
        key = (owner(context), task.id)
        place = "\n".join(key)
        ended = task.status.state in ENDED
        lasting = bool(context.state.get(LASTING)) or self.pushes.heard(*key)
        waits = lasting or task.status.state == ASKS or (ended and place in self._journal.written)
        self._journal.put(place, task.SerializeToString())
        if waits and (ended or task.status.state == ASKS or key not in self._order):
            await self._journal.kept()
        await self._held.save(task, context)
        self._order[key] = ended
        self._order.move_to_end(key)
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
        self._journal.put("\n".join(key), None)
        self.pushes.forget(*key)

    def _forget(self) -> None:
        """The oldest that has ended; where none has, nothing: running tasks are bounded by calls."""
        found = next((key for key, ended in self._order.items() if ended), None)
        if found is not None:
            self._held._impl.tasks.get(found[0], {}).pop(found[1], None)
            self._gone(found)
