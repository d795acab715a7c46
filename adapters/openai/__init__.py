"""OpenAI-compatible endpoints: any agent as a model for their clients, and servers of models (GaiaNet nodes too)."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from adapters.spi import Host, Inbound, Outbound, Upstream


class Options(BaseModel):
    """Of one server. `model`: who answers where the caller names none; the first chat model unless told. `system`: said
    before each conversation. `profile` "gaianet" adds `retrieve`; by itself it is taken for domains of that network.
    `usage`: the server is asked to count tokens; false for one that refuses to be asked."""

    model_config = ConfigDict(extra="forbid")
    profile: Literal["", "plain", "gaianet"] = ""
    model: str = ""
    system: str = ""
    usage: bool = True
    headers: dict[str, str] = Field(default_factory=dict)


class OpenAi:
    options = Options

    def outbound(self, upstream: Upstream, host: Host) -> Outbound:
        from adapters.openai.outbound import OpenAiOutbound

        return OpenAiOutbound(upstream, host, Options.model_validate(dict(upstream.options)))

    def inbound(self, host: Host) -> Inbound:
        from adapters.openai.inbound import OpenAiInbound

        return OpenAiInbound(host)


ADAPTER = OpenAi()
