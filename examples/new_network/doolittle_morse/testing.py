"""A telegraph office on loopback, for the conformance suite."""

import asyncio

from adapters.conformance import FarSide, Trial
from adapters.spi import Upstream


class MorseFarSide(FarSide):
    """Repeats what it is told, and leaves a call that says "hang" without an answer."""

    async def open(self) -> None:
        self._stations = ["london", "paris"]
        self._running = 0
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=2**22)
        self.port = self._server.sockets[0].getsockname()[1]
        self.upstream = Upstream("office", "morse", f"morse://127.0.0.1:{self.port}")

    async def close(self) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._running += 1
        try:
            verb, _, rest = (await reader.readline()).decode().strip().partition(" ")
            said = rest.partition(" ")[2]
            if said == ".... .- -. --.":
                await reader.read()
            writer.write((" ".join(self._stations) if verb == "LIST" else said).encode() + b"\n")
        finally:
            self._running -= 1
            writer.close()

    def say(self, text: str) -> Trial:
        return Trial("say", {"text": text.lower()}, text.lower())

    def hang(self) -> Trial:
        return Trial("say", {"text": "hang"})

    def big(self, size: int) -> Trial:
        return Trial("say", {"text": "e" * size})

    def running(self) -> int:
        return self._running

    def add(self, native: str) -> None:
        self._stations.append(native)

    def remove(self, native: str) -> None:
        self._stations.remove(native)
