"""Where the gateway finds the session's tools, and calls them: HTTP on loopback, under a token."""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route


@dataclass
class Wanted:
    """A tool that the agent called, and that waits for the harness. `id`: as the harness knows it, `call`: as the
    gateway does."""

    name: str
    arguments: dict[str, Any]
    id: str
    call: str
    done: "asyncio.Future[dict[str, Any]]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Door:
    """`wanted`: calls in the order in which they came. `control`: "bypass" carries them out here, past the harness."""

    def __init__(self, control: str = "") -> None:
        self.token = secrets.token_urlsafe(24)
        self.tools: list[dict[str, Any]] = []
        self.wanted: asyncio.Queue[Wanted] = asyncio.Queue()
        self.open_for_calls = False
        self.url = ""
        self.bypassed = 0
        self._control = control
        self._ids = count(1)

    @asynccontextmanager
    async def open(self) -> AsyncIterator["Door"]:
        app = Starlette(routes=[Route("/tools", self._list), Route("/calls", self._call, methods=["POST"])])
        server = uvicorn.Server(
            uvicorn.Config(app, "127.0.0.1", 0, log_level="error", lifespan="off", access_log=False)
        )
        server.install_signal_handlers = lambda: None
        serving = asyncio.ensure_future(server.serve())
        while not server.started:
            if serving.done():
                await serving
            await asyncio.sleep(0.01)
        self.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            server.should_exit = True
            with suppress(asyncio.CancelledError):
                await serving

    def _known(self, request: Request) -> bool:
        return secrets.compare_digest(request.headers.get("authorization", ""), f"Bearer {self.token}")

    async def _list(self, request: Request) -> JSONResponse:
        if not self._known(request):
            return JSONResponse({"error": "no valid token"}, 401)
        return JSONResponse(self.tools)

    async def _call(self, request: Request) -> JSONResponse:
        if not self._known(request):
            return JSONResponse({"error": "no valid token"}, 401)
        said = await request.json()
        if not self.open_for_calls:
            return JSONResponse({"text": "Error: it is not the agent's turn.", "ok": False})
        if self._control == "bypass":
            return JSONResponse(self._past_the_harness(said))
        wanted = Wanted(said["name"], said["arguments"], f"call_{next(self._ids)}", str(said.get("id")))
        self.wanted.put_nowait(wanted)
        done = asyncio.ensure_future(request.receive())  # ends when the gateway hangs up
        await asyncio.wait({wanted.done, done}, return_when=asyncio.FIRST_COMPLETED)
        done.cancel()
        if not wanted.done.done():
            wanted.done.cancel()
            return JSONResponse({"text": "Error: nobody waits.", "ok": False})
        return JSONResponse(wanted.done.result())

    def _past_the_harness(self, said: dict[str, Any]) -> dict[str, Any]:
        """A control: the same tool of the retail domain on a database of its own; the harness sees nothing of it."""
        from inspect_evals.tau2.retail.RetailAgentTools import RetailAgentTools

        tools = RetailAgentTools(instance=f"bypass{next(self._ids)}")
        tools.initialize()
        self.bypassed += 1
        try:
            return {"text": json.dumps(getattr(tools, said["name"])(**said["arguments"]), default=str), "ok": True}
        except Exception as fault:
            return {"text": f"Error: {fault}", "ok": False}
