"""The whole contract between the gateway and the networks: one verb, streams of events, no flags.

`Invoke` is the verb. An inbound adapter is handed one and calls it; an outbound adapter is one. Policy, limits, money
and audit are functions of the same type around it. What is said over it stands in `adapters.call`, and is offered here
too, so that an adapter imports this module and `adapters.errors` and nothing else.

A stream ends with exactly one of `Result`, `Error`, `Ask`. A unary call is a stream of one event. `Result` is complete
and decides; `Part` and `Progress` are previews. Closing the iterator cancels, and reaches the far side where its
network can.
"""
# contract: ready

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, MutableMapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

from adapters.call import (
    INLINE_LIMIT,
    LAST,
    MAX_DEPTH,
    MAX_DESCENDANTS,
    Accepted,
    Answer,
    Ask,
    Call,
    Caller,
    CallRecord,
    Content,
    Data,
    Error,
    Event,
    File,
    Form,
    Handle,
    Hop,
    Part,
    Payment,
    Progress,
    Request,
    Result,
    Sampling,
    Speech,
    Text,
    Visit,
)
from adapters.errors import GatewayError
from adapters.host import Calls, Evidence, Host, Keyring, Replay, State
from adapters.within import Made, Within
from registry.model import Address, Agent, Json, Price, Tool, View

if TYPE_CHECKING:
    from pydantic import BaseModel

__all__ = [
    "ASGI", "Accepted", "Adapter", "Address", "Agent", "Answer", "Ask", "Call", "CallRecord", "Caller", "Calls",
    "Catalog", "Command", "Content", "Data", "Door", "Engines", "Error", "Event", "Evidence", "File", "Finds",
    "Forgets", "Form", "Handle", "Hop", "Host", "INLINE_LIMIT", "Inbound", "Invoke", "Json", "Keyring", "LAST",
    "MAX_DEPTH", "MAX_DESCENDANTS", "Made", "Manifest", "Outbound", "Part", "Payment", "Price", "Progress", "Receive",
    "Replay", "Report", "Request", "Result", "Resumes", "Route", "Sampling", "Scope", "Send", "Speech", "State",
    "Switches", "Text", "Tool", "Upstream", "View", "Visit", "Within",
]  # fmt: skip

Invoke: TypeAlias = Callable[[Call], AsyncGenerator[Event, None]]


# ---- reaching into a network ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Upstream:
    """One configured place on a network. `secret` is open here and sealed at rest; `command` (a child process) comes
    only from the operator's file or command line; `origin` says where it was configured ("self": it registered itself);
    a change in the tools of one that is not `trusted` waits for the operator."""

    name: str
    network: str
    url: str = ""
    secret: str = field(default="", repr=False)
    command: tuple[str, ...] = ()
    options: Mapping[str, Json] = field(default_factory=dict[str, Json], repr=False)
    origin: Literal["file", "api", "self"] = "file"
    trusted: bool = True


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome of a trial, in the user's words: what was found, or what is wrong and how to mend it."""

    ok: bool
    text: str
    facts: Mapping[str, Json] = field(default_factory=dict[str, Json])


class Outbound(Protocol):
    """Reach into a network. One object an upstream, used by many tasks at once.

    Some verbs are optional, and stand in the manifest when they are there:
    `resume(call, tool, handle) -> AsyncIterator[Event]` goes on with work that the far side holds (`can.resume`);
    `find(query) -> AsyncIterator[Agent]` searches a directory too large to list (`can.find`);
    those of `Switches` choose what thinks for an agent (`can.engine`); that of `Forgets` removes what is kept of a
    person (`can.forget`).
    """

    def connect(self) -> AbstractAsyncContextManager[None]:
        """Hold whatever is held open. Entered once per connection by the upstream's supervising task."""
        ...

    def agents(self) -> AsyncIterator[Agent]:
        """The list with tools. Complete only if the iterator ends normally; the core compares."""
        ...

    def invoke(self, call: Call, tool: Tool) -> AsyncIterator[Event]:
        """Carry out the call. Errors may be raised (`adapters.errors`) or yielded as the last event."""
        ...

    async def check(self) -> Report:
        """Try it, and say in the user's words what is wrong. Never raises for what the far side does."""
        ...


class Resumes(Protocol):
    """An `Outbound` whose far side outlives us."""

    def resume(self, call: Call, tool: Tool, handle: Handle) -> AsyncIterator[Event]:
        """Go on with work that the far side holds; raises `Unknown` if it no longer does."""
        ...


class Finds(Protocol):
    """An `Outbound` with a directory too large to list."""

    def find(self, query: str) -> AsyncIterator[Agent]:
        """Agents that fit the words, best first."""
        ...


@dataclass(frozen=True, slots=True)
class Engines:
    """By what an agent can think: the names, which one is `chosen`, and what happens to memory when that changes.

    `missing`: engines that somebody named and that are not there, each with what mends it. `calls`: the public tool
    that an engine is, where it is another agent's.
    """

    names: tuple[str, ...]
    chosen: str
    note: str
    missing: Mapping[str, str] = field(default_factory=dict[str, str])
    calls: Mapping[str, str] = field(default_factory=dict[str, str])


class Switches(Protocol):
    """An `Outbound` of agents for which several engines can think."""

    async def engines(self, native: str) -> Engines:
        """Of the agent of this native id."""
        ...

    async def switch(self, native: str, engine: str) -> Engines:
        """From the next call on, over restarts too; calls that run end as they began. Raises `BadArguments`."""
        ...


