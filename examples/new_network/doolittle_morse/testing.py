"""A telegraph office on loopback, for the conformance suite."""

import asyncio

from adapters.conformance import FarSide, Trial
from adapters.spi import Upstream
from doolittle_morse import translate

BROKEN = {
    "not text": b"\xff\xfe\n",
    "not morse": b"hello\n",
    "not a letter": b"#99999999999999999999\n",
    "half a line": b".... .",
    "nothing": b"",
}
"""What it answers to these words."""


class MorseFarSide(FarSide):
    """Repeats what it is told, leaves a call that says "hang" without an answer, and breaks its protocol on demand."""

    async def open(self) -> None:
        self._stations = ["london", "paris"]
        self._lines: set[asyncio.StreamWriter] = set()
        self._away = False
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=2**22)
        self.port = self._server.sockets[0].getsockname()[1]
        self.upstream = Upstream("office", "morse", f"morse://127.0.0.1:{self.port}")

    async def close(self) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._lines.add(writer)
        try:
            verb, _, rest = (await reader.readline()).decode().strip().partition(" ")
            said = rest.partition(" ")[2]
            if said == translate.encode("hang"):
                await reader.read()
            answer = " ".join(self._stations) if verb == "LIST" else said
            if not self._away:
                writer.write(BROKEN.get(translate.decode(said), answer.encode() + b"\n"))
        finally:
            self._lines.discard(writer)
            writer.close()

    def say(self, text: str) -> Trial:
        return Trial("say", {"text": text.lower()}, text.lower())

    def hang(self) -> Trial:
        return Trial("say", {"text": "hang"})

    def big(self, size: int) -> Trial:
        return Trial("say", {"text": "e" * size})

    def broken(self) -> tuple[Trial, ...]:
        return tuple(Trial("say", {"text": word}) for word in BROKEN)

    def garbage(self) -> tuple[Trial, ...]:
        return self.broken()

    def outage(self, on: bool) -> None:
        self._away = on
        for line in self._lines if on else ():
            line.close()

    def running(self) -> int:
        return len(self._lines)

    def add(self, native: str) -> None:
        self._stations.append(native)

    def remove(self, native: str) -> None:
        self._stations.remove(native)
