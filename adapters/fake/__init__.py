"""A whole network without a network: the template for others, and what the core's tests run on."""

from pydantic import BaseModel, ConfigDict, Field

from adapters.errors import BadArguments
from adapters.spi import Host, Inbound, Outbound, Upstream


class Options(BaseModel):
    """One upstream's own settings."""

    model_config = ConfigDict(extra="forbid")

    agents: int = Field(1, ge=0, le=1000, description="Agents of a world that is new; the first has all tools.")


class Fake:
    options = Options

    def outbound(self, upstream: Upstream, host: Host) -> Outbound:
        from adapters.fake.outbound import FakeOutbound

        return FakeOutbound(upstream, host, Options.model_validate(dict(upstream.options)))

    def inbound(self, host: Host) -> Inbound:
        raise BadArguments("nobody calls from the fake network")


ADAPTER = Fake()
