"""`/v1` that manages: agents and tools, upstreams, keys, approvals. FastAPI, off the call path."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from adapters.errors import BadArguments, CallerError, GatewayError, Unknown
from adapters.spi import Receive, Route, Scope, Send, Upstream
from gateway.api import models as m
from gateway.api.engines import engines
from gateway.api.keyring import keyring
from gateway.api.registrations import registrations
from gateway.api.scores import scores
from gateway.api.views import views
from gateway.api.who import Admin, Anybody
from gateway.keys import Wanted
from gateway.settings import ConfigFault, read

if TYPE_CHECKING:
    from gateway.app import Gateway

PROBLEM = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
CODES = {400: "Not as it must be.", 401: "No valid key.", 403: "Not with this key.", 404: "Not there.",
         409: "In the way.", 413: "Too large.", 415: "Not JSON."}  # fmt: skip
METHODS = ("get", "post", "put", "patch", "delete")
_document: dict[str, Any] = {}
"""The OpenAPI document of `/v1`: the same for each gateway of a process, and made once."""


def routes(gateway: "Gateway") -> list[Route]:
    """One claimed route for each path of the FastAPI app, with its fragment of the OpenAPI document."""
    app = _application(gateway)
    if not _document:
        _document.update(_true(app.openapi()))
    found: list[Route] = []
    for path, operations in _document["paths"].items():
        methods = tuple(method.upper() for method in METHODS if method in operations)
        fragment: Mapping[str, Any] = {"paths": {path: operations}, "components": _document.get("components", {})}
        found.append(Route(path, _plain(app), methods, openapi=fragment))
    return found


def _plain(app: FastAPI) -> Any:
    async def run(scope: Scope, receive: Receive, send: Send) -> None:
        body = b""  # read here: FastAPI would take the refusal of a large one for a fault of its own
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        whole: list[Scope] = [{"type": "http.request", "body": body}]

        async def replay() -> Scope:
            return whole.pop() if whole else await receive()

        await app({**scope, "path_params": {}}, replay, send)

    return run


def _true(document: dict[str, Any]) -> dict[str, Any]:
    """FastAPI's own 422 never happens here; what does happen is written in."""
    document.get("components", {}).get("schemas", {}).pop("HTTPValidationError", None)
    document.get("components", {}).get("schemas", {}).pop("ValidationError", None)
    for operations in document["paths"].values():
        for method, operation in operations.items():
            operation["responses"].pop("422", None)
            for code, text in CODES.items():
                if method != "get" or code not in (409, 413, 415):
                    operation["responses"].setdefault(str(code), {"description": text, "content": PROBLEM})
    return document


def _application(gateway: "Gateway") -> FastAPI:
    app = FastAPI(title="Doolittle", docs_url=None, redoc_url=None, openapi_url=None)

    @app.exception_handler(GatewayError)
    async def _gateway_error(_request: Request, fault: GatewayError) -> JSONResponse:
        later = {} if fault.retry_after is None else {"retry-after": str(max(1, round(fault.retry_after)))}
        return JSONResponse(fault.problem(), fault.status, later, media_type="application/problem+json")

    @app.exception_handler(RequestValidationError)
    async def _bad_request(_request: Request, fault: RequestValidationError) -> JSONResponse:
        said = "; ".join(f"{'.'.join(str(p) for p in e['loc'][1:])}: {e['msg']}" for e in fault.errors()[:5])
        problem = BadArguments(said or "the body is not JSON")
        return JSONResponse(problem.problem(), 400, media_type="application/problem+json")

    @app.exception_handler(HTTPException)
    async def _unreadable(_request: Request, fault: HTTPException) -> JSONResponse:
        problem = BadArguments(str(fault.detail) if fault.status_code != 400 else "the body is not JSON in UTF-8")
        return JSONResponse(problem.problem(), 400, media_type="application/problem+json")

    _catalogue(app, gateway)
    _upstreams(app, gateway)
    registrations(app, gateway)
    views(app, gateway)
    _keys(app, gateway)
    keyring(app, gateway)
    _operations(app, gateway)
    engines(app, gateway)
    scores(app, gateway)
    _inside(app, gateway)
    return app


