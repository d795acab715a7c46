"""Who wants to be told of which task: each owner's own, sealed at rest, kept as long as the task."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

import orjson
from a2a.server.context import ServerCallContext
from a2a.server.tasks import PushNotificationConfigStore
from a2a.server.tasks.push_notification_config_store import normalize_push_notification_config
from a2a.types import TaskPushNotificationConfig
from a2a.utils.errors import InvalidParamsError

from adapters.a2a.journal import Journal
from adapters.a2a.user import owner
from adapters.errors import Expired
from adapters.spi import Host

KEPT = 20_000
"""Tasks with configurations, beyond which those go that belong to no task."""
MOST = 10
"""Configurations of one task."""
LONGEST = 2048
"""Characters of an id, an address or a secret."""


@dataclass(slots=True)
class Record:
    """By id, those who want to be told of one task; and which of them know its end, or have been given up."""

    configs: dict[str, TaskPushNotificationConfig] = field(default_factory=dict[str, TaskPushNotificationConfig])
    told: set[str] = field(default_factory=set[str])


@dataclass(frozen=True, slots=True)
class Ear:
    """One who wants to be told."""

    owner: str
    task: str
    config: TaskPushNotificationConfig


class Known(Protocol):
    """The tasks that there are."""

    def ended(self, whose: str, id: str) -> bool | None:
        """Whether this owner's task has ended; None: there is none."""
        ...

    async def kept(self) -> None:
        """Returns when all of them are in the database as they are."""
        ...


class Pushes(PushNotificationConfigStore):
    """Use `load` when the tasks have been loaded, and `close` after the last request."""

    def __init__(self, host: Host, tasks: Known) -> None:
        self._host = host
        self._state = host.state("pushes")
        self._journal = Journal(host, self._state)
        self._tasks = tasks
        self._held: dict[str, dict[str, Record]] = {}
        """By task, then by owner."""

    async def load(self) -> list[Ear]:
        """What was kept; those who do not know yet that their task has ended."""
        due: list[Ear] = []
        for key, sealed in await self._state.items():
            whose, _, task = key.rpartition("\n")
            try:
                said = orjson.loads(self._host.open(sealed))
            except Expired:
                said = None
            if said is None or self._tasks.ended(whose, task) is None:
                self._journal.put(key, None)
                continue
            found = [TaskPushNotificationConfig.FromString(bytes.fromhex(one)) for one in said["configs"]]
            record = Record({one.id: one for one in found}, set(said["told"]))
            self._held.setdefault(task, {})[whose] = record
            if self._tasks.ended(whose, task):
                due += [Ear(whose, task, one) for one in found if one.id not in record.told]
        self._journal.start()
        return due

    async def close(self) -> None:
        await self._journal.close()

    # -- the SDK's store ------------------------------------------------------------------------------------------

    async def set_info(
        self, task_id: str, notification_config: TaskPushNotificationConfig, context: ServerCallContext
    ) -> TaskPushNotificationConfig:
        """In the database when this returns. Raises `InvalidParamsError` for what is too much."""
        made = normalize_push_notification_config(task_id, notification_config)
        said = (made.id, made.url, made.token, made.authentication.scheme, made.authentication.credentials)
        if any(len(one) > LONGEST for one in said):
            raise InvalidParamsError(message=f"an id, an address or a secret is longer than {LONGEST} characters")
        whose = owner(context)
        record = self._held.setdefault(task_id, {}).setdefault(whose, Record())
        if made.id not in record.configs and len(record.configs) >= MOST:
            raise InvalidParamsError(message=f"a task has at most {MOST} push notification configurations")
        record.configs[made.id] = made
        if self._tasks.ended(whose, task_id):
            record.told.add(made.id)  # it may know: whoever asks for it has the task
        self._changed(whose, task_id)
        self._sweep()
        await self._tasks.kept()
        await self._journal.kept()
        return _copy(made)

    async def get_info(self, task_id: str, context: ServerCallContext) -> list[TaskPushNotificationConfig]:
        record = self._held.get(task_id, {}).get(owner(context), Record())
        return [_copy(one) for one in record.configs.values()]

    async def get_info_for_dispatch(self, task_id: str) -> list[TaskPushNotificationConfig]:
        return [ear.config for ear in self.ears(task_id)]

    async def delete_info(self, task_id: str, context: ServerCallContext, config_id: str | None = None) -> None:
        whose = owner(context)
        record = self._held.get(task_id, {}).get(whose)
        if record is None:
            return
        if config_id is None:
            record.configs.clear()
        record.configs.pop(config_id or "", None)
        self._changed(whose, task_id)
        await self._journal.kept()

    # -- for those who tell -----------------------------------------------------------------------------------------

    def heard(self, whose: str, task: str) -> bool:
        """Whether anybody wants to be told of this task."""
        return whose in self._held.get(task, {})

    def ears(self, task: str) -> Iterator[Ear]:
        for whose, record in self._held.get(task, {}).items():
            for config in record.configs.values():
                yield Ear(whose, task, config)

    def listens(self, ear: Ear) -> bool:
        """Whether it still wants to be told, at the same place."""
        record = self._held.get(ear.task, {}).get(ear.owner)
        return record is not None and record.configs.get(ear.config.id) is ear.config

    def end_known(self, ear: Ear) -> None:
        """It was told of the end, or has been given up."""
        if self.listens(ear):
            self._held[ear.task][ear.owner].told.add(ear.config.id)
            self._changed(ear.owner, ear.task)

    def forget(self, whose: str, task: str) -> None:
        """The task is gone."""
        if self._held.get(task, {}).pop(whose, None) is not None:
            self._changed(whose, task)

    def _changed(self, whose: str, task: str) -> None:
        record = self._held.get(task, {}).get(whose)
        if record is not None and record.configs:
            configs = [one.SerializeToString().hex() for one in record.configs.values()]
            raw = orjson.dumps({"configs": configs, "told": sorted(record.told & record.configs.keys())})
            return self._journal.put(f"{whose}\n{task}", self._host.seal(raw))
        self._journal.put(f"{whose}\n{task}", None)
        self._held.get(task, {}).pop(whose, None)
        if not self._held.get(task):
            self._held.pop(task, None)

    def _sweep(self) -> None:
        """Messages that became no task leave records behind: the oldest go."""
        if len(self._held) <= KEPT:
            return
        for task, by_owner in list(self._held.items())[: KEPT // 2]:
            for whose in list(by_owner):
                if self._tasks.ended(whose, task) is None:
                    self.forget(whose, task)


def _copy(config: TaskPushNotificationConfig) -> TaskPushNotificationConfig:
    made = TaskPushNotificationConfig()
    made.CopyFrom(config)
    return made
