"""One character file on three engines: an agent of a Python framework, the Python runtime of ElizaOS, its server."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from adapters.character.outbound import CharacterOutbound
from adapters.character.persona import read
from adapters.spi import Call, Caller, Result, Upstream
from adapters.venvs import Venvs
from examples.scripted_model.server import ScriptedModel
from examples.tour.eliza import ElizaServer, install
from examples.uagents_agent.process import UAgent
from gateway.testing import Box
from tests.conftest import ROOT
from tests.e2e.sidekick.rooms import FRAMEWORKS, VENVS
from tests.e2e.uagents.almanac import Almanac, served
from tests.e2e.uagents.conftest import Town

FILE = ROOT / "examples" / "python_first" / "ada.json"
PYTHON = ("langgraph", "elizaos-python")
ENGINES = (*PYTHON, "server")
EVERY = (*(agent.name for one in FRAMEWORKS for agent in one.agents), "server")
"""With those of the frameworks that are tested on this machine."""
KEY = "the-key-of-ada's-server"
ids = count()


@dataclass
class Room:
    """What these tests work with."""

    box: Box
    model: ScriptedModel
    server: ElizaServer
    town: Town

    async def say(self, message: str, caller: Caller, conversation: str) -> str:
        given = {"message": message, "conversation": conversation}
        call = Call(f"character{next(ids)}", "lovelace__ask", given, caller)
        last = [event async for event in self.box.invoke(call)][-1]
        assert isinstance(last, Result), last
        return last.text

    @property
    def outbound(self) -> CharacterOutbound:
        found = self.box.outbound("lovelace")
        assert isinstance(found, CharacterOutbound)
        return found

    async def switch(self, engine: str) -> None:
        await self.outbound.switch("lovelace", engine)

    def prompt(self, engine: str) -> str:
        """All that the engine's model was told last."""
        if engine == "server":
            lines = [json.loads(line) for line in self.server.model_log.read_text().splitlines()]
            return next(line["prompt"] for line in reversed(lines) if line["kind"].startswith("large"))
        return "\n".join(str(message.get("content")) for message in self.model.bodies[-1]["messages"])


@pytest.fixture(scope="module")
async def room(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Room]:
    folder = tmp_path_factory.mktemp("character")
    exported = folder / "ada-server.json"
    exported.write_text(json.dumps(read(FILE).for_server()))
    venvs = Venvs(VENVS)
    for one in FRAMEWORKS:
        await venvs.install(one)
    install(print)
    server = ElizaServer(folder / "server", key=KEY, agents=str(exported), env={"MODEL_PROMPTS": "1"})
    async with ScriptedModel().serving() as model, served(listed := Almanac()) as almanac:
        freddy = await UAgent(folder / "freddy", almanac).start()
        town = Town(listed, almanac, freddy)
        face = {"almanac": almanac, "private": [f"http://127.0.0.1:{freddy.port}"], "registration": "almanac"}
        box = Box(folder, networks={"uagents": face})
        await box.open()
        await server.start()
        options: dict[str, Any] = {
            "model": "scripted",
            "venvs": str(VENVS),
            "frameworks": [one.name for one in FRAMEWORKS],
        }
        await box.add(Upstream("helpers", "sidekick", model.url, options=options))
        await box.add(_ada(FILE))
        await box.add(Upstream("home", "elizaos", server.url, KEY))
        yield Room(box, model, server, town)
        await box.close()
        await freddy.stop()
    await server.stop()


def _ada(file: Path) -> Upstream:
    engines: dict[str, Any] = {"server": {"agent": "ada"}}
    return Upstream("lovelace", "character", command=(str(file),), options={"engines": engines, "engine": "langgraph"})
