"""Which users stand for which callers on one server: kept, so that a caller can be forgotten there."""

import asyncio

import orjson

from adapters.elizaos import translate
from adapters.spi import Call, Host


class Users:
    """By caller, the ids of the users that its people are. Names of people are not kept, nor what they said."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._state = host.state("users")
        self._known: dict[str, set[str]] = {}
        self._writing: set[asyncio.Task[None]] = set()

    async def load(self) -> None:
        found = {caller: set(orjson.loads(body)) for caller, body in await self._state.items()}
        self._known = {caller: ids | self._known.get(caller, set()) for caller, ids in {**self._known, **found}.items()}

    def note(self, call: Call) -> None:
        """Before a call; a new user is written beside it, which it does not wait for."""
        user = translate.user(call.caller.id, call.speech.by)
        known = self._known.setdefault(call.caller.id, set())
        if user in known:
            return
        known.add(user)
        task = asyncio.create_task(self._write(call.caller.id), name="users of an ElizaOS server")
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    async def _write(self, caller: str) -> None:
        try:
            await self._state.put(caller, orjson.dumps(sorted(self._known.get(caller, ()))))
        except Exception:
            self._host.log.exception("who spoke with agents of a server could not be written")

    async def settle(self) -> None:
        await asyncio.gather(*self._writing)

    def of(self, caller: str, speaker: str) -> list[str]:
        """The users of a caller and of agents that acted on its behalf, or of one person alone for whom they spoke. The
        caller's own is among them, whether it was noted or not."""
        callers = [caller, *(one for one in self._known if one.startswith(f"{caller}/"))]
        if speaker:
            return sorted(translate.user(one, speaker) for one in callers)
        noted = set[str]().union(*(self._known.get(one, set()) for one in callers))
        return sorted(noted | {translate.user(one) for one in callers})

    async def forget(self, caller: str) -> None:
        for one in [one for one in self._known if one == caller or one.startswith(f"{caller}/")]:
            del self._known[one]
            await self._state.delete(one)
