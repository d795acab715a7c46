"""HTTP to a far side, for adapters: bodies with a limit, and transport faults as errors of the contract."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2

from adapters.errors import Broken, ConnectFailed, TimedOut
from adapters.spi import INLINE_LIMIT

LIMIT = 16 * 2**20
"""Bytes that are read of one answer."""


@asynccontextmanager
async def reaching(name: str) -> AsyncIterator[None]:
    """Turns httpx2's faults into `ConnectFailed` and `TimedOut`, each with what is known of the delivery."""
    try:
        yield
    except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout) as fault:
        raise ConnectFailed(f"'{name}' does not answer", detail=repr(fault), delivered="no") from fault
    except httpx2.TimeoutException as fault:
        raise TimedOut(f"'{name}' did not answer in time", detail=repr(fault)) from fault
    except httpx2.RequestError as fault:
        raise ConnectFailed(f"the connection to '{name}' broke", detail=repr(fault)) from fault


async def send(client: httpx2.AsyncClient, request: httpx2.Request, name: str) -> tuple[httpx2.Response, bytes]:
    """The answer and its body. Raises as `reaching`, and `Broken` for a body over the limit."""
    async with reaching(name):
        response = await client.send(request, stream=True)
        try:
            return response, await body(response, name)
        finally:
            await response.aclose()


async def body(response: httpx2.Response, name: str, limit: int = LIMIT) -> bytes:
    """At most `limit` bytes; raises `Broken` for more."""
    pieces = bytearray()
    packed = "content-encoding" in response.headers
    chunks: Any = response.aiter_bytes() if packed else response.stream
    async for chunk in chunks:
        pieces += chunk
        if len(pieces) > limit:
            raise Broken(f"'{name}' answered with more than {limit >> 20} MB")
    return bytes(pieces)


async def events(chunks: AsyncIterator[bytes]) -> AsyncIterator[str]:
    """The data of each server-sent event. Raises `Broken` for one that is larger than what goes inline."""
    held = bytearray()
    data: list[str] = []
    async for chunk in chunks:
        held += chunk
        if len(held) > INLINE_LIMIT:
            raise Broken("a line of the stream is too long")
        *lines, rest = held.replace(b"\r\n", b"\n").split(b"\n")
        held = bytearray(rest)
        for line in lines:
            if not line and data:
                yield "\n".join(data)
                data = []
            elif line.startswith(b"data:"):
                data.append(line[5:].removeprefix(b" ").decode("utf-8", "replace"))
    if data:
        yield "\n".join(data)
