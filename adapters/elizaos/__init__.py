"""ElizaOS: the agents of a server, each with a tool `ask`, and with those of its actions that it offers."""

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from adapters.errors import BadArguments

if TYPE_CHECKING:
    from adapters.spi import Host, Inbound, Outbound, Upstream


class PluginOptions(BaseModel):
    """The way by the plugin: the key that its routes take, and the ids of the agents, where the server is not asked."""

    model_config = ConfigDict(extra="forbid")

    key: str = Field(default="", max_length=1024, repr=False)
    agents: tuple[str, ...] = Field(default=(), max_length=100)


class Options(BaseModel):
    """A URL and a key are all that is needed."""

    model_config = ConfigDict(extra="forbid")

    plugin: PluginOptions = Field(default_factory=lambda: PluginOptions.model_validate({}))


class ElizaOs:
    options = Options

    def outbound(self, upstream: "Upstream", host: "Host") -> "Outbound":
        from adapters.elizaos.outbound import ElizaOutbound

        return ElizaOutbound(upstream, host, Options.model_validate(dict(upstream.options)).plugin)

    def inbound(self, host: "Host") -> "Inbound":
        raise BadArguments("ElizaOS servers do not call by themselves")


ADAPTER = ElizaOs()
