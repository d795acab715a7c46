"""Tells of tasks at the addresses that their owners named: in order, beside the task, and of the end at least once."""

import asyncio
from collections import deque
from typing import Any

import httpx2
from a2a.server.tasks import PushNotificationSender
from a2a.server.tasks.push_notification_sender import PushNotificationEvent
from a2a.types import Task
from a2a.utils.proto_utils import to_stream_response
from google.protobuf.json_format import MessageToDict

from adapters.a2a.pushes import Ear, Pushes
from adapters.a2a.translate import ENDED
from adapters.errors import GatewayError
from adapters.spi import Json

PATIENCE = 10.0
"""Seconds for one telling."""
AGAIN = (1.0, 5.0, 25.0)
"""Seconds until the end is told again, where nobody took it."""
AT_ONCE = 64
WAITING = 1_000
"""Events that may wait for one listener; of more, the oldest go."""
FAULTS = (httpx2.HTTPError, httpx2.InvalidURL, GatewayError, ValueError, OSError)


class Teller(PushNotificationSender):
    """`http` guards where it may lead. Close with `close`: what was not told then is told after the next start."""

    def __init__(self, http: httpx2.AsyncClient, pushes: Pushes) -> None:
        self._http = http
        self._pushes = pushes
        self._queues: dict[tuple[str, str, str], deque[tuple[Ear, Json, bool]]] = {}
        self._runs: set[asyncio.Task[None]] = set()
        self._room = asyncio.Semaphore(AT_ONCE)

    async def close(self) -> None:
        for run in self._runs:
            run.cancel()
        await asyncio.gather(*self._runs, return_exceptions=True)

    async def send_notification(self, task_id: str, event: PushNotificationEvent) -> None:
        """Returns at once."""
        ears = list(self._pushes.ears(task_id))
        if ears:
            said = MessageToDict(to_stream_response(event))
            status: Any = getattr(event, "status", None)
            ended = status is not None and status.state in ENDED
            for ear in ears:
                self._queue(ear, said, ended)

    def catch_up(self, ear: Ear, task: Task) -> None:
        """Tells of a task that has ended."""
        self._queue(ear, MessageToDict(to_stream_response(task)), True)

    def _queue(self, ear: Ear, said: Json, ended: bool) -> None:
        place = (ear.owner, ear.task, ear.config.id)
        if place in self._queues:
            return self._queues[place].append((ear, said, ended))
        self._queues[place] = deque([(ear, said, ended)], WAITING)
        run = asyncio.create_task(self._run(place), name="a2a teller")
        self._runs.add(run)
        run.add_done_callback(self._runs.discard)

    async def _run(self, place: tuple[str, str, str]) -> None:
        queue = self._queues[place]
        try:
            while queue:
                ear, said, ended = queue.popleft()
                for pause in (*(AGAIN if ended else ()), 0.0):
                    if not self._pushes.listens(ear) or await self._tell(ear, said):
                        break
                    await asyncio.sleep(pause)
                if ended:
                    self._pushes.end_known(ear)
        finally:
            del self._queues[place]

    async def _tell(self, ear: Ear, said: Json) -> bool:
        """Whether it was taken, or never will be."""
        config = ear.config
        headers = {"x-a2a-notification-token": config.token} if config.token else {}
        if config.authentication.scheme and config.authentication.credentials:
            headers["authorization"] = f"{config.authentication.scheme} {config.authentication.credentials}"
        try:
            async with self._room, asyncio.timeout(PATIENCE):
                answer = await self._http.post(config.url, json=said, headers=headers)
        except GatewayError:
            return True  # the guard does not let it through
        except FAULTS:
            return False
        return answer.status_code < 500 and answer.status_code not in (408, 429)
