"""The gateway put together: one object, and the ASGI app around it."""

import re
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import structlog
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Match
from starlette.routing import Route as StarletteRoute

from adapters.errors import GatewayError, Unknown
from adapters.load import Adapters, Found
from adapters.spi import ASGI, Invoke, Receive, Route, Scope, Send, Upstream
from gateway import seal as sealing
from gateway.asks import Asks
from gateway.audit import Audit
from gateway.border import Gate, Outer, refuse
from gateway.calls import CallTable
from gateway.catalog import CallerCatalog
from gateway.egress import Egress
from gateway.host import OwnHost
from gateway.invoke import CallPath, Parts
from gateway.keyring import MasterKeyring
from gateway.keys import Keys
from gateway.leases import Leases
from gateway.limits import Limits
from gateway.replay import ReplayLog
from gateway.scores import Scores
from gateway.settings import ConfigFault, Settings
from gateway.settings import upstream as configured
from gateway.telemetry import Metrics
from gateway.upstreams import Needs, UpstreamTable
from registry.registry import Registry
from registry.store import Store

log = structlog.get_logger()
OWN = "gateway"
"""Who claims the paths that belong to no adapter."""


class Gateway:
    """Everything but the socket. Use as an async context manager, then `invoke`, `catalog`, `calls`, `app`."""

    def __init__(self, settings: Settings, adapters: Adapters | None = None, config_file: Path | None = None) -> None:
        self.settings = settings
        self.config_file = config_file
        self.adapters = adapters or Adapters.installed()
        self.base_url = settings.server.base_url.rstrip("/")
        self.store = Store(settings.database_url)
        self.registry = Registry(self.store)
        self.metrics = Metrics()
        self.keys = Keys(self.store, settings.networks)
        self.replays = ReplayLog(self.store)
        self.scores = Scores(self.store)
        self.calls = CallTable(settings.calls)
        self.audit = Audit(self.store, settings.limits.audit_queue)
        self.catalog = CallerCatalog(self.registry)
        self.ready = False
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> "Gateway":
        """Opens the store, serves the last catalogue at once, and starts the upstreams. Raises `ConfigFault`."""
        async with AsyncExitStack() as stack:
            self.seal = sealing.load(self.settings.seal_key, self.settings.data_dir)
            await self.store.open()
            stack.push_async_callback(self.store.close)
            self.keyring = MasterKeyring(self.store, self.seal)
            await self.keyring.load()
            await self.registry.load()
            self.registry.declare(self.settings.declared())
            await self.keys.load()
            await self.scores.load()
            await self.keys.usage.start()
            stack.push_async_callback(self.keys.usage.stop)
            self.egress = Egress(self.settings.server.transport, self.settings.registration.allowed)
            stack.push_async_callback(self.egress.aclose)
            await self.audit.start()
            stack.push_async_callback(self.audit.stop)
            needs = Needs(
                self.adapters, self.registry, self.store, self.seal, self.metrics, self._upstream_host,
                self.settings.refresh,
            )  # fmt: skip
            self.upstreams = UpstreamTable(needs)
            stack.push_async_callback(self.upstreams.stop)
            self._path = CallPath(
                Parts(
                    self.registry,
                    self.upstreams,
                    self.calls,
                    Asks(self.seal, self.settings.calls.ask_expiry),
                    Limits(self.settings.limits, self.keys.allowance, self.keys.usage),
                    self.audit,
                    self.metrics,
                    self.settings.calls,
                )  # fmt: skip
            )
            stack.push_async_callback(self.calls.drain, 0)
            await self.upstreams.start(self.configured())
            self.leases = Leases(self.upstreams, self.adapters, self.store, self.seal, self.settings.registration)
            await self.leases.start()
            stack.push_async_callback(self.leases.stop)
            self._stack = stack.pop_all()
        self.ready = True
        return self

    async def __aexit__(self, *_: object) -> None:
        self.ready = False
        await self._stack.aclose()

    @property
    def invoke(self) -> Invoke:
        return self._path.invoke

    def configured(self) -> list[Upstream]:
        """The operator's upstreams, secrets resolved; one that cannot be resolved is logged and left out."""
        found: list[Upstream] = []
        for name, said in self.settings.upstreams.items():
            try:
                found.append(configured(name, said, self.settings.data_dir.parent))
            except ConfigFault as fault:
                log.error("an upstream cannot be used", upstream=name, said=str(fault))
                self.upstreams.faults[name] = str(fault)
        return found

    def _upstream_host(self, upstream: Upstream) -> OwnHost:
        itself = upstream.origin == "self"
        return self._host(f"upstream/{upstream.name}", upstream.url, network=upstream.network, stranger=itself)

    def _face_host(self, network: str) -> OwnHost:
        """Raises `ConfigFault` for a secret that cannot be read."""
        said = self.settings.networks.get(network)
        options = said.options(self.settings.data_dir.parent) if said else {}
        return self._host(f"face/{network}", network=network, options=options)

    def _host(
        self,
        name: str,
        *urls: str,
        network: str = "",
        options: Mapping[str, Any] | None = None,
        stranger: bool = False,
    ) -> OwnHost:
        egress = self.egress.strangers if stranger else self.egress
        return OwnHost(
            name=name, urls=urls, egress=egress, http=egress.client(*urls), options=options or {},
            base_url=self.base_url, calls=self.calls, keyring=self.keyring, replay=self.replays.of(network),
            secrets=self.seal, keys=self.keys, store=self.store, clients=self.settings.patience.clients,
            on_change=lambda upstream: self.upstreams.changed(upstream), folder=self.settings.data_dir,
            catalog=self.catalog, invoke=lambda call: self._path.invoke(call), scored=self.scores.of,
        )  # fmt: skip

    # -- faces ----------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def faces(self) -> AsyncIterator[ASGI]:
        """The ASGI app over all inbound adapters, while the context is open. Raises `ConfigFault` on a clash."""
        async with AsyncExitStack() as stack:
            claimed = self._own_claims()
            for found in self.adapters.all():
                if found.manifest and "inbound" in found.manifest.roles and not found.fault:
                    claimed += [(found.name, route) for route in await self._face(found, stack)]
            require_distinct(claimed)
            yield Outer(self._router(claimed), self.settings.server)

    def management(self) -> ASGI:
        """The ASGI app of `/v1` that manages alone, for a command in this process."""
        return Outer(self._router(self._own_claims()), self.settings.server)

    def _own_claims(self) -> list[tuple[str, Route]]:
        from gateway.api.app import routes  # FastAPI: imported only by a gateway that serves

        return [(OWN, route) for route in (*self._own_routes(), *routes(self))]

    async def _face(self, found: Found, stack: AsyncExitStack) -> Sequence[Route]:
        try:
            inbound = found.load().inbound(self._face_host(found.name))
            return await stack.enter_async_context(inbound.serve(self.invoke, self.catalog))
        except (GatewayError, ConfigFault) as fault:
            said = fault.public if isinstance(fault, GatewayError) else str(fault)
            log.error("a network is not served", network=found.name, said=said)
            return ()

    def _router(self, claimed: list[tuple[str, Route]]) -> ASGI:
        document = orjson.dumps(openapi(self.base_url, [route for _, route in claimed]))

        async def describe(_request: Request) -> Response:
            return Response(document, media_type="application/json")

        async def nothing(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "http":
                await refuse(Unknown("there is nothing at this path; see /openapi.json"), send)

        routes = [_mount(route, network, self) for network, route in claimed]
        app = Starlette(routes=[*routes, StarletteRoute("/openapi.json", describe)])
        app.router.redirect_slashes = False
        app.router.default = nothing
        return _straight(app, [(m, r.path) for _, r in claimed for m in r.methods if "{" not in r.path])

    def _own_routes(self) -> list[Route]:
        async def health(_request: Request) -> Response:
            return PlainTextResponse("ok\n")

        async def readiness(_request: Request) -> Response:
            return PlainTextResponse("ready\n" if self.ready else "draining\n", 200 if self.ready else 503)

        async def metrics(_request: Request) -> Response:
            return Response(self.metrics.page(), media_type="text/plain; version=0.0.4")

        def own(path: str, answer: Any, *, free: bool) -> Route:
            return Route(path, StarletteRoute(path, answer).app, ("GET",), open=free)

        return [
            own("/healthz", health, free=True),
            own("/readyz", readiness, free=True),
            own("/metrics", metrics, free=False),
        ]


def _straight(app: Starlette, known: Iterable[tuple[str, str]]) -> ASGI:
    """The same app, where requests to `known` methods and paths skip the search for their route."""
    found: dict[tuple[str, str], Any] = {}
    for method, path in known:
        scope = {"type": "http", "method": method, "path": path}
        route: Any = next(r for r in app.routes if r.matches(scope)[0] is Match.FULL)
        found[method, path] = route.app

    async def straight(scope: Scope, receive: Receive, send: Send) -> None:
        gate = found.get((scope["method"], scope["path"])) if scope["type"] == "http" else None
        if gate is None:
            await app(scope, receive, send)
        else:
            scope["app"], scope["path_params"] = app, {}
            await gate(scope, receive, send)

    return straight


def _mount(route: Route, network: str, gateway: Gateway) -> StarletteRoute:
    gate = Gate(route, network, gateway.keys, gateway.settings.server.max_body)
    methods = [*route.methods]
    mounted = StarletteRoute(route.path, gate, methods=methods)
    mounted.methods = {*methods, *({"HEAD"} if "GET" in methods else ())}
    return mounted


def require_distinct(claimed: list[tuple[str, Route]]) -> None:
    """Raises `ConfigFault` naming both claimants where two routes have the same shape and a method in common."""
    seen: dict[tuple[str, str], tuple[str, str]] = {}
    for claimant, route in claimed:
        shape = re.sub(r"\{[^}]*\}", "{}", route.path)
        for method in route.methods:
            other = seen.setdefault((shape, method), (claimant, route.path))
            if other != (claimant, route.path):
                raise ConfigFault(f"{method} {route.path} is claimed by '{other[0]}' and by '{claimant}'")


def openapi(base_url: str, routes: Sequence[Route]) -> dict[str, Any]:
    """The sum of the fragments: one document of OpenAPI 3.1."""
    paths: dict[str, dict[str, Any]] = {}
    components: dict[str, dict[str, Any]] = {
        "securitySchemes": {"key": {"type": "http", "scheme": "bearer", "description": "A key: doolittle keys create"}}
    }
    for route in routes:
        for path, operations in _mapping(route.openapi, "paths").items():
            paths.setdefault(path, {}).update(operations)
        for kind, members in _mapping(route.openapi, "components").items():
            components.setdefault(kind, {}).update(members)
    info = {"title": "Doolittle", "version": "1", "description": "Agents of any network, called over plain HTTP."}
    return {
        "openapi": "3.1.0",
        "info": info,
        "servers": [{"url": base_url or "/"}],
        "security": [{"key": []}, {}],
        "paths": dict(sorted(paths.items())),
        "components": components,
    }


def _mapping(fragment: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    return fragment.get(key) or {}
