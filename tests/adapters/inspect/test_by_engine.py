"""One agent by each of its engines: which are run, what becomes of those that cannot be, and that it is as before."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from adapters.errors import BadArguments, Refused
from adapters.inspect.command import command
from adapters.inspect.engines import by_engine
from adapters.inspect.session import Outcome
from adapters.sidekick.testing import SidekickFarSide
from adapters.spi import Upstream
from gateway.testing import Box
from tests.e2e.inspect.stand import BoxDoor

ENGINES = {"gone": {"agent": "nobody"}}


@dataclass
class Place:
    """A gateway with a character, and what thought for it whenever an arm was run."""

    box: Box
    door: BoxDoor
    seen: list[str] = field(default_factory=list[str])
    fails: str = ""

    async def chosen(self) -> str:
        return (await self.door.manage("GET", "/v1/agents/ada/engine"))["chosen"]

    async def run(self) -> Outcome:
        engine = await self.chosen()
        self.seen.append(engine)
        if engine == self.fails:
            raise Refused("it does not want to")
        return Outcome("ada", [], 1.0, {})


@pytest.fixture
async def place(box: Box, tmp_path: Path) -> AsyncIterator[Place]:
    far = SidekickFarSide()
    await far.open()
    await box.add(far.upstream)
    (tmp_path / "ada.json").write_text(json.dumps({"name": "Ada", "bio": ["Ada writes programs."]}))
    options = {"engine": "talker", "engines": ENGINES}
    await box.add(Upstream("ada", "character", command=(str(tmp_path / "ada.json"),), options=options))
    made = Place(box, BoxDoor(box, await box.serve(), ""))
    yield made
    await made.door.close()
    await far.close()


async def test_all_are_run_and_what_is_not_there_is_named(place: Place) -> None:
    arms = await by_engine(place.door, "ada", "all", place.run)
    assert place.seen == ["keeper", "talker"]
    assert [(arm.agent, arm.engine) for arm in arms] == [("ada", "keeper"), ("ada", "talker"), ("ada", "gone")]
    assert [bool(arm.fault) for arm in arms] == [False, False, True]
    assert "doolittle add sidekick" in arms[-1].fault, "what mends it"
    assert await place.chosen() == "talker"


async def test_those_that_are_named_are_run_in_their_order(place: Place) -> None:
    arms = await by_engine(place.door, "ada", "talker,keeper", place.run)
    assert place.seen == ["talker", "keeper"]
    assert [arm.engine for arm in arms] == ["talker", "keeper"]
    assert await place.chosen() == "talker"


async def test_one_that_fails_is_an_arm_that_says_why(place: Place) -> None:
    place.fails = "keeper"
    arms = await by_engine(place.door, "ada", "all", place.run)
    assert place.seen == ["keeper", "talker"]
    assert [(arm.engine, arm.fault) for arm in arms[:2]] == [("keeper", "it does not want to"), ("talker", "")]
    assert await place.chosen() == "talker"


async def test_who_breaks_it_off_gets_the_former_engine_back(place: Place) -> None:
    begun = asyncio.Event()

    async def hang() -> Outcome:
        begun.set()
        await asyncio.Event().wait()
        raise AssertionError

    task = asyncio.create_task(by_engine(place.door, "ada", "keeper", hang))
    await begun.wait()
    assert await place.chosen() == "keeper"
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await place.chosen() == "talker"


async def test_a_fault_that_nobody_foresaw_leaves_the_former_engine_too(place: Place) -> None:
    async def crash() -> Outcome:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await by_engine(place.door, "ada", "keeper", crash)
    assert await place.chosen() == "talker"


@pytest.mark.parametrize(
    ("agent", "wanted", "said"),
    [
        ("ada", "keeper,nothing", "'ada' has no engine 'nothing'; there are: keeper, talker"),
        ("talker", "all", "compare others by --agent"),
        ("nobody", "all", "'nobody' is no agent"),
    ],
)
async def test_what_cannot_be_is_refused_before_anything_is_run(
    place: Place, agent: str, wanted: str, said: str
) -> None:
    with pytest.raises(BadArguments, match=said):
        await by_engine(place.door, agent, wanted, place.run)
    assert not place.seen


async def score(place: Place, reward: float, engine: str = "") -> None:
    said = {"benchmarkScore": reward, "benchmark": "tau2_retail", "n": 1, "engine": engine}
    await place.door.manage("PUT", "/v1/agents/ada/benchmark", said)


async def test_the_record_has_a_score_by_engine_and_shows_that_of_its_own(place: Place) -> None:
    await score(place, 0.5)
    await score(place, 0.25, "keeper")
    record = await place.door.manage("GET", "/v1/agents/ada")
    assert (record["benchmark"]["benchmarkScore"], record["benchmark"]["engine"]) == (0.5, "talker")
    assert {name: one["benchmarkScore"] for name, one in record["benchmarks"].items()} == {
        "talker": 0.5,
        "keeper": 0.25,
    }
    await place.door.manage("PUT", "/v1/agents/ada/engine", {"engine": "keeper"})
    await place.box.restart()
    url = await place.box.serve()
    door = BoxDoor(place.box, url, "")
    assert (await door.manage("GET", "/v1/agents/ada"))["benchmark"]["benchmarkScore"] == 0.25, "over a restart"
    await door.manage("DELETE", "/v1/agents/ada/benchmark")
    record = await door.manage("GET", "/v1/agents/ada")
    await door.close()
    assert (record["benchmark"], record["benchmarks"]) == (None, {})


async def test_an_agent_without_engines_has_one_score(place: Place) -> None:
    said = {"benchmarkScore": 1, "benchmark": "tau2_retail", "n": 1}
    await place.door.manage("PUT", "/v1/agents/talker/benchmark", said)
    record = await place.door.manage("GET", "/v1/agents/talker")
    assert (record["benchmark"]["benchmarkScore"], record["benchmark"]["engine"], record["benchmarks"]) == (1.0, "", {})


@pytest.mark.parametrize("words", [("--agent", "nobody"), ("--agent", "ada", "--engines", "all")])
async def test_what_cannot_be_run_is_said_before_anything_is_installed(place: Place, words: tuple[str, ...]) -> None:
    await place.box.remove("helpers")
    with pytest.raises(BadArguments, match=r"nobody|doolittle add sidekick"):
        await command(place.door, ("tau2", *words))
    assert not (place.door.folder / "sidekick").exists()
