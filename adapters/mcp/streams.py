"""Standing streams of the handshake era (GET), by which clients hear of changes."""

import asyncio
from collections.abc import Callable

import orjson

from adapters.asgi import disconnected
from adapters.errors import Full
from adapters.mcp.answering import STREAM
from adapters.mcp.rpc import Message
from adapters.spi import Receive, Send

MOST = 2000
"""Streams that stand at once."""
EACH = 4
"""Streams of one session; one more ends the oldest."""
PING = 15.0


class Standing:
    """One client's stream."""

    __slots__ = ("ended", "waiting", "wake")

    def __init__(self) -> None:
        self.waiting: dict[str, Message] = {}
        """What is to be told, the same thing once."""
        self.wake = asyncio.Event()
        self.ended = False

    def tell(self, message: Message) -> None:
        self.waiting[orjson.dumps(message).decode()] = message
        self.wake.set()

    def end(self) -> None:
        self.ended = True
        self.wake.set()


class Streams:
    """All standing streams."""

    def __init__(self) -> None:
        self._open: dict[str, list[Standing]] = {}
        self.gone: Callable[[str], None] = lambda _: None
        """Called with a session's id when its last stream has ended."""

    def __len__(self) -> int:
        return sum(len(streams) for streams in self._open.values())

    def tell(self, message: Message, session: str | None = None) -> None:
        """To all clients, or to that of one session: each on one of its streams, as the specification wants it."""
        for id, streams in self._open.items():
            if session in (None, id):
                standing = [stream for stream in streams if not stream.ended]
                for stream in standing[-1:]:
                    stream.tell(message)

    def end(self, session: str) -> None:
        for stream in self._open.get(session, ()):
            stream.end()

    def close(self) -> None:
        for session in list(self._open):
            self.end(session)

    async def serve(self, session: str, receive: Receive, send: Send) -> None:
        """Holds a stream until the client goes away or the session ends. Raises `Full`."""
        if len(self) >= MOST:
            raise Full("too many clients hold a stream", retry_after=PING)
        mine = self._open.setdefault(session, [])
        for old in mine[: max(len(mine) - EACH + 1, 0)]:
            old.end()
        stream = Standing()
        mine.append(stream)
        gone = asyncio.ensure_future(disconnected(receive))
        try:
            await send({"type": "http.response.start", "status": 200, "headers": STREAM})
            await send({"type": "http.response.body", "body": b": open\r\n\r\n", "more_body": True})
            while not stream.ended and not gone.done():
                await _told(stream, gone, send)
            await send({"type": "http.response.body", "body": b""})
        except OSError:
            pass
        finally:
            gone.cancel()
            mine.remove(stream)
            if not mine and self._open.get(session) is mine:
                del self._open[session]
                self.gone(session)


async def _told(stream: Standing, gone: "asyncio.Future[None]", send: Send) -> None:
    """What there is to tell, or a sign of life."""
    waking = asyncio.ensure_future(stream.wake.wait())
    await asyncio.wait({waking, gone}, timeout=PING, return_when=asyncio.FIRST_COMPLETED)
    waking.cancel()
    stream.wake.clear()
    waiting, stream.waiting = stream.waiting, {}
    data = b"".join(b"event: message\r\ndata: " + orjson.dumps(message) + b"\r\n\r\n" for message in waiting.values())
    if not gone.done():
        await send({"type": "http.response.body", "body": data or b": ping\r\n\r\n", "more_body": True})
