"""Whom a character knows, and what was said with them. Pure.

A person is a caller of the gateway, or one for whom a caller speaks, by a name of that caller's; a world is the network
by which they come, a room a conversation of that caller's. What one caller's people say is never told to another
caller's. What was said in a room is told in it, and in rooms where nobody is who was not there too.
"""

import re
import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from typing import Any

import orjson

LONGEST = 2000
"""Characters of one piece that are remembered."""
PIECES = 200
FACTS = 100
ROOMS = 200
"""Of one person; of more, the last ones."""
WORD = re.compile(r"\w{3,}")


@dataclass(slots=True)
class Piece:
    """Something that was said; `who`: "user" or "assistant"."""

    who: str
    text: str
    room: str
    at: float


@dataclass(slots=True)
class Fact:
    """A sentence that is known of a person, and the room in which it was learned; without one, it is for them alone."""

    text: str
    room: str = ""


@dataclass(frozen=True, slots=True)
class About:
    """What may be told of a person in a room."""

    name: str
    since: float
    turns: int
    topics: Mapping[str, int]
    facts: Sequence[str]


def identity(caller: str, speaker: str = "") -> str:
    """The person's id: the caller's own, or a pair that no caller can be called by."""
    if not speaker and not caller.startswith("["):
        return caller
    return orjson.dumps([caller, speaker]).decode()


def mark(person: str) -> str:
    """A person in the lists of rooms: it stays when they are forgotten, and says nothing of them."""
    return sha256(person.encode()).hexdigest()[:16]


@dataclass(slots=True)
class Person:
    """What a character keeps of one person: the relationship (since when, how often, of what), facts, and what was
    said. `topics`: how often each of the character's topics came up; `rooms`: where they spoke, and the marks of all
    who ever were there; `named_in`: the room in which they said their name."""

    id: str
    world: str = ""
    name: str = ""
    since: float = field(default_factory=time.time)
    last: float = field(default_factory=time.time)
    turns: int = 0
    topics: dict[str, int] = field(default_factory=dict[str, int])
    facts: list[Fact] = field(default_factory=list[Fact])
    said: list[Piece] = field(default_factory=list[Piece])
    caller: str = ""
    speaker: str = ""
    rooms: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    named_in: str = ""

    def learn(self, fact: str, room: str = "") -> None:
        """A sentence to be kept; the oldest go first. Without a room it is told only where they are alone."""
        fact = " ".join(fact.split())[:LONGEST]
        if fact and not any(known.text == fact and known.room in ("", room) for known in self.facts):
            self.facts.append(Fact(fact, room))
            del self.facts[:-FACTS]

    def hear(self, message: str, answer: str, room: str) -> None:
        now = time.time()
        self.said += [Piece("user", message[:LONGEST], room, now), Piece("assistant", answer[:LONGEST], room, now)]
        del self.said[:-PIECES]
        self.turns += 1
        self.last = now

    def enter(self, room: str, marks: list[str]) -> None:
        """Who was ever in the room, themselves among them. Of too many rooms, those entered first are left out."""
        self.rooms.pop(room, None)
        self.rooms[room] = marks
        while len(self.rooms) > ROOMS:
            del self.rooms[next(iter(self.rooms))]

    def was_in(self, room: str) -> bool:
        """A caller itself has no list of the rooms in which it was alone."""
        return room in self.rooms or (not self.speaker and any(piece.room == room for piece in self.said))

    def audience(self, room: str) -> set[str]:
        """The marks of all who were ever in the room, themselves among them."""
        return {mark(self.id), *self.rooms.get(room, ())}

    def may(self, known: str, room: str, audience: Collection[str]) -> bool:
        """Whether what they said or told in one room may be told in another, before this audience."""
        return bool(known and known == room) or set(audience) <= self.audience(known)

    def about(self, room: str, audience: Collection[str]) -> About:
        """All of it where they are alone; else what comes from rooms in which all who hear it were."""
        facts = [fact.text for fact in self.facts if self.may(fact.room, room, audience)]
        name = self.name if self.name and self.may(self.named_in, room, audience) else ""
        if set(audience) <= {mark(self.id)}:
            return About(name, self.since, self.turns, self.topics, facts)
        heard = [p for p in self.said if p.who == "user" and self.may(p.room, room, audience)]
        often = {topic: sum(topic.lower() in p.text.lower() for p in heard) for topic in self.topics}
        since = min((p.at for p in heard), default=self.since)
        return About(name, since, len(heard), {t: n for t, n in often.items() if n}, facts)

    def packed(self) -> bytes:
        return orjson.dumps(asdict(self))

    @classmethod
    def of(cls, body: bytes) -> "Person":
        said: dict[str, Any] = orjson.loads(body)
        said.setdefault("caller", said["id"])
        said["said"] = [Piece(**piece) for piece in said["said"]]
        said["facts"] = [Fact(fact) if isinstance(fact, str) else Fact(**fact) for fact in said["facts"]]
        return cls(**said)


def recall(pieces: Sequence[Piece], message: str, most: int) -> list[Piece]:
    """Of these pieces: half of them those that have most words in common with the message, rare words first, and the
    rest the last ones; in the order in which they were said."""
    if not most or not pieces:
        return []
    words = [set(WORD.findall(piece.text.lower())) for piece in pieces]
    often = Counter(word for one in words for word in one)
    asked = set(WORD.findall(message.lower()))
    weights = [sum(1 / often[word] for word in one & asked) for one in words]
    ranked = sorted(range(len(pieces)), key=lambda n: (-weights[n], -n))
    best = [n for n in ranked if weights[n] > 0][: (most + 1) // 2]
    latest = [n for n in range(len(pieces) - 1, -1, -1) if n not in best][: most - len(best)]
    return [pieces[n] for n in sorted((*best, *latest))]
