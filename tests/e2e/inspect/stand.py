"""A gateway with every installed sidekick and a real ElizaOS agent, all with scripted models, and the harness."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from adapters.inspect.child import Child
from adapters.inspect.command import measured, parsed
from adapters.inspect.venv import HARNESS
from adapters.spi import Catalog, Invoke, Json, Report, Upstream
from adapters.venvs import Venvs
from examples.scripted_model.server import ScriptedModel
from examples.tour.eliza import PLUGIN, ElizaServer, install
from gateway.cli import remote
from gateway.keys import LOCAL
from gateway.testing import Box
from tests.conftest import ROOT
from tests.e2e.conftest import KEY
from tests.e2e.plugin.agents import character
from tests.e2e.sidekick.rooms import FRAMEWORKS, VENVS

ROUTE = "the-key-of-eliza's-routes"
PLAIN = "higgins"
"""An agent of the same server that is reached by its plain API alone: it takes no key by the plugin's routes."""
STEPS = {"USE_MULTI_STEP": "true", "MAX_MULTISTEP_ITERATIONS": "30"}


class BoxDoor:
    """`adapters.spi.Door` on a box that serves, as its administrator."""

    def __init__(self, box: Box, url: str, key: str) -> None:
        self._box = box
        self._key = key
        self.url = url
        self.caller = LOCAL
        self.config = box.folder / "doolittle.toml"
        self.folder = box.folder / ".doolittle"
        self.words: Sequence[str] = ()
        self._http = httpx2.AsyncClient(
            base_url=url, headers={"authorization": f"Bearer {key}"} if key else {}, timeout=60, trust_env=False
        )

    @property
    def invoke(self) -> Invoke:
        return self._box.invoke

    @property
    def catalog(self) -> Catalog:
        return self._box.catalog

    async def address(self) -> tuple[str, str]:
        return self.url, self._key

    async def manage(self, method: str, path: str, document: Json = None) -> Json:
        response = await self._http.request(method, path, json=document)
        if response.status_code >= 400:
            raise remote.fault(response.content, response.status_code)
        return response.json() if response.content else None

    async def configure(self, upstream: Upstream) -> Report:
        await self._box.add(upstream)
        return await self._box.gateway.upstreams.check(upstream)

    async def close(self) -> None:
        await self._http.aclose()


@dataclass
class Stand:
    """What the tests work with. `options`: of the sidekicks; `child`, and `other` at the same time: harnesses."""

    box: Box
    door: BoxDoor
    model: ScriptedModel
    child: Child
    other: Child
    options: dict[str, Any]

    async def bench(self, *words: str) -> int:
        """`doolittle bench`, in the harness that runs already."""
        said = parsed(words)
        assert said is not None
        return await measured(self.child, self.door, said)


AGENTS = ["eliza", *(a.name for one in FRAMEWORKS for a in one.agents)]


@asynccontextmanager
async def standing(folder: Path) -> AsyncIterator[Stand]:
    """All of it, with files in `folder`; environments are made if they are not there."""
    harness = (await Venvs(VENVS).install(HARNESS)).python
    for one in FRAMEWORKS:
        await Venvs(VENVS).install(one)
    async with AsyncExitStack() as stack:
        box = Box(folder)
        await box.open()
        stack.push_async_callback(box.close)
        url = await box.serve()
        door = BoxDoor(box, url, await box.key("admin", roles=("call", "admin")))
        stack.push_async_callback(door.close)
        model = await stack.enter_async_context(ScriptedModel().serving())
        options: dict[str, Any] = {
            "model": "scripted", "venvs": str(VENVS), "frameworks": [one.name for one in FRAMEWORKS],
            "tool_calls": 60, "iterations": 30,
        }  # fmt: skip
        await box.add(Upstream("helpers", "sidekick", model.url, "sk-scripted", options=options))
        plugin = {"plugin": {"key": ROUTE}}
        await box.add(Upstream("home", "elizaos", await _eliza(stack, box, url, folder), KEY, options=plugin))
        engines: dict[str, Any] = {"server": {"agent": PLAIN}, "gone": {"agent": "nobody"}}
        ada = str(ROOT / "examples" / "python_first" / "ada.json")
        own = {"engines": engines, "engine": "workflow", "borrows": True}
        await box.add(Upstream("ada", "character", command=(ada,), options=own))
        running = [Child.running(harness, folder / name) for name in ("inspect", "other")]
        child, other = [await stack.enter_async_context(one) for one in running]
        assert [(await one.read())["type"] for one in (child, other)] == ["hello", "hello"]
        yield Stand(box, door, model, child, other, options)


async def _eliza(stack: AsyncExitStack, box: Box, url: str, folder: Path) -> str:
    install(print)
    known = {"DOOLITTLE_URL": url, "DOOLITTLE_TIMEOUT": "60", **STEPS}
    keys = {name: await box.key(name, agent=name) for name in ("eliza", PLAIN)}
    eliza = character(folder, "eliza", **known, DOOLITTLE_KEY=keys["eliza"], DOOLITTLE_ROUTE_KEY=ROUTE)
    plain = character(folder, PLAIN, **known, DOOLITTLE_KEY=keys[PLAIN])
    env = {"PLUGINS": str(PLUGIN), "LOG_LEVEL": "warn"}
    server = await ElizaServer(folder / "elizaos", key=KEY, agents=f"{eliza},{plain}", env=env).start()
    stack.push_async_callback(server.stop)
    return server.url
