"""Where the two roles of one gateway meet: a thread's text carries no chain of calls, so the chain of whoever calls
back from a session of ours is that of the call which runs in it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

from adapters.spi import Call, Hop, Host


class Exchange:
    """One for each gateway. In a session of ours at most one call runs."""

    def __init__(self) -> None:
        self._running: dict[str, Call] = {}

    @contextmanager
    def running(self, session: str, call: Call) -> Iterator[None]:
        self._running[session] = call
        try:
            yield
        finally:
            del self._running[session]

    def chain(self, session: str) -> tuple[Hop, ...]:
        """Of the call that runs in the session; empty for sessions of others."""
        found = self._running.get(session)
        return found.hops if found is not None else ()


_EXCHANGES: "WeakKeyDictionary[Any, Exchange]" = WeakKeyDictionary()


def exchange(host: Host) -> Exchange:
    """That of the gateway behind this host: all its hosts have one keyring."""
    return _EXCHANGES.setdefault(host.keyring, Exchange())
