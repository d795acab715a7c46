"""Calls that an agent makes while it carries out one (`adapters.within.Within`)."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from decimal import Decimal
from hashlib import sha256
from typing import Any

from adapters.errors import Unknown
from adapters.spi import LAST, Ask, Call, Caller, Catalog, Error, Event, Invoke, Json, Made, Result, Tool
from gateway.calls import new_id


def acting(call: Call, agent: Tool, allow: Sequence[str], parts: Sequence[str]) -> Caller:
    """The agent as the principal of what it calls: on behalf of the call's caller, who is charged."""
    return Caller(
        id=f"{call.caller.id}/{agent.agent}", network=agent.address.network, name=agent.agent, allow=tuple(allow),
        agent=agent.agent, on_behalf_of=call.caller, charged=call.caller.charged or call.caller.id, parts=tuple(parts),
    )  # fmt: skip


class OwnWithin:
    """One for each call that an agent carries out."""

    def __init__(self, call: Call, caller: Caller, catalog: Catalog, invoke: Invoke) -> None:
        self._call = call
        self._catalog = catalog
        self._invoke = invoke
        self._spent = Decimal(0)
        self._made: list[Made] = []
        self.caller = caller

    @property
    def made(self) -> Sequence[Made]:
        return tuple(self._made)

    def tools(self) -> Sequence[Tool]:
        return self._catalog.tools(self.caller)

    async def search(self, query: str, limit: int = 20) -> Sequence[Tool]:
        return await self._catalog.search(query, self.caller, limit)

    async def invoke(self, tool: str, arguments: Mapping[str, Json]) -> AsyncGenerator[Event, None]:
        """What the tool costs is set aside before it is called, so that two at once do not spend the same money."""
        made = Made(new_id(), tool)
        self._made.append(made)
        inner = self._inner(made, arguments)
        aside = self._price(tool) if inner.budget is not None else Decimal(0)
        self._spent += aside
        source: Any = self._invoke(inner)
        async with aclosing(source) as events:
            async for event in events:
                if isinstance(event, LAST):
                    made.outcome = _outcome(event)
                    self._spent += _cost(event, aside) - aside
                yield event

    def _inner(self, made: Made, arguments: Mapping[str, Json]) -> Call:
        outer = self._call
        budget = None if outer.budget is None else outer.budget - self._spent
        return Call(
            made.call, made.tool, arguments, self.caller, conversation=self._conversation(), deadline=outer.deadline,
            budget=budget, trace=outer.trace, hops=outer.hops, parent=outer.id, answers=frozenset(),
            speech=outer.speech,
        )  # fmt: skip

    def _conversation(self) -> str | None:
        """Of the outer one: the caller's id is part of every conversation's key, and stays so."""
        name = self._call.conversation
        return None if name is None else sha256(f"{self._call.caller.id}\0{name}".encode()).hexdigest()

    def _price(self, tool: str) -> Decimal:
        try:
            price = self._catalog.tool(tool, self.caller).price
        except Unknown:
            return Decimal(0)
        return price.amount if price is not None else Decimal(0)


def _outcome(event: Event) -> str:
    if isinstance(event, Error):
        return event.error.code
    return "ask" if isinstance(event, Ask) else "ok"


def _cost(event: Event, usual: Decimal) -> Decimal:
    """What the call took: what its result says, else its price; nothing where it was not delivered."""
    if isinstance(event, Result) and event.cost is not None:
        return event.cost.amount
    return Decimal(0) if isinstance(event, Error) and event.error.delivered == "no" else usual
