"""HTTP/1.1 to upstreams that the operator configured: httptools on asyncio's own sockets, behind httpx2's API.

One exchange at a time on a connection; a connection whose answer was not read to its end is closed, at once and at any
stage, for closing is how a far side hears of a cancel. No redirects, no proxies, no cookies; nothing is sent twice.
"""

import asyncio
import select
import ssl
import time
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httptools
import httpx2

HEAD_LIMIT = 100_000
"""Bytes of status line and headers."""
AHEAD = 2**18
"""Bytes of a body that are read before somebody wants them."""
AWHILE = 1.0
"""Seconds without use after which a connection is looked at before it is used again."""
EXTENSIONS = {"http_version": b"HTTP/1.1"}


@dataclass(frozen=True, slots=True)
class Bounds:
    """How many connections at once, how many of one origin are kept, and for how many seconds."""

    connections: int = 512
    kept: int = 128
    seconds: float = 60


class Connection(asyncio.Protocol):
    """A socket, and the exchange that is on it. `fault` ends the exchange; `whole`: its answer was read to the end."""

    def __init__(self) -> None:
        self.since = 0.0
        self.lost = False
        self._transport: Any = None
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._waiter: asyncio.Future[None] | None = None
        self._busy = False
        self._reset()

    def _reset(self) -> None:
        self._parser: Any = httptools.HttpResponseParser(self)
        self.headers: list[tuple[bytes, bytes]] = []
        self.chunks: deque[bytes] = deque()
        self.status = 0
        self.whole = False
        self.fault: httpx2.TransportError | None = None
        self._size = 0
        self._head = 0
        self._paused = False
        self._measured = False
        self._keep = False

    # -- by the pool ----------------------------------------------------------------------------------------------

    @property
    def open(self) -> bool:
        return not self.lost and not self._transport.is_closing()

    @property
    def reusable(self) -> bool:
        return self.whole and self._keep and self.open

    def quiet(self) -> bool:
        """Whether the far side is silent, as it must be between two exchanges. Many close what was idle for 5 s: an end
        that came while this loop was busy is seen here, and not by the next request, of which nobody would know."""
        if time.monotonic() - self.since < AWHILE or not hasattr(select, "poll"):
            return True
        waiting = select.poll()
        waiting.register(self._transport.get_extra_info("socket").fileno(), select.POLLIN)
        return not waiting.poll(0)

    async def send(self, data: bytes, seconds: float | None) -> None:
        """Begins an exchange."""
        self._reset()
        self._busy = True
        self._transport.write(data)
        if not self._flowing.is_set():
            try:
                async with asyncio.timeout(seconds):
                    await self._flowing.wait()
            except TimeoutError as fault:
                raise httpx2.WriteTimeout("the request was not taken in time") from fault

    async def more(self, seconds: float | None) -> None:
        """Waits for the head, or for more of the body, or the end. Raises what ended the exchange."""
        if self.fault is not None:
            raise self.fault
        self._waiter = asyncio.get_running_loop().create_future()
        if seconds is None:
            await self._waiter
        else:
            try:
                async with asyncio.timeout(seconds):
                    await self._waiter
            except TimeoutError as fault:
                raise httpx2.ReadTimeout("nothing came in time") from fault
        if self.fault is not None and not self.chunks:
            raise self.fault

    def take(self) -> bytes:
        """The next piece of the body."""
        chunk = self.chunks.popleft()
        self._size -= len(chunk)
        if self._paused and self._size < AHEAD // 2 and self.open:
            self._paused = False
            self._transport.resume_reading()
        return chunk

    def abort(self) -> None:
        """Closes the socket now. Whoever waits is told."""
        if self._busy and not self.whole:
            self._fail(httpx2.ReadError("closed on this side"))
        self._busy = False
        self._transport.abort()

    # -- by asyncio -----------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def pause_writing(self) -> None:
        self._flowing.clear()

    def resume_writing(self) -> None:
        self._flowing.set()

    def data_received(self, data: bytes) -> None:
        if not self._busy or self.whole:
            self._keep = False
            self._transport.abort()  # nobody asked for this
            return
        if not self.status:
            self._head += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as fault:
            self._keep = False
            if not self.whole:
                self._fail(httpx2.RemoteProtocolError(f"not as HTTP/1.1 has it: {fault!r}"[:300]))
                self._transport.abort()
            return
        if self._head > HEAD_LIMIT and not self.status:
            self._fail(httpx2.RemoteProtocolError("a head without end"))
            self._transport.abort()
        elif self._size > AHEAD and not self._paused and not self.whole:
            self._paused = True
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        self._flowing.set()
        if not self._busy or self.whole:
            return
        if exc is None and self.status and not self._measured:
            self.on_message_complete()
        elif exc is not None:
            self._fail(httpx2.ReadError(str(exc) or repr(exc)))
        else:
            self._fail(httpx2.RemoteProtocolError("the connection was closed before the answer was whole"))

    # -- by httptools ---------------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self.whole:
            self._keep = False  # more than was announced

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.whole:
            return
        self.headers.append((name, value))
        if name.lower() in (b"content-length", b"transfer-encoding"):
            self._measured = True

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if self.whole or status < 200:
            return
        self.status = status
        self._measured = self._measured or status in (204, 304)
        self._wake()

    def on_body(self, body: bytes) -> None:
        if not self.whole:
            self.chunks.append(body)
            self._size += len(body)
            self._wake()

    def on_message_complete(self) -> None:
        if not self.status:  # 1xx: the answer itself is still to come
            self.headers, self._measured = [], False
            return
        if not self.whole:
            self.whole = True
            self._keep = not self.lost and self._parser.should_keep_alive()
            self._wake()

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _fail(self, fault: httpx2.TransportError) -> None:
        if self.fault is None:
            self.fault = fault
        self._wake()


