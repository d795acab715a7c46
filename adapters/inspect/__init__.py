"""Benchmarks of inspect-evals: the agents of this network are sessions, whose tools the harness carries out."""

from pydantic import BaseModel, ConfigDict, Field

from adapters.errors import BadArguments
from adapters.spi import Host, Inbound, Outbound, Upstream


class Options(BaseModel):
    """Of one session, as `doolittle bench` registers it. The upstream's `url` and `key` are those of its harness."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    only: tuple[str, ...] = Field((), description="As `Agent.only`: for whom the session's tools are there.")


class Inspect:
    options = Options

    def outbound(self, upstream: Upstream, host: Host) -> Outbound:
        from adapters.inspect.outbound import InspectOutbound

        if not upstream.url:
            raise BadArguments("a session has a 'url'; `doolittle bench` registers it")
        return InspectOutbound(upstream, host, Options.model_validate(dict(upstream.options)))

    def inbound(self, host: Host) -> Inbound:
        raise BadArguments("a harness calls by the plain HTTP of this gateway, as any caller")


ADAPTER = Inspect()
