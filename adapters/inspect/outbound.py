"""Reaching a benchmark session: its tools, and the harness that carries them out."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

import httpx2
import orjson

from adapters import wire
from adapters.errors import Broken, GatewayError, Unreachable
from adapters.inspect import Options, translate
from adapters.spi import Address, Agent, Call, Event, Host, Json, Report, Tool, Upstream


class InspectOutbound:
    """One session, which is one agent. It is there as long as its harness is."""

    def __init__(self, upstream: Upstream, host: Host, options: Options) -> None:
        self._upstream = upstream
        self._host = host
        self._only = options.only
        self._headers = {"authorization": f"Bearer {upstream.secret}", "content-type": "application/json"}

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[None]:
        yield

    async def agents(self) -> AsyncIterator[Agent]:
        found = translate.tools(await self._ask("GET", "/tools", None, 10))
        address = Address(self._upstream.network, self._upstream.name, "session")
        says = "Tools of one benchmark session, for the agent under test."
        yield Agent(address, self._upstream.name, says, found, only=self._only)

    async def invoke(self, call: Call, tool: Tool) -> AsyncGenerator[Event, None]:
        """The harness answers when it has carried out the tool; hanging up tells it that nobody waits."""
        said = {"id": call.id, "name": tool.native, "arguments": dict(call.arguments)}
        yield translate.result(await self._ask("POST", "/calls", said, call.remaining))

    async def check(self) -> Report:
        try:
            found = translate.tools(await self._ask("GET", "/tools", None, 10))
        except GatewayError as fault:
            return Report(False, f"the harness of this session is gone: {fault.public}; remove the upstream")
        return Report(True, f"a session with {len(found)} tools", {"tools": translate.names(found)})

    async def _ask(self, method: str, path: str, said: Json, seconds: float | None) -> Json:
        """Raises `Unreachable` and `Broken`."""
        body = None if said is None else orjson.dumps(said)
        request = self._host.http.build_request(
            method, self._upstream.url.rstrip("/") + path, headers=self._headers, content=body,
            timeout=httpx2.Timeout(10, read=seconds),
        )  # fmt: skip
        response, text = await wire.send(self._host.http, request, self._upstream.name)
        if response.status_code != 200:
            raise Unreachable(f"the harness of '{self._upstream.name}' answered {response.status_code}")
        try:
            return orjson.loads(text)
        except orjson.JSONDecodeError as fault:
            raise Broken("the harness did not answer with JSON") from fault
