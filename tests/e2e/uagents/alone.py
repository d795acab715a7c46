"""A gateway in a process of its own that publishes an agent, and calls another gateway's agent as its upstream: what
was imported for that, and which files lie in the working directory. No agent of the library is near."""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

from adapters.fake.world import world
from adapters.spi import Call, Result, Upstream
from adapters.uagents.testing import Mouth, UagentsNearSide
from gateway.settings import NetworkSettings
from gateway.telemetry import start_log
from gateway.testing import Box
from tests.e2e.uagents.almanac import Almanac, served


async def last(box: Box, tool: str, arguments: dict[str, Any]) -> str:
    events = [event async for event in box.invoke(Call("c", tool, arguments, box.caller))]
    assert isinstance(events[-1], Result), events
    return events[-1].text


async def main(folder: Path) -> None:
    almanac = Almanac()
    async with served(almanac) as url, Mouth() as mouth:
        near, far = Box(folder / "near"), Box(folder / "far")
        await near.open()
        await far.open()
        UagentsNearSide.mouth = mouth
        pinned = {mouth.signer.address: mouth.url}
        world("fake://alone")
        far.gateway.settings.networks["uagents"] = NetworkSettings.model_validate(
            {"almanac": url, "registration": "almanac", "endpoints": pinned}
        )
        await far.add(Upstream("world", "fake", "fake://alone"))
        base = await far.serve()
        answered = await UagentsNearSide(base, "").call("all__echo", {"text": "hello"})
        while not almanac.agents:
            await asyncio.sleep(0.01)
        (address,) = almanac.agents
        await near.add(Upstream("there", "uagents", f"agent://{address}", options={"almanac": url, "private": [base]}))
        echo = next(t.name for t in near.tools("there") if t.native == "EchoRequest")
        called = await last(near, echo, {"text": "hello"})
        await near.close()
        await far.close()
    loaded = [name for name in sys.modules if name.split(".")[0] == "uagents" or name.startswith("uagents_core.utils")]
    print(json.dumps({"answered": answered.text, "called": called, "uagents": loaded, "files": os.listdir()}))


if __name__ == "__main__":
    sys.path.insert(0, os.getcwd())
    os.makedirs(Path(sys.argv[1]) / "here")
    start_log("error")
    os.chdir(Path(sys.argv[1]) / "here")
    asyncio.run(main(Path(sys.argv[1])))
