"""Messages of a client on standard input and output, carried over streamable HTTP: both eras, as they are.

The bridge in the bundle for Claude Desktop (`bundle/bridge.mjs`) keeps the same rules. A request of the handshake era
belongs to a session; one of 2026-07-28 says all in its headers, and is cancelled by closing its stream.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeAlias
from urllib.parse import urlsplit

import httpx2
import orjson

from adapters.mcp.mirror import Mirror, version

Message: TypeAlias = dict[str, Any]
Put: TypeAlias = Callable[[bytes], None]

TIMEOUT = httpx2.Timeout(10, read=None, write=60, pool=None)
"""Agents may be slow: it is the client that gives up."""
NOTE = 10.0
"""Seconds that a notification may take: later messages wait for it."""
BYE = 2.0
"""Seconds for the end of the session, when the client has gone."""
GRACE = 1.0
"""Seconds for running requests, when the client has gone: so that input from a pipe is answered."""
PARSE_ERROR = -32700
INVALID_REQUEST = -32600
INTERNAL_ERROR = -32603
INITIALIZED = orjson.dumps({"jsonrpc": "2.0", "method": "notifications/initialized"})


class Trouble(Exception):
    """A request has no answer; the text says why, for the one who reads the client's screen."""


class Gone(Trouble):
    """The gateway does not know the session any more."""


