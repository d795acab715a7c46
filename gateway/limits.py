"""How often, how many at once, and how many a day."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from limits import RateLimitItem, parse_many
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from adapters.errors import Full, RateLimited
from adapters.spi import Caller
from gateway.settings import LimitSettings
from gateway.usage import DAY, Usage


@dataclass(frozen=True, slots=True)
class Allowance:
    """What one principal may. `rate`: in place of the one that is for all; None: no limit of its own. `key`: whose
    calls of the day are counted."""

    key: str = ""
    rate: RateLimitItem | None = None
    concurrent: int | None = None
    daily: int | None = None


def rate(said: str) -> RateLimitItem | None:
    """Of a text such as "600/minute"; None of an empty one. Raises `ValueError`."""
    if not said:
        return None
    found = parse_many(said)
    if len(found) != 1 or found[0].amount < 1:
        raise ValueError(said)
    return found[0]


class Limits:
    """Counts calls by the caller itself, whomever it acts for, or by who is `charged` for it; and running calls over
    all callers. How many run at once is the caller's own: who is charged has a call running already."""

    def __init__(self, settings: LimitSettings, allowance: Callable[[str], Allowance], usage: Usage) -> None:
        self._rate = rate(settings.rate)
        self._window = MovingWindowRateLimiter(MemoryStorage())
        self._concurrent = settings.concurrent
        self._allowance = allowance
        self._usage = usage
        self._running: Counter[str] = Counter()
        self.running = 0

    def take(self, caller: Caller) -> None:
        """For a call that is counted in `running` already; `release` gives it back, however the call ends.

        Raises `RateLimited` or `Full`, with a time to come back; nothing is counted then.
        """
        if self.running > self._concurrent:
            raise Full(f"{self._concurrent} calls are running already", retry_after=1)
        payer = caller.charged or caller.id
        own = self._allowance(payer)
        if own.concurrent is not None and not caller.charged and self._running[caller.id] >= own.concurrent:
            raise RateLimited(f"{own.concurrent} calls of this key are running already", retry_after=1)
        if own.daily is not None and self._usage.calls(own.key) >= own.daily:
            raise RateLimited(f"more than {own.daily} calls a day (of UTC)", retry_after=DAY - time.time() % DAY)
        every = own.rate or self._rate
        if every and not self._window.hit(every, payer):
            reset = self._window.get_window_stats(every, payer).reset_time
            raise RateLimited(f"more than {every}", retry_after=max(1.0, reset - time.time()))
        self._running[caller.id] += 1

    def spend(self, caller: Caller) -> None:
        """The call was let in: it is one of today's. No other comes between: nothing is awaited since `take`."""
        own = self._allowance(caller.charged or caller.id)
        if own.key:
            self._usage.count(own.key)

    def release(self, caller: Caller) -> None:
        """The call that was taken has ended."""
        self._running[caller.id] -= 1
        if not self._running[caller.id]:
            del self._running[caller.id]
