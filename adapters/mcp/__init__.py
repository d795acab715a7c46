"""MCP: servers as upstreams, and the registry's tools for clients; both protocol eras, over HTTP and stdio."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from adapters.spi import Host, Inbound, Outbound, Upstream


class Options(BaseModel):
    """Of one MCP server. Values of `env` and `headers` may be references ("env:NAME"), as keys may."""

    model_config = ConfigDict(extra="forbid")
    env: dict[str, str] = Field(default_factory=dict)
    cwd: str = ""
    headers: dict[str, str] = Field(default_factory=dict)
    era: Literal["auto", "handshake", "modern"] = "auto"


class Mcp:
    options = Options

    def outbound(self, upstream: Upstream, host: Host) -> Outbound:
        from adapters.mcp.outbound import McpOutbound

        return McpOutbound(upstream, host, Options.model_validate(dict(upstream.options)))

    def inbound(self, host: Host) -> Inbound:
        from adapters.mcp.inbound import McpInbound

        return McpInbound(host)


ADAPTER = Mcp()
