"""An OpenAI-compatible server for the conformance suite, in this process: it does what the words say."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from adapters.conformance import Talker, Trial
from adapters.conformance.serving import serving
from adapters.spi import Upstream


def chunk(delta: dict[str, Any], end: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": end}
    return {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "small", "choices": [choice]}


class Server:
    """Answers the last message: `!count N`, `!big N`, `!hang`, `!refuse`, `!full`, `!garbage`, `!talk`; else echoes."""

    def __init__(self) -> None:
        self.away = False
        self.running = 0
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.models: Any = {"object": "list", "data": [{"id": "small", "object": "model"}]}
        self.info: Any = None
        self.app = Starlette(routes=[
            Route("/v1/chat/completions", self._complete, methods=["POST"]),
            Route("/v1/models", self._models, methods=["GET"]),
            Route("/v1/info", self._info, methods=["POST"]),
            Route("/v1/embeddings", self._embed, methods=["POST"]),
            Route("/v1/retrieve", self._retrieve, methods=["POST"]),
        ])  # fmt: skip

    async def _models(self, request: Request) -> Response:
        self.headers.append(dict(request.headers))
        return PlainTextResponse("away", 502) if self.away else JSONResponse(self.models)

    async def _info(self, _request: Request) -> Response:
        return JSONResponse(self.info) if self.info is not None else PlainTextResponse("none", 404)

    async def _embed(self, request: Request) -> Response:
        said = orjson.loads(await request.body())
        rows = [{"index": n, "embedding": [float(len(text)), 0.5]} for n, text in enumerate(said["input"])]
        return JSONResponse({"object": "list", "model": said["model"], "data": rows[::-1]})

    async def _retrieve(self, request: Request) -> Response:
        said = orjson.loads(await request.body())
        points = [{"source": f"about {said['messages'][-1]['content']}", "score": 0.9}]
        return JSONResponse({"points": points, "limit": 1, "score_threshold": 0.4})

    async def _complete(self, request: Request) -> Response:
        said = orjson.loads(await request.body())
        self.bodies.append(said)
        self.headers.append(dict(request.headers))
        text = str(said["messages"][-1]["content"])
        word, _, rest = text.partition(" ")
        match word:
            case "!refuse":
                return JSONResponse({"error": {"message": "not on a Sunday", "type": "x"}}, 400)
            case "!full":
                return JSONResponse({"error": {"message": "later"}}, 429, {"retry-after": "7"})
            case "!garbage":
                return Response(b"{", media_type="application/json")
            case "!hang":
                return await self._hang(request)
            case _:
                return self._said(said, self._words(said, word, rest, text))

    def _words(self, said: dict[str, Any], word: str, rest: str, text: str) -> list[str]:
        if word == "!count":
            return [f"{n + 1} " for n in range(int(rest))]
        if word == "!big":
            return ["x" * int(rest)]
        if word == "!talk":
            turns = [m["content"] for m in said["messages"] if m["role"] == "user"]
            return [" ".join(turn.removeprefix("!talk ") for turn in turns)]
        return [text]

    def _said(self, said: dict[str, Any], words: list[str]) -> Response:
        if not said.get("stream"):
            message = {"role": "assistant", "content": "".join(words)}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            return JSONResponse({"id": "c1", "object": "chat.completion", "created": 1, "model": "small",
                                 "choices": [choice]})  # fmt: skip

        async def stream() -> AsyncIterator[bytes]:
            for piece in (*(chunk({"content": word}) for word in words), chunk({}, "stop")):
                yield b"data: %b\n\n" % orjson.dumps(piece)
            if (said.get("stream_options") or {}).get("include_usage"):
                used = {"prompt_tokens": len(said["messages"]), "completion_tokens": len(words)}
                counted = {**chunk({}), "choices": [], "usage": {**used, "total_tokens": sum(used.values())}}
                yield b"data: %b\n\n" % orjson.dumps(counted)
            yield b"data: [DONE]\n\n"

        return StreamingResponse(stream(), media_type="text/event-stream")

    async def _hang(self, request: Request) -> Response:
        self.running += 1
        try:
            while not await request.is_disconnected():
                await asyncio.sleep(0.01)
        finally:
            self.running -= 1
        return Response()


class OpenAiFarSide(Talker):
    """The server on a port of loopback."""

    async def open(self) -> None:
        self.server = Server()
        self._stack = AsyncExitStack()
        self._url, self._uvicorn = await self._stack.enter_async_context(serving(self.server.app))
        self.upstream = Upstream("far", "openai", f"{self._url}/v1")

    async def close(self) -> None:
        await self._stack.aclose()

    def fail(self, code: str) -> Trial:
        return Trial("ask", {"message": "!refuse" if code == "refused" else "!full"})

    def codes(self) -> tuple[str, ...]:
        return ("refused", "full")

    def garbage(self) -> tuple[Trial, ...]:
        return (Trial("ask", {"message": "!garbage"}),)

    def broken(self) -> tuple[Trial, ...]:
        return (Trial("ask", {"message": "!garbage"}),)

    def talk(self, text: str) -> Trial:
        return Trial("ask", {"message": f"!talk {text}"})

    def outage(self, on: bool) -> None:
        self.server.away = on
        if on:
            for connection in list(self._uvicorn.server_state.connections):
                connection.transport.abort()

    def running(self) -> int:
        return self.server.running
