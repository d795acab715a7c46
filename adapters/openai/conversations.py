"""Conversations of clients that name none: they resend the history, so the history is their name.

What was said so far, with the caller and the agent, leads to the conversation in which the agent heard it; then only
what is new is said. Each history is good for one next message: who goes back and says something else begins anew.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from uuid import uuid4

import orjson

from adapters.spi import Ask

KEPT = 10_000
Messages = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a conversation stands. `known`: the agent heard all that was before; `ask` is what it asked at the end."""

    conversation: str
    known: bool = False
    ask: tuple[str, Ask] | None = None


class Conversations:
    """Of all callers. Kept in memory: after a restart, agents are told what was said."""

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._places: OrderedDict[bytes, Place] = OrderedDict()

    def take(self, owner: str, before: Messages) -> Place:
        """The place to which this history leads; from now on it leads nowhere."""
        return self._places.pop(_key(owner, before), None) or Place(uuid4().hex)

    def put(self, owner: str, history: Messages, place: Place) -> None:
        """After an answer, or back where none came."""
        self._places[_key(owner, history)] = place
        while len(self._places) > self._kept:
            self._places.popitem(last=False)


def _key(owner: str, history: Messages) -> bytes:
    told = [(role, " ".join(text.split())) for role, text in history]
    return sha256(orjson.dumps([owner, told])).digest()
