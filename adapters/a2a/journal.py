"""Changes of a durable map: written behind in groups, or waited for by whoever must not lose one."""

import asyncio
from contextlib import suppress

from adapters.errors import Full
from adapters.spi import Host, State

PAUSE = 0.2
"""Seconds in which changes are gathered before they are written, unless somebody waits."""
AGAIN = 1.0
"""Seconds until what could not be written is tried again."""


class Journal:
    """Use `start` before the first change, and `close` after the last."""

    def __init__(self, host: Host, state: State) -> None:
        self._log = host.log
        self._state = state
        self._changed: dict[str, bytes | None] = {}
        self.written: set[str] = set()
        """Keys of which the database knows, or is about to."""
        self._waiting: list[asyncio.Future[None]] = []
        self._wake = asyncio.Event()
        self._urgent = asyncio.Event()
        self._writer: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._writer = asyncio.create_task(self._write(), name="a2a journal")

    async def close(self) -> None:
        """Writes what is left."""
        if self._writer is not None:
            self._writer.cancel()
            with suppress(asyncio.CancelledError):
                await self._writer
        await self._flush()

    def put(self, key: str, value: bytes | None) -> None:
        """None: it is gone."""
        self._changed[key] = value
        self._wake.set()

    async def kept(self) -> None:
        """Returns when all changes so far are in the database; those of others who wait go along. Where it cannot be
        written that is logged, tried again, and not waited for."""
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(written)
        self._urgent.set()
        self._wake.set()
        await written

    async def _write(self) -> None:
        while True:
            await self._wake.wait()
            with suppress(TimeoutError):
                async with asyncio.timeout(PAUSE):
                    await self._urgent.wait()
            self._wake.clear()
            self._urgent.clear()
            if not await self._flush():
                await asyncio.sleep(AGAIN)
                self._wake.set()

    async def _flush(self) -> bool:
        changed, self._changed = self._changed, {}
        self.written |= changed.keys()
        waiting, self._waiting = self._waiting, []
        try:
            if changed:
                await self._state.write(changed)
        except Full as fault:
            self._log.error("what A2A keeps cannot be written", said=fault.detail)
            self._changed = {**changed, **self._changed}
            return False
        except asyncio.CancelledError:
            self._changed = {**changed, **self._changed}
            raise
        finally:
            for one in waiting:
                if not one.done():
                    one.set_result(None)
        self.written -= {key for key, value in changed.items() if value is None}
        return True
