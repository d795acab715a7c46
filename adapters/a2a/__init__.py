"""A2A: every agent with a card of its own, and agents of others by their cards; 1.0, and 0.3 for old sides."""

import os

from pydantic import BaseModel, ConfigDict, Field

from adapters.options import read
from adapters.spi import Host, Inbound, Outbound, Upstream

os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")  # else gRPC remarks upon each child that is started


class Options(BaseModel):
    """Of one agent, whose `url` is that of its card, or of the place where its card is. `headers` are sent with each
    request; values may be references ("env:NAME"). `poll`: seconds between two looks at a task that does not stream.
    `reach`: origins inside that its card may name, besides that of `url` and public ones."""

    model_config = ConfigDict(extra="forbid")
    headers: dict[str, str] = Field(default_factory=dict)
    poll: float = Field(default=1.0, gt=0, le=300)
    reach: tuple[str, ...] = ()


class FaceOptions(BaseModel):
    """`[networks.a2a]` of the operator's file.

    `grpc`: where gRPC listens ("127.0.0.1:8701"); it does not, unless told. `cards` "public": cards are read without a
    key. `push_to`: origins inside that may be told of tasks, besides public addresses. `old_clients`: cards have the
    fields that clients of 0.3 read.
    """

    model_config = ConfigDict(extra="forbid")
    grpc: str = Field(default="", pattern=r"^(|.+:[0-9]{1,5})$")
    cards: str = Field(default="keyed", pattern="^(keyed|public)$")
    push_to: tuple[str, ...] = ()
    old_clients: bool = True


class A2a:
    options = Options

    def outbound(self, upstream: Upstream, host: Host) -> Outbound:
        from adapters.a2a.outbound import A2aOutbound

        return A2aOutbound(upstream, host, Options.model_validate(dict(upstream.options)))

    def inbound(self, host: Host) -> Inbound:
        from adapters.a2a.inbound import A2aInbound

        return A2aInbound(host, read(FaceOptions, host.options, "[networks.a2a]"))


ADAPTER = A2a()
