"""Whom a character knows, and what was said: in memory while it runs, and in the gateway's store, sealed.

A person is a caller of the gateway; a world is the network by which they come, a room is a conversation of theirs. What
is kept of one person is never told to another.
"""

import asyncio
import re
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import orjson

from adapters.errors import Expired
from adapters.spi import Caller, Host

LONGEST = 2000
"""Characters of one piece that are remembered."""
PIECES = 200
FACTS = 100
WORD = re.compile(r"\w{3,}")


@dataclass(slots=True)
class Piece:
    """Something that was said; `who`: "user" or "assistant"."""

    who: str
    text: str
    room: str
    at: float


@dataclass(slots=True)
class Person:
    """What a character keeps of one caller: the relationship (since when, how often, of what), facts, and what was
    said. `topics`: how often each of the character's topics came up."""

    id: str
    world: str = ""
    name: str = ""
    since: float = field(default_factory=time.time)
    last: float = field(default_factory=time.time)
    turns: int = 0
    topics: dict[str, int] = field(default_factory=dict[str, int])
    facts: list[str] = field(default_factory=list[str])
    said: list[Piece] = field(default_factory=list[Piece])

    def learn(self, fact: str) -> None:
        """A sentence to be kept; the oldest go first."""
        fact = " ".join(fact.split())[:LONGEST]
        if fact and fact not in self.facts:
            self.facts.append(fact)
            del self.facts[:-FACTS]

    def hear(self, message: str, answer: str, room: str) -> None:
        now = time.time()
        self.said += [Piece("user", message[:LONGEST], room, now), Piece("assistant", answer[:LONGEST], room, now)]
        del self.said[:-PIECES]
        self.turns += 1
        self.last = now

    def history(self, room: str, most: int) -> list[Piece]:
        """The present conversation, oldest first."""
        return [piece for piece in self.said if piece.room == room][-most:] if most else []

    def recall(self, message: str, room: str, most: int) -> list[Piece]:
        """Pieces of other conversations: half of them those that have most words in common with the message, rare words
        first, and the rest the last ones; in the order in which they were said."""
        others = [piece for piece in self.said if piece.room != room]
        if not most or not others:
            return []
        words = [set(WORD.findall(piece.text.lower())) for piece in others]
        often = Counter(word for one in words for word in one)
        asked = set(WORD.findall(message.lower()))
        weights = [sum(1 / often[word] for word in one & asked) for one in words]
        ranked = sorted(range(len(others)), key=lambda n: (-weights[n], -n))
        best = [n for n in ranked if weights[n] > 0][: (most + 1) // 2]
        latest = [n for n in range(len(others) - 1, -1, -1) if n not in best][: most - len(best)]
        return [others[n] for n in sorted((*best, *latest))]

    def packed(self) -> bytes:
        return orjson.dumps(asdict(self))

    @classmethod
    def of(cls, body: bytes) -> "Person":
        said: dict[str, Any] = orjson.loads(body)
        said["said"] = [Piece(**piece) for piece in said["said"]]
        return cls(**said)


class People:
    """All whom one character knows. Loaded when it connects; what changes is written soon after, off the call path."""

    def __init__(self, host: Host, most: int) -> None:
        self._host = host
        self._state = host.state("people")
        self._most = most
        self._known: dict[str, Person] = {}
        self._changed: set[str] = set()
        self._wake = asyncio.Event()
        self._writing = asyncio.Lock()
        self._ended = False

    def of(self, caller: Caller) -> Person:
        """The caller, known or new."""
        found = self._known.pop(caller.id, None) or Person(caller.id, caller.network)
        self._known[caller.id] = found  # the last one stands last
        while len(self._known) > self._most:
            gone = next(iter(self._known))
            del self._known[gone]
            self._note(gone)
        return found

    def all(self) -> Sequence[Person]:
        return tuple(self._known.values())

    def keep(self, person: Person) -> None:
        """Has a change written, unless the person was forgotten meanwhile."""
        if self._known.get(person.id) is person:
            self._note(person.id)

    def _note(self, id: str) -> None:
        self._changed.add(id)
        self._wake.set()

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

    async def run(self) -> None:
        """Writes what changes, until `end`: what is being written then is written to its end."""
        self._ended = False
        while not self._ended:
            await self._wake.wait()
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
            await self._state.delete(id)
        else:
            await self._state.put(id, self._host.seal(person.packed()))

    async def forget(self, caller: str) -> int:
        """Removes the caller, and whoever acted on their behalf; how many were known."""
        gone = [id for id in self._known if id == caller or id.startswith(f"{caller}/")]
        for id in gone:
            del self._known[id]
            self._changed.add(id)
        await self.flush()
        return len(gone)
