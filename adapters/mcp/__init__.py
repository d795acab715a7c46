"""MCP: the registry's tools over streamable HTTP and stdio, to clients of both protocol eras."""

from pydantic import BaseModel, ConfigDict

from adapters.errors import BadArguments
from adapters.spi import Host, Inbound, Outbound, Upstream


class Options(BaseModel):
    """No upstreams yet, and so no options."""

    model_config = ConfigDict(extra="forbid")


class Mcp:
    options = Options

    def outbound(self, upstream: Upstream, host: Host) -> Outbound:
        raise BadArguments(f"upstreams of the network '{upstream.network}' are not supported yet")

    def inbound(self, host: Host) -> Inbound:
        from adapters.mcp.inbound import McpInbound

        return McpInbound()


ADAPTER = Mcp()
