"""Both ways out over HTTP: streams, cancels, broken answers, and connections that are used again."""

import asyncio
import socket
import struct
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import httpx2
import pytest

from gateway import http1
from gateway.egress import Egress

Answer = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


class Far:
    """A server on loopback whose answers are written by hand; counts, and sees each connection end."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.connections = self.ended = 0
        self.requests: list[bytes] = []
        self._end = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                size = head.lower().partition(b"content-length: ")[2].partition(b"\r")[0]
                self.requests.append(head + await reader.readexactly(int(size or 0)))
                await self._answer(self.requests[-1], writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self.ended += 1
            self._end.set()
            writer.close()

    async def sees_the_end(self) -> None:
        await asyncio.wait_for(self._end.wait(), 5)


@asynccontextmanager
async def far(answer: Answer) -> AsyncIterator[tuple[Far, str]]:
    made = Far(answer)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    yield made, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    server.close()


@pytest.fixture(params=["fast", "plain"])
async def egress(request: pytest.FixtureRequest) -> AsyncIterator[Egress]:
    made = Egress(request.param)
    yield made
    await made.aclose()


def says(text: bytes, *, close: bool = False) -> Answer:
    async def answer(_request: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(text)
        await writer.drain()
        if close:
            writer.close()

    return answer


async def _reset(_request: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nabc")
    await writer.drain()
    await asyncio.sleep(0.05)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def _silent(_request: bytes, _writer: asyncio.StreamWriter) -> None: ...


async def test_calls_share_one_connection_and_say_nothing_twice(egress: Egress) -> None:
    async with far(says(b"HTTP/1.1 200 OK\r\nset-cookie: a=1\r\ncontent-length: 2\r\n\r\nok")) as (there, url):
        client = egress.client(url)
        for number in range(20):
            answer = await client.post(url, content=b"%d" % number, headers={"x-a": "b"})
            assert (answer.status_code, answer.content) == (200, b"ok")
        assert there.connections == 1
        assert [r.rpartition(b"\r\n\r\n")[2] for r in there.requests] == [b"%d" % n for n in range(20)]
        assert not any(b"cookie" in r.lower() for r in there.requests)


async def test_many_at_once_are_kept_for_the_next_who_are_many(egress: Egress) -> None:
    async def slow(_request: bytes, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.05)
        writer.write(OK)

    async with far(slow) as (there, url):
        client = egress.client(url)
        for _ in range(3):
            await asyncio.gather(*(client.get(url) for _ in range(20)))
        assert there.connections == 20


async def test_a_stream_is_heard_as_it_comes_and_closing_it_is_seen(egress: Egress) -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    async with far(says(head + b"6\r\ndata:1\r\n")) as (there, url):
        client = egress.client(url)
        async with client.stream("POST", url, content=b"x", timeout=None) as answer:
            async for chunk in answer.aiter_bytes():
                assert chunk == b"data:1"
                break
        await there.sees_the_end()


@pytest.mark.parametrize(
    "head", [b"", b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nab"], ids=["no head", "in the body"]
)
async def test_a_cancel_is_seen_at_any_stage(egress: Egress, head: bytes) -> None:
    async with far(says(head)) as (there, url):
        client = egress.client(url)
        task = asyncio.create_task(client.post(url, content=b"x", timeout=None))
        while not there.requests:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await there.sees_the_end()


async def test_a_reset_in_the_middle_is_a_broken_read(egress: Egress) -> None:
    async with far(_reset) as (there, url):
        with pytest.raises((httpx2.ReadError, httpx2.RemoteProtocolError)):
            await egress.client(url).get(url)
        assert len(there.requests) == 1, "nothing is sent twice"


@pytest.mark.parametrize("answer", [says(b"", close=True), says(OK[:20], close=True)], ids=["closes", "half a head"])
async def test_a_kept_connection_that_breaks_is_not_tried_again(egress: Egress, answer: Answer) -> None:
    async def second(request: bytes, writer: asyncio.StreamWriter) -> None:
        await (says(OK) if len(there.requests) == 1 else answer)(request, writer)

    async with far(second) as (there, url):
        client = egress.client(url)
        assert (await client.get(url)).content == b"ok"
        with pytest.raises((httpx2.ReadError, httpx2.RemoteProtocolError)):
            await client.get(url)
        assert len(there.requests) == 2


async def test_a_connection_that_was_closed_meanwhile_is_replaced(egress: Egress) -> None:
    async with far(says(OK, close=True)) as (there, url):
        client = egress.client(url)
        for _ in range(3):
            assert (await client.get(url)).content == b"ok"
            await asyncio.sleep(0.05)
        assert there.connections == 3


async def test_an_end_that_came_while_this_loop_was_busy_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many servers close what was idle for 5 s: the next request must not go into a connection that has ended."""
    monkeypatch.setattr(http1, "AWHILE", 0.0)
    close, closed = threading.Event(), threading.Event()

    def serve() -> None:  # in a thread, so that it closes while the loop stands still
        for _ in range(2):
            connection, _where = listening.accept()
            connection.recv(65536)
            connection.sendall(OK)
            close.wait(5)
            connection.close()
            closed.set()

    egress = Egress("fast")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/"
        server = threading.Thread(target=serve)
        server.start()
        client = egress.client(url)
        assert (await client.get(url)).text == "ok"
        close.set()
        assert closed.wait(5), "and this loop stood still meanwhile"
        assert (await client.get(url)).text == "ok"
        server.join(5)
    await egress.aclose()