def _catalogue(app: FastAPI, gateway: "Gateway") -> None:
    @app.get("/v1/agents", tags=["catalogue"])
    async def list_agents(who: Anybody) -> list[m.AgentOut]:
        """The agents that this key may call."""
        return [m.agent_out(a, gateway.scores) for a in gateway.catalog.agents(who)]

    @app.get("/v1/agents/{slug}", tags=["catalogue"])
    async def get_agent(slug: str, who: Anybody) -> m.AgentOut:
        """One agent."""
        for agent in gateway.catalog.agents(who):
            if agent.slug == slug:
                return m.agent_out(agent, gateway.scores)
        raise Unknown(f"no agent is called '{slug[:80]}'")

    @app.get("/v1/tools", tags=["catalogue"])
    async def list_tools(
        who: Anybody,
        q: Annotated[str, Query(max_length=1000)] = "",
        agent: Annotated[str, Query(max_length=64)] = "",
        view: Annotated[str, Query(max_length=64)] = "",
    ) -> list[m.ToolOut]:
        """The tools that this key may call; `q` finds by words, best first; `agent` takes those of one; `view` looks
        through one: names are then those that it shows."""
        catalog = gateway.catalog.view(view, who) if view else gateway.catalog
        found = await catalog.search(q, who) if q else catalog.tools(who, agent or None)
        agents = gateway.registry.snapshot.agents
        return [m.tool_out(t, agents[t.agent]) for t in found if t.agent in agents and agent in ("", t.agent)]

    @app.get("/v1/tools/{tool}", tags=["catalogue"])
    async def get_tool(tool: str, who: Anybody) -> m.ToolOut:
        """One tool, with its schemas."""
        found = gateway.catalog.tool(tool, who)
        return m.tool_out(found, gateway.registry.snapshot.agents[found.agent])


def _upstreams(app: FastAPI, gateway: "Gateway") -> None:
    def shown(name: str) -> m.UpstreamOut:
        live = gateway.upstreams.find(name)
        of = live.upstream
        agents = [
            a
            for a in gateway.registry.snapshot.agents.values()
            if (a.address.network, a.address.upstream) == (of.network, of.name)
        ]
        return m.upstream_out(live, agents)

    @app.get("/v1/upstreams", tags=["upstreams"])
    async def list_upstreams(_who: Admin) -> list[m.UpstreamOut]:
        """The places that the gateway reaches, and how they are."""
        return [shown(live.upstream.name) for live in gateway.upstreams.all()]

    @app.post("/v1/upstreams", tags=["upstreams"], status_code=201)
    async def add_upstream(said: m.UpstreamIn, _who: Admin) -> m.UpstreamOut:
        """Adds one, and answers when it was listed for the first time, well or badly."""
        if not said.url.partition("://")[2]:
            raise BadArguments("'url' is an address such as http://127.0.0.1:3000")
        upstream = Upstream(
            said.name, said.network, said.url, said.key, options=said.options, origin="api", trusted=said.trusted
        )
        await gateway.upstreams.add(upstream)
        return shown(said.name)

    @app.post("/v1/upstreams/{name}/check", tags=["upstreams"])
    async def check_upstream(name: str, _who: Admin) -> m.ReportOut:
        """Tries it, and says what is wrong."""
        report = await gateway.upstreams.check(gateway.upstreams.find(name).upstream)
        return m.ReportOut(name=name, ok=report.ok, text=report.text, facts=dict(report.facts))

    @app.post("/v1/upstreams/{name}/refresh", tags=["upstreams"])
    async def refresh_upstream(name: str, _who: Admin) -> m.UpstreamOut:
        """Lists it again now."""
        await gateway.upstreams.refresh(name)
        return shown(name)

    @app.delete("/v1/upstreams/{name}", tags=["upstreams"], status_code=204)
    async def remove_upstream(name: str, _who: Admin) -> None:
        """Removes one that was added here, or that registered itself: which may do so again, while it has its key."""
        await (gateway.leases.remove(name) if gateway.leases.holds(name) else gateway.upstreams.remove(name))


