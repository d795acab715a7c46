"""Fetch.ai's uAgents: every agent here is an agent of its own there, and every agent there is called as a tool."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from adapters.errors import BadArguments
from adapters.options import read
from adapters.spi import Host, Inbound, Outbound, Upstream

PUBLIC = "https://agentverse.ai"


class Options(BaseModel):
    """One upstream's own settings. Its `url` is `agent://ADDRESS`, or an Almanac's."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    agents: tuple[str, ...] = Field((), description="Addresses: agent1q….")
    protocol: str = Field("", description="All active agents that speak the protocol of this digest.")
    search: str = Field("", max_length=200, description="Active agents that an Almanac search finds; at most 50.")
    almanac: str = Field(PUBLIC, description="Where the Almanac is, if `url` does not say it.")
    endpoints: dict[str, str] = Field(default_factory=dict[str, str], description="Address = URL, in place of records.")
    private: tuple[str, ...] = Field((), description="Private origins that records may point to.")
    until: Literal["message", "end-session"] = Field("message", description="What ends a call of a chat agent.")


class FaceOptions(BaseModel):
    """What `[networks.uagents]` says beyond what every network has."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    publish: tuple[str, ...] = Field(("*",), description="Globs over slugs of agents that have an address.")
    unsigned: bool = Field(False, description="Whether `user…` senders, who sign nothing, may call.")
    almanac: str = Field(PUBLIC, description="Where the Almanac and Agentverse are.")
    endpoints: dict[str, str] = Field(default_factory=dict[str, str], description="Address = URL, in place of records.")
    private: tuple[str, ...] = Field((), description="Private origins that records may point to.")
    registration: Literal["off", "almanac", "agentverse"] = Field("off", description="Where the agents are made known.")
    mailbox: bool = Field(False, description="Be reached by Agentverse's mailbox, and fetch what waits there.")
    key: str = Field("", repr=False, description="The key for Agentverse.")


class Uagents:
    options = Options

    def outbound(self, upstream: Upstream, host: Host) -> Outbound:
        from adapters.uagents.outbound import UagentsOutbound

        return UagentsOutbound(upstream, host, Options.model_validate(dict(upstream.options)))

    def inbound(self, host: Host) -> Inbound:
        """Raises `BadArguments` for options that do not exist."""
        from adapters.uagents.inbound import UagentsInbound

        options = read(FaceOptions, host.options, "[networks.uagents]")
        if options.registration == "agentverse" and not options.key:
            raise BadArguments('[networks.uagents]: Agentverse needs a key: key = "env:NAME"')
        return UagentsInbound(host, options)


ADAPTER = Uagents()