class Body(httpx2.AsyncByteStream):
    """The answer's body as it comes. Closed before its end, it closes the connection."""

    def __init__(
        self, pool: "Pool", place: tuple[str, str, int], connection: Connection, seconds: float | None
    ) -> None:
        self._pool = pool
        self._place = place
        self._connection = connection
        self._seconds = seconds
        self._closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        connection = self._connection
        while not self._over():
            while connection.chunks:
                yield connection.take()
            if connection.whole:
                await self.aclose()
            elif not self._over():  # it may have been closed while a piece was looked at
                await connection.more(self._seconds)

    def _over(self) -> bool:
        return self._closed

    async def aclose(self) -> None:
        if not self._closed:
            self._closed = True
            self._pool.give_back(self._place, self._connection)


class Pool(httpx2.AsyncBaseTransport):
    """Connections by origin. What it does not speak goes to `other`: bodies that are streams, and HEAD."""

    def __init__(self, context: ssl.SSLContext, other: httpx2.AsyncBaseTransport, bounds: Bounds | None = None) -> None:
        self._context = context
        self._other = other
        self._bounds = bounds or Bounds()
        self._room = asyncio.Semaphore(self._bounds.connections)
        self._idle: dict[tuple[str, str, int], deque[Connection]] = {}
        self._used: set[Connection] = set()
        self._late: set[Any] = set()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if request.method == "HEAD" or not isinstance(request.stream, httpx2.ByteStream):
            return await self._other.handle_async_request(request)
        timeout = request.extensions.get("timeout") or {}
        place = _place(request.url)
        connection = await self._take(place, timeout)
        try:
            await connection.send(_written(request), timeout.get("write"))
            while not connection.status:
                await connection.more(timeout.get("read"))
        except BaseException:
            connection.abort()
            self.give_back(place, connection)
            raise
        body = Body(self, place, connection, timeout.get("read"))
        return httpx2.Response(connection.status, headers=connection.headers, stream=body, extensions=EXTENSIONS)

    async def _take(self, place: tuple[str, str, int], timeout: dict[str, float | None]) -> Connection:
        """One that is free, or a new one."""
        if self._room.locked():
            try:
                async with asyncio.timeout(timeout.get("pool")):
                    await self._room.acquire()
            except TimeoutError as fault:
                raise httpx2.PoolTimeout("no connection was free in time") from fault
        else:
            await self._room.acquire()
        idle = self._idle.get(place)
        oldest = time.monotonic() - self._bounds.seconds
        while idle:
            connection = idle.pop()
            if connection.open and connection.since > oldest and connection.quiet():
                self._used.add(connection)
                return connection
            connection.abort()
        try:
            connection = await self._connect(place, timeout.get("connect"))
        except BaseException:
            self._room.release()
            raise
        self._used.add(connection)
        return connection

    async def _connect(self, place: tuple[str, str, int], seconds: float | None) -> Connection:
        scheme, host, port = place
        loop = asyncio.get_running_loop()
        secure = self._context if scheme == "https" else None
        connecting = asyncio.ensure_future(loop.create_connection(Connection, host, port, ssl=secure))
        try:
            async with asyncio.timeout(seconds):
                return (await asyncio.shield(connecting))[1]
        except BaseException as fault:
            self._late.add(connecting)
            connecting.add_done_callback(self._close_late)  # it may stand by now, or later, and nobody waits for it
            if isinstance(fault, TimeoutError):
                raise httpx2.ConnectTimeout(f"no connection to {host}:{port} in time") from fault
            if isinstance(fault, OSError | UnicodeError):
                raise httpx2.ConnectError(str(fault)) from fault
            raise

    def _close_late(self, connecting: "asyncio.Future[tuple[Any, Connection]]") -> None:
        self._late.discard(connecting)
        if not connecting.cancelled() and connecting.exception() is None:
            connecting.result()[1].abort()

    def give_back(self, place: tuple[str, str, int], connection: Connection) -> None:
        """To be used again, if its answer was read to the end."""
        if connection not in self._used:
            return
        self._used.discard(connection)
        self._room.release()
        if not connection.reusable:
            connection.abort()
            return
        idle = self._idle.setdefault(place, deque())
        connection.since = time.monotonic()
        idle.append(connection)
        while len(idle) > self._bounds.kept or idle[0].since < connection.since - self._bounds.seconds:
            idle.popleft().abort()

    async def aclose(self) -> None:
        for connecting in self._late:
            connecting.cancel()
        await asyncio.gather(*self._late, return_exceptions=True)
        for connection in [*self._used, *(c for idle in self._idle.values() for c in idle)]:
            connection.abort()
        self._idle.clear()
        await asyncio.sleep(0)  # the sockets close in the next turn


def _place(url: httpx2.URL) -> tuple[str, str, int]:
    scheme = url.scheme
    return scheme, url.raw_host.decode("ascii"), url.port or (443 if scheme == "https" else 80)


def _written(request: httpx2.Request) -> bytes:
    """Head and body as they go out. Raises `LocalProtocolError` for headers that would break out of their lines."""
    lines = [b"%b %b HTTP/1.1" % (request.method.encode("ascii"), request.url.raw_path)]
    lines += [b"%b: %b" % pair for pair in request.headers.raw]
    head = b"\r\n".join(lines)
    breaks = len(lines) - 1
    if head.count(b"\n") != breaks or head.count(b"\r") != breaks or b"\0" in head:
        raise httpx2.LocalProtocolError("a header holds a line break")
    body: Any = request.stream
    return b"%b\r\n\r\n%b" % (head, b"".join(body))
