"""Plain HTTP: any tool called with JSON, answered with JSON or server-sent events; and, as upstreams, services that an
OpenAPI document describes."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from adapters.spi import Host, Inbound, Outbound, Upstream


class Options(BaseModel):
    """Of one service. Its `url` is that of its document; with `document` (a file or a URL) it is that of the service.

    `operations` are globs over operation ids, "GET /pets/{id}", and tags. `credentials` are secrets by the name of
    their security scheme, where one key is not enough; values of it and of `headers` may be references ("env:NAME").
    `answers` "free": answers are not held against the document.
    """

    model_config = ConfigDict(extra="forbid")
    document: str = ""
    operations: tuple[str, ...] = ("*",)
    credentials: dict[str, str] = Field(default_factory=dict)
    headers: dict[str, str] = Field(default_factory=dict)
    answers: Literal["checked", "free"] = "checked"


class Http:
    options = Options

    def outbound(self, upstream: Upstream, host: Host) -> Outbound:
        from adapters.http.outbound import HttpOutbound

        return HttpOutbound(upstream, host, Options.model_validate(dict(upstream.options)))

    def inbound(self, host: Host) -> Inbound:
        from adapters.http.inbound import HttpInbound

        return HttpInbound(host)


ADAPTER = Http()
