"""ElizaOS: the agents of a server, each with a tool `ask`."""

from pydantic import BaseModel, ConfigDict

from adapters.errors import BadArguments
from adapters.spi import Host, Inbound, Outbound, Upstream


class Options(BaseModel):
    """A URL and a key are all that is needed."""

    model_config = ConfigDict(extra="forbid")


class ElizaOs:
    options = Options

    def outbound(self, upstream: Upstream, host: Host) -> Outbound:
        from adapters.elizaos.outbound import ElizaOutbound

        return ElizaOutbound(upstream, host)

    def inbound(self, host: Host) -> Inbound:
        raise BadArguments("ElizaOS servers do not call by themselves")


ADAPTER = ElizaOs()
