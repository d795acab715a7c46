"""An agent for the conformance suite that speaks gRPC alone: the official SDK's server, behind a wire to be cut."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any, ClassVar

import grpc
from a2a.server.request_handlers import DefaultRequestHandler, GrpcHandler
from a2a.server.routes import create_agent_card_routes
from a2a.server.tasks import InMemoryTaskStore
from a2a.types import AgentCard, a2a_pb2_grpc
from starlette.applications import Starlette

from adapters.a2a.far_testing import A2aFarSide, Scripted, card
from adapters.conformance.serving import serving
from adapters.spi import Upstream


class Wire:
    """Carries bytes from a port of its own to another, counts connections, and can be cut."""

    def __init__(self, port: int) -> None:
        self._to = port
        self.port = 0
        self.made = 0
        self._ends: set[asyncio.StreamWriter] = set()

    @asynccontextmanager
    async def carrying(self) -> AsyncIterator["Wire"]:
        server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            self.cut()
            await server.wait_closed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.made += 1
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._to)
        self._ends |= {writer, far_writer}
        await asyncio.gather(self._carry(reader, far_writer), self._carry(far_reader, writer))
        self._ends -= {writer, far_writer}

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    def cut(self) -> None:
        for end in self._ends:
            end.transport.abort()


@asynccontextmanager
async def listening(made: AgentCard, far: Scripted, credentials: Any = None, *watch: Any) -> AsyncIterator[int]:
    """The port where the agent is called; `watch`: interceptors."""
    handler = DefaultRequestHandler(agent_executor=far, task_store=InMemoryTaskStore(), agent_card=made)
    server = grpc.aio.server(interceptors=watch)
    a2a_pb2_grpc.add_A2AServiceServicer_to_server(GrpcHandler(handler), server)
    at = "127.0.0.1:0"
    port = server.add_secure_port(at, credentials) if credentials else server.add_insecure_port(at)
    await server.start()
    try:
        yield port
    finally:
        await server.stop(0)
        await handler.aclose()


class GrpcFarSide(A2aFarSide):
    """gRPC without TLS, streaming."""

    scheme: ClassVar[str] = "grpc://"

    async def open(self) -> None:
        self.far = Scripted()
        self._stack = AsyncExitStack()
        made = card("grpc:", "GRPC", self.version, streaming=self.streaming)
        port = await self._stack.enter_async_context(listening(made, self.far))
        self.wire = await self._stack.enter_async_context(Wire(port).carrying())
        self.far.breaks = self.wire.cut
        made.supported_interfaces[0].url = f"{self.scheme}127.0.0.1:{self.wire.port}"
        made.supported_interfaces[0].tenant = "far"
        app = Starlette(routes=create_agent_card_routes(made))
        url, _ = await self._stack.enter_async_context(serving(app))
        reach = [f"http://127.0.0.1:{self.wire.port}"]
        self.upstream = replace(Upstream("far", "a2a", url), options={"poll": 0.02, "reach": reach})


class SlowGrpcFarSide(GrpcFarSide):
    """One that does not stream, at an address without a scheme."""

    scheme: ClassVar[str] = ""
    streaming: ClassVar[bool] = False