def _keys(app: FastAPI, gateway: "Gateway") -> None:
    @app.get("/v1/keys", tags=["keys"])
    async def list_keys(_who: Admin) -> list[m.KeyOut]:
        """All keys, without their secrets."""
        return [m.key_out(k) for k in await gateway.keys.list()]

    @app.post("/v1/keys", tags=["keys"], status_code=201)
    async def create_key(said: m.KeyIn, _who: Admin) -> m.KeyOut:
        """Makes a key. Its secret is in this answer and nowhere else."""
        if not gateway.keys.exist and "admin" not in said.roles:
            raise CallerError("the first key needs the role 'admin': without one, nobody could make another over /v1")
        if strange := [view for view in said.views if view not in gateway.registry.snapshot.views]:
            raise BadArguments(f"no view is called '{strange[0][:40]}'; see: doolittle views list")
        wanted = Wanted(
            said.name, tuple(said.allow), tuple(said.roles), said.agent, said.days, said.rate, said.concurrent,
            said.daily, tuple(said.views), said.patience,
        )  # fmt: skip
        return m.key_out(*await gateway.keys.create(wanted))

    @app.delete("/v1/keys/{id}", tags=["keys"], status_code=204)
    async def revoke_key(id: str, _who: Admin) -> None:
        """Revokes one, by id or name."""
        await gateway.keys.revoke(id)


def _operations(app: FastAPI, gateway: "Gateway") -> None:
    @app.get("/v1/pending", tags=["operations"])
    async def list_pending(_who: Admin) -> list[m.PendingOut]:
        """Changed tools that wait for approval, each with what it was."""
        return [m.PendingOut(**p) for p in gateway.registry.pending()]

    @app.post("/v1/pending/{name}/approve", tags=["operations"])
    async def approve(name: str, _who: Admin) -> list[str]:
        """Takes the change of a tool, or all of an agent; the names that were approved."""
        approved = await gateway.registry.approve(name)
        if not approved:
            raise Unknown(f"nothing of '{name[:80]}' waits for approval")
        return list(approved)

    @app.put("/v1/agents/{slug}/pause", tags=["operations"])
    async def pause(slug: str, _who: Admin) -> m.AgentOut:
        """Stops an agent everywhere at once."""
        return await _pause(gateway, slug, True)

    @app.delete("/v1/agents/{slug}/pause", tags=["operations"])
    async def resume(slug: str, _who: Admin) -> m.AgentOut:
        """Lets it go on."""
        return await _pause(gateway, slug, False)


def _inside(app: FastAPI, gateway: "Gateway") -> None:
    @app.get("/v1/audit", tags=["operations"])
    async def list_audit(
        _who: Admin, count: Annotated[int, Query(ge=1, le=1000)] = 50, call: Annotated[str, Query(max_length=128)] = ""
    ) -> list[dict[str, Any]]:
        """The last calls, newest first; with `call`, the whole chain that it belongs to, oldest first."""
        return await (gateway.audit.tree(call) if call else gateway.audit.last(count))

    @app.get("/v1/adapters", tags=["operations"])
    async def list_adapters(_who: Admin) -> list[m.AdapterOut]:
        """The networks that are installed, and what is wrong with those that cannot be used."""
        return [m.adapter_out(found) for found in gateway.adapters.all()]

    @app.get("/v1/faults", tags=["operations"])
    async def list_faults(_who: Admin) -> dict[str, str]:
        """Upstreams that cannot be used as they are configured, each with what is wrong."""
        return gateway.upstreams.faults

    @app.post("/v1/reload", tags=["operations"])
    async def reload(_who: Admin) -> dict[str, list[str]]:
        """Takes over the upstreams of the changed file."""
        if gateway.config_file is None:
            return {"added": [], "removed": [], "changed": []}
        try:
            gateway.settings = read(gateway.config_file)
            gateway.keys.networks = gateway.settings.networks
            gateway.registry.declare(gateway.settings.declared())
        except ConfigFault as fault:
            raise BadArguments(str(fault)) from fault
        return await gateway.upstreams.reload(gateway.configured())


async def _pause(gateway: "Gateway", slug: str, on: bool) -> m.AgentOut:
    if slug not in gateway.registry.snapshot.agents:
        raise Unknown(f"no agent is called '{slug[:80]}'")
    await gateway.registry.pause(slug, on)
    return m.agent_out(gateway.registry.snapshot.agents[slug], gateway.scores)
