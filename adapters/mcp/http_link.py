"""An MCP server over streamable HTTP. One client, no lock; a session where the server gives one."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Any

import httpx2
import orjson

from adapters import wire
from adapters.errors import Broken, ConnectFailed, Denied, Full, GatewayError, Refused
from adapters.mcp.mirror import encoded
from adapters.mcp.rpc import MODERN, NAMED, Message, NotDelivered, ServerSent, answers, is_response, parse, server_sent
from adapters.spi import Host

TIMEOUT = httpx2.Timeout(None, connect=10, write=60, pool=10)
"""A call may take as long as its deadline, which is not ours to know."""
EXTENSIONS = {"timeout": TIMEOUT.as_dict()}
RESUMES = 3
STREAM = "text/event-stream"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a server is, and what every request carries."""

    name: str
    url: str
    headers: Mapping[str, str]


class HttpLink:
    """`adapters.mcp.rpc.Link`."""

    def __init__(self, place: Place, host: Host) -> None:
        self._place = place
        self._host = host
        self._client = host.http
        self._name = place.name
        self._session = ""
        self._listening: asyncio.Task[None] | None = None
        self._headers: dict[str, str] = {}
        self._target = httpx2.URL(place.url)
        self._raw: list[tuple[bytes, bytes]] = []
        self._version = ""
        self.hangs_up = True
        self.unasked: Callable[[Message], None] = _ignore

    async def open(self) -> None:
        self._session, self.version = "", ""

    @property
    def version(self) -> str:
        return self._version

    @version.setter
    def version(self, said: str) -> None:
        self._version = said
        self._rebuild()

    def _rebuild(self) -> None:
        self._headers = {
            "content-type": "application/json",
            "accept": f"application/json, {STREAM}",
            **self._place.headers,
        }
        if self._session:
            self._headers["mcp-session-id"] = self._session
        if self.version:
            self._headers["mcp-protocol-version"] = self.version
        whole = self._client.build_request("GET", self._target, headers=self._headers)
        self._raw = [(name.lower(), value) for name, value in whole.headers.raw]

    @property
    def hears(self) -> bool:
        return self._listening is not None and not self._listening.done()

    def begin(self) -> None:
        if self.version != MODERN:
            self._listening = asyncio.create_task(self._listen(), name=f"mcp stream {self._name}")

    async def request(self, message: Message) -> AsyncGenerator[Message, None]:
        extra: Mapping[str, str] = message.pop("headers", {})
        headers = {**_routing(message), **extra} if self._modern(message) else {}
        request = self._post(orjson.dumps(message), headers)
        async with wire.reaching(self._name):
            response = await self._client.send(request, stream=True)
            try:
                if message["method"] == "initialize":
                    self._session = response.headers.get("mcp-session-id", "")
                if response.headers.get("content-type", "").startswith(STREAM) and response.status_code == 200:
                    async with aclosing(self._resumed(response, message["id"])) as found:
                        async for one in found:
                            yield one
                else:
                    yield self._single(response, await wire.body(response, self._name), message["id"])
            finally:
                await response.aclose()

    def _post(self, body: bytes, headers: Mapping[str, str]) -> httpx2.Request:
        """As the client builds it, from headers that were put together once; `headers` stand in place of those."""
        own = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        own.append((b"content-length", b"%d" % len(body)))
        names = {name for name, _ in own}
        raw = [pair for pair in self._raw if pair[0] not in names] + own
        return httpx2.Request("POST", self._target, headers=raw, stream=httpx2.ByteStream(body), extensions=EXTENSIONS)

    def _modern(self, message: Message) -> bool:
        return self.version == MODERN or message["method"] == "server/discover"

    def _single(self, response: httpx2.Response, body: bytes, id: Any) -> Message:
        """The response in a plain answer. Raises for all that is none."""
        status = response.status_code
        if status == 404 and "mcp-session-id" in response.request.headers:
            raise NotDelivered("the session is gone")
        if status == 200 or (400 <= status < 500 and status not in (401, 403) and body.lstrip()[:1] == b"{"):
            message = parse(body, self._name)
            if answers(message, id) or ("id" in message and message["id"] is None and "error" in message):
                return message
            if is_response(message):
                raise Broken(f"'{self._name}' answered another request than ours", detail=repr(body[:300]))
        raise self._fault(response, body)

    def _fault(self, response: httpx2.Response, body: bytes) -> GatewayError:
        status, location, detail = response.status_code, response.headers.get("location", ""), repr(body[:300])
        if status in (401, 403):
            said = "needs a key, or not this one"
            return Refused(f"'{self._name}' {said} ({status}); set its key", detail=detail, delivered="no")
        if 300 <= status < 400:
            return Refused(f"'{self._name}' has moved; set its url to {location[:200]}", delivered="no")
        if status == 429:
            wait = response.headers.get("retry-after", "")
            seconds = min(float(wait), 3600) if wait.isdecimal() else 1.0
            return Full(f"'{self._name}' takes no more calls now", detail=detail, retry_after=seconds)
        if status in (502, 503, 504):
            return ConnectFailed(f"'{self._name}' is away ({status})", detail=detail)
        delivered = "no" if status in (404, 405, 406, 415) else "unknown"
        return Broken(f"'{self._name}' answered {status}, and not as MCP does", detail=detail, delivered=delivered)

    async def _resumed(self, response: httpx2.Response, id: Any) -> AsyncGenerator[Message, None]:
        """The messages of a stream to the response; where it breaks off, it is taken up where it was."""
        last, wait, attempts = "", 1.0, 0
        while True:
            events = server_sent(response.aiter_bytes(), self._name)
            with suppress(httpx2.RequestError):
                async for event in events:
                    last, wait = event.id or last, wait if event.retry is None else event.retry
                    message = _message(event, self._name)
                    if message is not None and (answers(message, id) or not is_response(message)):
                        attempts = 0
                        yield message
                        if is_response(message):
                            return
            if not last or attempts == RESUMES:
                raise ConnectFailed(f"'{self._name}' ended its answer in the middle")
            attempts += 1
            await asyncio.sleep(min(wait, 30))
            await response.aclose()
            response = await self._get(last)

    async def _get(self, last: str = "") -> httpx2.Response:
        headers = {**self._headers, "accept": STREAM, **({"last-event-id": last} if last else {})}
        request = self._client.build_request("GET", self._place.url, headers=headers, timeout=TIMEOUT)
        response = await self._client.send(request, stream=True)
        if response.status_code != 200 or not response.headers.get("content-type", "").startswith(STREAM):
            await response.aclose()
            if response.status_code >= 500:  # it may come back
                raise httpx2.RemoteProtocolError(f"no stream ({response.status_code})", request=request)
            raise ConnectFailed(f"'{self._name}' gives no stream ({response.status_code})")
        return response

    async def _listen(self) -> None:
        """What the server says of itself, as long as it offers a stream for that."""
        last, wait = "", 1.0
        for _ in range(1000):
            try:
                response = await self._get(last)
                try:
                    async for event in server_sent(response.aiter_bytes(), self._name):
                        last, wait = event.id or last, wait if event.retry is None else event.retry
                        message = _message(event, self._name)
                        if message is not None:
                            self.unasked(message)
                finally:
                    await response.aclose()
            except (ConnectFailed, Denied):
                return
            except (httpx2.RequestError, Broken) as fault:
                self._host.log.debug("a stream of notifications broke", upstream=self._name, said=repr(fault))
            await asyncio.sleep(min(max(wait, 0.1), 30))

    async def tell(self, message: Message) -> None:
        headers = {**self._headers, **_routing(message)} if self.version == MODERN else self._headers
        with suppress(httpx2.RequestError, GatewayError):
            await self._client.post(self._place.url, content=orjson.dumps(message), headers=headers, timeout=10)

    async def close(self) -> None:
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.gather(self._listening, return_exceptions=True)
            self._listening = None
        if self._session:
            with suppress(httpx2.RequestError, GatewayError):
                await self._client.delete(self._place.url, headers=self._headers, timeout=2)
            self._session = ""


def _routing(message: Message) -> dict[str, str]:
    """The headers that mirror the body (2026-07-28, Streamable HTTP, "Routing headers")."""
    method = message.get("method", "")
    headers = {"mcp-method": method, "mcp-protocol-version": MODERN}
    key = NAMED.get(method)
    name = message.get("params", {}).get(key) if key else None
    if isinstance(name, str):
        headers["mcp-name"] = encoded(name)
    return headers


def _message(event: ServerSent, name: str) -> Message | None:
    """None for an event without data, which only primes resuming."""
    return parse(event.data, name) if event.data else None


def _ignore(_message: Message) -> None: ...
