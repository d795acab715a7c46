"""What the gateway gives to an adapter: connections, secrets, identities, memory. Offered by `adapters.spi` too."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from adapters.call import Call, Caller, CallRecord, Event
from adapters.within import Within
from registry.model import Json, Tool

if TYPE_CHECKING:
    import httpx2
    from structlog.typing import FilteringBoundLogger


@dataclass(frozen=True, slots=True)
class Evidence:
    """What somebody shows to say who they are, by `network`: a `kind` and its value.

    "bearer": a key of this gateway. "envelope": an identity on that network, whose signature the adapter has verified
    over the whole message; the operator says which are let in, and to what.
    """

    network: str
    kind: str
    value: str = field(repr=False)


class State(Protocol):
    """A small durable map of one adapter's own. Not for the call path."""

    async def get(self, key: str) -> bytes | None: ...
    async def put(self, key: str, value: bytes) -> None: ...
    async def delete(self, key: str) -> None: ...
    async def write(self, changes: "Mapping[str, bytes | None]") -> None:
        """All of them together, or none; None: that key is gone. Raises `Full` where the database takes no writes."""
        ...

    async def items(self) -> Sequence[tuple[str, bytes]]:
        """All of them, by key."""
        ...


class Keyring(Protocol):
    """Identities of our own on other networks, all from one master seed."""

    def seed(self, *path: str) -> bytes:
        """32 bytes for a network and an agent: the same for the same path until the operator rotates it, and not to be
        guessed from it."""
        ...

    @property
    def revision(self) -> int:
        """Grows when seeds have changed: derive anew what hangs on them."""
        ...


class Replay(Protocol):
    """What must not be shown twice, kept until it expires, over restarts too. The one thing that is written on the call
    path: committed in groups, before the call runs."""

    async def admit(self, mark: bytes, expires: float) -> bool:
        """Whether `mark` (at most 64 bytes, such as a hash of what was signed) was never shown before; it is now.
        `expires`: seconds since the epoch, after which it is refused for its age anyhow. Raises `Full`."""
        ...


class Calls(Protocol):
    """Calls that are running or kept (an hour, 10,000), each readable by its own caller only (others: `Unknown`)."""

    def get(self, id: str, caller: Caller) -> CallRecord: ...

    def follow(self, id: str, caller: Caller) -> AsyncIterator[Event]:
        """All events from the first. Hanging up leaves the call running."""
        ...

    async def cancel(self, id: str, caller: Caller) -> CallRecord: ...

    def detach(self, id: str, caller: Caller) -> CallRecord:
        """From here on, hanging up leaves the call running."""
        ...


class Host(Protocol):
    """What the gateway gives to an adapter, one object for each upstream or face."""

    @property
    def http(self) -> "httpx2.AsyncClient":
        """Shared connections. Reaches the upstream's own origin, and public addresses; every other address, given by
        whomever and by redirects too, is refused at connect time."""
        ...

    def client(self, *urls: str) -> "httpx2.AsyncClient":
        """As `http`, and reaches the origins of these URLs too: they must be the operator's own words."""
        ...

    async def addresses(self, url: str, *urls: str) -> Sequence[str]:
        """For what does not speak HTTP by `client`: the IP addresses of the URL's host, as the guard allows them to be
        connected to at this moment; `urls` as in `client`. Raises `Denied`, and `ConnectFailed` where there is none."""
        ...

    @property
    def options(self) -> Mapping[str, Json]:
        """For a face: what the operator's file says of its network (`[networks.NAME]`), secrets resolved."""
        ...

    @property
    def replay(self) -> Replay: ...
    @property
    def log(self) -> "FilteringBoundLogger": ...
    @property
    def base_url(self) -> str:
        """Where others reach this gateway, without a slash at the end."""
        ...

    @property
    def keyring(self) -> Keyring: ...
    @property
    def calls(self) -> Calls: ...
    def seal(self, plain: bytes) -> bytes:
        """For rest: only this gateway opens it again."""
        ...

    def open(self, sealed: bytes) -> bytes:
        """Raises `Expired` for what this gateway did not seal."""
        ...

    async def authenticate(self, evidence: Evidence) -> Caller:
        """Raises `Unauthenticated`."""
        ...

    def state(self, namespace: str) -> State: ...
    @property
    def folder(self) -> Path:
        """Where adapters keep files, each in a folder named as its network; it may not be there yet."""
        ...

    def within(self, call: Call, tool: Tool, allow: Sequence[str] = ("*",), parts: Sequence[str] = ()) -> Within:
        """For the agent of `tool` while it carries out `call`; `allow`: globs of all that the agent itself may call;
        `parts`: public names of tools that it is made of, as in `Caller.parts`: the operator's own words."""
        ...

    def patience(self, client: str, usual: float) -> float:
        """Seconds that this client program waits for an answer, by the operator's word, else `usual`. 0: for ever."""
        ...

    def score(self, agent: str) -> Mapping[str, Json] | None:
        """What a benchmark said of an agent, as its record has it, by the engine by which it thinks. Another object,
        when it is another score."""
        ...

    def changed(self, upstream: str) -> None:
        """The upstream's list of agents or tools changed: please refresh it soon."""
        ...
