"""Calls out: shared connections, and a guard on where they may lead.

One pool reaches what the operator configured: the fast one, unless the settings say otherwise. The others resolve each
name themselves, and connect only to public addresses, at the very address that they checked; one of them, for agents
that register themselves, also to networks that the operator allows. Redirects pass the same choice again.
"""

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Coroutine, Iterable
from contextlib import suppress
from functools import cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, Literal, Protocol, TypeAlias

import httpcore2
import httpx2
from httpcore2._async.http11 import AsyncHTTP11Connection
from httpcore2._backends.anyio import AnyIOBackend, AnyIOStream  # the public name is a placeholder to type checkers

from adapters.errors import ConnectFailed, Denied
from gateway import http1

LIMITS = httpx2.Limits(max_connections=512, max_keepalive_connections=128, keepalive_expiry=60)


@cache
def _certificates() -> ssl.SSLContext:
    """Whom to trust; reading it takes 25 ms, so it is read once a process."""
    return httpx2.create_ssl_context()


class _Late:
    """Tasks that go on after whoever began them was cancelled."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Future[Any]] = set()

    def begin(self, work: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def end(self) -> None:
        """Waits for what closes; what still connects is given up."""
        while self._tasks:
            _, left = await asyncio.wait(self._tasks, timeout=1)
            for task in left:
                task.cancel()


class OpenStream(AnyIOStream):
    """Closes without waiting. The pool closes many in a row, in the task that happens to be there: cancelled at one
    of them, it would leave the rest open, and count the request among those that run for ever."""

    def __init__(self, stream: Any, late: _Late) -> None:
        super().__init__(stream)
        self._late = late

    async def aclose(self) -> None:
        self._late.begin(_closed(self._stream))

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.AsyncNetworkStream:
        """As httpcore2's; cancelled, it closes too."""
        try:
            found: Any = await super().start_tls(ssl_context, server_hostname, timeout)
        except BaseException:
            await self.aclose()
            raise
        return OpenStream(found._stream, self._late)


async def _closed(stream: Any) -> None:
    with suppress(Exception):
        await stream.aclose()


class OpenBackend(AnyIOBackend):
    """Connects in a task of its own: whoever is cancelled just as the connection stands would leave it open."""

    def __init__(self) -> None:
        self.late = _Late()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """As httpcore2's."""
        connecting = self.late.begin(super().connect_tcp(host, port, timeout, local_address, socket_options))
        try:
            return OpenStream((await asyncio.shield(connecting))._stream, self.late)
        except asyncio.CancelledError:
            connecting.add_done_callback(self._close_late)
            raise

    def _close_late(self, connecting: "asyncio.Future[Any]") -> None:
        if not connecting.cancelled() and connecting.exception() is None:
            self.late.begin(_closed(connecting.result()))


Networks: TypeAlias = tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]

EVERYWHERE: Networks = (ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0"))


class GuardedBackend(OpenBackend):
    """Connects to public addresses, and those that are `allowed`. Raises `Denied` for all others, before a packet is
    sent."""

    def __init__(self, allowed: Networks = ()) -> None:
        super().__init__()
        self._allowed = allowed

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """As httpcore2's; tries each checked address of the name in turn."""
        fault: Exception | None = None
        for address in await resolve(host, port, self._allowed):
            try:
                return await super().connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                fault = error
        raise fault or httpcore2.ConnectError(f"no address for {host}")

    async def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[Any] | None = None
    ) -> httpcore2.AsyncNetworkStream:
        raise Denied("local sockets are not reached over the network")


async def resolve(host: str, port: int, allowed: Networks = ()) -> list[str]:
    """Addresses of the host, all of them public or allowed. One that is not makes the whole name suspect: raises
    `Denied`."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as fault:
        raise httpcore2.ConnectError(f"cannot resolve {host}") from fault
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    for address in addresses:
        if not public(address) and not within(address, allowed):
            raise Denied("that address leads into a private network", detail=f"{host} is {address}")
    return addresses


def public(address: str) -> bool:
    """Whether an IP address is one of the open internet, also when an IPv6 form wraps an IPv4 address."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.teredo or ip.sixtofour or ip.is_site_local or ip in NAT64:
            return False
        ip = ip.ipv4_mapped or ip
    if any(ip in network for network in INSIDE if network.version == ip.version):
        return False
    return ip.is_global and not ip.is_multicast and not ip.is_reserved and str(ip) not in INSIDE_CLOUDS


def within(address: str, allowed: Networks) -> bool:
    """Whether an IP address lies in one of the networks."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    ip = (ip.ipv4_mapped or ip) if isinstance(ip, ipaddress.IPv6Address) else ip
    return any(ip in network for network in allowed)


INSIDE = tuple(
    map(
        ipaddress.ip_network,
        ("192.0.0.0/24", "192.88.99.0/24", "3fff::/20", "5f00::/16", "64:ff9b:1::/48", "2001::/23"),
    )
)
"""Set aside by their registries, and public to Python 3.11: a cloud has its metadata in one of them."""
INSIDE_CLOUDS = frozenset({"168.63.129.16"})
"""Public by number, and a cloud's own metadata in fact."""
NAT64 = ipaddress.ip_network("64:ff9b::/96")


