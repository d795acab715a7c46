"""What an adapter's author writes for the suite: a far side to be called, or a near side that calls."""

from dataclasses import dataclass, field
from typing import Any, Protocol

from adapters.spi import Caller, Calls, Catalog, Invoke, Json, Tool, Upstream


@dataclass(frozen=True, slots=True)
class Trial:
    """One call to make: the native name of a tool, its arguments, and the text that must come back."""

    tool: str
    arguments: dict[str, Json] = field(default_factory=dict[str, Json])
    text: str = ""


class FarSide:
    """A far side that runs for one check. `say` is needed; override of the rest what the network has.

    Everything overridden is checked, together with what the manifest claims under `can`.
    """

    upstream: Upstream
    beneath: tuple[Upstream, ...] = ()
    """Further upstreams of the gateway, on which that one stands."""
    passes: int = 1
    """Agents that a call of it passes."""

    async def open(self) -> None:
        """Starts it, and sets `upstream`, and `beneath` where there is more."""

    async def close(self) -> None:
        """Stops it."""

    def say(self, text: str) -> Trial:
        """A call that is answered with this text."""
        raise NotImplementedError

    def count(self, n: int) -> Trial:
        """A call with at least n previews before its result."""
        raise NotImplementedError

    def fail(self, code: str) -> Trial:
        """A call that ends with the error of this code."""
        raise NotImplementedError

    def codes(self) -> tuple[str, ...]:
        """The codes that `fail` can do."""
        return ()

    def hang(self) -> Trial:
        """A call that is never answered."""
        raise NotImplementedError

    def crash(self) -> Trial:
        """A call at which the adapter itself raises something unforeseen, with the word `secret` in its text."""
        raise NotImplementedError

    def garbage(self) -> tuple[Trial, ...]:
        """Calls at which the far side breaks its protocol, each in another way."""
        raise NotImplementedError

    def broken(self) -> tuple[Trial, ...]:
        """Calls at which it breaks its protocol beyond doubt: no answer can be made of them."""
        raise NotImplementedError

    def ask(self, live: bool) -> Trial:
        """A call that asks a form with the field `name`, and is answered with a text that has it; `live`: it waits."""
        raise NotImplementedError

    def job(self, text: str) -> Trial:
        """A call whose work the far side holds; the connection to it breaks as soon as it is accepted."""
        raise NotImplementedError

    def big(self, size: int) -> Trial:
        """A call that is answered with so many letters."""
        raise NotImplementedError

    def talk(self, text: str) -> Trial:
        """A call that is answered with all texts of its conversation, by blanks."""
        raise NotImplementedError

    def outage(self, on: bool) -> None:
        """Goes away, or comes back."""
        raise NotImplementedError

    def add(self, native: str) -> None:
        """Another agent appears."""
        raise NotImplementedError

    def remove(self, native: str) -> None:
        """An agent leaves."""
        raise NotImplementedError

    def alter(self, native: str, description: str) -> None:
        """A tool of the agent is described anew, with this text."""
        raise NotImplementedError

    def cut_list(self, after: int | None) -> None:
        """Lists break off after so many agents; None: no more."""
        raise NotImplementedError

    def delivered(self, call: str) -> int:
        """How often the call of this id arrived."""
        raise NotImplementedError

    def running(self) -> int:
        """Calls that it works at."""
        raise NotImplementedError

    def chain(self, call: str) -> str:
        """The hops that came with the call, as `adapters.hops` writes them."""
        raise NotImplementedError

    def relay(self, invoke: Invoke, tool: str, arguments: dict[str, Json]) -> Trial:
        """A call at which it calls this public tool by `invoke`, on the chain that came to it, and hands on the end."""
        raise NotImplementedError


def offers(side: type[FarSide]) -> frozenset[str]:
    """The methods that the author has overridden."""
    return frozenset(n for n, m in vars(FarSide).items() if callable(m) and getattr(side, n) is not m)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a client of an inbound network saw: a text, or the code and text of an error, and its previews."""

    text: str = ""
    code: str = ""
    previews: int = 0
    structured: Any = None


class Talker(FarSide):
    """A far side that is told one text: by `ask {message}`, in words that its agent obeys (`!count N`, `!talk TEXT`,
    `!hang`, `!big N`; all else comes back)."""

    def told(self, message: str, text: str = "") -> Trial:
        return Trial("ask", {"message": message}, text)

    def counted(self, n: int) -> str:
        """What the agent says in the end, having counted."""
        return "".join(f"{one + 1} " for one in range(n))

    def say(self, text: str) -> Trial:
        return self.told(text, text)

    def count(self, n: int) -> Trial:
        return self.told(f"!count {n}", self.counted(n))

    def hang(self) -> Trial:
        return self.told("!hang")

    def big(self, size: int) -> Trial:
        return self.told(f"!big {size}")

    def codes(self) -> tuple[str, ...]:
        return ("refused",)


class NearSide:
    """A client of an inbound network, calling the gateway at `url` with `key` (empty: none)."""

    def __init__(self, url: str, key: str) -> None:
        self.url = url
        self.key = key

    async def call(self, tool: str, arguments: dict[str, Json], hops: str = "") -> Outcome:
        """One call, to its end. Cancelled when the task is."""
        raise NotImplementedError

    async def tools(self) -> list[str]:
        """The names that the client is shown."""
        raise NotImplementedError


class Box(Protocol):
    """The pytest fixture `box`: a gateway in one process."""

    caller: Caller

    @property
    def invoke(self) -> Invoke: ...
    @property
    def catalog(self) -> Catalog: ...
    @property
    def calls(self) -> Calls: ...
    async def add(self, upstream: Upstream) -> None: ...
    async def refresh(self, name: str) -> bool: ...
    async def restart(self) -> None: ...
    async def serve(self) -> str: ...
    async def key(self, name: str, allow: tuple[str, ...] = ("*",)) -> str: ...
    async def report(self, upstream: Upstream) -> Any: ...
    def tools(self, upstream: str) -> tuple[Tool, ...]: ...
    def degraded(self, upstream: str) -> str | None: ...
    def outbound(self, upstream: str) -> Any: ...
    def pending_tasks(self) -> set[Any]: ...