class Forgets(Protocol):
    """An `Outbound` that keeps something of the people who call."""

    async def forget(self, caller: str, speaker: str = "") -> Report:
        """Removes what it keeps of a caller, by id, or of one person alone for whom it spoke; not `ok` where something
        stays: the text says what, and where."""
        ...


# ---- letting a network reach us ---------------------------------------------------------------------------------

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
ASGI: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Route:
    """A claimed path (Starlette syntax) and the ASGI app behind it.

    The border checks Host, Origin, content type (`accepts`), size, and the key before `app` runs; the caller stands in
    `scope["caller"]`. `open`: the app brings evidence of its own to `Host.authenticate`, or serves anybody.
    `openapi` is a fragment `{"paths": …, "components": …}` of the document that the gateway sums up. `refuse` says in
    the network's own form what the border refuses; without it that is a problem document.
    """

    path: str
    app: ASGI
    methods: tuple[str, ...] = ("GET", "POST", "DELETE")
    accepts: tuple[str, ...] = ("application/json",)
    open: bool = False
    openapi: Mapping[str, Json] = field(default_factory=dict[str, Json])
    refuse: "Callable[[GatewayError, Send], Awaitable[None]] | None" = None


class Catalog(Protocol):
    """What a caller may see of the registry. Reads are from memory."""

    @property
    def revision(self) -> int:
        """Grows with each change."""
        ...

    def agents(self, caller: Caller) -> Sequence[Agent]:
        """Sorted by slug; with each only the tools that the caller may call."""
        ...

    def tools(self, caller: Caller, agent: str | None = None) -> Sequence[Tool]:
        """Sorted by name; of one agent, if it is named. Unknown agents have none."""
        ...

    def tool(self, name: str, caller: Caller) -> Tool:
        """By public name; raises `Unknown` with the nearest names."""
        ...

    async def search(self, query: str, caller: Caller, limit: int = 20) -> Sequence[Tool]:
        """By words, best first."""
        ...

    def changes(self) -> AsyncIterator[int]:
        """The revision, each time it grew."""
        ...

    @property
    def seen(self) -> View:
        """The view through which this catalogue looks; by itself it looks through one that shows all."""
        ...

    def view(self, name: str, caller: Caller) -> "Catalog":
        """This catalogue through the view of that name: names are those that it shows. Raises `Unknown`, also for a
        view that this key may not use."""
        ...

    def public(self, shown: str) -> str:
        """The public name behind one that the view shows; what it does not know, unchanged."""
        ...


class Inbound(Protocol):
    """Let a network reach us."""

    def serve(self, invoke: Invoke, catalog: Catalog) -> AbstractAsyncContextManager[Sequence[Route]]:
        """Claim paths for as long as the context is open."""
        ...


class Door(Protocol):
    """What a command of an adapter's own gets: the running gateway, or one in its own process."""

    @property
    def invoke(self) -> Invoke: ...
    @property
    def catalog(self) -> Catalog: ...
    @property
    def caller(self) -> Caller:
        """On whose behalf the command runs."""
        ...

    @property
    def config(self) -> Path:
        """The operator's file."""
        ...

    @property
    def folder(self) -> Path:
        """As `Host.folder`."""
        ...

    @property
    def url(self) -> str:
        """Where clients on this machine reach the gateway when it serves; blank if nobody can say."""
        ...

    @property
    def words(self) -> Sequence[str]:
        """The words between `doolittle` and a command that lead to this gateway from any folder."""
        ...

    async def address(self) -> tuple[str, str]:
        """URL and key of the faces. Without a running gateway, they are served on loopback until the command ends."""
        ...

    async def manage(self, method: str, path: str, document: Json = None) -> Json:
        """Asks `/v1`, as its administrator. Raises the `GatewayError` that it answers."""
        ...

    async def configure(self, upstream: Upstream) -> Report:
        """Writes an upstream to the operator's file, keeping its comments, and tries it; `secret` is written as it is
        (best a reference, as "env:NAME"). Raises `Conflict` for a name that is taken."""
        ...


Command: TypeAlias = Callable[[Door, Sequence[str]], Awaitable[int]]
"""What `Manifest.commands` name: it gets the words after its own, and gives an exit code."""


# ---- the adapter ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Manifest:
    """An adapter's `manifest.toml`, read without importing the adapter. `adapters.load` says what each key means.

    `can` is of both roles, unless the inbound one differs: then that is `inbound_can`.
    """

    name: str
    title: str
    roles: frozenset[Literal["outbound", "inbound"]]
    protocols: tuple[str, ...] = ()
    extra: str = ""
    requires: tuple[str, ...] = ()
    hops: Literal["header", "meta", "message", "inferred"] = "inferred"
    can: frozenset[str] = frozenset()
    inbound_can: frozenset[str] | None = None
    trust: Mapping[str, bool] = field(default_factory=dict[str, bool])
    commands: Mapping[str, str] = field(default_factory=dict[str, str])
    folder: Path = field(default_factory=Path)

    @property
    def calling(self) -> frozenset[str]:
        """What those can who call by this network: `can` of the inbound role."""
        return self.can if self.inbound_can is None else self.inbound_can


class Adapter(Protocol):
    """What the entry point names. A role that the manifest does not list is never asked for."""

    @property
    def options(self) -> "type[BaseModel]":
        """The model of one upstream's own settings; unknown keys are errors."""
        ...

    def outbound(self, upstream: Upstream, host: Host) -> Outbound: ...
    def inbound(self, host: Host) -> Inbound: ...
