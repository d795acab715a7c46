"""Reaching stations over TCP, a connection for each call."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from adapters.errors import Broken, ConnectFailed, GatewayError
from adapters.spi import Agent, Call, Event, Report, Result, Text, Tool, Upstream
from doolittle_morse import translate

LIMIT = 2**22


class MorseOutbound:
    """One telegraph office as an upstream."""

    def __init__(self, upstream: Upstream) -> None:
        self._name = upstream.name
        where = urlsplit(upstream.url)
        self._host, self._port = where.hostname or "127.0.0.1", where.port or 7400

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[None]:
        yield

    async def agents(self) -> AsyncIterator[Agent]:
        for station in (await self._line("LIST")).split():
            yield translate.agent(station, self._name)

    async def invoke(self, call: Call, tool: Tool) -> AsyncIterator[Event]:
        said = await self._line(f"SAY {tool.address.native} {translate.encode(call.arguments['text'])}")
        try:
            yield Result((Text(translate.decode(said)),))
        except ValueError as fault:
            raise Broken(f"'{self._name}' sent what is not Morse", detail=str(fault)) from fault

    async def check(self) -> Report:
        try:
            return Report(True, f"stations: {await self._line('LIST')}")
        except GatewayError as fault:
            return Report(False, fault.public)

    async def _line(self, said: str) -> str:
        """One line there, one line back. Raises `ConnectFailed`."""
        try:
            reader, writer = await asyncio.open_connection(self._host, self._port, limit=LIMIT)
        except OSError as fault:
            raise ConnectFailed(f"'{self._name}' does not answer", detail=str(fault), delivered="no") from fault
        try:
            writer.write(said.encode() + b"\n")
            line = await reader.readline()
        except (OSError, ValueError) as fault:
            raise ConnectFailed(f"the line to '{self._name}' broke", detail=str(fault)) from fault
        finally:
            writer.close()
        if not line.endswith(b"\n"):
            raise ConnectFailed(f"the line to '{self._name}' broke")
        try:
            return line.decode().strip()
        except UnicodeDecodeError as fault:
            raise Broken(f"'{self._name}' sent what is not text", detail=str(fault)) from fault
