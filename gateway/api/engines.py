"""`/v1/agents/{slug}/engine` and `/v1/forget`: what thinks for an agent, and what is kept of a person."""

from typing import TYPE_CHECKING, Any

from fastapi import FastAPI

from adapters.errors import BadArguments, GatewayError, Unknown
from adapters.spi import Engines, Report
from gateway.api import models as m
from gateway.api.who import Admin
from gateway.upstreams import LiveUpstream

if TYPE_CHECKING:
    from gateway.app import Gateway


def engines(app: FastAPI, gateway: "Gateway") -> None:
    @app.get("/v1/agents/{slug}/engine", tags=["operations"])
    async def get_engine(slug: str, _who: Admin) -> m.EnginesOut:
        """By what the agent can think, and by what it does."""
        outbound, native = switchable(gateway, slug)
        return shown(slug, await outbound.engines(native))

    @app.put("/v1/agents/{slug}/engine", tags=["operations"])
    async def put_engine(slug: str, said: m.EngineIn, _who: Admin) -> m.EnginesOut:
        """Another engine from the next call on; calls that run end on theirs. `note` says what happens to memory."""
        outbound, native = switchable(gateway, slug)
        found = await outbound.switch(native, said.engine)
        await gateway.scores.choose(slug, found.chosen)
        return shown(slug, found)

    @app.post("/v1/forget", tags=["operations"])
    async def forget(said: m.ForgetIn, _who: Admin) -> list[m.ReportOut]:
        """Removes what is kept of a caller, wherever that can be done; where it cannot, the report is not ok."""
        found = [(live.upstream.name, await forgotten(gateway, live, said)) for live in gateway.upstreams.all()]
        return [m.ReportOut(name=n, ok=r.ok, text=r.text, facts=dict(r.facts)) for n, r in found if r is not None]


def shown(slug: str, found: Engines) -> m.EnginesOut:
    more = {"missing": dict(found.missing), "calls": dict(found.calls)}
    return m.EnginesOut(agent=slug, engines=list(found.names), chosen=found.chosen, note=found.note, **more)


async def thinking(gateway: "Gateway", slug: str) -> str:
    """By what an agent thinks now; blank where nobody can choose, or nothing is known."""
    try:
        outbound, native = switchable(gateway, slug)
        return str((await outbound.engines(native)).chosen)
    except GatewayError:
        return ""


def can(gateway: "Gateway", live: LiveUpstream, word: str) -> bool:
    manifest = gateway.adapters.find(live.upstream.network).manifest
    return manifest is not None and word in manifest.can


def switchable(gateway: "Gateway", slug: str) -> tuple[Any, str]:
    """The outbound adapter of an agent that has engines, and its native id. Raises `Unknown`, `BadArguments`."""
    agent = gateway.registry.snapshot.agents.get(slug)
    if agent is None:
        raise Unknown(f"no agent is called '{slug[:80]}'")
    live = gateway.upstreams.live(agent.address.network, agent.address.upstream)
    if not can(gateway, live, "engine"):
        raise BadArguments(f"what thinks for '{slug}' is not for this gateway to choose")
    return live.outbound, agent.address.native


async def forgotten(gateway: "Gateway", live: LiveUpstream, said: m.ForgetIn) -> Report | None:
    """None for an upstream where nothing is kept."""
    outbound: Any = live.outbound
    if can(gateway, live, "forget"):
        try:
            return await outbound.forget(said.caller, said.speaker)
        except GatewayError as fault:
            return Report(False, f"not forgotten: {fault.public}")
    if can(gateway, live, "conversation"):
        return Report(False, "keeps conversations itself, and cannot be told to forget one; do so there")
    return None
