"""What an agent may do while it carries out a call: the contract's way back into the gateway."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from adapters.call import Caller, Event
from registry.model import Json, Tool


@dataclass(slots=True)
class Made:
    """One call that was made within another. `outcome`: "" while it runs, "ok", "ask", or the code of its error."""

    call: str
    tool: str
    outcome: str = ""


class Within(Protocol):
    """Lists and invokes as the agent that carries out a call, on behalf of that call's caller.

    What is seen and called is what both may. Each call made has the outer one as its parent: its chain, deadline,
    trace and what is left of its budget are the outer call's; it uses up the outer caller's rate and calls a day.
    """

    @property
    def caller(self) -> Caller:
        """The agent, on behalf of whoever called it."""
        ...

    @property
    def made(self) -> Sequence[Made]:
        """The calls made so far, oldest first: the gateway's own record."""
        ...

    def tools(self) -> Sequence[Tool]:
        """Sorted by name."""
        ...

    async def search(self, query: str, limit: int = 20) -> Sequence[Tool]:
        """By words, best first."""
        ...

    def invoke(self, tool: str, arguments: Mapping[str, Json]) -> AsyncIterator[Event]:
        """A call by public name. Never raises but for cancellation; closing the iterator cancels it. Nobody is there
        to answer questions: a far side that asks live is refused."""
        ...
