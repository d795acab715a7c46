"""Services that an OpenAPI document describes, as upstreams: the service is the agent, its operations are tools."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx2

from adapters import hops, wire
from adapters.errors import BadArguments, Broken, GatewayError, Refused, Unknown
from adapters.http import Options
from adapters.http.far import answers, document, requests
from adapters.http.far.access import Access
from adapters.http.far.document import Faulty
from adapters.http.far.operations import Operation, operations
from adapters.spi import Address, Agent, Call, Event, Host, Json, Part, Report, Result, Text, Tool, Upstream

WEB = ("http://", "https://")
FOREVER = httpx2.Timeout(10, read=None, pool=5)
"""The call path watches the deadline."""
FOLLOWED = 3
MOVED = frozenset({301, 302, 307, 308})
CHAIN = "x-doolittle-hops"
"""In `info` of a document: the service wants to know the chain of a call."""


class Service:
    """What is known of the service, as long as its document stays the same."""

    def __init__(self, found: document.Document, upstream: Upstream, options: Options) -> None:
        self.operations, self.left_out = operations(found, options.operations)
        self.by_native = {one.tool.native: one for one in self.operations}
        self.access = Access(found, upstream.secret, options.credentials)
        self.info: dict[str, Json] = found.said["info"] if isinstance(found.said.get("info"), dict) else {}


class HttpOutbound:
    """One service. Credentials go to the origin of its `url` alone, whatever servers its document names."""

    def __init__(self, upstream: Upstream, host: Host, options: Options) -> None:
        self._upstream = upstream
        self._name = upstream.name
        self._http = host.http
        self._options = options
        if not upstream.url.startswith(WEB):
            raise BadArguments(
                f"'{self._name}': the url of a service or of its document is like https://api.example.com"
            )
        self._where = options.document or upstream.url
        if not self._where.startswith(WEB) and upstream.origin != "file":
            raise BadArguments("a document that is a file is named in the operator's file only")
        self._seen = b""
        self._service: Service | None = None

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[None]:
        """Nothing is held open but the shared connections."""
        yield

    async def agents(self) -> AsyncIterator[Agent]:
        service = await self._read()
        about = [str(service.info.get(key) or "") for key in ("title", "summary", "description")]
        meta: dict[str, Json] = {"version": str(service.info.get("version") or "")}
        if service.left_out:
            meta["left_out"] = dict(list(service.left_out.items())[:50])
        tools = tuple(self._tool(one) for one in service.operations)
        yield Agent(Address("", "", self._name), self._name, "\n\n".join(t for t in about if t), tools, meta)

    def _tool(self, operation: Operation) -> Tool:
        free = self._options.answers == "free"
        return replace(operation.tool, output_schema=None) if free else operation.tool

    async def _read(self) -> Service:
        """The service by its document, read anew. Raises `Broken` and as `wire.send`."""
        raw = await self._raw()
        seen = sha256(raw).digest()
        if self._service is None or seen != self._seen:
            try:
                found = await asyncio.to_thread(document.parse, raw)
                self._service = await asyncio.to_thread(Service, found, self._upstream, self._options)
            except Faulty as fault:
                raise Broken(f"'{self._name}': {fault}") from fault
            self._seen = seen
        return self._service

    async def _raw(self) -> bytes:
        if not self._where.startswith(WEB):
            path = Path(self._where).expanduser()
            try:
                return await asyncio.to_thread(path.read_bytes)
            except OSError as fault:
                raise Refused(f"'{self._name}': {path} cannot be read: {fault.strerror}") from fault
        headers = {"accept": "application/json, application/yaml, */*;q=0.5"}
        if self._upstream.secret and not self._options.document:
            headers["authorization"] = f"Bearer {self._upstream.secret}"
        response, body = await self._get(self._http.build_request("GET", self._where, headers=headers))
        if response.status_code != 200:
            raise Refused(f"'{self._name}': its document cannot be read ({response.status_code})")
        return body

    async def _get(self, request: httpx2.Request) -> tuple[httpx2.Response, bytes]:
        async with self._opened(request) as response:
            return response, await wire.body(response, self._name)

    @asynccontextmanager
    async def _opened(self, request: httpx2.Request) -> AsyncIterator[httpx2.Response]:
        """The head of the answer. A GET is followed to other places of the same origin."""
        response = await self._answer(request)
        for _ in range(FOLLOWED):
            target = urljoin(str(request.url), response.headers.get("location", ""))
            moved = request.method == "GET" and response.status_code in MOVED
            if not moved or _origin(target) != _origin(str(request.url)):
                break
            await response.aclose()
            request = self._http.build_request("GET", target, headers=request.headers, timeout=FOREVER)
            response = await self._answer(request)
        try:
            yield response
        finally:
            await response.aclose()

    async def _answer(self, request: httpx2.Request) -> httpx2.Response:
        async with wire.reaching(self._name):
            return await self._http.send(request, stream=True)

    # -- calls ----------------------------------------------------------------------------------------------------

    async def invoke(self, call: Call, tool: Tool) -> AsyncIterator[Event]:
        service = self._service or await self._read()
        operation = service.by_native.get(tool.native)
        if operation is None:
            raise Unknown(f"'{self._name}' has no operation '{tool.native[:80]}' any more")
        operation = replace(operation, tool=tool)
        async with self._opened(self._request(service, operation, call)) as response, wire.reaching(self._name):
            status, headers = response.status_code, response.headers
            if status < 300 and answers.kind(headers) == answers.EVENTS:
                said: list[str] = []
                async for data in wire.events(response.aiter_bytes()):
                    said.append(data)
                    yield Part(Text(data))
                yield Result((Text("\n".join(said)),))
                return
            body = await wire.body(response, self._name)
        if status >= 300:
            fault = answers.failure(self._name, status, headers, body)
            fault.public = service.access.scrub(fault.public)
            raise fault
        yield answers.result(operation, headers, body, status)

    def _request(self, service: Service, operation: Operation, call: Call) -> httpx2.Request:
        """Raises `BadArguments`."""
        parts = requests.parts(operation, call.arguments)
        own = not self._options.document
        base = urljoin(self._upstream.url, operation.server) if own else self._upstream.url
        if _origin(base) == _origin(self._upstream.url):
            service.access.grant(operation, parts)
            parts.headers |= {name.lower(): value for name, value in self._options.headers.items()}
            if service.info.get(CHAIN) is True:
                parts.headers["doolittle-hops"] = hops.write(call.hops)
        if call.trace:
            parts.headers["traceparent"] = call.trace
        if parts.cookies:
            parts.headers["cookie"] = "; ".join(parts.cookies)
        parts.headers.setdefault("accept", "application/json, */*;q=0.5")
        more: dict[str, Any] = {"files": parts.files} if parts.files else {"content": parts.content}
        url = base.rstrip("/") + parts.target
        return self._http.build_request(operation.method, url, headers=parts.headers, timeout=FOREVER, **more)

    async def check(self) -> Report:
        """Whether the document can be read, and which of its operations cannot be called."""
        try:
            service = await self._read()
        except GatewayError as fault:
            return Report(False, f"{fault.public} ({self._where})")
        facts: dict[str, Json] = {"operations": len(service.operations), "left_out": service.left_out}
        if strange := service.access.strange():
            return Report(False, f"the document has no security scheme '{strange[0]}'", facts)
        if not service.operations:
            return Report(False, f"none of its operations can be called: {_few(service.left_out)}", facts)
        title = str(service.info.get("title") or self._name)
        gone = f"; {len(service.left_out)} cannot be called: {_few(service.left_out)}" if service.left_out else ""
        return Report(True, f"{title}: {len(service.operations)} operations{gone}", facts)


def _few(left_out: dict[str, str]) -> str:
    said = [f"{place} ({why})" for place, why in left_out.items()]
    return "; ".join(said[:3]) + (" …" if len(said) > 3 else "") if said else "it names none"


def _origin(url: str) -> tuple[str, str, int]:
    found = urlsplit(url)
    try:
        port = found.port
    except ValueError:
        port = None
    return found.scheme, (found.hostname or "").lower(), port or {"http": 80, "https": 443}.get(found.scheme, 0)
