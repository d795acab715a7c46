"""`/v1/registrations`: agents that offer themselves, each on a lease under a key with the role `register`."""

from typing import TYPE_CHECKING, Annotated

from fastapi import FastAPI, Path

from gateway.api import models as m
from gateway.api.who import Registrant
from gateway.leases import Offer

if TYPE_CHECKING:
    from gateway.app import Gateway

Name = Annotated[str, Path(pattern=m.NAME, max_length=64)]


def registrations(app: FastAPI, gateway: "Gateway") -> None:
    @app.put("/v1/registrations/{name}", tags=["registrations"])
    async def register(name: Name, said: m.RegistrationIn, who: Registrant) -> m.RegistrationOut:
        """Takes the agents at this address up, or renews their lease. `name` is the registrant's own, for this key."""
        lease = await gateway.leases.renew(name, Offer(said.network, said.url, said.key, said.options), who)
        at = (said.network, lease.name)
        agents = gateway.registry.snapshot.agents.values()
        slugs = [a.slug for a in agents if (a.address.network, a.address.upstream) == at]
        return m.RegistrationOut(name=lease.name, seconds=lease.seconds, up=lease.up, agents=sorted(slugs))

    @app.delete("/v1/registrations/{name}", tags=["registrations"], status_code=204)
    async def withdraw(name: Name, who: Registrant) -> None:
        """Takes the offer back: its agents are withdrawn at once. Their names stay theirs."""
        await gateway.leases.withdraw(name, who)
