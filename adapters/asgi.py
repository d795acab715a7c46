"""What faces do alike in raw ASGI: bodies in, answers out, and clients that go away."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from adapters.spi import Receive, Send

JSON = (b"content-type", b"application/json")
SOON = 0.02
"""Seconds in which most calls end: only then is it watched whether the client is still there."""


class Leaving:
    """Cancels the present task when its client goes away. Most calls end before that is looked at."""

    def __init__(self, receive: Receive) -> None:
        found = asyncio.current_task()
        assert found is not None
        self.task: asyncio.Task[Any] = found
        self._receive = receive
        self._gone: asyncio.Future[None] | None = None
        self._timer = asyncio.get_running_loop().call_later(SOON, self._look)

    def _look(self) -> None:
        self._gone = asyncio.ensure_future(disconnected(self._receive))
        self._gone.add_done_callback(lambda gone: None if gone.cancelled() else self._cut())

    def _cut(self) -> None:
        self.task.cancel()

    def taken_back(self) -> bool:
        """Whether the cancel was of this, and no other came with it."""
        gone = self._gone is not None and self._gone.done() and not self._gone.cancelled()
        return gone and self.task.uncancel() == 0

    def stop(self) -> None:
        self._timer.cancel()
        if self._gone is not None:
            self._gone.cancel()


async def until_gone(work: Coroutine[Any, Any, None], receive: Receive) -> None:
    """Does the work in this task; cuts it when the client goes away."""
    leaving = Leaving(receive)
    try:
        await work
    except asyncio.CancelledError:
        if not leaving.taken_back():
            raise
    finally:
        leaving.stop()


async def disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def read(receive: Receive) -> bytes | None:
    """The whole body; None where the client went away."""
    message: Any = await receive()
    body = message.get("body", b"")
    while message.get("more_body"):
        message = await receive()
        body += message.get("body", b"")
    return None if message["type"] == "http.disconnect" else body


async def respond(send: Send, status: int, body: bytes) -> None:
    """A whole answer; a body is JSON."""
    headers: list[tuple[bytes, bytes]] = [JSON] if body else []
    headers.append((b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
