"""The border: what every request must show before any app sees it. Pure ASGI, no buffering.

Outer: header values are trimmed (httptools leaves them as sent), Host and Origin are checked, so that no page of
another site can reach a gateway on loopback. Inner, for each route: content type, size, key.
"""

import asyncio
import ipaddress
from contextlib import suppress
from urllib.parse import urlsplit

import orjson

from adapters.errors import BadArguments, Denied, GatewayError, TooLarge, Unauthenticated
from adapters.spi import ASGI, Receive, Route, Scope, Send
from gateway.keys import Keys
from gateway.settings import ServerSettings

LOOPBACK = ("localhost", "127.0.0.1", "::1")
EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 - compared with, not bound to
DRAIN = 5.0
BODIES = frozenset({"POST", "PUT", "PATCH", "DELETE"})


class Outer:
    """Around the whole app."""

    def __init__(self, app: ASGI, settings: ServerSettings) -> None:
        self._app = app
        names = {*settings.allowed_hosts, settings.host, *((urlsplit(settings.base_url).hostname or "",))}
        if loopback(settings.host):
            names |= {*LOOPBACK}
        self._any_address = settings.host in EVERYWHERE
        self._names = frozenset(name.lower() for name in names if name)
        self._origins = frozenset(settings.allowed_origins)
        self._seen: dict[bytes, bool] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = [(name, value.strip()) for name, value in scope["headers"]]
        scope["headers"] = headers
        host = origin = site = mode = b""
        for name, value in headers:
            if name == b"host":
                host = value
            elif name == b"origin":
                origin = value
            elif name == b"sec-fetch-site":
                site = value
            elif name == b"sec-fetch-mode":
                mode = value
        fault = self._fault(host, origin, site, mode if scope["method"] == "GET" else b"")
        if fault:
            await refuse(Denied(fault), send)
            return
        await self._app(scope, receive, send)

    def _fault(self, host: bytes, origin: bytes, site: bytes, mode: bytes) -> str:
        known = self._seen.get(host)
        if known is None:
            known = self._host_known(host.decode("latin-1"))
            if len(self._seen) < 1000:
                self._seen[host] = known
        if not known:
            return "this Host is not one of this gateway's; add it to allowed_hosts if it should be"
        if origin and not self._origin_known(origin.decode("latin-1"), host.decode("latin-1")):
            return "pages of this Origin may not call; add it to allowed_origins if they should"
        if not origin and site in (b"cross-site", b"same-site") and mode != b"navigate":
            return "pages of other sites may not call"
        return ""

    def _host_known(self, host: str) -> bool:
        name = "" if "@" in host else _hostname("http://" + host)
        if name in self._names:
            return True
        return self._any_address and _is_address(name)

    def _origin_known(self, origin: str, host: str) -> bool:
        return origin in self._origins or _netloc(origin) == host.lower()


def _hostname(url: str) -> str:
    try:
        return (urlsplit(url).hostname or "").lower()
    except ValueError:
        return ""


def _netloc(url: str) -> str:
    try:
        return urlsplit(url).netloc.lower()
    except ValueError:
        return ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def loopback(host: str) -> bool:
    """Whether the name or address is this machine only."""
    return host == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)


class Gate:
    """Around the app of one route."""

    def __init__(self, route: Route, network: str, keys: Keys, max_body: int) -> None:
        self._route = route
        self._network = network
        self._keys = keys
        self._max_body = max_body
        self._accepts = frozenset(a.encode() for a in route.accepts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False
        excess: list[TooLarge] = []

        async def watch(message: Scope) -> None:
            nonlocal started
            if excess and not started:
                raise excess[0]  # the app took it for a fault of its own
            started = True
            await send(message)

        try:
            length = self._check(scope, excess)
            limited = receive if length == 0 else self._limited(receive, excess)
            await self._route.app(scope, limited, watch)
        except GatewayError as fault:
            if started:
                raise
            if fault in excess:
                await self._drain(receive)
            await (self._route.refuse or refuse)(fault, send)

    async def _drain(self, receive: Receive) -> None:
        """Reads on for a while and drops it, so that the client is there to read the answer."""
        left = 8 * self._max_body
        with suppress(TimeoutError):
            async with asyncio.timeout(DRAIN):
                while left > 0:
                    message = await receive()
                    left -= len(message.get("body", b""))
                    if not message.get("more_body"):
                        break

    def _check(self, scope: Scope, excess: list[TooLarge]) -> int | None:
        """Content type, announced size, key. Gives the announced size; None where it is not announced."""
        length: int | None = 0
        kind = b""
        bearer = ""
        for name, value in scope["headers"]:
            if name == b"content-length":
                length = int(value) if value.isdigit() else None
            elif name == b"transfer-encoding":
                length = None
            elif name == b"content-type":
                kind = value.partition(b";")[0].strip().lower()
            elif name == b"authorization" and value[:7].lower() == b"bearer ":
                bearer = value[7:].decode("latin-1").strip()
            elif name == b"x-api-key":
                bearer = bearer or value.decode("latin-1")
        if length and length > self._max_body:
            excess.append(self._too_large())
            raise excess[0]
        if length != 0 and scope["method"] in BODIES and kind not in self._accepts:
            raise UnsupportedType(f"send {' or '.join(self._route.accepts)}, not '{kind.decode('latin-1')[:80]}'")
        if not self._route.open:
            scope["caller"] = self._keys.bearer(bearer, self._network)
        return length

    def _limited(self, receive: Receive, excess: list[TooLarge]) -> Receive:
        left = self._max_body

        async def counted() -> Scope:
            nonlocal left
            message = await receive()
            left -= len(message.get("body", b""))
            if left < 0:
                excess.append(self._too_large())
                raise excess[0]
            return message

        return counted

    def _too_large(self) -> TooLarge:
        return TooLarge(f"a request may have {self._max_body} bytes")


class UnsupportedType(BadArguments, status=415):
    """The content type is not one that the face takes."""


async def refuse(fault: GatewayError, send: Send) -> None:
    """Answers with problem+json (RFC 9457)."""
    body = orjson.dumps(fault.problem())
    headers = [
        (b"content-type", b"application/problem+json"),
        (b"content-length", str(len(body)).encode()),
    ]
    if isinstance(fault, TooLarge):
        headers.append((b"connection", b"close"))
    if isinstance(fault, Unauthenticated):
        headers.append((b"www-authenticate", b"Bearer"))
    if fault.retry_after is not None:
        headers.append((b"retry-after", str(max(1, round(fault.retry_after))).encode()))
    await send({"type": "http.response.start", "status": fault.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
