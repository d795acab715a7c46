"""Where a turn is: who speaks, who hears, and what of all that is remembered may be told there. Pure.

Told is what was said in the room, and what was said elsewhere where nobody is here who was not there too.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from adapters.character.memory import About, Person, Piece, mark, recall

LOOKED = 600
"""Pieces that are looked through: all of the person's, and of others' the last."""


@dataclass(frozen=True, slots=True)
class Line:
    """A piece as it is told: by name, where several are in the room; "" is the person who speaks."""

    who: str
    text: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class Room:
    """One turn's. `here`: the people who were ever in the room and are known; `company`: all who were somewhere with
    the person, themselves among them; `audience`: the marks of all who hear."""

    name: str
    person: Person
    here: Sequence[Person]
    company: Sequence[Person]
    audience: frozenset[str]
    among: tuple[str, ...] = ()

    @property
    def shared(self) -> bool:
        return bool(self.audience - {mark(self.person.id)})

    @property
    def others(self) -> list[str]:
        """The names of those who hear, as far as they are known."""
        known = [one.speaker for one in self.here if one is not self.person and one.speaker]
        return sorted({*known, *self.among} - {self.person.speaker})

    def about(self) -> About:
        return self.person.about(self.name, self.audience)

    def history(self, most: int) -> list[Line]:
        """What was said here, by all, oldest first."""
        found = [(piece, one) for one in self.here for piece in one.said if piece.room == self.name]
        found.sort(key=lambda pair: pair[0].at)
        return [self._line(piece, one) for piece, one in found[-most:]] if most else []

    def recall(self, message: str, most: int) -> list[Line]:
        """What was said elsewhere, by the person, or where they were too, as far as it may be told here."""
        told = {one.id: self._rooms(one) for one in self.company}
        found = [(piece, one) for one in self.company for piece in one.said if piece.room in told[one.id]]
        found.sort(key=lambda pair: (pair[1] is self.person, pair[0].at))
        found = sorted(found[-LOOKED:], key=lambda pair: pair[0].at)
        chosen = recall([piece for piece, _ in found], message, most)
        by = {id(piece): one for piece, one in found}
        return [self._line(piece, by[id(piece)]) for piece in chosen]

    def _rooms(self, one: Person) -> set[str]:
        """Others in which they spoke, and all who hear it now were, the person among them."""
        spoken = {piece.room for piece in one.said} - {self.name}
        if one is not self.person:
            spoken &= self.person.rooms.keys()
        return {room for room in spoken if self.audience <= one.audience(room)}

    def _line(self, piece: Piece, one: Person) -> Line:
        named = one is not self.person or self.shared
        return Line(piece.who, piece.text, (one.speaker or one.name or "Someone") if named else "")
