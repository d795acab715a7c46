"""The one channel to an agent that speaks gRPC, to addresses that the host's guard has checked."""

import asyncio
import ssl
from functools import cache
from typing import Any
from urllib.parse import SplitResult, urlsplit

import grpc

from adapters import wire
from adapters.errors import Broken, ConnectFailed, Full, GatewayError, Refused
from adapters.spi import Host

PLAIN, SECURE = frozenset({"http", "grpc"}), frozenset({"https", "grpcs"})
GRACE = 60.0
"""Seconds in which calls of a channel that is replaced may end."""
OPTIONS: tuple[tuple[str, Any], ...] = (
    ("grpc.enable_http_proxy", 0),
    ("grpc.enable_retries", 0),
    ("grpc.max_receive_message_length", wire.LIMIT),
    ("grpc.max_send_message_length", -1),
    ("grpc.max_reconnect_backoff_ms", 5_000),
    ("grpc.service_config_disable_resolution", 1),
    ("grpc.use_local_subchannel_pool", 1),
)
UNSENT = "failed to connect to all addresses"
"""How the library says that there was no connection."""


@cache
def _roots() -> bytes | None:
    """Whom to trust: as OpenSSL is told (`SSL_CERT_FILE`); None: the library's own list."""
    found = ssl.create_default_context().get_ca_certs(binary_form=True)
    return "".join(ssl.DER_cert_to_PEM_cert(one) for one in found).encode() or None


class Line:
    """Names are looked up by us, and the library gets addresses alone: it cannot be led elsewhere by another answer to
    the same question. Looked up again when a connection could not be made."""

    def __init__(self, name: str, host: Host, reach: tuple[str, ...]) -> None:
        self._name = name
        self._host = host
        self._reach = reach
        self._at: tuple[str, tuple[str, ...]] = ("", ())
        self._channel: Any = None
        self._closing: set[asyncio.Task[None]] = set()

    async def open(self, url: str) -> Any:
        """The channel to this address of a card. Raises `Broken`, `Denied`, `ConnectFailed`."""
        found = self._read(url)
        where = f"{found.scheme}://{found.netloc}"
        addresses = tuple(await self._host.addresses(where, *self._reach))
        if self._channel is None or self._at != (where, addresses):
            self.leave(GRACE)
            self._channel = _channel(found, addresses)
            self._at = (where, addresses)
        return self._channel

    def _read(self, url: str) -> SplitResult:
        """As http or https, with a port. Without a scheme it is TLS, unless `reach` says "http://" of the place."""
        given, _, place = url.rpartition("://")
        try:
            found = urlsplit(f"http://{place}")
            host, port = (found.hostname or "").lower(), found.port
            odd = bool(given and given not in PLAIN | SECURE) or not host or found.username is not None
        except ValueError:
            host, port, odd = "", None, True
        if odd:
            raise Broken(f"'{self._name}' has a card with an address of gRPC that is none: {url[:80]}")
        shown = f"[{host}]" if ":" in host else host
        plain = given in PLAIN if given else f"http://{shown}:{port or 443}" in self._reach
        usual = 80 if plain and given else 443
        return SplitResult("http" if plain else "https", f"{shown}:{port or usual}", "", "", "")

    def leave(self, grace: float | None = None) -> None:
        """Calls that run may end within the grace; without one they break off."""
        if self._channel is not None:
            closing = asyncio.ensure_future(self._channel.close(grace))
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)
        self._channel, self._at = None, ("", ())

    async def close(self) -> None:
        for one in self._closing:
            one.cancel()
        await asyncio.gather(*self._closing, return_exceptions=True)
        self.leave()
        await asyncio.gather(*self._closing, return_exceptions=True)


def _channel(found: SplitResult, addresses: tuple[str, ...]) -> Any:
    six = ":" in addresses[0]
    same = [one for one in addresses if (":" in one) == six]  # a target has one family
    host = found.hostname or ""
    target = ",".join(f"[{one}]:{found.port}" if six else f"{one}:{found.port}" for one in same)
    target = f"{'ipv6' if six else 'ipv4'}:{target}"
    if found.scheme == "http":
        return grpc.aio.insecure_channel(target, [*OPTIONS, ("grpc.default_authority", found.netloc)])
    named = [("grpc.default_authority", found.netloc), ("grpc.ssl_target_name_override", host)]
    return grpc.aio.secure_channel(target, grpc.ssl_channel_credentials(_roots()), [*OPTIONS, *named])


def fault_of(name: str, error: BaseException | None) -> GatewayError | None:
    """A fault of the library as one of the contract; None for what is none of its."""
    if isinstance(error, grpc.aio.UsageError):
        return ConnectFailed(f"the connection to '{name}' was just closed", detail=repr(error), delivered="no")
    if not isinstance(error, grpc.aio.AioRpcError):
        return None
    said, detail = str(error.details() or "")[:400], f"{error.code()}: {error.details()}"[:1000]
    match error.code():
        case grpc.StatusCode.UNAVAILABLE if said.startswith(UNSENT) and not error.trailing_metadata():
            return ConnectFailed(f"'{name}' does not answer", detail=detail, delivered="no")
        case grpc.StatusCode.UNAVAILABLE | grpc.StatusCode.CANCELLED:
            return ConnectFailed(f"the connection to '{name}' broke", detail=detail)
        case grpc.StatusCode.RESOURCE_EXHAUSTED if "larger than max" in said:
            return Broken(f"'{name}' answered with more than {wire.LIMIT >> 20} MB", detail=detail)
        case grpc.StatusCode.RESOURCE_EXHAUSTED:
            return Full(f"'{name}' takes no more work now", detail=detail, delivered="unknown")
        case grpc.StatusCode.UNIMPLEMENTED:
            return Broken(f"'{name}' does not do what A2A asks for: {said}", detail=detail)
        case _:
            return Refused(f"'{name}': {said or error.code().name}", detail=detail)
