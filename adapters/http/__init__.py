"""Plain HTTP: any tool called with JSON, answered with JSON or server-sent events."""

from pydantic import BaseModel, ConfigDict

from adapters.errors import BadArguments
from adapters.spi import Host, Inbound, Outbound, Upstream


class Options(BaseModel):
    """This network calls us only: it has no upstreams, and so no options."""

    model_config = ConfigDict(extra="forbid")


class Http:
    options = Options

    def outbound(self, upstream: Upstream, host: Host) -> Outbound:
        raise BadArguments(f"'{upstream.network}' is a network that calls us; it has no upstreams")

    def inbound(self, host: Host) -> Inbound:
        from adapters.http.inbound import HttpInbound

        return HttpInbound(host)


ADAPTER = Http()
