"""Calls out leave nothing open, whenever they are cut."""

import asyncio
import gc
import ipaddress
import os
from typing import Any

import pytest

from adapters.errors import ConnectFailed, Denied
from gateway.egress import Egress

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


both = pytest.mark.parametrize("transport", ["fast", "plain"])


class Far:
    """Answers each request on a connection of its own choice, and can hang up on all at once."""

    async def open(self) -> str:
        self.peers: list[asyncio.StreamWriter] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.peers.append(writer)
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                await self.gate.wait()
                writer.write(ANSWER)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    def hang_up(self) -> None:
        for writer in self.peers:
            writer.close()
        self.peers.clear()

    async def close(self) -> None:
        self.hang_up()
        self._server.close()


def files() -> int:
    return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0


@both
async def test_connections_that_end_are_all_closed_wherever_the_caller_is_cut(transport: Any) -> None:
    """The pool closes what has ended in the task of whoever calls next."""
    before = files()
    far, egress = Far(), Egress(transport)
    url = await far.open()
    async with egress.client(url) as client:
        for steps in range(1, 12):
            far.gate.clear()
            calls = [asyncio.create_task(client.get(url)) for _ in range(8)]
            while len(far.peers) < 8 and not any(call.done() for call in calls):
                await asyncio.sleep(0.001)
            far.gate.set()
            await asyncio.gather(*calls, return_exceptions=True)  # one may meet a connection that just ended
            far.hang_up()
            await asyncio.sleep(0.005)
            cut = asyncio.create_task(client.get(url))
            for _ in range(steps):
                await asyncio.sleep(0)
            cut.cancel()
            await asyncio.gather(cut, return_exceptions=True)
            far.hang_up()
            await asyncio.sleep(0.005)
    await egress.aclose()
    await far.close()
    for _ in range(100):
        if files() <= before:
            break
        await asyncio.sleep(0.01)
    gc.collect()
    assert files() <= before


@both
async def test_a_call_cut_while_it_connects_leaves_nothing(transport: Any) -> None:
    """At each step of connecting."""
    before = files()
    far, egress = Far(), Egress(transport)
    url = await far.open()
    async with egress.client(url) as client:
        for steps in range(1, 40):
            cut = asyncio.create_task(client.get(url))
            for _ in range(steps):
                await asyncio.sleep(0)
            cut.cancel()
            await asyncio.gather(cut, return_exceptions=True)
        assert not egress._plain._pool._requests
    await egress.aclose()
    await far.close()
    for _ in range(100):
        if files() <= before:
            break
        await asyncio.sleep(0.01)
    gc.collect()
    assert files() <= before


async def test_addresses_are_given_by_the_same_rules() -> None:
    """Of the operator's own origins all, of others public ones; of those who registered themselves, what is allowed."""
    egress = Egress(allowed=(ipaddress.ip_network("127.0.0.0/8"),))
    own = ("http://localhost:7000",)
    try:
        assert await egress.addresses("http://127.0.0.1:7000", ("http://127.0.0.1:7000",)) == ["127.0.0.1"]
        assert "127.0.0.1" in await egress.addresses("http://LOCALHOST:7000", own)
        assert await egress.addresses("https://8.8.8.8:443", ()) == ["8.8.8.8"]
        assert await egress.strangers.addresses("http://127.0.0.1:7000", ("http://127.0.0.1:7000",)) == ["127.0.0.1"]
        refused = ("http://localhost:7001", "https://localhost:7000", "http://127.0.0.1:7000", "http://[::1]:7000")
        for url in (*refused, "http://169.254.169.254:80", "http://10.0.0.1:7000"):
            with pytest.raises(Denied):
                await egress.addresses(url, own)
        with pytest.raises(Denied):
            await egress.strangers.addresses("http://10.0.0.1:7000", ("http://10.0.0.1:7000",))
        with pytest.raises(ConnectFailed):
            await egress.addresses("http://nobody.invalid:7000", own)
    finally:
        await egress.aclose()