class _Connection(httpcore2.AsyncHTTPConnection):
    """One on which more came than was asked for is not used again: the next caller would take it for his answer."""

    def has_expired(self) -> bool:
        return super().has_expired() or bool(self.is_idle() and self._more())

    def _more(self) -> bytes:
        connection: Any = self._connection
        return connection._h11_state.trailing_data[0] if isinstance(connection, AsyncHTTP11Connection) else b""


class _Connections(httpcore2.AsyncConnectionPool):
    def create_connection(self, origin: httpcore2.Origin) -> Any:
        """As httpcore2's, without what is not set here."""
        return _Connection(origin, self._ssl_context, self._keepalive_expiry, network_backend=self._network_backend)


class _Pool(httpx2.AsyncHTTPTransport):
    """httpx2's transport over a pool with a network backend of our own, which its constructor does not offer."""

    def __init__(self, context: Any, backend: OpenBackend) -> None:
        self._late = backend.late
        self._pool = _Connections(
            ssl_context=context,
            max_connections=LIMITS.max_connections,
            max_keepalive_connections=LIMITS.max_keepalive_connections,
            keepalive_expiry=LIMITS.keepalive_expiry,
            network_backend=backend,
        )

    async def aclose(self) -> None:
        await super().aclose()
        await self._late.end()


class _Choice(httpx2.AsyncBaseTransport):
    """Sends a request to the pool `own` if it goes to a named origin, else to the guarded one."""

    def __init__(self, egress: "Egress", own: httpx2.AsyncBaseTransport, origins: frozenset[str]) -> None:
        self._egress = egress
        self._own = own
        self._origins = origins

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if request.url.scheme not in ("http", "https"):
            raise Denied(f"'{request.url.scheme}' addresses are not reached", detail=str(request.url))
        known = origin(request.url) in self._origins
        pool = self._own if known else self._egress.guarded
        return await pool.handle_async_request(request)

    async def aclose(self) -> None:
        """The pools are the gateway's, and outlive the client of one upstream."""


class _Client(httpx2.AsyncClient):
    """httpx2's client, that goes straight to its transport for what is sent as adapters send: no login, no redirect."""

    async def send(self, request: httpx2.Request, *, stream: bool = False, **more: Any) -> httpx2.Response:
        if not stream or more or any(self._event_hooks.values()) or "timeout" not in request.extensions:
            return await super().send(request, stream=stream, **more)
        response = await self._transport.handle_async_request(request)
        response.request = request
        return response


class Egress:
    """The pools of the process. Close with `aclose`. `allowed`: where those who register themselves may be, beside
    public addresses."""

    def __init__(self, transport: Literal["fast", "plain"] = "fast", allowed: Networks = ()) -> None:
        self.allowed = allowed
        context = _certificates()
        plain = _Pool(context, OpenBackend())
        self._plain = plain
        self.configured = http1.Pool(context, plain) if transport == "fast" else plain
        self.guarded = _Pool(context, GuardedBackend())
        self.registered = _Pool(context, GuardedBackend(allowed))

    def client(self, *urls: str) -> httpx2.AsyncClient:
        """A client that reaches the origins of the operator's `urls`, and public addresses."""
        return self.over(self.configured, urls)

    @property
    def strangers(self) -> "Strangers":
        """What those get who gave their own address."""
        return Strangers(self)

    def over(self, own: httpx2.AsyncBaseTransport, urls: tuple[str, ...]) -> httpx2.AsyncClient:
        """A client that reaches the origins of `urls` by the transport `own`, and public addresses."""
        origins = frozenset(origin(httpx2.URL(url)) for url in urls if "://" in url)
        return _Client(
            transport=_Choice(self, own, origins),
            trust_env=False,
            timeout=httpx2.Timeout(30, pool=5),
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),  # none is ever kept
        )

    async def addresses(self, url: str, urls: tuple[str, ...], own: Networks = EVERYWHERE) -> list[str]:
        """Addresses of the URL's host, which must be public; of an origin of `urls` they may be in `own` too. Raises
        `Denied`, and `ConnectFailed` where there is none."""
        wanted = httpx2.URL(url)
        known = origin(wanted) in {origin(httpx2.URL(one)) for one in urls if "://" in one}
        try:
            return await resolve(wanted.host, wanted.port or 0, own if known else ())
        except httpcore2.ConnectError as fault:
            raise ConnectFailed(str(fault), delivered="no") from fault

    async def aclose(self) -> None:
        await self.configured.aclose()
        await self._plain.aclose()
        await self.guarded.aclose()
        await self.registered.aclose()


class Strangers:
    """Clients for those who gave their own address: it must be public or allowed, whatever they call it."""

    def __init__(self, egress: Egress) -> None:
        self._egress = egress

    def client(self, *urls: str) -> httpx2.AsyncClient:
        return self._egress.over(self._egress.registered, urls)

    async def addresses(self, url: str, urls: tuple[str, ...]) -> list[str]:
        return await self._egress.addresses(url, urls, self._egress.allowed)


class Clients(Protocol):
    """What makes clients, and looks names up for what is no client."""

    def client(self, *urls: str) -> httpx2.AsyncClient: ...

    async def addresses(self, url: str, urls: tuple[str, ...]) -> list[str]: ...


def origin(url: httpx2.URL) -> str:
    """Scheme, host and port, in one canonical text."""
    return f"{url.scheme}://{url.host.lower()}:{url.port or {'http': 80, 'https': 443}.get(url.scheme, 0)}"
