"""HTTP to far sides that are slow, away, broken or endless: each is one error of the contract."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from adapters import wire
from adapters.errors import Broken, ConnectFailed, TimedOut, Unreachable
from gateway.egress import Egress

Send = Callable[..., Awaitable[tuple[int, bytes]]]
Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def far(answer: Answer) -> AsyncIterator[str]:
    """A real server on loopback that answers each connection by hand."""
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        try:
            await reader.readuntil(b"\r\n\r\n")
            await answer(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()
    for writer in writers:
        writer.close()


@pytest.fixture(params=["fast", "plain"])
def send(request: pytest.FixtureRequest) -> Send:
    """As an adapter sends, over each transport."""

    async def one(url: str, timeout: float = 5) -> tuple[int, bytes]:
        egress = Egress(request.param)
        client = egress.client(url)
        client.timeout = timeout
        try:
            response, body = await wire.send(client, client.build_request("GET", url), "far")
            return response.status_code, body
        finally:
            await egress.aclose()

    return one


def says(head: bytes, body: bytes = b"", *, close: bool = True) -> Answer:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head.replace(b"\n", b"\r\n") + b"\r\n" + body)
        await writer.drain()
        if close:
            writer.close()

    return answer


async def test_an_answer_is_given_whole_whatever_its_status(send: Send) -> None:
    async with far(says(b"HTTP/1.1 503 No\ncontent-length: 4\n", b"body")) as url:
        assert await send(url) == (503, b"body")


async def test_nobody_there_was_not_delivered(send: Send) -> None:
    async with far(says(b"")) as url:
        pass
    with pytest.raises(ConnectFailed, match="'far' does not answer") as fault:
        await send(url)
    assert fault.value.delivered == "no"


@pytest.mark.parametrize(
    "answer",
    [
        says(b""),
        says(b"HTTP/1.1 200 OK\ncontent-length: 100\n", b"short"),
        says(b"HTTP/1.1 200 OK\ntransfer-encoding: chunked\n", b"zz\r\n"),
        says(b"this is not HTTP\n"),
        says(b"HTTP/1.1 200 OK\ncontent-encoding: gzip\ncontent-length: 4\n", b"none"),
    ],
    ids=["closes", "short", "chunks", "garbage", "gzip"],
)
async def test_a_broken_answer_may_have_been_delivered(send: Send, answer: Answer) -> None:
    async with far(answer) as url:
        with pytest.raises((Unreachable, Broken)) as fault:
            await send(url)
    assert fault.value.delivered in ("unknown", "yes")
    assert "127.0.0.1" not in fault.value.public, "addresses are for the log"


@pytest.mark.parametrize("head", [b"", b"HTTP/1.1 200 OK\ncontent-length: 9\n"], ids=["no answer", "no body"])
async def test_silence_is_timed_out(send: Send, head: bytes) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if head:
            await says(head, close=False)(reader, writer)

    async with far(answer) as url:
        with pytest.raises(TimedOut) as fault:
            await send(url, 0.1)
    assert fault.value.delivered == "unknown"


async def test_an_endless_body_is_cut_at_its_limit(send: Send) -> None:
    sent = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        for _ in range(1024):
            writer.write(b"x" * 2**16)
            await writer.drain()
            sent += 2**16

    async with far(answer) as url:
        with pytest.raises(Broken, match="more than 16 MB"):
            await send(url, 20)
    assert sent < 40 * 2**20


async def test_a_bomb_is_cut_at_what_it_unpacks_to(send: Send) -> None:
    import gzip

    packed = gzip.compress(bytes(64 * 2**20))
    head = b"HTTP/1.1 200 OK\ncontent-encoding: gzip\ncontent-length: %d\n" % len(packed)
    async with far(says(head, packed)) as url:
        with pytest.raises(Broken):
            await send(url, 20)
