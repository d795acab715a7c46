"""Resources that clients watch: a call by `resources/subscribe` that lasts as long as somebody listens."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace

import orjson

from adapters.errors import Full, GatewayError
from adapters.mcp import translate
from adapters.mcp.near import Near
from adapters.mcp.proxy import behind, owner, renamed
from adapters.mcp.rpc import Message
from adapters.spi import Error, Invoke, Progress

EACH = 50
"""Resources that one session may watch."""
MOST = 5000
"""Resources that all sessions together may watch."""
LASTS = 86400.0
WATCH = "resources/subscribe"


class Subscriptions:
    """Watches for handshake sessions (`add`, `remove`, `end`), and for streams of the modern era (`start`)."""

    def __init__(self, invoke: Invoke) -> None:
        self._invoke = invoke
        self._of: dict[str, dict[str, asyncio.Task[None]]] = {}

    async def add(self, session: str, near: Near, uri: str, tell: Callable[[str], None]) -> None:
        """Raises the error of a resource that cannot be watched, and `Full`."""
        mine = self._of.get(session, {})
        if uri in mine and not mine[uri].done():
            return
        if len(mine) >= EACH:
            raise Full(f"one session watches {EACH} resources at most")
        if sum(map(len, self._of.values())) >= MOST:
            raise Full("too many resources are watched")
        task = await self.start(near, uri, tell)
        self.remove(session, uri)  # another request may have been quicker
        self._of.setdefault(session, {})[uri] = task

    def remove(self, session: str, uri: str) -> None:
        mine = self._of.get(session, {})
        task = mine.pop(uri, None)
        if task is not None:
            task.cancel()
        if not mine:
            self._of.pop(session, None)

    def end(self, session: str) -> None:
        for task in self._of.pop(session, {}).values():
            task.cancel()

    async def close(self) -> None:
        tasks = [task for mine in self._of.values() for task in mine.values()]
        for session in list(self._of):
            self.end(session)
        await asyncio.gather(*tasks, return_exceptions=True)

    async def start(self, near: Near, uri: str, tell: Callable[[str], None]) -> asyncio.Task[None]:
        """A task that calls `tell` with the URI at each change, once the server has agreed. Raises its error."""
        agent, own = owner("resources/read", {"uri": uri}, near)
        call = translate.call(agent.slug, {"uri": own["uri"]}, {}, near, WATCH)
        call = replace(call, deadline=time.time() + LASTS)
        alone = len(behind(near)) == 1
        agreed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        async def watch() -> None:
            async for event in self._invoke(call):
                if isinstance(event, Error) and not agreed.done():
                    agreed.set_exception(event.error)
                elif isinstance(event, Progress) and not agreed.done():
                    agreed.set_result(None)
                elif isinstance(event, Progress) and event.raw is not None:
                    said: Message = orjson.loads(event.raw)
                    tell((said if alone else renamed(said, agent.slug, "uri")).get("uri", uri))

        task = asyncio.create_task(watch(), name="mcp watch")
        try:
            await asyncio.wait({task, agreed}, return_when=asyncio.FIRST_COMPLETED)
            if not agreed.done():
                agreed.set_exception(GatewayError("the watch ended before it began"))
            agreed.result()
        except BaseException:
            task.cancel()
            raise
        return task
