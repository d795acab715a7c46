"""Morse: stations on a line, each an agent that repeats what it is told."""

from pydantic import BaseModel, ConfigDict

from adapters.errors import BadArguments
from adapters.spi import Host, Inbound, Outbound, Upstream


class Options(BaseModel):
    """The URL says it all: morse://host:port."""

    model_config = ConfigDict(extra="forbid")


class Morse:
    options = Options

    def outbound(self, upstream: Upstream, host: Host) -> Outbound:
        from doolittle_morse.outbound import MorseOutbound

        return MorseOutbound(upstream)

    def inbound(self, host: Host) -> Inbound:
        raise BadArguments("nobody calls from the telegraph")


ADAPTER = Morse()