class Bridge:
    """One client. `take` gets its messages in order; `put` gets each message for it, as one line without its end."""

    def __init__(self, url: str, key: str, put: Put) -> None:
        self._url = url
        self._base = "{0.scheme}://{0.netloc}".format(urlsplit(url))
        self._fixed = {"accept": "application/json, text/event-stream", "content-type": "application/json"}
        self._fixed |= {"authorization": f"Bearer {key}"} if key else {}
        self._put = put
        self._mirror = Mirror()
        self._running: dict[str, tuple[asyncio.Task[None], bool]] = {}
        self._greeting = b""
        self._version = ""
        self._renewing = asyncio.Lock()
        self._listening: asyncio.Task[None] | None = None
        self.session = ""

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """At the end, running requests get a moment, the rest is cancelled, and the session is ended."""
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=20)
        async with httpx2.AsyncClient(timeout=TIMEOUT, limits=limits, trust_env=False) as self._http:
            try:
                yield
                if tasks := [task for task, _ in self._running.values()]:
                    await asyncio.wait(tasks, timeout=GRACE)
            finally:
                await self._end()

    async def _end(self) -> None:
        tasks = [task for task, _ in self._running.values()] + [t for t in (self._listening,) if t]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self.session:
            with suppress(httpx2.HTTPError, TimeoutError):
                async with asyncio.timeout(BYE):
                    await self._http.delete(self._url, headers=self._headers({}))

    async def take(self, line: bytes) -> None:
        """One line of the client's."""
        try:
            said = orjson.loads(line)
        except orjson.JSONDecodeError:
            self._refuse(None, PARSE_ERROR, "this line is not JSON")
            return
        if isinstance(said, list):  # a batch, as revision 2025-03-26 has them
            for one in said:
                await self._take(one, orjson.dumps(one))
        else:
            await self._take(said, line)

    async def _take(self, message: Any, line: bytes) -> None:
        if not isinstance(message, dict):
            self._refuse(None, INVALID_REQUEST, "a message is an object")
        elif "method" not in message or "id" not in message:
            await self._note(message, line)
        else:
            name = repr(message["id"])
            task = asyncio.create_task(self._request(message, line), name=f"bridge {name}")
            self._running[name] = task, bool(version(message))
            task.add_done_callback(lambda _: self._running.pop(name, None))
            if message["method"] == "initialize":
                await asyncio.wait({task})

    # ---- what wants no answer ------------------------------------------------------------------------------------

    async def _note(self, message: Message, line: bytes) -> None:
        """A notification, or an answer to the gateway's own request: in order, and never answered."""
        if message.get("method") == "notifications/cancelled" and self._cancelled(message):
            return
        if not self._greeting:
            return  # the modern era has none over HTTP
        try:
            async with asyncio.timeout(NOTE):
                await self._renewed(message, line)
        except (Trouble, TimeoutError) as fault:
            _log(f"'{message.get('method', 'an answer')}' was not delivered: {str(fault) or 'no answer in time'}")
        if message.get("method") == "notifications/initialized":
            self._listen()

    def _cancelled(self, message: Message) -> bool:
        """Closes the stream of a request of the modern era, which is how it is cancelled."""
        params = message.get("params")
        found = self._running.get(repr(params.get("requestId"))) if isinstance(params, dict) else None
        if found is None or not found[1]:
            return False
        found[0].cancel()
        return True

    # ---- requests ------------------------------------------------------------------------------------------------

    async def _request(self, message: Message, line: bytes) -> None:
        if message["method"] == "initialize":
            self._greeting, self.session, self._version = line, "", ""
        try:
            if not await self._renewed(message, line):
                raise Trouble(f"the gateway at {self._base} broke off before it answered")
        except Trouble as fault:
            self._refuse(message["id"], INTERNAL_ERROR, str(fault))

    async def _renewed(self, message: Message, line: bytes) -> bool:
        """Posts; once more with a new session, if the gateway has forgotten this one. Whether an answer came."""
        session = self.session
        try:
            return await self._post(message, line, self._put)
        except Gone:
            await self._renew(session)
            return await self._post(message, line, self._put)

    async def _renew(self, gone: str) -> None:
        """Begins the session anew, with the client's own words. Raises `Trouble`."""
        async with self._renewing:
            if self.session != gone:
                return  # another request did it
            self.session = ""
            await self._post(orjson.loads(self._greeting), self._greeting, lambda _: None)
            await self._post({}, INITIALIZED, self._put)
        self._listen()

    async def _post(self, message: Message, line: bytes, put: Put) -> bool:
        """Posts one message, and puts what comes back. Whether its answer was among it. Raises `Trouble`."""
        session = self.session
        answered = False
        headers = self._headers(message)
        async with self._reaching(), self._http.stream("POST", self._url, content=line, headers=headers) as response:
            if response.status_code == 404 and session and not version(message):
                raise Gone(f"the gateway at {self._base} does not know this session")
            if message.get("method") == "initialize":
                self.session = response.headers.get("mcp-session-id", "")
            async for raw in self._messages(response):
                answered = self._seen(message, raw) or answered
                put(raw)
        return answered

    async def _messages(self, response: httpx2.Response) -> AsyncIterator[bytes]:
        """Raises `Trouble` for an answer that is none of MCP's."""
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind == "text/event-stream" and response.status_code == 200:
            async for data in events(response):
                yield data
            return
        body = await response.aread()
        said = _loaded(body) if kind.endswith("json") else None
        if isinstance(said, dict) and said.get("jsonrpc") == "2.0" and said.get("id") is not None:
            yield body
        elif response.status_code >= 400:
            raise Trouble(f"the gateway at {self._base} answered {response.status_code}: {_words(said)}")

    def _seen(self, message: Message, raw: bytes) -> bool:
        """Whether it is the answer to the message; takes from it what later requests need."""
        said = _loaded(raw)
        if not isinstance(said, dict) or "method" in said or "id" not in message or said.get("id") != message["id"]:
            return False
        result = said.get("result")
        if message["method"] == "initialize" and isinstance(result, dict):
            self._version = str(result.get("protocolVersion", ""))
        elif message["method"] == "tools/list":
            self._mirror.learn(result)
        return True

    # ---- what the gateway says unasked ---------------------------------------------------------------------------

    def _listen(self) -> None:
        if self._listening:
            self._listening.cancel()
        self._listening = asyncio.create_task(self._follow(), name="bridge listens")

    async def _follow(self) -> None:
        """The session's own stream, as long as the gateway offers it."""
        wait = 1.0
        while True:
            headers = self._headers({})
            with suppress(Trouble):
                async with self._reaching(), self._http.stream("GET", self._url, headers=headers) as response:
                    if response.status_code != 200:
                        return  # not offered; or forgotten, and then the next request begins anew
                    wait = 1.0
                    async for data in events(response):
                        self._put(data)
            await asyncio.sleep(wait)
            wait = min(2 * wait, 30.0)

    # ---- the wire ------------------------------------------------------------------------------------------------

    def _headers(self, message: Message) -> dict[str, str]:
        if version(message):
            return {**self._fixed, **self._mirror.headers(message)}
        said = dict(self._fixed)
        if message.get("method") != "initialize":
            said |= {"mcp-session-id": self.session} if self.session else {}
            said |= {"mcp-protocol-version": self._version} if self._version else {}
        return said

    @asynccontextmanager
    async def _reaching(self) -> AsyncIterator[None]:
        try:
            yield
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as fault:
            raise Trouble(f"the gateway at {self._base} does not answer; start it with: doolittle serve") from fault
        except httpx2.RequestError as fault:
            raise Trouble(f"the connection to the gateway at {self._base} broke: {type(fault).__name__}") from fault

    def _refuse(self, id: Any, code: int, text: str) -> None:
        self._put(orjson.dumps({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": text}}))


async def events(response: httpx2.Response) -> AsyncIterator[bytes]:
    """The data of each server-sent event. Lines end with a line feed only, never with what Unicode calls an end."""
    pending: list[bytes] = []
    data: list[bytes] = []
    chunks: Any = response.aiter_bytes()
    async for chunk in chunks:
        first, *rest = chunk.split(b"\n")
        pending.append(first)
        for piece in rest:
            line = b"".join(pending).rstrip(b"\r")
            pending = [piece]
            if line.startswith(b"data:"):
                data.append(line[5:].removeprefix(b" "))
            elif not line and data:
                if whole := b"\n".join(data):
                    yield whole
                data = []


def _loaded(raw: bytes) -> Any:
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None


def _words(said: Any) -> str:
    """What a problem document or an error of JSON-RPC says."""
    if not isinstance(said, dict):
        return "nothing that this bridge understands"
    error = said.get("error")
    return str(error.get("message") if isinstance(error, dict) else said.get("detail", "no reason"))


def _log(text: str) -> None:
    sys.stderr.write(f"doolittle mcp-stdio: {text}\n")
