"""Coral: its agents are called in sessions, and ours join its sessions or are tools there."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from adapters.options import read
from adapters.spi import Host, Inbound, Json, Outbound, Upstream


class Options(BaseModel):
    """One upstream's own settings: a Coral server, its `url` and one of its keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    agents: tuple[str, ...] = Field(("*",), description="Globs over names in the server's registry.")
    sources: tuple[Literal["local", "marketplace"], ...] = Field(("local",), description="Sources of its registry.")
    options: dict[str, dict[str, Json]] = Field(
        default_factory=dict[str, dict[str, Json]], description="For each agent, values of its options."
    )
    runtime: str = Field("", description="executable, docker, function or prototype; else the first that there is.")
    namespace: str = Field("doolittle", min_length=1, max_length=100, description="Where our sessions are.")
    puppet: str = Field("puppet", description="The registry's agent under whose name we speak.")
    until: Literal["message", "mention"] = Field("message", description="What ends a call of one agent.")
    start: float = Field(30, gt=0, le=600, description="Seconds in which agents must be there.")
    idle: float = Field(600, gt=0, description="Seconds after which a conversation that rests is closed.")
    ttl: float = Field(3600, gt=0, description="Seconds after which the server itself ends a session.")
    sessions: int = Field(100, ge=1, le=10_000, description="Sessions that are open at once.")


class FaceOptions(BaseModel):
    """What `[networks.coral]` says beyond what every network has."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    secret: str = Field("", repr=False, description="The servers' `customToolSecret`; without one, no custom tools.")


class Coral:
    options = Options

    def outbound(self, upstream: Upstream, host: Host) -> Outbound:
        from adapters.coral.outbound import CoralOutbound

        return CoralOutbound(upstream, host, Options.model_validate(dict(upstream.options)))

    def inbound(self, host: Host) -> Inbound:
        """Raises `BadArguments` for options that do not exist."""
        from adapters.coral.inbound import CoralInbound

        return CoralInbound(host, read(FaceOptions, host.options, "[networks.coral]"))


ADAPTER = Coral()
