"""The documents of `/v1`."""

from typing import Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field

from adapters.load import Found
from adapters.spi import Agent, Tool, View
from gateway.keys import Key
from gateway.scores import Scores
from gateway.upstreams import LiveUpstream, shown
from registry.views import Window

NAME = r"^[a-z0-9]+(-[a-z0-9]+)*$"


class Document(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ToolOut(Document):
    """A tool. `state` is "ok", "degraded" (its upstream is away) or "paused"."""

    name: str
    agent: str
    title: str
    description: str
    input_schema: Any
    output_schema: Any = None
    annotations: dict[str, Any] = Field(default_factory=dict)
    price: str | None = None
    state: Literal["ok", "degraded", "paused"]


MOST = 1_000_000_000


class Benchmark(Document):
    """What a benchmark said of an agent: its mean reward, and all that one must know to read it. `engine`: by which it
    thought, where it has several."""

    score: float = Field(alias="benchmarkScore", ge=0, le=1)
    benchmark: str = Field(max_length=200)
    domain: str = Field("", max_length=64)
    n: int = Field(ge=0, le=MOST)
    trials: int = Field(1, ge=1, le=MOST)
    errors: int = Field(0, ge=0, le=MOST)
    pass_k: list[float] = Field(default_factory=list[float], alias="pass^k", max_length=100)
    seed: int = Field(0, ge=-(2**63), lt=2**63)
    engine: str = Field("", max_length=64)
    user: str = Field("", max_length=400)
    judge: str = Field("", max_length=400)
    versions: dict[str, str] = Field(default_factory=dict)
    floor: float | None = Field(None, allow_inf_nan=False)
    ceiling: float | None = Field(None, allow_inf_nan=False)
    at: float = Field(0, allow_inf_nan=False)


class AgentOut(Document):
    """An agent, where it lives, and the names of its tools; `benchmark`: its newest score, of the engine by which it
    thinks now; `benchmarks`: the newest by each of its engines; `claimed`: what its own network says of it, measured by
    nobody here."""

    slug: str
    name: str
    description: str
    network: str
    upstream: str
    tools: list[str]
    state: Literal["ok", "degraded", "paused"]
    benchmark: Benchmark | None = None
    benchmarks: dict[str, Benchmark] = Field(default_factory=dict)
    claimed: Any = None


class UpstreamIn(Document):
    """An upstream to be added. Never a command: those stand in the operator's file."""

    name: str = Field(pattern=NAME, max_length=24)
    network: str = Field(max_length=64)
    url: str = Field(max_length=2048)
    key: str = Field("", max_length=8192)
    options: dict[str, Any] = Field(default_factory=dict)
    trusted: bool = False


class UpstreamOut(Document):
    """An upstream and how it is. `said` is what is wrong with it, if anything is."""

    name: str
    network: str
    url: str
    origin: Literal["file", "api", "self"]
    trusted: bool
    up: bool
    said: str
    agents: int
    tools: int


class RegistrationIn(Document):
    """An agent, or several at one address, that offer themselves. `key` is what the gateway shows when it calls there,
    if the network has such a key; `options` are the network's own."""

    network: str = Field(max_length=64)
    url: str = Field(max_length=2048)
    key: str = Field("", max_length=8192)
    options: dict[str, Any] = Field(default_factory=dict)


class RegistrationOut(Document):
    """The lease: for how many `seconds` it holds, under what `name` it is an upstream here, whether the gateway reaches
    it (`up`), and the slugs of its agents."""

    name: str
    seconds: float
    up: bool
    agents: list[str]


class EngineIn(Document):
    """What shall think for an agent."""

    engine: str = Field(min_length=1, max_length=64)


class EnginesOut(Document):
    """By what an agent can think. `note`: what happens to memory when that changes; `missing`: engines that are not
    there, each with what mends it; `calls`: the tool that an engine is, where it is another agent's."""

    agent: str
    engines: list[str]
    chosen: str
    note: str
    missing: dict[str, str] = Field(default_factory=dict)
    calls: dict[str, str] = Field(default_factory=dict)


class ForgetIn(Document):
    """Whom to forget: the id of a caller, or a person alone for whom it spoke, by the caller's name for them."""

    caller: str = Field(min_length=1, max_length=512)
    speaker: str = Field("", max_length=128)


class ReportOut(Document):
    """The outcome of a trial."""

    name: str
    ok: bool
    text: str
    facts: dict[str, Any] = Field(default_factory=dict)


class KeyIn(Document):
    """A key to be made. `allow` are globs over tool names; `days` until it expires. `rate` ("60/minute") stands in
    place of the setting; `concurrent` calls at once, `daily` calls a day of UTC; with `views`, only their tools are
    seen and called; `patience`: seconds after which a call is answered with what there is so far."""

    name: str = Field(min_length=1, max_length=80)
    allow: list[str] = Field(default_factory=lambda: ["*"], max_length=100)
    roles: list[Literal["call", "admin", "register"]] = Field(default_factory=lambda: ["call"])
    agent: str = ""
    days: float | None = Field(None, gt=0, le=36500)
    rate: str = Field("", max_length=40)
    concurrent: int | None = Field(None, ge=1, le=2**31 - 1)
    daily: int | None = Field(None, ge=1, le=2**31 - 1)
    views: list[str] = Field(default_factory=list, max_length=100)
    patience: float | None = Field(None, ge=0, le=86400)


class KeyOut(Document):
    """A key without its secret, but for the one answer that makes it. `today`: calls of this day of UTC."""

    id: str
    name: str
    allow: list[str]
    roles: list[str]
    agent: str
    created: float
    expires: float | None
    revoked: float | None
    rate: str
    concurrent: int | None
    daily: int | None
    views: list[str]
    patience: float | None
    last_used: float | None
    today: int
    secret: str | None = None


class ViewIn(Document):
    """A view: globs over public names, and the names that are shown in place of public ones."""

    description: str = Field("", max_length=2000)
    include: list[str] = Field(default_factory=lambda: ["*"], max_length=1000)
    exclude: list[str] = Field(default_factory=list, max_length=1000)
    renames: dict[str, str] = Field(default_factory=dict, max_length=1000)
    pinned: list[str] = Field(default_factory=list, max_length=1000)
    search: bool = False
    patience: float | None = Field(None, ge=0, le=86400)


class ViewLine(Document):
    """A view as those see it who may use it; `tools`: how many it shows to them."""

    name: str
    description: str
    origin: Literal["file", "api"]
    search: bool
    tools: int


class ViewOut(ViewIn):
    """A view as its administrator sees it. `shown` are the names that it shows; `left_out` are public names of tools
    that it would take, were their name not that of a rename."""

    name: str
    origin: Literal["file", "api"]
    shown: list[str]
    left_out: list[str]


class PendingOut(Document):
    """A changed tool that waits for approval."""

    name: str
    agent: str
    old: dict[str, Any]
    new: dict[str, Any]


class AdapterOut(Document):
    """An adapter, its roles, and what is wrong with it, if anything is."""

    name: str
    title: str
    roles: list[str]
    protocols: list[str]
    can: list[str]
    hops: str
    fault: str


def agent_state(agent: Agent) -> Literal["ok", "degraded", "paused"]:
    return "paused" if agent.paused else "degraded" if agent.degraded else "ok"


def agent_out(agent: Agent, scores: Scores) -> AgentOut:
    score = scores.of(agent.slug)
    return AgentOut(
        slug=agent.slug, name=agent.name, description=agent.description, network=agent.address.network,
        upstream=agent.address.upstream, tools=[t.name for t in agent.tools], state=agent_state(agent),
        benchmark=Benchmark.model_validate(score) if score is not None else None,
        benchmarks={name: Benchmark.model_validate(one) for name, one in scores.by_engine(agent.slug).items()},
        claimed=agent.meta.get("claimed"),
    )  # fmt: skip


def tool_out(tool: Tool, agent: Agent) -> ToolOut:
    return ToolOut(
        name=tool.name, agent=tool.agent, title=tool.title, description=tool.description,
        input_schema=orjson.loads(tool.input_schema), annotations=dict(tool.annotations),
        output_schema=orjson.loads(tool.output_schema) if tool.output_schema else None,
        price=f"{tool.price.amount} {tool.price.asset}" if tool.price else None, state=agent_state(agent),
    )  # fmt: skip


def upstream_out(live: LiveUpstream, agents: list[Agent]) -> UpstreamOut:
    of = live.upstream
    return UpstreamOut(
        name=of.name, network=of.network, url=of.url or shown(of.command), origin=of.origin, trusted=of.trusted,
        up=live.connected, said=live.reason, agents=len(agents), tools=sum(len(a.tools) for a in agents),
    )  # fmt: skip


def view_line(of: View, declared: bool, tools: int) -> ViewLine:
    origin = "file" if declared else "api"
    return ViewLine(name=of.name, description=of.description, origin=origin, search=of.search, tools=tools)


def view_out(window: Window, declared: bool) -> ViewOut:
    of = window.view
    return ViewOut(
        name=of.name, description=of.description, include=list(of.include), exclude=list(of.exclude),
        renames=dict(of.renames), pinned=list(of.pinned), search=of.search, patience=of.patience,
        origin="file" if declared else "api", shown=[t.name for t in window.tools], left_out=list(window.left_out),
    )  # fmt: skip


def key_out(key: Key, secret: str | None = None) -> KeyOut:
    return KeyOut(
        id=key.id, name=key.name, allow=list(key.allow), roles=list(key.roles), agent=key.agent, created=key.created,
        expires=key.expires, revoked=key.revoked, rate=key.rate, concurrent=key.concurrent, daily=key.daily,
        views=list(key.views), patience=key.patience, last_used=key.last_used, today=key.today, secret=secret,
    )  # fmt: skip


def adapter_out(found: Found) -> AdapterOut:
    of = found.manifest
    return AdapterOut(
        name=found.name, title=of.title if of else "", roles=sorted(of.roles) if of else [],
        protocols=list(of.protocols) if of else [], can=sorted(of.can | of.calling) if of else [],
        hops=of.hops if of else "", fault=found.fault,
    )  # fmt: skip
