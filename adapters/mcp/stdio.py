"""`doolittle mcp-stdio`: the gateway's MCP over standard input and output, for clients that start a command."""

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout, suppress
from queue import SimpleQueue

from adapters.mcp import words
from adapters.mcp.bridge import GRACE, Bridge
from adapters.spi import Door

FLUSH = 2.0
"""Seconds for the last lines to a client that does not read."""


async def command(door: Door, args: Sequence[str]) -> int:
    """Serves until the client closes its end. Raises `BadArguments`."""
    parser = words.Parser("mcp-stdio", "MCP over standard input and output, through the gateway.")
    words.which_tools(parser)
    said = parser.read(args)
    if said is None:
        return 0
    url, key = await door.address()
    with redirect_stdout(sys.stderr):  # standard output carries the protocol only
        await carry(url + words.path(said), key, 0, 1, (signal.SIGTERM, signal.SIGINT))
    return 0


async def carry(url: str, key: str, source: int, target: int, signals: Sequence[int] = ()) -> None:
    """Lines from one file descriptor to the gateway, and back to the other, until the first ends, or a signal comes."""
    loop = asyncio.get_running_loop()
    lines = Lines(source)
    writer = Writer(target, lines.cut)
    for number in signals:
        loop.add_signal_handler(number, lines.cut)
    try:
        bridge = Bridge(url, key, writer.put)
        async with bridge.open(), asyncio.TaskGroup() as group:
            pump = group.create_task(_pump(lines, bridge))
            await lines.ended.wait()
            await asyncio.wait({pump}, timeout=0 if lines.gone else GRACE)
            pump.cancel()
    finally:
        for number in signals:
            loop.remove_signal_handler(number)
        writer.close()


async def _pump(lines: "Lines", bridge: Bridge) -> None:
    while (line := await lines.queue.get()) is not None:
        if line.strip():
            await bridge.take(line)


class Lines:
    """Lines of a file descriptor, read by a thread, for a read cannot be cancelled. `ended` when there are no more;
    `gone` if that is because nobody is left to hear the answers."""

    def __init__(self, source: int) -> None:
        self.queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.ended = asyncio.Event()
        self.gone = False
        self._loop = asyncio.get_running_loop()
        self._source = source
        threading.Thread(target=self._read, name="standard input", daemon=True).start()

    def cut(self) -> None:
        """From any thread: nobody listens any more."""
        self.gone = True
        self._tell(self.ended.set)

    def _read(self) -> None:
        pending: list[bytes] = []
        while chunk := self._chunk():
            first, *rest = chunk.split(b"\n")
            pending.append(first)
            for piece in rest:
                self._tell(self.queue.put_nowait, b"".join(pending))
                pending = [piece]
        if last := b"".join(pending):
            self._tell(self.queue.put_nowait, last)
        self._tell(self.queue.put_nowait, None)
        self._tell(self.ended.set)

    def _chunk(self) -> bytes:
        try:
            return os.read(self._source, 65536)
        except OSError:
            return b""

    def _tell(self, function: Callable[..., object], *args: object) -> None:
        with suppress(RuntimeError):  # the loop has ended before us
            self._loop.call_soon_threadsafe(function, *args)


class Writer:
    """Lines to a file descriptor, written by a thread, so that a client that does not read holds up nobody."""

    def __init__(self, target: int, broken: Callable[[], None]) -> None:
        self._target = target
        self._broken = broken
        self._lines: SimpleQueue[bytes | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._write, name="standard output", daemon=True)
        self._thread.start()

    def put(self, message: bytes) -> None:
        self._lines.put(message.replace(b"\n", b" ").replace(b"\r", b" ") + b"\n")

    def close(self) -> None:
        self._lines.put(None)
        self._thread.join(FLUSH)

    def _write(self) -> None:
        while (line := self._lines.get()) is not None:
            try:
                while line:
                    line = line[os.write(self._target, line) :]
            except OSError:
                self._broken()
                return
