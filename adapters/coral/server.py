"""A Coral server's REST: its registry, sessions, and the puppet that speaks for us."""

from typing import Any
from urllib.parse import quote, urlsplit

import httpx2
import orjson

from adapters import wire
from adapters.coral.translate import Message, message
from adapters.errors import Broken, GatewayError, Refused
from adapters.spi import Json, Upstream

TIMEOUT = httpx2.Timeout(30, connect=10, pool=10)
SOON = httpx2.Timeout(3, pool=10)
"""For a look at the state: who does not answer that is away."""


class Lost(Exception):
    """The server does not know the session any more: it ended it, or was started anew. The text is for callers."""


class Server:
    """One server, by its key. All raise `GatewayError`s; what asks of a session raises `Lost` too."""

    def __init__(self, upstream: Upstream, client: httpx2.AsyncClient) -> None:
        self._name = upstream.name
        self._base = upstream.url.rstrip("/")
        self._key = upstream.secret
        self._client = client

    async def get(self, path: str) -> Any:
        return await self._ask("GET", path)

    async def open(self, request: dict[str, Json]) -> str:
        """A new session's id."""
        said = await self._ask("POST", "/api/v1/local/session", request)
        found = said.get("sessionId") if isinstance(said, dict) else None
        if not isinstance(found, str) or not found:
            raise Broken(f"'{self._name}' opened a session without an id")
        return found

    async def state(self, namespace: str, session: str) -> Any:
        return await self._ask("GET", f"{_session(namespace, session)}/extended", lost=True)

    async def close(self, namespace: str, session: str) -> None:
        await self._ask("DELETE", _session(namespace, session), lost=True)

    def events(self, namespace: str, session: str) -> str:
        """The URL of a session's events. It holds the key."""
        split = urlsplit(self._base)
        scheme = {"http": "ws", "https": "wss"}[split.scheme]
        place = "/".join(quote(part, safe="") for part in (self._key, "session", namespace, session))
        return f"{scheme}://{split.netloc}{split.path}/ws/v1/events/{place}"

    def puppet(self, namespace: str, session: str, agent: str) -> "Puppet":
        place = "/".join(quote(part, safe="") for part in (namespace, session, agent))
        return Puppet(self, f"/api/v1/puppet/{place}/thread")

    async def _ask(self, method: str, path: str, document: Json = None, *, lost: bool = False) -> Any:
        """`lost`: what is not found is the session. A request that broke before it was sent says "no" of itself."""
        headers = {"accept": "application/json"}
        headers |= {"authorization": f"Bearer {self._key}"} if self._key else {}
        content = None if document is None else orjson.dumps(document)
        headers |= {"content-type": "application/json"} if content is not None else {}
        url = self._base + path
        timeout = SOON if path.endswith("/extended") else TIMEOUT
        request = self._client.build_request(method, url, content=content, headers=headers, timeout=timeout)
        response, body = await wire.send(self._client, request, self._name)
        if response.status_code >= 300:
            raise self._fault(response.status_code, body, lost=lost)
        if not body:
            return None
        try:
            return orjson.loads(body)
        except orjson.JSONDecodeError as fault:
            raise Broken(f"'{self._name}' answered with something that is not JSON") from fault

    def _fault(self, status: int, body: bytes, *, lost: bool) -> "GatewayError | Lost":
        said = _reason(body)
        if status in (401, 403):
            return Refused(f"'{self._name}' does not take our key", detail=said, delivered="no")
        if status == 404 and lost and not said.startswith(("No agent", "Cannot mention")):
            return Lost(f"'{self._name}' ended the session, or was started anew; the next call opens another")
        if status >= 500:
            return Refused(f"'{self._name}' failed: {said}", detail=str(status))
        return Refused(f"'{self._name}' refused it: {said}", detail=str(status), delivered="no")

    async def ask(self, method: str, path: str, document: Json) -> Any:
        """For the puppet: what is not found is the session, or its thread."""
        return await self._ask(method, path, document, lost=True)


class Puppet:
    """Speaks in one session."""

    def __init__(self, server: Server, path: str) -> None:
        self._server = server
        self._path = path

    async def open(self, name: str, members: list[str]) -> str:
        """A new thread's id."""
        said = await self._server.ask("POST", self._path, {"threadName": name, "participantNames": members})
        try:
            return str(said["thread"]["id"])
        except (KeyError, TypeError) as fault:
            raise Broken("the server opened a thread without an id") from fault

    async def say(self, thread: str, text: str, mentions: list[str]) -> Message:
        document = {"threadId": thread, "content": text, "mentions": mentions}
        said = await self._server.ask("POST", f"{self._path}/message", document)
        return message(said.get("message") if isinstance(said, dict) else None)

    async def close(self, thread: str, summary: str) -> None:
        await self._server.ask("DELETE", self._path, {"threadId": thread, "summary": summary})


def _session(namespace: str, session: str) -> str:
    return f"/api/v1/local/session/{quote(namespace, safe='')}/{quote(session, safe='')}"


def _reason(body: bytes) -> str:
    try:
        said = orjson.loads(body)
    except orjson.JSONDecodeError:
        return "no reason given"
    found = said.get("message") if isinstance(said, dict) else None
    return str(found or "no reason given")[:300]
