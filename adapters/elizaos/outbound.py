"""An ElizaOS server as an upstream."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from adapters.elizaos.sessions import SessionRoute
from adapters.errors import GatewayError
from adapters.spi import Agent, Call, Event, Host, Report, Tool, Upstream


class ElizaOutbound:
    """All agents of one server. The route is the plain API's; it is chosen here, once."""

    def __init__(self, upstream: Upstream, host: Host) -> None:
        self._upstream = upstream
        self._route = SessionRoute(upstream, host)

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[None]:
        """Nothing is held open but the shared connections."""
        yield

    async def agents(self) -> AsyncIterator[Agent]:
        async for agent in self._route.agents():
            yield agent

    async def invoke(self, call: Call, tool: Tool) -> AsyncIterator[Event]:
        yield await self._route.ask(call, tool)

    async def check(self) -> Report:
        """Whether the server answers, takes the key, and has agents."""
        try:
            found = [agent.name async for agent in self._route.agents()]
        except GatewayError as fault:
            return Report(False, f"{fault.public} ({self._upstream.url})")
        if not found:
            return Report(False, f"the ElizaOS server at {self._upstream.url} answers, and has no active agents")
        return Report(True, f"{len(found)} agents: {', '.join(sorted(found))}", {"agents": sorted(found)})
