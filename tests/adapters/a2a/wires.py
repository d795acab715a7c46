"""What tests of tasks and pushes share: JSON-RPC by hand, and places that are told."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from adapters.conformance.serving import serving

VERSION = {"a2a-version": "1.0"}


async def rpc(url: str, method: str, params: Any, key: str = "") -> Any:
    """The result, or the error."""
    headers = VERSION | ({"authorization": f"Bearer {key}"} if key else {})
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    async with httpx.AsyncClient(headers=headers, timeout=30) as client:
        answer = (await client.post(f"{url}/a2a/all", json=body)).json()
    return answer.get("result", answer.get("error"))


def say(id: str, skill: str, arguments: Any = None, **configuration: Any) -> Any:
    parts = [{"data": arguments or {}}]
    message = {"messageId": id, "role": "ROLE_USER", "parts": parts, "metadata": {"skill": skill}}
    return {"message": message, "configuration": configuration}


class Hook:
    """A place that is told; `answers` are given in turn, the last for ever; None: it never answers."""

    def __init__(self) -> None:
        self.url = ""
        self.heard: list[tuple[dict[str, str], Any]] = []
        self.answers: list[int | None] = [200]
        self._news = asyncio.Event()

    async def handle(self, request: Request) -> Response:
        self.heard.append((dict(request.headers), orjson.loads(await request.body())))
        self._news.set()
        answer = self.answers[0] if len(self.answers) == 1 else self.answers.pop(0)
        if answer is None:
            await asyncio.Event().wait()
        return Response(status_code=answer or 200)

    @property
    def origin(self) -> str:
        return self.url.removesuffix("/hook")

    @property
    def states(self) -> list[str]:
        return [state(body) for _, body in self.heard if state(body)]

    async def until(self, good: Callable[[], bool]) -> None:
        """Returns when it has heard so much."""
        async with asyncio.timeout(30):
            while not good():
                self._news.clear()
                await self._news.wait()


def state(body: Any) -> str:
    update = body.get("statusUpdate") or body.get("task") or {}
    return str(update.get("status", {}).get("state", "")).removeprefix("TASK_STATE_")


@asynccontextmanager
async def hooking() -> AsyncIterator[Hook]:
    hook = Hook()
    async with serving(Starlette(routes=[Route("/hook", hook.handle, methods=["POST"])])) as (url, _):
        hook.url = f"{url}/hook"
        yield hook