async def test_more_than_was_announced_is_never_the_next_answer() -> None:
    """httpx2's own takes it for the next one."""
    egress = Egress("fast")
    async with far(says(OK + b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil")) as (_, url):
        client = egress.client(url)
        for _ in range(3):
            with suppress(httpx2.RemoteProtocolError):  # said to be broken: as good
                assert (await client.get(url)).content == b"ok"
    await egress.aclose()


@pytest.mark.parametrize(
    ("text", "body"),
    [
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, b"ok"),
        (b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n" + OK, b"ok"),
        (b"HTTP/1.1 200 OK\r\n\r\nto the end", b"to the end"),
        (b"HTTP/1.0 200 OK\r\n\r\n", b""),
        (b"HTTP/1.1 204 No\r\n\r\n", b""),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n2\r\nbc\r\n0\r\n\r\n", b"abc"),
        (b"HTTP/1.1 200 \xc4\r\nx: \xff\xfe\r\ncontent-length: 1\r\n\r\nz", b"z"),
        (b"HTTP/1.1 302 F\r\nlocation: /away\r\ncontent-length: 0\r\n\r\n", b""),
    ],
    ids=["100", "103", "close", "1.0", "204", "chunks", "latin", "redirect"],
)
async def test_every_form_of_answer(egress: Egress, text: bytes, body: bytes) -> None:
    async with far(says(text, close=True)) as (there, url):
        assert (await egress.client(url).get(url)).content == body
        assert len(there.requests) == 1


async def test_a_head_without_end_is_cut(egress: Egress) -> None:
    async def endless(_request: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n")
        for _ in range(100):
            writer.write(b"x: " + b"y" * 10_000 + b"\r\n")
            await writer.drain()

    async with far(endless) as (_, url):
        with pytest.raises(httpx2.RemoteProtocolError):
            await egress.client(url).get(url)


async def test_a_far_side_that_floods_waits_until_it_is_read(egress: Egress) -> None:
    sent = 0

    async def flood(_request: bytes, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % 2**26)
        for _ in range(2**10):
            writer.write(bytes(2**16))
            await writer.drain()
            sent += 2**16

    async with far(flood) as (_, url), egress.client(url).stream("GET", url) as answer:
        await asyncio.sleep(0.3)
        assert sent < 2**25, "held back"
        assert sum([len(chunk) async for chunk in answer.aiter_bytes()]) == 2**26


async def test_who_never_reads_its_request_is_timed_out(egress: Egress) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:  # connects, and that is all
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}/"
        with pytest.raises(httpx2.TimeoutException):
            await egress.client(url).post(url, content=bytes(2**26), timeout=httpx2.Timeout(None, write=0.2))


async def test_headers_keep_to_their_lines(egress: Egress) -> None:
    async with far(says(OK)) as (there, url):
        with pytest.raises((httpx2.LocalProtocolError, ValueError)):
            await egress.client(url).get(url, headers={"x": "a\r\nx-evil: b"})
        assert not there.requests


async def test_the_environment_names_no_proxy(egress: Egress, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    async with far(says(OK)) as (_, url):
        assert (await egress.client(url).get(url)).content == b"ok"


async def test_bodies_that_are_streams_and_head_go_through(egress: Egress) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"ab"
        yield b"cd"

    async with far(says(OK)) as (there, url):
        client = egress.client(url)
        assert (await client.post(url, content=pieces(), headers={"content-length": "4"})).content == b"ok"
        assert there.requests[0].endswith(b"abcd")
    async with far(says(OK[:-2])) as (_, url):
        assert (await egress.client(url).head(url)).status_code == 200


async def test_no_more_connections_than_the_bounds() -> None:
    context = httpx2.create_ssl_context()
    pool = http1.Pool(context, httpx2.AsyncHTTPTransport(), http1.Bounds(connections=2, kept=1, seconds=60))
    async with far(_silent) as (there, url), httpx2.AsyncClient(transport=pool) as client:
        waiting = [asyncio.create_task(client.get(url, timeout=None)) for _ in range(2)]
        while len(there.requests) < 2:
            await asyncio.sleep(0.01)
        with pytest.raises(httpx2.PoolTimeout):
            await client.get(url, timeout=httpx2.Timeout(5, pool=0.05))
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        with pytest.raises(httpx2.ReadTimeout):
            await client.get(url, timeout=0.1)
    async with far(says(OK)) as (there, url), httpx2.AsyncClient(transport=pool) as client:
        await asyncio.gather(client.get(url), client.get(url))
        await client.get(url)
        assert there.connections == 2


async def test_closing_the_pool_closes_its_sockets_and_tells_who_waits() -> None:
    egress = Egress("fast")
    async with far(_silent) as (there, url):
        task = asyncio.create_task(egress.client(url).get(url, timeout=None))
        while not there.requests:
            await asyncio.sleep(0.01)
        await egress.aclose()
        with pytest.raises(httpx2.ReadError):
            await task
        await there.sees_the_end()


async def test_a_cancel_while_it_connects_leaves_nothing_open() -> None:
    egress = Egress("fast")
    async with far(_silent) as (there, url):
        for delay in range(40):
            task = asyncio.create_task(egress.client(url).get(url, timeout=None))
            for _ in range(delay % 8):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await asyncio.sleep(0.2)
        assert there.ended == there.connections
    await egress.aclose()
