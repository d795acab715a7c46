"""A gateway with a character, and with an engine without a framework that obeys its words."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from adapters.character.outbound import CharacterOutbound
from adapters.sidekick.testing import SidekickFarSide
from adapters.spi import Call, Caller, Error, Event, Result, Upstream
from gateway.testing import Box

ids = count()
BOB = Caller("bob", network="test", name="Bob")
EVE = Caller("eve", network="test", name="Eve")
ADA: dict[str, Any] = {
    "name": "Ada", "system": "You are Ada. Answer exactly.",
    "bio": ["{{agentName}} writes programs.", "She is patient."],
    "lore": ["She met Babbage in 1833."], "topics": ["engines", "poetry"], "adjectives": ["exact", "kind"],
    "style": {"all": ["short sentences"], "chat": ["no jokes"], "post": ["never seen"]},
    "messageExamples": [
        [{"name": "{{user1}}", "content": {"text": "What is it?"}}, {"name": "Ada", "content": {"text": "A number."}}]
    ],
    "postExamples": ["Today it ran."], "knowledge": ["The engine has a mill and a store."],
    "settings": {"secrets": {"KEY": "sk-not-for-anybody-to-see"}}, "plugins": ["@elizaos/plugin-sql"],
}  # fmt: skip


@dataclass
class Room:
    """What these tests work with."""

    box: Box
    far: SidekickFarSide
    file: Path

    async def add(self, name: str = "ada", said: Any = None, **options: Any) -> None:
        self.file.write_text(json.dumps(said or ADA))
        await self.box.add(Upstream(name, "character", command=(str(self.file),), options=options))

    def call(self, message: str, caller: Caller = BOB, tool: str = "ada__ask", **arguments: Any) -> Call:
        return Call(f"turn{next(ids)}", tool, {"message": message, **arguments}, caller)

    async def last(self, call: Call) -> Event:
        return [event async for event in self.box.invoke(call)][-1]

    async def say(self, message: str, caller: Caller = BOB, **arguments: Any) -> str:
        last = await self.last(self.call(message, caller, **arguments))
        assert isinstance(last, Result), last
        return last.text

    async def fault(self, message: str, caller: Caller = BOB, **arguments: Any) -> str:
        last = await self.last(self.call(message, caller, **arguments))
        assert isinstance(last, Error), last
        return f"{last.error.code}: {last.error.public}"

    @property
    def outbound(self) -> CharacterOutbound:
        found = self.box.outbound("ada")
        assert isinstance(found, CharacterOutbound)
        return found

    async def settled(self) -> None:
        """What evaluators do after a turn is done."""
        while self.outbound._after:
            for task in tuple(self.outbound._after):
                await task


@pytest.fixture
async def room(box: Box, tmp_path: Path) -> AsyncIterator[Room]:
    far = SidekickFarSide()
    await far.open()
    await box.add(far.upstream)
    yield Room(box, far, tmp_path / "ada.json")
    await far.close()
