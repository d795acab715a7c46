"""A2A over gRPC, on a port of its own: the tenant of a request is the agent's slug."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
from a2a.server.context import ServerCallContext
from a2a.server.request_handlers import DefaultRequestHandler
from a2a.server.request_handlers.grpc_handler import DefaultGrpcServerCallContextBuilder, GrpcHandler
from a2a.types import a2a_pb2_grpc

from adapters.a2a.user import KnownUser
from adapters.a2a.user import context as context_of
from adapters.errors import BadArguments, GatewayError, Unauthenticated
from adapters.spi import Caller, Evidence, Host

LOOPBACK = ("127.0.0.1:", "localhost:", "[::1]:")
STREAMS = frozenset({"SendStreamingMessage", "SubscribeToTask"})
Find = Callable[[str, Caller], tuple[str, DefaultRequestHandler]]


class _Contexts(DefaultGrpcServerCallContextBuilder):
    def __init__(self, slug: str, caller: Caller) -> None:
        self._slug = slug
        self._caller = caller

    def build(self, context: Any) -> ServerCallContext:
        built = super().build(context)
        headers = {str(key): str(value) for key, value in context.invocation_metadata() or ()}
        state = {**built.state, "caller": self._caller, "headers": headers}
        made = context_of(self._slug, KnownUser(self._caller), state)
        made.requested_extensions = built.requested_extensions
        return made


class _Versions(grpc.aio.ServerInterceptor):
    """The SDK's gRPC handler does not look at the version."""

    async def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        said = dict(handler_call_details.invocation_metadata or ()).get("a2a-version", "1.0")
        if str(said).split(".")[0] == "1":
            return await continuation(handler_call_details)

        async def refuse(_request: Any, context: Any) -> None:
            await context.abort(grpc.StatusCode.UNIMPLEMENTED, f"A2A version {said} is not supported over gRPC")

        name = handler_call_details.method.rpartition("/")[2]
        kind = grpc.unary_stream_rpc_method_handler if name in STREAMS else grpc.unary_unary_rpc_method_handler
        return kind(refuse)


def _servicer(host: Host, find: Find) -> Any:
    async def who(context: Any) -> Caller:
        metadata = dict(context.invocation_metadata() or ())
        bearer = str(metadata.get("authorization", "")).partition(" ")[2] or str(metadata.get("x-api-key", ""))
        return await host.authenticate(Evidence("a2a", "bearer", bearer))

    async def handler(request: Any, context: Any) -> GrpcHandler:
        try:
            caller = await who(context)
            slug, found = find(request.tenant, caller)
            return GrpcHandler(found, _Contexts(slug, caller))
        except GatewayError as fault:
            refused = isinstance(fault, Unauthenticated)
            code = grpc.StatusCode.UNAUTHENTICATED if refused else grpc.StatusCode.NOT_FOUND
            await context.abort(code, fault.public)
            raise

    def unary(name: str) -> Any:
        async def call(_self: Any, request: Any, context: Any) -> Any:
            return await getattr(await handler(request, context), name)(request, context)

        return call

    def stream(name: str) -> Any:
        async def call(_self: Any, request: Any, context: Any) -> AsyncIterator[Any]:
            async for item in getattr(await handler(request, context), name)(request, context):
                yield item

        return call

    base = a2a_pb2_grpc.A2AServiceServicer
    names = [name for name in vars(base) if not name.startswith("_")]
    return type("Servicer", (base,), {name: (stream if name in STREAMS else unary)(name) for name in names})()


@asynccontextmanager
async def serve(address: str, host: Host, find: Find) -> AsyncIterator[int]:
    """The port, while the context is open. Raises `BadArguments` for an address that cannot be listened at, and for one
    that others reach while no key exists."""
    if not address.startswith(LOOPBACK):
        try:
            await host.authenticate(Evidence("a2a", "bearer", ""))
        except Unauthenticated:
            pass
        else:
            raise BadArguments(f"gRPC at {address} would be open to everybody; make a key first: doolittle keys create")
    server = grpc.aio.server(interceptors=[_Versions()])
    a2a_pb2_grpc.add_A2AServiceServicer_to_server(_servicer(host, find), server)
    try:
        port = server.add_insecure_port(address)
    except RuntimeError as fault:
        raise BadArguments(f"gRPC cannot listen at {address}: {fault}") from fault
    await server.start()
    try:
        yield port
    finally:
        await server.stop(1)
