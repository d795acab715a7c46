"""A real ElizaOS server whose agents have the plugin, and a line to the gateway that can be cut."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2

from examples.tour.eliza import HERE, ElizaServer
from tests.e2e.conftest import KEY


class Line:
    """Passes bytes on to a gateway. `far`: where to; None cuts it, and takes no new ones. `taken`: how many came."""

    def __init__(self, far: str) -> None:
        self.far: str | None = far
        self.taken = 0
        self._open: set[asyncio.StreamWriter] = set()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        server = await asyncio.start_server(self._pass, "127.0.0.1", 0)
        try:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        finally:
            self.turn(None)
            server.close()

    def turn(self, far: str | None) -> None:
        """Connections that are open end."""
        self.far = far
        for writer in self._open:
            writer.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.far is None:
            writer.close()
            return
        self.taken += 1
        host, _, port = self.far.rpartition("://")[2].partition(":")
        away, there = await asyncio.open_connection(host, int(port))
        self._open |= {writer, there}
        await asyncio.gather(self._pump(reader, there), self._pump(away, writer))
        self._open -= {writer, there}

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()


def character(folder: Path, of: str, **settings: str) -> str:
    """A character of the example with more settings; the path of its file."""
    said = json.loads((HERE / "characters" / f"{of}.json").read_text())
    said["settings"] = {**said.get("settings", {}), **settings}
    path = folder / f"{of}.json"
    path.write_text(json.dumps(said))
    return str(path)


class User:
    """Somebody who talks with one agent of a server, in one session."""

    def __init__(self, server: ElizaServer, name: str) -> None:
        self._agent = next(agent["id"] for agent in server.facts["agents"] if agent["name"] == name)
        self._http = httpx2.AsyncClient(base_url=server.url, headers={"x-api-key": KEY}, timeout=60)
        self._session: dict[str, Any] = {}

    async def __aenter__(self) -> "User":
        said = {"agentId": self._agent, "userId": str(uuid4())}
        self._session = (await self._http.post("/api/messaging/sessions", json=said)).json()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def say(self, text: str) -> dict[str, Any]:
        """What the agent's last callback said, or its reply where there was none."""
        response = await self._http.post(self._path, json={"content": text, "transport": "http"})
        assert response.status_code == 201, response.text
        answer: dict[str, Any] = response.json()["agentResponse"]
        return answer.get("actionCallbacks") or answer

    async def watch(self, text: str) -> tuple[list[str], dict[str, Any]]:
        """The pieces that came live, and what stood at the end."""
        pieces: list[str] = []
        ids: set[str] = set()
        name = ""
        said = {"content": text, "transport": "sse"}
        async with self._http.stream("POST", self._path, json=said) as response:
            async for line in response.aiter_lines():
                if line.startswith("event: "):
                    name = line[7:]
                elif line.startswith("data: ") and name in ("chunk", "done", "error"):
                    data = json.loads(line[6:])
                    if name != "chunk":
                        assert ids == {data["responseId"]}, "pieces without the message's id are dropped elsewhere"
                        return pieces, data
                    pieces.append(data["chunk"])
                    ids.add(data.get("messageId"))
        raise AssertionError("the stream ended early")

    async def results(self) -> list[dict[str, Any]]:
        """What its actions gave the runtime, the last first."""
        path = f"/api/memory/{self._agent}/memories?roomId={self._session['channelId']}"
        found = (await self._http.get(path)).json()["data"]["memories"]
        acts = [m for m in found if m["content"].get("type") == "action_result" or "actionResult" in m["content"]]
        acts.sort(key=lambda memory: memory["createdAt"], reverse=True)
        return [memory["content"]["actionResult"] for memory in acts]

    @property
    def _path(self) -> str:
        return f"/api/messaging/sessions/{self._session['sessionId']}/messages"
