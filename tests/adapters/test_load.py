"""A broken or missing adapter is said, with the way to mend it, and does not stop the others."""

import asyncio
import re
import sys
from importlib import import_module
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from adapters.errors import BadArguments, Expired, Full, Unknown
from adapters.load import GROUP, Adapters, read
from adapters.parking import Parking

GOOD = 'name = "good"\ntitle = "Good"\nroles = ["outbound"]\n'


def entry(folder: Path, name: str, manifest: str, code: str = "ADAPTER = object()\n") -> EntryPoint:
    """An adapter's package in a folder that is on the path."""
    package = folder / f"found_{name}"
    package.mkdir()
    (package / "__init__.py").write_text(code)
    (package / "manifest.toml").write_text(manifest)
    return EntryPoint(name, f"found_{name}:ADAPTER", GROUP)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_the_manifest_is_read_without_importing(folder: Path) -> None:
    found = read(entry(folder, "good", GOOD, "raise RuntimeError('imported')\n"))
    assert found.fault == ""
    assert "found_good" not in sys.modules
    with pytest.raises(BadArguments, match="imported"):
        found.load()
    assert "imported" in found.fault


@pytest.mark.parametrize(
    ("manifest", "said"),
    [
        ("name = ", "manifest"),
        (GOOD + 'nonsense = "x"\n', "unknown key 'nonsense'"),
        (GOOD.replace('"outbound"', '"sideways"'), "'roles'"),
        (GOOD.replace("good", "other", 1), "entry point"),
        (GOOD + 'can = ["fly"]\n', "'can'"),
        (GOOD + 'hops = "pigeon"\n', "'hops'"),
        (GOOD + "[trust]\nblind = true\n", "'trust'"),
        (GOOD + 'requires = ["no-such-distribution>=1"]\nextra = "x"\n', "pip install 'doolittle[x]'"),
        (GOOD + 'requires = ["pydantic<1"]\n', "pip install 'pydantic<1'"),
        (GOOD + 'requires = ["not a requirement!"]\n', "'requires'"),
    ],
)
def test_what_is_wrong_is_said(folder: Path, manifest: str, said: str) -> None:
    found = read(entry(folder, "good", manifest))
    assert said in found.fault
    assert found.fault


def test_the_others_are_there_all_the_same(folder: Path) -> None:
    broken = read(EntryPoint("gone", "no_such_package:ADAPTER", GROUP))
    adapters = Adapters(
        [broken, read(entry(folder, "good", GOOD)), read(entry(folder, "good2", GOOD.replace("good", "good2", 1)))]
    )
    assert [bool(found.fault) for found in adapters.all()] == [True, False, False]
    twice = Adapters([adapters.find("good"), adapters.find("good")])
    assert "another adapter is called 'good'" in twice.all()[1].fault
    with pytest.raises(Unknown, match="did you mean 'good'"):
        adapters.find("goood")


async def test_parked_things_are_taken_once_and_closed_in_time() -> None:
    closed: list[str] = []

    async def close(thing: str) -> None:
        closed.append(thing)

    parking = Parking(close, places=2, seconds=60)
    first = parking.put("a")
    parking.put("b")
    with pytest.raises(Full):
        parking.put("c")
    assert parking.take(first) == "a"
    with pytest.raises(Expired):
        parking.take(first)
    await parking.clear()
    assert (closed, len(parking)) == (["b"], 0)
    short = Parking(close, seconds=0)
    key = short.put("late")
    while "late" not in closed:
        await asyncio.sleep(0.001)
    with pytest.raises(Expired):
        short.take(key)


def test_each_command_says_what_it_does() -> None:
    for found in Adapters.installed().all():
        for name, told in (found.manifest.commands if found.manifest else {}).items():
            function, _, does = told.partition(" ")
            module, _, attribute = function.partition(":")
            assert callable(getattr(import_module(module), attribute)), name
            assert re.fullmatch(r"[A-Z].{9,70}\.", does), name
