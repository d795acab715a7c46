"""A service with an OpenAPI document for the conformance suite, in this process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from adapters import hops
from adapters.conformance import FarSide, Trial
from adapters.conformance.serving import serving
from adapters.spi import Json, Upstream

TEXT: Json = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
NUMBER: Json = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


def _operation(id: str, given: Json | None = None, answer: str = "text/plain") -> Json:
    said: Json = {"operationId": id, "responses": {"200": {"description": "", "content": {answer: {}}}}}
    if given:
        said["requestBody"] = {"required": True, "content": {"application/json": {"schema": given}}}
    return {"post": said}


DOCUMENT: Json = {
    "openapi": "3.1.0",
    "info": {"title": "Far", "version": "1", "description": "A service.", "x-doolittle-hops": True},
    "paths": {
        "/say": _operation("say", TEXT),
        "/count": _operation("count", NUMBER, "text/event-stream"),
        "/big": _operation("big", NUMBER),
        "/hang": _operation("hang"),
        "/refuse": _operation("refuse"),
        "/full": _operation("full"),
        "/garbage": _operation("garbage"),
    },
}


class Service:
    """Counts what it sees; `chains` are by the call's id."""

    def __init__(self) -> None:
        self.chains: dict[str, list[str]] = {}
        self.running = 0
        self.away = False
        paths = ("say", "count", "big", "hang", "refuse", "full", "garbage")
        routes = [Route(f"/{name}", self._counted(getattr(self, f"_{name}")), methods=["POST"]) for name in paths]
        self.app = Starlette(routes=[*routes, Route("/openapi.json", self._document)])

    def _counted(self, answer: Any) -> Any:
        async def counted(request: Request) -> Response:
            chain = request.headers.get("doolittle-hops", "")
            self.chains.setdefault(hops.read(chain)[-1].call, []).append(chain)
            return await answer(request)

        return counted

    async def _document(self, _request: Request) -> Response:
        return PlainTextResponse("away", 502) if self.away else JSONResponse(DOCUMENT)

    async def _say(self, request: Request) -> Response:
        return PlainTextResponse(orjson.loads(await request.body())["text"])

    async def _big(self, request: Request) -> Response:
        return PlainTextResponse("x" * orjson.loads(await request.body())["n"])

    async def _count(self, request: Request) -> Response:
        number = orjson.loads(await request.body())["n"]

        async def steps() -> AsyncIterator[str]:
            for one in range(number):
                yield f"data: {one + 1}\n\n"

        return StreamingResponse(steps(), media_type="text/event-stream")

    async def _hang(self, request: Request) -> Response:
        self.running += 1
        try:
            while not await request.is_disconnected():
                await asyncio.sleep(0.01)
        finally:
            self.running -= 1
        return Response()

    async def _refuse(self, _request: Request) -> Response:
        return JSONResponse({"detail": "not on a Sunday"}, 422)

    async def _full(self, _request: Request) -> Response:
        return PlainTextResponse("later", 429, {"retry-after": "7"})

    async def _garbage(self, _request: Request) -> Response:
        return Response(b"{", media_type="application/json")


class HttpFarSide(FarSide):
    """The service on a port of loopback."""

    async def open(self) -> None:
        self.service = Service()
        self._stack = AsyncExitStack()
        url, self._server = await self._stack.enter_async_context(serving(self.service.app))
        self.upstream = Upstream("far", "http", f"{url}/openapi.json")

    async def close(self) -> None:
        await self._stack.aclose()

    def say(self, text: str) -> Trial:
        return Trial("say", {"text": text}, text)

    def count(self, n: int) -> Trial:
        return Trial("count", {"n": n}, "\n".join(str(one + 1) for one in range(n)))

    def fail(self, code: str) -> Trial:
        return Trial("refuse" if code == "refused" else "full")

    def codes(self) -> tuple[str, ...]:
        return ("refused", "full")

    def hang(self) -> Trial:
        return Trial("hang")

    def garbage(self) -> tuple[Trial, ...]:
        return (Trial("garbage"),)

    def broken(self) -> tuple[Trial, ...]:
        return (Trial("garbage"),)

    def big(self, size: int) -> Trial:
        return Trial("big", {"n": size})

    def outage(self, on: bool) -> None:
        self.service.away = on
        for connection in list(self._server.server_state.connections) if on else []:
            connection.transport.abort()

    def delivered(self, call: str) -> int:
        return len(self.service.chains.get(call, []))

    def running(self) -> int:
        return self.service.running

    def chain(self, call: str) -> str:
        return self.service.chains[call][-1]
