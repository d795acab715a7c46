"""How often, and how many at once."""

import time

from limits import RateLimitItem, parse
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from adapters.errors import Full, RateLimited
from adapters.spi import Caller
from gateway.settings import LimitSettings


class Limits:
    """Counts calls by caller in memory, and running calls over all callers."""

    def __init__(self, settings: LimitSettings) -> None:
        self._rate: RateLimitItem | None = parse(settings.rate) if settings.rate else None
        self._window = MovingWindowRateLimiter(MemoryStorage())
        self._concurrent = settings.concurrent
        self.running = 0

    def take(self, caller: Caller) -> None:
        """For a call that is counted in `running` already. Raises `RateLimited` or `Full`, with a time to come back."""
        if self.running > self._concurrent:
            raise Full(f"{self._concurrent} calls are running already", retry_after=1)
        if self._rate and not self._window.hit(self._rate, caller.id):
            reset = self._window.get_window_stats(self._rate, caller.id).reset_time
            raise RateLimited(f"more than {self._rate}", retry_after=max(1.0, reset - time.time()))
