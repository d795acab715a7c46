"""Wherever a stranger's URL points: through `Host.http`, nothing but the open internet is connected to.

What counts is not what was said but whether a connection was tried: those are counted below the guard.
"""

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import httpcore2
import httpx2
import pytest
from httpcore2._backends.anyio import AnyIOBackend

from adapters.errors import Denied
from gateway.testing import Box
from tests import faults
from tests.gateway import ssrf

REFUSED = (Denied, httpx2.InvalidURL, httpx2.UnsupportedProtocol, httpx2.ConnectError, httpx2.LocalProtocolError)


class Watch:
    """Records each connection that is tried, and answers for the resolver."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.tried: list[str] = []
        self.asked: dict[str, int] = {}
        self._real = loop.getaddrinfo

    async def resolve(self, host: Any, port: Any, **more: Any) -> list[Any]:
        name = host.decode() if isinstance(host, bytes) else str(host)
        known = {n.lower().rstrip("."): answers for n, answers in ssrf.NAMES.items()}.get(name.lower().rstrip("."))
        if name in ("public.test", "public.test."):
            known = ((ssrf.PUBLIC,),)
        if known is None:
            if any(c.isalpha() for c in name.lower().removeprefix("0x")) and not _number(name) and "local" not in name:
                raise socket.gaierror(f"nobody knows {name}")
            return await self._real(host, port, **more)
        turn = self.asked[name] = self.asked.get(name, -1) + 1
        addresses = known[min(turn, len(known) - 1)]
        return [(2, 1, 6, "", (address, port)) for address in addresses]


def _number(name: str) -> bool:
    return all(c in "0123456789abcdefxABCDEFX.:%" for c in name)


@pytest.fixture
async def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    loop = asyncio.get_running_loop()
    made = Watch(loop)

    async def connect(_self: Any, host: str, port: int, *_more: Any, **_named: Any) -> Any:
        made.tried.append(f"{host}:{port}")
        raise httpcore2.ConnectError("recorded, and not done")

    monkeypatch.setattr(AnyIOBackend, "connect_tcp", connect)
    monkeypatch.setattr(loop, "getaddrinfo", made.resolve)
    return made


@pytest.fixture
async def http(box: Box) -> AsyncIterator[httpx2.AsyncClient]:
    async with box.gateway._host("face/stranger").http as client:
        yield client


async def led(client: httpx2.AsyncClient, watch: Watch, url: str) -> bool:
    """Whether it led to a connection. Anything but a refusal is raised."""
    before = len(watch.tried)
    try:
        request = client.build_request("GET", url, timeout=5)
        await client.send(request, stream=True)
    except REFUSED:
        return len(watch.tried) > before
    raise AssertionError(f"{url!r} was answered")


@pytest.mark.faults
async def test_none_of_the_corpus_leads_anywhere(http: httpx2.AsyncClient, watch: Watch) -> None:
    """At least 200 tricks with URLs and names."""
    tricks = [*ssrf.URLS, *(f"http://{name}/" for name in ssrf.NAMES), *(f"https://{name}/" for name in ssrf.NAMES)]
    assert len(tricks) == len(set(tricks)) >= 200
    allowed: list[str] = []
    for url in tricks:
        watch.asked.clear()
        allowed += [url] if await led(http, watch, url) else []
    note = f"of {len(tricks)} tricks with URLs and names, through Host.http"
    faults.add("ssrf/allowed", ok=not allowed, value=len(allowed), note=note)
    assert not allowed, watch.tried


async def test_the_open_internet_is_connected_to_at_the_address_that_was_checked(
    http: httpx2.AsyncClient, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So the watch sees what is let through; and a name that changes its mind leads nowhere else."""
    for url in (f"http://{ssrf.PUBLIC}/", "http://public.test/", "http://user@public.test:8080/x"):
        assert await led(http, watch, url), url
    rebinding = {"rebind.test": ((ssrf.PUBLIC,), ("127.0.0.1",))}
    monkeypatch.setattr(ssrf, "NAMES", rebinding)
    watch.tried.clear()
    assert await led(http, watch, "http://rebind.test/")
    assert watch.tried == [f"{ssrf.PUBLIC}:80"]
    assert not await led(http, watch, "http://rebind.test/"), "asked anew, and refused"


async def test_an_upstream_that_redirects_leads_to_itself_at_most(box: Box) -> None:
    """A real server that is reached by the operator's word, and a canary beside it that must not be touched."""
    touched: list[str] = []
    where = ""

    async def canary(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        touched.append(where)
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(
            f"HTTP/1.1 302 Found\r\nlocation: {where}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n".encode()
        )
        await writer.drain()
        writer.close()

    trap = await asyncio.start_server(canary, "127.0.0.1", 0)
    upstream = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = trap.sockets[0].getsockname()[1]
    base = f"http://127.0.0.1:{upstream.sockets[0].getsockname()[1]}"
    async with box.gateway._host("upstream/x", base).http as client:
        for redirect in ssrf.REDIRECTS:
            where = redirect.format(canary=port)
            with pytest.raises(REFUSED):
                await client.get(base, follow_redirects=True)
    assert not touched
    trap.close()
    upstream.close()
