"""`/v1/agents/{slug}/benchmark`: what a benchmark said of an agent."""

from typing import TYPE_CHECKING

from fastapi import FastAPI

from adapters.errors import Unknown
from gateway.api import models as m
from gateway.api.engines import thinking
from gateway.api.who import Admin

if TYPE_CHECKING:
    from gateway.app import Gateway


def scores(app: FastAPI, gateway: "Gateway") -> None:
    def known(slug: str) -> None:
        if slug not in gateway.registry.snapshot.agents:
            raise Unknown(f"no agent is called '{slug[:80]}'")

    @app.put("/v1/agents/{slug}/benchmark", tags=["operations"])
    async def put_benchmark(slug: str, said: m.Benchmark, _who: Admin) -> m.AgentOut:
        """Writes the score of an agent, in place of the one before by the same engine."""
        known(slug)
        await gateway.scores.put(slug, await thinking(gateway, slug), said.model_dump(by_alias=True))
        return m.agent_out(gateway.registry.snapshot.agents[slug], gateway.scores)

    @app.delete("/v1/agents/{slug}/benchmark", tags=["operations"], status_code=204)
    async def delete_benchmark(slug: str, _who: Admin) -> None:
        """Takes it away."""
        known(slug)
        await gateway.scores.delete(slug)
