"""All whom one character knows: in memory while it runs, and in the gateway's store, sealed."""

import asyncio
from collections.abc import Sequence

from adapters.character.memory import Person, identity, mark
from adapters.character.rooms import Room
from adapters.errors import Expired
from adapters.spi import Caller, Host, Speech

COMPANY = 50
"""People whose words are looked through in one turn, beside the one who speaks."""


class People:
    """Loaded when the character connects; what changes is written off the call path, or before an answer is given."""

    def __init__(self, host: Host, most: int) -> None:
        self._host = host
        self._state = host.state("people")
        self._most = most
        self._known: dict[str, Person] = {}
        self._of: dict[str, dict[str, Person]] = {}
        """By caller, those for whom it speaks, by their marks."""
        self._changed: set[str] = set()
        self._wake = asyncio.Event()
        self._writing = asyncio.Lock()
        self._ended = False

    def of(self, caller: Caller, speaker: str = "") -> Person:
        """The caller, or one for whom it speaks, known or new."""
        id = identity(caller.id, speaker)
        found = self._known.pop(id, None) or Person(id, caller.network, caller=caller.id, speaker=speaker)
        self._known[id] = found  # the last one stands last
        self._of.setdefault(found.caller, {})[mark(id)] = found
        while len(self._known) > self._most:
            self._drop(next(iter(self._known)))
        return found

    def enter(self, caller: Caller, speech: Speech, room: str) -> Room:
        """The place of a turn. Who speaks or hears there is remembered with all who were there before: none of them is
        told of what another said elsewhere."""
        person = self.of(caller, speech.by)
        mine = self._of[caller.id]
        named = {mark(identity(caller.id, name)) for name in speech.among if name != speech.by}
        marks = person.rooms.get(room)
        if marks is None or not named.issubset(marks):
            marks = self._arrive(person, room, named)
        here = _newest(person, [mine[one] for one in marks if one in mine])
        met = {one for others in person.rooms.values() for one in others}
        company = _newest(person, [mine[one] for one in met if one in mine])
        return Room(room, person, here, company, frozenset(marks), speech.among)

    def _arrive(self, person: Person, room: str, named: set[str]) -> list[str]:
        """The marks of all who were ever in the room, this person and those named now among them; from here on they
        stand with each of them. A caller that is alone needs no such list."""
        mine = self._of[person.caller]
        here = [person, *(one for one in mine.values() if one is not person and one.was_in(room))]
        lists = {id(found): found for one in here if (found := one.rooms.get(room)) is not None}  # mostly one, shared
        marks = sorted(named.union(*lists.values(), (mark(one.id) for one in here)))
        if len(mine) > 1 or named or person.speaker:
            for one in here:
                one.enter(room, marks)
                self._note(one.id)
        return marks

    def all(self) -> Sequence[Person]:
        return tuple(self._known.values())

    def keep(self, person: Person) -> bool:
        """Has a change written, unless the person was forgotten meanwhile."""
        if self._known.get(person.id) is not person:
            return False
        self._note(person.id)
        return True

    def _note(self, id: str) -> None:
        self._changed.add(id)
        self._wake.set()

    def _drop(self, id: str) -> None:
        person = self._known.pop(id)
        self._of[person.caller].pop(mark(id), None)
        if not self._of[person.caller]:
            del self._of[person.caller]
        self._note(id)

    async def load(self) -> None:
        """What another seal had closed is left out, and told in the log."""
        found: list[Person] = []
        for id, sealed in await self._state.items():
            try:
                found.append(Person.of(self._host.open(sealed)))
            except (Expired, ValueError, TypeError, KeyError):
                self._host.log.warning("what was kept of a person cannot be read", person=id)
        fresh = {person.id: person for person in sorted(found, key=lambda person: person.last)}
        self._known = {**fresh, **self._known}
        for person in self._known.values():
            self._of.setdefault(person.caller, {})[mark(person.id)] = person

    async def run(self) -> None:
        """Writes what changes, until `end`: what is being written then is written to its end."""
        self._ended = False
        while not self._ended:
            await self._wake.wait()
            await self.written()

    async def written(self) -> None:
        """Returns when what changed so far is in the store; what cannot be written is told in the log."""
        try:
            await self.flush()
        except Exception:
            self._host.log.exception("what is remembered of people could not be written")

    def end(self) -> None:
        self._ended = True
        self._wake.set()

    async def flush(self) -> None:
        """What could not be written is tried again with the next change."""
        async with self._writing:
            self._wake.clear()
            while self._changed:
                id = self._changed.pop()
                try:
                    await self._write(id)
                except BaseException:
                    self._changed.add(id)
                    raise

    async def _write(self, id: str) -> None:
        person = self._known.get(id)
        if person is None:
            await self._state.delete(_key(id))
        else:
            await self._state.put(_key(id), self._host.seal(person.packed()))

    async def forget(self, caller: str, speaker: str = "") -> int:
        """Removes the caller with all for whom it spoke, and whoever acted on its behalf; or one person for whom it
        spoke. How many were known."""
        if speaker:
            gone = [id for id in self._known if id == identity(caller, speaker)]
        else:
            of = [c for c in self._of if c == caller or c.startswith(f"{caller}/")]
            gone = [person.id for c in of for person in self._of[c].values()]
        for id in gone:
            self._drop(id)
        await self.flush()
        return len(gone)


def _newest(person: Person, others: list[Person]) -> list[Person]:
    """The person, and of others so many as are looked through: those who spoke last."""
    rest = sorted((one for one in others if one is not person), key=lambda one: one.last, reverse=True)
    return [person, *rest[:COMPANY]]


def _key(id: str) -> str:
    """Under which a person is kept: names that callers gave stand nowhere in clear."""
    return f"[{mark(id)}" if id.startswith("[") else id
