"""Conversations with agents of frameworks: in memory, and in the gateway's store, sealed."""

import time
from collections import OrderedDict
from hashlib import sha256
from typing import Any

import orjson

from adapters.errors import Expired
from adapters.spi import Host

CONVERSATIONS = 1000
PIECES = 20
"""Of one conversation that are remembered."""

Message = dict[str, Any]
Talk = tuple[str, str, str]
"""Caller, agent, and the caller's name for it."""


class Talks:
    """Those of one upstream; of more than `CONVERSATIONS`, the last ones."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._state = host.state("talks")
        self._said: OrderedDict[Talk, list[Message]] = OrderedDict()

    async def load(self) -> None:
        """What was kept, the last one last; what another seal had closed is left out, and told in the log."""
        found: list[tuple[float, Talk, list[Message]]] = []
        for key, sealed in await self._state.items():
            try:
                kept = orjson.loads(self._host.open(sealed))
                found.append((kept["at"], tuple(kept["talk"]), kept["said"]))
            except (Expired, ValueError, TypeError, KeyError):
                self._host.log.warning("a conversation that was kept cannot be read", kept=key)
        self._said = OrderedDict((talk, said) for _, talk, said in sorted(found, key=lambda one: one[0]))

    def history(self, talk: Talk) -> list[Message]:
        return list(self._said.get(talk, ()))

    async def remember(self, talk: Talk, task: str, answer: str) -> None:
        """Returns when it is kept. What cannot be written is remembered as long as the gateway runs."""
        pieces = [{"role": "user", "text": task}, {"role": "assistant", "text": answer}]
        said = self._said[talk] = [*self._said.pop(talk, []), *pieces][-PIECES:]
        gone = self._said.popitem(last=False)[0] if len(self._said) > CONVERSATIONS else None
        body = orjson.dumps({"at": time.time(), "talk": talk, "said": said})
        try:
            await self._state.put(_key(talk), self._host.seal(body))
            if gone is not None:
                await self._state.delete(_key(gone))
        except Exception:
            self._host.log.exception("a conversation could not be written")

    async def forget(self, caller: str) -> int:
        """Those of a caller, and of agents that acted on their behalf; how many there were."""
        gone = [talk for talk in self._said if talk[0] == caller or talk[0].startswith(f"{caller}/")]
        for talk in gone:
            del self._said[talk]
            await self._state.delete(_key(talk))
        return len(gone)


def _key(talk: Talk) -> str:
    return sha256(orjson.dumps(talk)).hexdigest()
