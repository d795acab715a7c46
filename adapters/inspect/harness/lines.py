"""JSON lines with whoever started this process."""

import asyncio
import json
import os
import sys
from typing import Any

LONGEST = 64 * 2**20


class Lines:
    """What the harness itself prints goes to standard error."""

    def __init__(self, reader: asyncio.StreamReader, out: Any) -> None:
        self._out = out
        self._waiting: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.gone = asyncio.Event()
        self._task = asyncio.ensure_future(self._read(reader))

    @classmethod
    async def of_this_process(cls) -> "Lines":
        out = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)
        reader = asyncio.StreamReader(limit=LONGEST)
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        return cls(reader, out)

    def say(self, message: dict[str, Any]) -> None:
        self._out.write(json.dumps(message, default=str) + "\n")
        self._out.flush()

    async def read(self) -> dict[str, Any]:
        """The next line."""
        return await self._waiting.get()

    async def _read(self, reader: asyncio.StreamReader) -> None:
        while line := await reader.readline():
            self._waiting.put_nowait(json.loads(line))
        self.gone.set()
